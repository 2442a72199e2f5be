"""Gains per doubling: how much a learner gains from twice the training classes, budget or shots, and where they end."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from adaptbench.reports.comparison.comparability import differences
from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.results.metrics import Metric
from adaptbench.reports.results.settings import DOUBLED, Axis, Setting
from adaptbench.reports.statistics.contrasts import Contrast, contrasts
from adaptbench.reports.statistics.power_law import LEAST_SIZES, PowerLaw, power_law
from adaptbench.reports.statistics.scales import log_scores


@dataclass(frozen=True)
class Gain:
    """The gain of one learner from each doubling of the training classes, the budget or the shots.

    Args:
        learner: The learner's name.
        label: The learner's name for readers.
        axis: The quantity that is doubled.
        fixed: The first setting; everything but the doubled quantity stays as there.
        values: The values of the doubled quantity that have a result, ascending.
        relative: Whether logarithms of the score are compared.
        per_doubling: The slope of the score, or of its logarithm, over the logarithm to base 2 of the value; in the
            stored unit (accuracy as a fraction). None if there is no slope.
        ends_at: The first value from which the gain to the last value is not significant; None if all are significant.
        refusal: Why there is no slope although there are results, or empty.
        law: The power law of the error against training classes; None for other quantities, for metrics that are no
            error, and for less than four values.
    """

    learner: str
    label: str
    axis: Axis
    fixed: Setting
    values: tuple[int, ...]
    relative: bool
    per_doubling: Contrast | None = None
    ends_at: int | None = None
    refusal: str = ""
    law: PowerLaw | None = None


def gains(comparison: Comparison) -> tuple[Gain, ...]:
    """The gains of each learner over training classes, then over budgets, then over shots; the others stay the same."""
    return tuple(gain for axis in DOUBLED for gain in _along(comparison, axis))


def _along(comparison: Comparison, axis: Axis) -> Iterator[Gain]:
    for row in comparison.entries:
        ordered = sorted(row, key=lambda entry: (entry.setting.others(axis), entry.setting.value(axis) or 0))
        for _, group in groupby(ordered, key=lambda entry: entry.setting.others(axis)):
            scored = [each for each in group if each.interval is not None and each.setting.value(axis) is not None]
            if len(scored) > 1:
                yield _gain(scored, axis, comparison.metric)


def _gain(entries: Sequence[Entry], axis: Axis, metric: Metric) -> Gain:
    """The slope over entries that differ along one axis, from the seeds that all of them have."""
    values = tuple(value for entry in entries if (value := entry.setting.value(axis)) is not None)
    common = sorted(set.intersection(*(set(entry.samples) for entry in entries)))
    first, relative = entries[0], metric.logarithmic
    gain = Gain(first.learner, first.label, axis, first.setting, values, relative)
    if refusal := _refusal(entries, axis, common):
        return replace(gain, refusal=refusal)
    scores = [np.stack([entry.samples[seed] for seed in common]) for entry in entries]
    law = _law(values, scores, metric) if axis == "classes" else None
    if relative:
        if any(float(run.mean(axis=-1).min()) <= 0 for run in scores):
            return replace(gain, refusal="an error of zero has no logarithm")
        scores = [log_scores(each) for each in scores]
    digests = [entry.conditions.episodes_digest if entry.conditions else "" for entry in entries]
    x = np.log2(values)
    slope = (x - x.mean()) / np.square(x - x.mean()).sum()
    one = np.eye(len(x))
    per_doubling, *to_last = _contrasts(scores, [slope, *(one[-1] - one[:-1])], digests)
    steps, sign = zip(values[:-1], to_last, strict=True), -1.0 if relative else 1.0
    late = (value for value, each in steps if not each.significant or sign * each.estimate < 0)
    return replace(gain, per_doubling=per_doubling, ends_at=next(late, None), law=law)


def _law(values: tuple[int, ...], scores: Sequence[NDArray[np.float64]], metric: Metric) -> PowerLaw | None:
    if len(values) < LEAST_SIZES or metric.perfect is None:
        return None
    errors = metric.error(np.stack(scores))
    means = errors.mean(axis=(1, 2))
    return power_law(values, errors) if means.min() > 0 and np.ptp(means) > 0 else None


def _refusal(entries: Sequence[Entry], axis: Axis, common: Sequence[int]) -> str:
    if not common:
        return "no seed has finished at every value"
    found = {
        f"{entry.setting.value(axis)} {axis}": entry.conditions for entry in entries if entry.conditions is not None
    }
    varies = {"classes": (), "examples": ("examples encoded",), "shots": ("test episodes", "numbers of test episodes")}[
        axis
    ]
    return "; ".join(phrase for phrase in differences(found) if not phrase.startswith(varies))


def _contrasts(
    scores: Sequence[NDArray[np.float64]], weights: Sequence[NDArray[np.float64]], digests: Sequence[str]
) -> list[Contrast]:
    """Weighted sums of means; scores on the same episodes are first added episode by episode."""
    blocks: list[list[NDArray[np.float64]]] = []
    for own in weights:
        joined: dict[str, NDArray[np.float64]] = {}
        for each, weight, digest in zip(scores, own, digests, strict=True):
            if weight:
                joined[digest] = joined.get(digest, 0.0) + weight * each
        blocks.append(list(joined.values()))
    return contrasts(blocks, [[1.0] * len(each) for each in blocks])
