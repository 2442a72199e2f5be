"""Fidelity: whether a small suite ranks learners as a large one does."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.statistics.agreement import rank_agreement
from adaptbench.reports.statistics.intervals import stack_seeds

FEWEST = 4
"""Fewer learners have too few ranks to agree on."""


@dataclass(frozen=True)
class Fidelity:
    """How far the ranks of learners agree at one size of episodes.

    Args:
        place: Task and protocol of the large suite.
        size: Ways and shots.
        learners: The number of learners that both suites have.
        tau: Kendall's tau of their mean scores.
        lower: The lower end of its 95 % interval.
        upper: The upper end.
        seeds: The fewest seeds of a learner.
    """

    place: str
    size: str
    learners: int
    tau: float
    lower: float
    upper: float
    seeds: int

    def __str__(self) -> str:
        """The line for readers."""
        alone = ", which covers episodes only" if self.seeds == 1 else ""
        return (
            f"{self.place}, {self.size}, {self.learners} learners: {self.tau:.2f} "
            f"[{self.lower:.2f}, {self.upper:.2f}]{alone}."
        )


def fidelities(small: Sequence[Comparison], large: Sequence[Comparison]) -> Iterator[Fidelity]:
    """Compares the ranks of learners at the largest training size of each comparison of the same task."""
    for one, other in product(small, large):
        if (one.called, one.metric.name) != (other.called, other.metric.name):
            continue
        for column, against in product(one.largest, other.largest):
            size, wanted = one.settings[column], other.settings[against]
            if (size.ways, size.shots) != (wanted.ways, wanted.shots):
                continue
            ours, theirs = _scored(one, column), _scored(other, against)
            labels = sorted(ours.keys() & theirs.keys())
            if len(labels) >= FEWEST:
                first, second = ([each[label] for label in labels] for each in (ours, theirs))
                tau, lower, upper = rank_agreement(_scores(first), _scores(second))
                seeds = min(len(entry.samples) for entry in (*first, *second))
                yield Fidelity(other.place, wanted.episode_phrase, len(labels), tau, lower, upper, seeds)


def _scored(comparison: Comparison, column: int) -> dict[str, Entry]:
    """The entries of a column that have scores, by label."""
    return {row[column].label: row[column] for row in comparison.entries if row[column].samples}


def _scores(entries: Sequence[Entry]) -> list[NDArray[np.float64]]:
    """The scores [S, E] of each entry."""
    return [stack_seeds(list(entry.samples.values())) for entry in entries]
