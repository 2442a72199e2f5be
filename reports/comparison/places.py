"""Places of learners between two exact predictors: 0 as the best memory of training, 1 as the best generalisation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adaptbench.reports.comparison.comparability import differences
from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.results.settings import Setting
from adaptbench.reports.statistics.contrasts import contrast

LIMITS = "bayes"
"""The name of the strategy that predicts by the exact posterior."""


@dataclass(frozen=True)
class Place:
    """The place of a learner at a setting, with the ends of its 95 % interval.

    Args:
        learner: The learner's name.
        label: The learner's name for readers.
        setting: The setting.
        value: (error of the memory - its error) / (error of the memory - error of the generalisation). It can be below
            0 or above 1.
        lower: The lower end.
        upper: The upper end.
        n_seeds: The number of seeds; with one, the interval is over episodes only.
    """

    learner: str
    label: str
    setting: Setting
    value: float
    lower: float
    upper: float
    n_seeds: int


def places(comparison: Comparison) -> tuple[Place, ...]:
    """The place of every other learner wherever both predictors were tested and differ significantly."""
    return tuple(place for column in range(len(comparison.settings)) for place in _column(comparison, column))


def _column(comparison: Comparison, column: int) -> Iterator[Place]:
    entries = [row[column] for row in comparison.entries if row[column].samples]
    limits = {knows: entry for entry in entries if (knows := _knows(entry))}
    if set(limits) != {"all", "training"} or comparison.metric.perfect is None:
        return
    for entry in entries:
        group = (limits["training"], entry, limits["all"])
        if not _knows(entry) and (place := _place(entry, _errors(comparison, group))):
            yield place


def _knows(entry: Entry) -> str:
    """The functions that an exact predictor takes for possible; empty for other adapters."""
    strategy = next((run.spec.strategy for run in entry.runs if run.spec and run.spec.strategy), None)
    return str(strategy.init_args.get("knows", "all")) if strategy and strategy.name == LIMITS else ""


def _errors(comparison: Comparison, group: Sequence[Entry]) -> list[NDArray[np.float64]]:
    """The errors [S, E] of entries on the same episodes, from the seeds that all of them have; empty if there is none.

    Budgets may differ, because exact predictors have none.
    """
    conditions = {entry.learner: entry.conditions for entry in group if entry.conditions}
    common = sorted(set.intersection(*(set(entry.samples) for entry in group)))
    if not common or any("episodes" in phrase for phrase in differences(conditions)):
        return []
    return [comparison.metric.error(np.stack([entry.samples[seed] for seed in common])) for entry in group]


def _place(entry: Entry, errors: Sequence[NDArray[np.float64]]) -> Place | None:
    if not errors:
        return None
    memory, own, general = errors
    apart = contrast([memory - general], [1.0])
    if not (apart.significant and apart.estimate > 0):
        return None
    value = float((memory - own).mean()) / apart.estimate
    half = contrast([memory - own - value * (memory - general)], [1.0 / apart.estimate]).half_width
    return Place(entry.learner, entry.label, entry.setting, value, value - half, value + half, apart.n_seeds)
