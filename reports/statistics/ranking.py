"""Paired tests between the learners of a column, and the ranks that follow from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from adaptbench.reports.statistics.contrasts import contrasts, holm
from adaptbench.reports.statistics.intervals import LEVEL, Samples


@dataclass(frozen=True)
class Pair:
    """The test between two learners on the same test episodes.

    Args:
        first: Index of the first learner in its column.
        second: Index of the second learner.
        difference: Mean of the first minus mean of the second, over the seeds that both have.
        half_width: Half the width of the difference's 95 % interval, uncorrected.
        p_value: Two-sided, uncorrected.
        corrected: Two-sided, after Holm's correction over all pairs of the column.
        n_seeds: The number of seeds that both have.
    """

    first: int
    second: int
    difference: float
    half_width: float
    p_value: float
    corrected: float
    n_seeds: int

    @property
    def significant(self) -> bool:
        """Whether the two are significantly different."""
        return self.corrected < LEVEL


def compare_pairs(column: Mapping[int, Samples]) -> tuple[Pair, ...]:
    """Tests every pair of learners in a column that have seeds in common, seed by seed and episode by episode.

    Args:
        column: The scores of each learner by its index, on the same episodes in the same order.
    """
    places: list[tuple[int, int]] = []
    differences: list[NDArray[np.float64]] = []
    for first, second in combinations(sorted(column), 2):
        common = sorted(set(column[first]) & set(column[second]))
        if common:
            places.append((first, second))
            differences.append(np.stack([column[first][seed] - column[second][seed] for seed in common]))
    found = contrasts([[difference] for difference in differences], [[1.0]] * len(differences))
    corrected = holm([each.p_value for each in found])
    return tuple(
        Pair(*place, each.estimate, each.half_width, each.p_value, float(own), each.n_seeds)
        for place, each, own in zip(places, found, corrected, strict=True)
    )


def shared_ranks(values: Mapping[int, float], pairs: Sequence[Pair]) -> dict[int, float]:
    """Ranks in which learners that are not significantly different share a rank, as in Meta-Dataset.

    The best unranked learner forms a group with all that are not significantly different from it. The group shares the
    mean of its places. This repeats until all are ranked (Triantafillou et al., ICLR 2020).

    Args:
        values: The mean of each learner by its index; larger is better.
        pairs: The tests between the learners.
    """
    apart = {frozenset((pair.first, pair.second)) for pair in pairs if pair.significant}
    left = sorted(values, key=lambda index: (-values[index], index))
    ranks: dict[int, float] = {}
    while left:
        group = [index for index in left if index == left[0] or frozenset((left[0], index)) not in apart]
        ranks |= dict.fromkeys(group, len(ranks) + (len(group) + 1) / 2)
        left = [index for index in left if index not in group]
    return ranks
