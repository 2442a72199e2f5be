"""Guards of a run: what its adapter must not see, whether it learned anything, and what stops the run."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from adaptbench.benchmarks.evaluation.adapters import Adapter, with_guesses
from adaptbench.datamodules.episodes import EpisodeBatch, first_episodes, rng_for
from adaptbench.datamodules.guards import Finding
from adaptbench.reports.format import Score

TOLERANCE = 1e-3
"""Share of the largest prediction by which one may move: the size of a batch changes how sums are rounded."""
AMPLIFIED = 10.0
"""How much further than two copies of an episode in one batch a prediction may move, where it moves further."""
MOST_AMPLIFIED = 0.1
"""Share of the largest prediction beyond which rounding explains nothing."""
EXEMPT = "A control that is told the functions of the test episodes, and is exempt."


class GuardFailed(RuntimeError):
    """A guard found something that would make a result worthless; the message says what."""


class Alone(NamedTuple):
    """Some test episodes, each by itself, and their predictions before the adapter has seen any other.

    Attributes:
        batches: n batches of one episode, which hold its own examples, and zeros as targets of the queries.
        episodes: [n, 1] int64, which of the test episodes they are.
        queries: [n, Q] int64, which of their queries are predicted.
        prediction: [n, Q, P].
    """

    batches: list[EpisodeBatch]
    episodes: Tensor
    queries: Tensor
    prediction: Tensor


def require_passed(findings: Sequence[Finding]) -> None:
    """Stops where a guard failed.

    Raises:
        GuardFailed: with everything that the failed guards found.
    """
    failed = [f"{finding.guard}: {finding.found}" for finding in findings if finding.status == "failed"]
    if failed:
        raise GuardFailed(f"a guard stopped this run: {' '.join(failed)}")


def adapter_guards(adapter: Adapter, batch: EpisodeBatch, stream: bool = False) -> tuple[Alone, list[Finding]]:
    """Predicts the first, the middle and the last episode alone, then with what an adapter must not see changed.

    Args:
        adapter: the adapter as it is tested, which has predicted no other test episodes yet.
        batch: all test episodes of one size.
        stream: whether queries are steps of the support sequence. One step of each episode is then predicted, from its
            own example and the steps before it; its target is its label, and other queries are the steps that follow.

    Returns:
        The episodes alone, for `alone_guard`, and what was found about the queries' targets and other queries.
    """
    episodes, queries = batch.query.shape
    chosen = sorted({0, episodes // 2, episodes - 1})
    asked = torch.arange(queries).repeat(len(chosen), 1)
    if stream:
        asked = torch.tensor([[place * (queries - 1) // max(1, len(chosen) - 1)] for place in range(len(chosen))])
    whole = [_episode(batch, episode, rows) for episode, rows in zip(chosen, asked, strict=True)]
    batches = [_own(_until_query(one)) for one in whole] if stream else [_own(one) for one in whole]
    before = _predicted(adapter, batches)
    alone = Alone(batches, torch.tensor(chosen).unsqueeze(1), asked, before)
    told = _predicted(adapter, [_with_targets(one, stream) for one in batches])
    seen = _unmoved("query targets", "targets of the queries", before=before, after=told)
    if getattr(adapter, "transductive", False):
        return alone, [seen, Finding("other queries", "noted", "Queries are predicted together, as it was asked to.")]
    others = whole if stream else [one._replace(query=one.query[:, :1], query_y=one.query_y[:, :1]) for one in whole]
    what = "later steps" if stream else "other queries"
    after = _predicted(adapter, [_own(one) for one in others])
    return alone, [seen, _unmoved("other queries", what, before=before[:, : after.shape[1]], after=after)]


def alone_guard(adapter: Adapter, alone: Alone, judged: Tensor) -> Finding:
    """Compares the predictions that are scored with those of the same episodes alone.

    Where they differ, two copies of each episode in one batch show how far the adapter amplifies rounding.

    Args:
        adapter: the adapter as it is tested.
        alone: what it predicted for some episodes.
        judged: [B, Q, P], its predictions of all test episodes of that size.
    """
    before, after = alone.prediction, _with_some_guesses(judged[alone.episodes, alone.queries])
    moved, largest = float((after - before).abs().max()), max(1.0, float(before.abs().max()))
    if moved <= TOLERANCE * largest:
        return Finding("alone", "passed", "No prediction moves when its episode is predicted alone.")
    found = f"A prediction moves by {moved:.3g} when its episode is predicted alone"
    twice = [EpisodeBatch(one.inputs, *(torch.cat([field, field]) for field in one[1:])) for one in alone.batches]
    copies = _predicted(adapter, twice).unflatten(0, (len(twice), 2))
    rounding = float((copies - before.unsqueeze(1)).abs().max())
    if moved <= min(AMPLIFIED * rounding, MOST_AMPLIFIED * largest):
        return Finding("alone", "noted", f"{found}, and by {rounding:.3g} with a copy of itself: rounding, amplified.")
    return Finding("alone", "failed", f"{found}: it sees more than its episode.")


def worst(findings: Iterable[Finding]) -> list[Finding]:
    """Keeps the most serious finding of each guard, the first of equals."""
    kept: dict[str, Finding] = {}
    for finding in findings:
        before = kept.setdefault(finding.guard, finding)
        kept[finding.guard] = max(before, finding, key=lambda each: ("passed", "noted", "failed").index(each.status))
    return list(kept.values())


def _episode(batch: EpisodeBatch, episode: int, queries: Tensor) -> EpisodeBatch:
    """Takes some queries of one episode and no other episode; streams keep all their steps."""
    one = batch.episodes(slice(episode, episode + 1))
    return one._replace(query=one.query[:, queries], query_y=one.query_y[:, queries])


def _own(one: EpisodeBatch) -> EpisodeBatch:
    """Keeps the examples of the episode only, in an order that means nothing, and none of its queries' targets."""
    one = first_episodes(one, 1).without_targets()
    order = torch.from_numpy(rng_for("alone", len(one.inputs)).permutation(len(one.inputs))).to(one.support.device)
    place = order.argsort()
    return one._replace(inputs=one.inputs[order], support=place[one.support], query=place[one.query])


