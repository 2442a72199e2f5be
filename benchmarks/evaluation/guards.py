"""Guards of a run: whether its adapter sees what it must not, and whether it learned anything."""

from collections.abc import Sequence

import torch
from torch import Tensor

from adaptbench.benchmarks.evaluation.adapters import Adapter, with_guesses
from adaptbench.datamodules.episodes import EpisodeBatch, first_episodes
from adaptbench.datamodules.guards import Finding
from adaptbench.reports.format import Score

GUARDED_EPISODES = 8
TOLERANCE = 1e-3
"""Largest allowed change relative to the largest prediction: other queries in a batch may change the rounding."""


class GuardFailed(RuntimeError):
    """A guard found something that makes the result worthless; the message says what."""


def require_passed(findings: Sequence[Finding]) -> None:
    """Stops the run if a guard failed.

    Raises:
        GuardFailed: with the findings of all guards that failed.
    """
    failed = [f"{finding.guard}: {finding.found}" for finding in findings if finding.status == "failed"]
    if failed:
        raise GuardFailed(f"a guard stopped this run: {' '.join(failed)}")


def adapter_guards(adapter: Adapter, batch: EpisodeBatch, stream: bool = False) -> list[Finding]:
    """Changes what an adapter must not see, the queries' targets and other queries, and compares its predictions.

    Args:
        adapter: the adapter as it is tested.
        batch: evaluation episodes; the first few are used.
        stream: whether queries are steps of the support sequence. Then a query's targets are the labels from its step
            on, and the other queries are the later steps.
    """
    some = first_episodes(batch, GUARDED_EPISODES)
    if stream:
        return _stream_guards(adapter, some)
    before = _with_some_guesses(adapter.predict(some))
    targets = _with_some_guesses(adapter.predict(some._replace(query_y=some.query_y.roll(1, dims=1) + 1)))
    seen = _unmoved("query targets", "targets of the queries", before=before, after=targets)
    if getattr(adapter, "transductive", False):
        return [seen, Finding("other queries", "noted", "Queries are predicted together, as the adapter was asked to.")]
    others = _with_some_guesses(adapter.predict(some._replace(query=_other_queries(some))))
    return [seen, _unmoved("other queries", "other queries", before=before[:, :1], after=others[:, :1])]


def _stream_guards(adapter: Adapter, batch: EpisodeBatch) -> list[Finding]:
    """Compares the predictions of the middle step of each stream."""
    step = batch.support.shape[1] // 2
    now = batch._replace(query=batch.support[:, step : step + 1], query_y=batch.support_y[:, step : step + 1])
    labels = torch.cat([now.support_y[:, :step], now.support_y[:, step:].roll(1, dims=-1)], dim=1)
    later = (now.support[:, step + 1 :] + len(now.inputs) // 2) % len(now.inputs)
    steps = torch.cat([now.support[:, : step + 1], later], dim=1)
    before = adapter.predict(now)
    relabelled, continued = (
        adapter.predict(now._replace(**new)) for new in ({"support_y": labels}, {"support": steps})
    )
    return [
        _unmoved("query targets", "labels from its step on", before=before, after=relabelled),
        _unmoved("other queries", "later steps", before=before, after=continued),
    ]


def _with_some_guesses(prediction: Tensor) -> Tensor:
    """Allows an adapter to diverge in some episodes, as its test does, but not in all of them."""
    guessed, diverged = with_guesses(prediction)
    return prediction if diverged == len(prediction) else guessed


def _other_queries(batch: EpisodeBatch) -> Tensor:
    """Keeps the first query of each episode and replaces the others."""
    shifted = (batch.query + len(batch.inputs) // 2) % len(batch.inputs)
    return torch.cat([batch.query[:, :1], shifted[:, 1:]], dim=1)


def _unmoved(guard: str, what: str, before: Tensor, after: Tensor) -> Finding:
    moved = float((after - before).abs().max())
    allowed = TOLERANCE * max(1.0, float(before.abs().max()))
    if not moved <= allowed:
        return Finding(guard, "failed", f"A prediction moves by {moved:.3g} when the {what} change.")
    return Finding(guard, "passed", f"No prediction moves when the {what} change.")


def chance_guard(scores: Sequence[Score]) -> Finding:
    """Notes the shots at which an adapter is no better than a guess; a collapsed training does not stop the run."""
    collapsed = [f"{score.shots}-shot" for score in scores if score.chance is not None and score.at_chance]
    if collapsed:
        return Finding("chance level", "noted", f"No better than a guess at {', '.join(dict.fromkeys(collapsed))}.")
    return Finding("chance level", "passed", "Better than a guess in every test.")
