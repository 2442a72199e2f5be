"""The one judge: scores whatever adapts on a task's fixed test episodes."""

import time
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from scipy.special import betaincinv  # type: ignore[import-untyped]  # scipy ships no annotations
from torch import Tensor

from adaptbench.benchmarks.evaluation.adapters import Adapter, Tells, Told, with_guesses
from adaptbench.benchmarks.evaluation.order_sensitivity import ORDERED_EPISODES, order_sensitivity
from adaptbench.datamodules.base import EpisodicDataModule
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize, episodes_digest
from adaptbench.lit_modules.likelihoods import LIKELIHOODS

CHANCE_STANDARD_ERRORS = 3.0


@dataclass(frozen=True)
class Evaluation:
    """What testing gives.

    Attributes:
        scores: one record for each number of shots and metric.
        episodes: one row for each test episode.
        seconds: time spent in `Adapter.predict`, encoding included.
    """

    scores: list[dict[str, Any]]
    episodes: pd.DataFrame
    seconds: float


def evaluate(adapter: Adapter, task: EpisodicDataModule, device: torch.device) -> Evaluation:
    """Tests an adapter on the test episodes at every number of shots."""
    scores: list[dict[str, Any]] = []
    frames: list[pd.DataFrame] = []
    seconds = 0.0
    for size in task.test.sizes:
        batch = task.eval_batch("test", size, task.test.episodes)
        digest = episodes_digest(batch)
        batch = batch.to(device)
        tell(adapter, task, size)
        start = time.perf_counter()
        prediction, diverged = with_guesses(adapter.predict(batch))
        seconds += time.perf_counter() - start
        frame = _episode_scores(prediction, batch, task, size)
        frames.append(frame)
        scores += _records(frame, task, size, digest, diverged)
        if task.queries_are_trials:
            scores.append(_error_record(scores[-2], batch.query.numel()))
        if not (task.stream or isinstance(adapter, Told)):
            scores.append(_order_record(scores[-1], order_sensitivity(adapter, batch, LIKELIHOODS[task.likelihood])))
    episodes = pd.concat(frames, ignore_index=True).astype({"ways": "Int64"})
    return Evaluation(scores, episodes, seconds)


def tell(adapter: Adapter, task: EpisodicDataModule, size: EpisodeSize) -> None:
    """Tells a control that is to be told the functions of the test episodes; any other adapter is told nothing."""
    if isinstance(adapter, Told) and isinstance(task, Tells):
        adapter.functions = task.eval_functions("test", size, task.test.episodes)


def _episode_scores(
    prediction: Tensor, batch: EpisodeBatch, task: EpisodicDataModule, size: EpisodeSize
) -> pd.DataFrame:
    likelihood = LIKELIHOODS[task.likelihood]
    metrics = {
        likelihood.metric: likelihood.score(prediction, batch.query_y),
        "nll": likelihood.nll(prediction, batch.query_y),
    }
    columns = {name: value.double().mean(dim=1).cpu().numpy() for name, value in metrics.items()}
    identity = {"ways": size.ways, "shots": size.shots, "episode": range(len(batch.query))}
    return pd.DataFrame({**identity, **columns})


def _records(
    frame: pd.DataFrame, task: EpisodicDataModule, size: EpisodeSize, digest: str, diverged: int
) -> list[dict[str, Any]]:
    likelihood = LIKELIHOODS[task.likelihood]
    common = {"split": "test", **size._asdict(), "n_episodes": len(frame), "episodes_digest": digest}
    common |= {"diverged": diverged} if diverged else {}
    chance = task.chance(size)
    score = {
        "metric": likelihood.metric,
        "higher_is_better": likelihood.higher_is_better,
        "value": float(frame[likelihood.metric].mean()),
        "chance": chance,
        "at_chance": _at_chance(frame[likelihood.metric], chance, likelihood.higher_is_better),
    }
    nll = {"metric": "nll", "higher_is_better": False, "value": float(frame["nll"].mean()), "chance": None}
    return [{**common, **score}, {**common, **nll, "at_chance": score["at_chance"]}]


def _error_record(accuracy: dict[str, Any], trials: int) -> dict[str, Any]:
    """Turns an accuracy over independent trials into an error in per cent with its exact interval."""
    errors = trials - round(accuracy["value"] * trials)
    low, high = binomial_interval(errors, trials)
    return {
        **accuracy,
        "metric": "error_percent",
        "higher_is_better": False,
        "value": 100 * errors / trials,
        "chance": 100 * (1 - accuracy["chance"]),
        "trials": trials,
        "low": 100 * low,
        "high": 100 * high,
    }


def _order_record(score: dict[str, Any], value: float) -> dict[str, Any]:
    known = {key: score[key] for key in ("split", "ways", "shots", "queries", "episodes_digest", "at_chance")}
    moved = {"metric": "order_sensitivity", "higher_is_better": False, "value": value, "chance": None}
    return {**known, **moved, "n_episodes": min(ORDERED_EPISODES, score["n_episodes"])}


def binomial_interval(count: int, trials: int) -> tuple[float, float]:
    """The exact 95 % interval of a share (Clopper & Pearson 1934, Biometrika 26:404).

    Args:
        count: successes.
        trials: independent trials.
    """
    low = float(betaincinv(count, trials - count + 1, 0.025)) if count else 0.0
    high = float(betaincinv(count + 1, trials - count, 0.975)) if count < trials else 1.0
    return low, high


def _at_chance(scores: "pd.Series[float]", chance: float, higher_is_better: bool) -> bool:
    """Whether a mean is no better than a guess, within noise."""
    gain = float(scores.mean()) - chance
    noise = CHANCE_STANDARD_ERRORS * float(scores.std()) / len(scores) ** 0.5
    return not (gain if higher_is_better else -gain) > noise
