"""How many seeds and episodes a difference takes to be found: variance parts, and what they let one detect."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adaptbench.reports.statistics.best import difference_error, seed_df, seed_variances
from adaptbench.reports.statistics.intervals import LEVEL, mean_squares
from adaptbench.reports.statistics.studentized_range import range_critical

Floats = NDArray[np.float64]

TABLES, POWER = 2000, 0.8


@dataclass(frozen=True)
class VarianceParts:
    """What makes the difference between two learners vary, in the square of the score's unit.

    Args:
        seeds: The variance between seeds of one learner.
        episodes: The variance between episodes of the difference, the same for all seeds.
        residual: The variance of what one learner's seeds make of the same episode, beyond these.
    """

    seeds: float
    episodes: float
    residual: float


def variance_parts(first: Floats, second: Floats) -> VarianceParts:
    """The parts from the scores [S1, E] and [S2, E] of two learners on the same episodes, at least two seeds each.

    Where learners are compared by ratio, give the scores as `log_scores`.

    Raises:
        ValueError: There are fewer than two seeds, or the episodes differ in number.
    """
    if min(len(first), len(second)) < 2 or first.shape[1] != second.shape[1]:
        raise ValueError(
            "Expected arguments `first` and `second` to hold two seeds or more on the same episodes "
            f"but got shapes {first.shape} and {second.shape}."
        )
    n_episodes = first.shape[1]
    residuals = [float(mean_squares(scores)[2]) for scores in (first, second)]
    seeds = [
        float(scores.mean(axis=1).var(ddof=1)) - residual / n_episodes
        for scores, residual in zip((first, second), residuals, strict=True)
    ]
    apart = float((first.mean(axis=0) - second.mean(axis=0)).var(ddof=1))
    episodes = apart - sum(residual / len(scores) for scores, residual in zip((first, second), residuals, strict=True))
    return VarianceParts(max(sum(seeds) / 2, 0.0), max(episodes, 0.0), sum(residuals) / 2)


def detectable_difference(
    parts: VarianceParts,
    seeds: int,
    episodes: int,
    *,
    others: int | None = None,
    learners: int = 2,
    columns: int = 1,
) -> float:
    """The difference from the best that `compare_with_best` finds in 80 % of cases, in the score's unit.

    From 2,000 simulated tables of learners that are alike: how much worse each would have had to be to be found out.

    Args:
        parts: What makes a difference vary.
        seeds: How many seeds the learner has, at least 2.
        episodes: How many episodes each seed is tested on.
        others: How many seeds each other learner has; by default as many.
        learners: How many learners a column has.
        columns: How many columns the table has.

    Raises:
        ValueError: There are fewer than two seeds, episodes or learners.
    """
    if min(seeds, episodes, learners, others or 2) < 2:
        raise ValueError(
            "Expected arguments `seeds`, `episodes` and `learners` to be at least 2 "
            f"but got {seeds}, {episodes} and {learners}."
        )
    rng = np.random.default_rng(0)
    n_seeds = np.full(learners, others or seeds)
    n_seeds[1] = seeds
    deviation = np.sqrt(parts.seeds + parts.residual / episodes)
    means = deviation * rng.standard_normal((TABLES, columns, learners, n_seeds.max()))
    means += np.sqrt(parts.episodes / 2 / episodes) * rng.standard_normal((TABLES, columns, learners, 1))
    means[..., np.arange(n_seeds.max()) >= n_seeds[:, None]] = np.nan
    between = np.nanvar(means, axis=-1, ddof=1)
    of_seeds = seed_variances(between, np.broadcast_to(n_seeds - 1, (columns, learners)))[:, 0] / n_seeds
    df = seed_df(n_seeds, columns)
    errors, dfs = difference_error(
        (of_seeds[:, 0], of_seeds[:, 1], parts.episodes / episodes), (df[0], df[1], episodes - 1)
    )
    grid = np.geomspace(dfs.min(), dfs.max() * 1.001, 25)
    critical = np.exp(np.interp(np.log(dfs), np.log(grid), np.log(range_critical(LEVEL / columns, learners, grid))))
    ahead = np.nanmean(means[:, 0, 0], axis=-1) - np.nanmean(means[:, 0, 1], axis=-1)
    return float(np.quantile(critical * errors - ahead, POWER))
