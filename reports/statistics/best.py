"""Which learners of a table are significantly worse than the best of their column: one family of tests a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats  # type: ignore[import-untyped]  # scipy ships no annotations

from adaptbench.reports.statistics.intervals import LEVEL, Samples, mean_squares, stack_seeds
from adaptbench.reports.statistics.scales import log_scores
from adaptbench.reports.statistics.studentized_range import range_critical, range_tail

Floats = NDArray[np.float64]

# A learner's variance is judged by all columns of a table, so it is known better than from its seeds in one of them.
# With 1.2 tables of three and six columns err in at most 5 %, found by simulation where the standard deviations of
# three seeds or more differ by factors of 1 to 10; without it a difference of 8 points is found less often (86 instead
# of 93 % with 9 learners, 3 seeds and 6 columns).
MANY_COLUMNS, DF_FACTOR = 3, 1.2

ROUNDING = 1e-9
"""Means of seeds that differ by less are the same: the seed changes nothing but the rounding."""


@dataclass(frozen=True)
class AgainstBest:
    """A learner compared with the best of its column.

    Args:
        learner: The learner's index in its column.
        best: The index of the learner with the best mean.
        difference: The learner's mean less the best's; of logarithms of the mean errors where errors are compared.
        half_width: Half the width of the difference's interval; all intervals of a table hold together in 95 %.
        p_value: Corrected for every comparison of the table.
        n_seeds: How many seeds the one of the two with fewer has; with one the test is over episodes only.
    """

    learner: int
    best: int
    difference: float
    half_width: float
    p_value: float
    n_seeds: int

    @property
    def significant(self) -> bool:
        """Whether the learner is significantly worse than the best."""
        return self.p_value < LEVEL


class _Cell(NamedTuple):
    """What a learner's scores [S, E] in a column come to; `residual` is the part of the episodes' noise that is not."""

    mean: float
    between_seeds: float
    n_seeds: int
    by_episode: Floats
    residual: float


def compare_with_best(
    columns: Sequence[Mapping[int, Samples]], *, higher_is_better: bool, relative: bool = False
) -> tuple[tuple[AgainstBest, ...], ...]:
    """Compares every learner of a table with the best of its column.

    With three seeds or more at most 5 % of tables call a learner worse than one that is no better in truth, however
    many are as good as the best: the range of all means of a column is tested (J. W. Tukey), so that it does not
    matter that the best was chosen by its result; columns share the 5 % in equal parts. Seeds are each learner's own
    and are not paired; episodes are.

    Args:
        columns: For each column, by a learner's index, its scores on the same episodes in the same order.
        higher_is_better: The direction of the metric.
        relative: Whether means are compared as ratios: for errors, which are not negative.

    Returns:
        For each column a comparison for each learner but the best; empty where a column has one learner.

    Raises:
        ValueError: Learners of a column differ in their number of episodes, or there are fewer than two.
    """
    sign = 1.0 if higher_is_better else -1.0
    cells = [{index: _cell(samples, relative) for index, samples in column.items()} for column in columns]
    for column in cells:
        if len(lengths := {cell.by_episode.size for cell in column.values()}) > 1 or min(lengths, default=2) < 2:
            raise ValueError(f"Expected argument `columns` to hold 2 or more equal episodes but got {sorted(lengths)}.")
    learners = sorted({index for column in columns for index in column})
    of_seeds = _of_seeds(cells, learners) if learners else np.zeros((len(columns), 0))
    family = max(1, sum(len(column) > 1 for column in columns))
    return tuple(
        _against_best(column, dict(zip(learners, variances, strict=True)), _best(samples, sign), sign, family)
        for column, variances, samples in zip(cells, of_seeds, columns, strict=True)
    )


def seed_variances(variances: Floats, dfs: Floats) -> Floats:
    """The variances between seeds that tests count with: with few seeds a learner's own may be small by chance.

    A learner's variance in a column is the largest of three: its own; the typical one of the column (the median); and
    the typical one times the learner's average ratio to it over the table's columns. Learners that the seed does not
    change (variance 0) keep 0, and do not count for what is typical.

    Args:
        variances: [..., K, L] of each learner's means between seeds, in K columns; NaN where there are fewer than two.
        dfs: [..., K, L] one less than the number of seeds, at least 1.
    """
    known = np.ma.masked_invalid(np.where(variances > 0, variances, np.nan))
    scaled = known * (dfs / stats.chi2.median(dfs))
    typical = np.ma.median(scaled, axis=-1, keepdims=True)  # type: ignore[no-untyped-call]  # numpy leaves it so
    ratio = np.ma.mean(known / typical, axis=-2, keepdims=True)
    floor = np.ma.filled(typical * np.ma.maximum(np.ma.filled(ratio, 1.0), 1.0), 0.0)
    found: Floats = np.where(variances == 0, 0.0, np.fmax(variances, floor))
    return found


def seed_df(n_seeds: ArrayLike, columns: int) -> Floats:
    """Degrees of freedom of a variance between seeds in a table of so many columns."""
    df = np.maximum(np.asarray(n_seeds, dtype=np.float64) - 1, 1.0)
    return np.where((df > 1) & (columns >= MANY_COLUMNS), DF_FACTOR * df, df)


def difference_error(parts: Sequence[ArrayLike], dfs: Sequence[ArrayLike]) -> tuple[Floats, Floats]:
    """The standard error of a difference and its degrees of freedom, after F. E. Satterthwaite (Biometrics 2, 1946).

    Args:
        parts: The parts [N] of the difference's variance: of one learner's seeds, of the other's, of episodes.
        dfs: The degrees of freedom [N] of each.
    """
    rows = np.stack(np.broadcast_arrays(*(np.asarray(part, dtype=np.float64) for part in parts)))
    own = np.stack(np.broadcast_arrays(*(np.asarray(df, dtype=np.float64) for df in dfs), rows[0])[:-1])
    variance = rows.sum(axis=0)
    share = np.divide(rows, variance, out=np.zeros_like(rows), where=variance > 0)
    lost = (share**2 / own).sum(axis=0)
    df = np.divide(1.0, lost, out=np.array(own[-1]), where=lost > 0)
    return np.sqrt(variance), df


def _cell(samples: Samples, relative: bool) -> _Cell:
    scores = stack_seeds(list(samples.values()))
    scores = log_scores(scores) if relative else scores
    means = scores.mean(axis=-1)
    if len(scores) == 1:
        return _Cell(float(means[0]), np.nan, 1, scores[0], 0.0)
    between = float(means.var(ddof=1)) if np.ptp(means) > ROUNDING else 0.0
    residual = float(mean_squares(scores)[2]) / scores.size
    return _Cell(float(means.mean()), between, len(scores), scores.mean(axis=0), residual)


def _of_seeds(cells: Sequence[Mapping[int, _Cell]], learners: Sequence[int]) -> Floats:
    """The variance [K, L] of each learner's mean by its seeds; 0 where no learner of a column has two."""
    none = _Cell(np.nan, np.nan, 1, np.zeros(0), 0.0)
    grid = [[column.get(index, none) for index in learners] for column in cells]
    n_seeds = np.array([[cell.n_seeds for cell in row] for row in grid])
    between = np.array([[cell.between_seeds for cell in row] for row in grid])
    found: Floats = seed_variances(between, np.maximum(n_seeds - 1, 1)) / n_seeds
    return found