def _until_query(one: EpisodeBatch) -> EpisodeBatch:
    """Cuts a stream after its query, whose label becomes zero."""
    length = int((one.support == one.query).int().argmax()) + 1
    labels = one.support_y[:, :length].clone()
    labels[:, -1] = 0.0
    return one._replace(support=one.support[:, :length], support_y=labels)


def _with_targets(one: EpisodeBatch, stream: bool) -> EpisodeBatch:
    """Puts ones in the place of the queries' targets; in a stream that is the label of its last step too."""
    one = one._replace(query_y=torch.ones_like(one.query_y))
    return one._replace(support_y=torch.cat([one.support_y[:, :-1], one.query_y], dim=1)) if stream else one


def _predicted(adapter: Adapter, batches: Sequence[EpisodeBatch]) -> Tensor:
    return _with_some_guesses(torch.cat([adapter.predict(batch) for batch in batches]))


def _with_some_guesses(prediction: Tensor) -> Tensor:
    """Lets an adapter diverge in some episodes, as its test does; one that diverges in all of them does not pass."""
    guessed, diverged = with_guesses(prediction)
    return prediction if diverged == len(prediction) else guessed


def _unmoved(guard: str, what: str, before: Tensor, after: Tensor) -> Finding:
    moved = float((after - before).abs().max())
    allowed = TOLERANCE * max(1.0, float(before.abs().max()))
    if not moved <= allowed:
        return Finding(guard, "failed", f"A prediction moves by {moved:.3g} when the {what} change.")
    return Finding(guard, "passed", f"No prediction moves when the {what} change.")


def chance_guard(scores: Sequence[Score]) -> Finding:
    """Says where a tested adapter is no better than a guess: a collapsed training, told but no reason to stop."""
    tested = [score for score in scores if score.on == "unseen" and score.chance is not None]
    collapsed = [f"{score.shots}-shot" for score in tested if score.at_chance]
    if collapsed:
        return Finding("chance level", "noted", f"No better than a guess at {', '.join(dict.fromkeys(collapsed))}.")
    return Finding("chance level", "passed", "Better than a guess in every test.")
