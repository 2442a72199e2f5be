"""Scores an adapter on a task's fixed test episodes; all adapters are tested here."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from adaptbench.benchmarks.evaluation.adapters import (
    Adapter,
    AsksPosterior,
    HasPosterior,
    Tells,
    Told,
    carried_by,
    with_guesses,
)
from adaptbench.benchmarks.evaluation.calibration import calibration
from adaptbench.benchmarks.evaluation.guards import EXEMPT, adapter_guards, alone_guard, worst
from adaptbench.benchmarks.evaluation.order_sensitivity import ORDERED_EPISODES, order_sensitivity
from adaptbench.datamodules.base import UNSEEN, EpisodicDataModule, EvalPart, TestOn
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize, episodes_digest
from adaptbench.datamodules.guards import Finding
from adaptbench.lit_modules.likelihoods import LIKELIHOODS
from adaptbench.lit_modules.training import Encodings, encoding_once
from adaptbench.reports.format import PredictTime, Score
from adaptbench.reports.statistics.intervals import interval

CHANCE_STANDARD_ERRORS = 3.0
CHANCE_ROUNDING = 1e-6
"""A gain over a guess below this share of it is rounding: predictions are computed in single precision."""


@dataclass(frozen=True)
class Evaluation:
    """The results of a test.

    Attributes:
        scores: a score for each size of episodes and metric.
        episodes: a row for each test episode.
        seconds: seconds in `Adapter.predict`, encoding included.
        times: the same per episode, for each size; encodings that sizes share count for each of them.
        findings: what the guards of the adapter found.
        calibration: a row for each size and bin of probability; None for regression.
    """

    scores: tuple[Score, ...]
    episodes: pd.DataFrame
    seconds: float
    times: tuple[PredictTime, ...]
    findings: tuple[Finding, ...]
    calibration: pd.DataFrame | None = None


def evaluate(adapter: Adapter, task: EpisodicDataModule, device: torch.device) -> Evaluation:
    """Tests an adapter on the test episodes of every size; it never gets the targets of their queries.

    Guards predict some episodes of every size alone before the adapter sees any of the others. Examples that several
    sizes share are encoded once.
    """
    introduce(adapter, task)
    with encoding_once() as encodings:
        return _evaluate(adapter, task, device, encodings)


def _evaluate(adapter: Adapter, task: EpisodicDataModule, device: torch.device, encodings: Encodings) -> Evaluation:
    scores: list[Score] = []
    frames: list[pd.DataFrame] = []
    calibrations: list[pd.DataFrame] = []
    times: list[PredictTime] = []
    total = 0.0
    tests = [(part, size) for part in task.test.parts for size in task.test.sizes]
    batches = _test_batches(task, tests, device)
    told = isinstance(adapter, Told)
    looked = [] if told else [adapter_guards(adapter, batch, task.stream) for batch in batches]
    findings = [Finding("alone", "noted", EXEMPT)] if told else [each for _, found in looked for each in found]
    for number, ((part, size), batch) in enumerate(zip(tests, batches, strict=True)):
        digest = episodes_digest(batch, size.ways)
        asked = batch.without_targets()
        tell(adapter, task, part, size)
        start, saved = time.perf_counter(), encodings.saved
        prediction, diverged = with_guesses(adapter.predict(asked))
        seconds = time.perf_counter() - start
        total += seconds
        per_episode = 1000 * (seconds + encodings.saved - saved) / len(batch.query)
        if part == "test":
            times.append(PredictTime(ways=size.ways, shots=size.shots, ms_per_episode=per_episode))
        if looked:
            findings.append(alone_guard(adapter, looked[number][0], prediction))
        frame = _episode_scores(prediction, batch, task, part, size)
        frames.append(frame)
        if part == "test" and task.likelihood == "categorical":
            calibrations.append(calibration(prediction, batch.query_y, size))
        own, nll = _scores(frame, task, part, size, digest, diverged)
        carried = None if task.stream else carried_by(adapter, asked)
        scores += [own.model_copy(update={"carried": carried}), nll]
        if part != "test":
            continue
        if task.queries_are_trials:
            scores.append(_error(own, frame[own.metric], batch.query.numel()))
        if not (task.stream or told):
            scores.append(_order(own, order_sensitivity(adapter, asked, LIKELIHOODS[task.likelihood])))
    episodes = pd.concat(frames, ignore_index=True).astype({"ways": "Int64"})
    calibrated = pd.concat(calibrations, ignore_index=True) if calibrations else None
    return Evaluation(tuple(scores), episodes, total, tuple(times), tuple(worst(findings)), calibrated)


def _test_batches(
    task: EpisodicDataModule, tests: Sequence[tuple[EvalPart, EpisodeSize]], device: torch.device
) -> list[EpisodeBatch]:
    """Draws the episodes of every part and size; those with the same examples share one tensor of them."""
    batches: list[EpisodeBatch] = []
    for part, size in tests:
        batch = task.eval_batch(part, size, task.test.episodes).to(device)
        same = [each.inputs for each in batches if torch.equal(each.inputs, batch.inputs)]
        batches.append(batch._replace(inputs=same[0]) if same else batch)
    return batches


def introduce(adapter: Adapter, task: EpisodicDataModule) -> None:
    """Gives the task's posterior to a control that needs it, and nothing to other adapters; before any prediction."""
    if isinstance(adapter, AsksPosterior) and isinstance(task, HasPosterior):
        adapter.posterior = task.posterior