def _best(samples: Mapping[int, Samples], sign: float) -> int:
    """The learner whose mean, as printed, is best."""
    means = {index: sign * float(np.mean([np.mean(row) for row in each.values()])) for index, each in samples.items()}
    return max(means, key=lambda index: means[index], default=-1)


def _against_best(
    column: Mapping[int, _Cell], of_seeds: Mapping[int, float], best: int, sign: float, family: int
) -> tuple[AgainstBest, ...]:
    others = [index for index in column if index != best]
    if not others:
        return ()
    top, rest = column[best], [column[index] for index in others]
    by_episode = np.stack([cell.by_episode - top.by_episode for cell in rest])
    n_episodes = by_episode.shape[1]
    residual = np.array([cell.residual for cell in rest]) + top.residual
    of_episodes = np.maximum(by_episode.var(axis=-1, ddof=1) / n_episodes - residual, 0.0)
    of_theirs = np.array([of_seeds[index] for index in others])
    n_seeds = np.array([cell.n_seeds for cell in rest])
    errors, dfs = difference_error(
        (of_theirs, of_seeds[best], of_episodes),
        (seed_df(n_seeds, family), seed_df(top.n_seeds, family), n_episodes - 1),
    )
    differences = np.array([cell.mean for cell in rest]) - top.mean
    worse = np.maximum(-sign * differences, 0.0)
    ratio = np.divide(worse, errors, out=np.where(worse > 0, np.inf, 0.0), where=errors > 0)
    p_values = np.minimum(range_tail(ratio, len(column), dfs) * family, 1.0)
    half_widths = range_critical(LEVEL / family, len(column), dfs) * errors
    return tuple(
        AgainstBest(index, best, float(difference), float(half_width), float(p_value), int(min(n, top.n_seeds)))
        for index, difference, half_width, p_value, n in zip(
            others, differences, half_widths, p_values, n_seeds, strict=True
        )
    )
