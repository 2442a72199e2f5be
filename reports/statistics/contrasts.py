"""Contrasts: weighted sums of means, such as differences and slopes, with intervals and p-values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import elementwise  # type: ignore[import-untyped]  # scipy ships no annotations

from adaptbench.reports.statistics.intervals import LEVEL, Samples, Scores, Spread, critical_value, crossed_spread
from adaptbench.reports.statistics.scales import log_scores

# In simulations over all shares of the variances, the exponent 1 gives up to 6.1 % false positives with 2 seeds and
# 5.2 % with 3. The exponent 1/2 gives at most 5 %, at the cost of power when seeds are few and differ little.
TEST_EXPONENT = 0.5
LEAST_P = 1e-12
"""The smallest p-value that is reported; smaller ones would depend on the model rather than the data."""


@dataclass(frozen=True)
class Contrast:
    """An estimate with its 95 % interval and the p-value of the test against zero.

    Args:
        estimate: The weighted sum of means.
        half_width: Half the width of the 95 % interval, which excludes zero if and only if `p_value` is below 0.05.
        p_value: Two-sided.
        n_seeds: The number of seeds; with one seed the test is over episodes only.
    """

    estimate: float
    half_width: float
    p_value: float
    n_seeds: int

    @property
    def lower(self) -> float:
        """The lower end of the interval."""
        return self.estimate - self.half_width

    @property
    def upper(self) -> float:
        """The upper end of the interval."""
        return self.estimate + self.half_width

    @property
    def significant(self) -> bool:
        """Whether the estimate is significantly different from zero."""
        return self.p_value < LEVEL


def contrast(blocks: Sequence[ArrayLike], weights: Sequence[float]) -> Contrast:
    """A weighted sum of means over sets of episodes that the same seeds were tested on.

    Args:
        blocks: The scores [S, E_k] of each set of episodes, seeds in the same order.
        weights: The weight of each set's mean.
    """
    return contrasts([blocks], [weights])[0]


def contrasts(blocks: Sequence[Sequence[ArrayLike]], weights: Sequence[Sequence[float]]) -> list[Contrast]:
    """Many contrasts at once; one search for all p-values is much faster."""
    arrays = [[np.asarray(block, dtype=np.float64) for block in each] for each in blocks]
    spreads = [crossed_spread(each, own) for each, own in zip(arrays, weights, strict=True)]
    estimates = np.array(
        [
            sum(weight * float(block.mean()) for block, weight in zip(each, own, strict=True))
            for each, own in zip(arrays, weights, strict=True)
        ]
    )
    return [
        Contrast(float(estimate), float(spread.half_width(TEST_EXPONENT)), float(p_value), spread.df_seeds + 1)
        for estimate, spread, p_value in zip(estimates, spreads, p_values(estimates, spreads), strict=True)
    ]


def compare_with_first(columns: Sequence[Mapping[int, Samples]], *, relative: bool) -> tuple[dict[int, Contrast], ...]:
    """Compares every learner of a table with its first one, seed by seed and episode by episode.

    The seeds are paired because variants of a learner share what the seed decides, such as the pretrained network.

    Args:
        columns: The scores of the learners of each column by the learner's index, on the same episodes in the same
            order. The first learner has the index 0.
        relative: Whether means are compared as ratios; the estimates are then logarithms.

    Returns:
        For each column, the difference of each learner from the first with which it shares seeds. Intervals are
        uncorrected; p-values are corrected by Holm over the whole table.
    """
    places: list[tuple[int, int]] = []
    found: list[Scores] = []
    for number, column in enumerate(columns):
        for index in sorted(set(column) - {0}) if 0 in column else ():
            common = sorted(set(column[0]) & set(column[index]))
            if common:
                pair = [np.stack([column[each][seed] for seed in common]) for each in (index, 0)]
                own, first = map(log_scores, pair) if relative else pair
                places.append((number, index))
                found.append(own - first)
    tests = contrasts([[each] for each in found], [[1.0]] * len(found))
    corrected = holm([test.p_value for test in tests])
    compared: tuple[dict[int, Contrast], ...] = tuple({} for _ in columns)
    for (number, index), test, p_value in zip(places, tests, corrected, strict=True):
        compared[number][index] = replace(test, p_value=float(p_value))
    return compared


def p_values(estimates: ArrayLike, spreads: Sequence[Spread]) -> Scores:
    """Two-sided p-values [N]: each is the level at which the end of the interval is zero."""
    estimate = np.abs(np.asarray(estimates, dtype=np.float64))
    if not len(spreads):
        return np.ones(0)
    error = np.array([float(spread.error) for spread in spreads])
    weight = np.array([float(spread.share) for spread in spreads]) ** TEST_EXPONENT
    df_seeds = np.array([spread.df_seeds for spread in spreads])
    df_episodes = np.array([spread.df_episodes for spread in spreads])
    ratio = np.divide(estimate, error, out=np.where(estimate > 0, np.inf, 0.0), where=error > 0)
    least = critical_value(LEAST_P, weight, df_seeds, df_episodes)
    inside = (ratio > 0) & (ratio < least)
    found: NDArray[np.float64] = np.where(ratio > 0, LEAST_P, 1.0)
    if inside.any():
        found[inside] = _solve(ratio[inside], weight[inside], df_seeds[inside], df_episodes[inside])
    return found


def holm(p: ArrayLike) -> Scores:
    """Corrects the p-values [N] of a family of tests after S. Holm (Scandinavian Journal of Statistics 6, 1979)."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    stepped = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return corrected


def _solve(
    ratio: Scores, weight: Scores, df_seeds: NDArray[np.int64], df_episodes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The levels whose critical values are these ratios, found by a search over their logarithms."""

    def excess(log: Scores, ratio: Scores, weight: Scores, seeds: Scores, episodes: Scores) -> Scores:
        return critical_value(np.exp(log), weight, seeds, episodes) - ratio

    bracket = (np.full_like(ratio, np.log(LEAST_P)), np.zeros_like(ratio))
    found = elementwise.find_root(excess, bracket, args=(ratio, weight, df_seeds, df_episodes))
    values: NDArray[np.float64] = np.exp(found.x)
    return values