def tell(adapter: Adapter, task: EpisodicDataModule, part: EvalPart, size: EpisodeSize) -> None:
    """Gives the functions of the test episodes to a control that needs them, and nothing to other adapters."""
    if isinstance(adapter, Told) and isinstance(task, Tells):
        adapter.functions = task.eval_functions(part, size, task.test.episodes)


def _episode_scores(
    prediction: Tensor, batch: EpisodeBatch, task: EpisodicDataModule, part: EvalPart, size: EpisodeSize
) -> pd.DataFrame:
    likelihood = LIKELIHOODS[task.likelihood]
    metrics = {
        likelihood.metric: likelihood.score(prediction, batch.query_y),
        "nll": likelihood.nll(prediction, batch.query_y),
    }
    columns = {name: value.double().mean(dim=1).cpu().numpy() for name, value in metrics.items()}
    identity = {"ways": size.ways, "shots": size.shots, "episode": range(len(batch.query))}
    on = {"on": _on(part)} if task.test.on != UNSEEN else {}
    return pd.DataFrame({**on, **identity, **columns})


def _on(part: EvalPart) -> TestOn:
    """What a test is about, by the part that its episodes are drawn from."""
    return part if part == "seen" or part == "held_out_drawings" else "unseen"


def _scores(
    frame: pd.DataFrame, task: EpisodicDataModule, part: EvalPart, size: EpisodeSize, digest: str, diverged: int
) -> tuple[Score, Score]:
    """The scores of the task's own metric and of the likelihood."""
    likelihood = LIKELIHOODS[task.likelihood]
    chance = task.chance(size) if part == "test" else task.chance(size, part)
    own = Score(
        part="test" if part == "test" else "train",
        on=_on(part),
        **size._asdict(),
        metric=likelihood.metric,
        higher_is_better=likelihood.higher_is_better,
        value=float(frame[likelihood.metric].mean()),
        n_episodes=len(frame),
        episodes_digest=digest,
        chance=chance,
        at_chance=_at_chance(frame[likelihood.metric], chance, likelihood.higher_is_better),
        diverged=diverged,
    )
    nll = {"metric": "nll", "higher_is_better": False, "value": float(frame["nll"].mean()), "chance": None}
    return own, own.model_copy(update=nll)


def _error(accuracy: Score, runs: "pd.Series[float]", trials: int) -> Score:
    """Turns the accuracies of runs of trials into an error in per cent, with its interval over runs.

    Runs differ more than independent trials would, so the interval does not count trials.
    """
    errors = trials - round(accuracy.value * trials)
    found = interval([runs], "fraction") if len(runs) > 1 else None
    return accuracy.model_copy(
        update={
            "metric": "error_percent",
            "higher_is_better": False,
            "value": 100 * errors / trials,
            "chance": None if accuracy.chance is None else 100 * (1 - accuracy.chance),
            "trials": trials,
            "low": None if found is None else 100 * (1 - found.upper),
            "high": None if found is None else 100 * (1 - found.lower),
        }
    )


def _order(score: Score, value: float) -> Score:
    episodes = min(ORDERED_EPISODES, score.n_episodes)
    return score.model_copy(
        update={
            "metric": "order_sensitivity",
            "higher_is_better": False,
            "value": value,
            "chance": None,
            "n_episodes": episodes,
            "diverged": 0,
        }
    )


def _at_chance(scores: "pd.Series[float]", chance: float, higher_is_better: bool) -> bool:
    """Whether a mean is no better than a guess, within noise."""
    gain = float(scores.mean()) - chance
    noise = CHANCE_STANDARD_ERRORS * float(scores.std()) / len(scores) ** 0.5
    return not (gain if higher_is_better else -gain) > max(noise, CHANCE_ROUNDING * abs(chance))
