"""Means and 95 % intervals over seeds and episodes, as pure functions of arrays of scores.

All seeds of a cell are tested on the same episodes, so seeds and episodes are *crossed*. The model is

    score[s, e] = mean + seed[s] + episode[e] + residual[s, e]

with independent random effects. The interval is for ``mean``, the expected score of other seeds on other episodes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats  # type: ignore[import-untyped]  # scipy ships no annotations

from adaptbench.reports.statistics.scales import LIMITS, SCALES, Range, skewed

Scores = NDArray[np.float64]
# For each seed its scores [E].
Samples = Mapping[int, NDArray[np.float64]]

LEVEL = 0.05
"""The level of every test, and what every interval leaves out."""

_UPPER = 0.975
# Cochran's exponent is 1, which is conservative; 2 undercovers. With 5/4, quadrature over every share of the two
# variances gives a coverage of 93.0-97.1 % with 2 seeds, 94.7-96.5 % with 3, and 95.0-95.5 % with 10.
_SHARE_EXPONENT = 1.25


# A mean whose skewness is above this rests on a few episodes. With 50 to 100 episodes it is where intervals cover less
# than 90 %, found by simulation of lognormal and Pareto errors.
MOST_SKEWNESS = 0.4


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval, which need not be symmetric.

    Args:
        mean: The mean over seeds and episodes.
        lower: The lower end, within the range of the scores; over episodes alone where there is one seed.
        upper: The upper end.
        episodes_half_width: Half the width of the symmetric interval over episodes alone, given these seeds.
        n_seeds: The number of seeds.
        n_episodes: The number of test episodes of each seed.
        unreliable: Why the interval may cover less than it says, or empty.
    """

    mean: float
    lower: float
    upper: float
    episodes_half_width: float
    n_seeds: int
    n_episodes: int
    unreliable: str = ""

    @property
    def kind(self) -> str:
        """The random effects that the interval covers."""
        return "seeds and episodes" if self.n_seeds > 1 else "episodes"


def interval(seeds: Sequence[ArrayLike], scores_are: Range) -> Interval:
    """The mean of a cell and its interval over seeds and episodes together.

    It is made on a scale without ends (the logarithm of an error, the logit of an accuracy) by the delta method, with
    the quantiles corrected for the skewness of the mean, so that it stays within the range of the scores. With a
    single seed it covers episodes only and says nothing about seeds. With two seeds it is wide, because two seeds
    are a poor estimate of the variance between seeds (the t quantile is 12.7).

    Args:
        seeds: The scores [E] of each seed on the same E test episodes in the same order.
        scores_are: What scores can be.

    Raises:
        ValueError: There are no seeds, seeds differ in their number of episodes, there are fewer than two episodes,
            or a score is out of its range.
    """
    scores = stack_seeds(seeds)
    lower, upper, skewness = interval_ends(scores, scores_are)
    return Interval(
        mean=float(scores.mean()),
        lower=float(lower),
        upper=float(upper),
        episodes_half_width=float(episodes_half_width(scores)),
        n_seeds=scores.shape[0],
        n_episodes=scores.shape[1],
        unreliable="a few episodes carry the mean" if abs(skewness) > MOST_SKEWNESS else "",
    )


def interval_ends(scores: Scores, scores_are: Range) -> tuple[Scores, Scores, Scores]:
    """The ends of the interval of `interval`, and the skewness of the mean, for many cells at once.

    Args:
        scores: [..., S, E].
        scores_are: What scores can be.

    Returns:
        Lower end, upper end and skewness [...].

    Raises:
        ValueError: There are fewer than two episodes, or a score is out of its range.
    """
    _, n_episodes = _shape(scores)
    _check_range(scores, scores_are)
    mean, spread = scores.mean(axis=(-2, -1)), crossed_spread([scores], [1.0])
    by_episode = scores.mean(axis=-2) - mean[..., None]
    # Not the error alone: by chance it can be below that of episodes, and a mean of E has a skewness below 1.
    error = np.maximum(spread.error, np.sqrt(np.square(by_episode).mean(axis=-1) / n_episodes))
    ratio = np.divide(by_episode, error[..., None], out=np.zeros_like(by_episode), where=error[..., None] > 0)
    skewness = np.power(ratio, 3).mean(axis=-1) / n_episodes**2
    quantile = spread.quantile()
    scale = SCALES[scores_are]
    varies = spread.error > 0
    inner = np.where(varies, mean, 0.5)
    place, step = scale.forward(inner), scale.slope(inner) * spread.error
    ends = [scale.backward(place - step * skewed(each, skewness)) for each in (quantile, -quantile)]
    low, high = (np.where(varies, end, mean) for end in ends)
    if scores_are == "fraction":
        # Nothing ever went wrong (or right): that is as likely as 5 % if one episode in this many is lost (or won).
        once = 1 - 0.05 ** (1 / n_episodes)
        low, high = np.where(mean == 1, 1 - once, low), np.where(mean == 0, once, high)
    return low, high, skewness


def _check_range(scores: Scores, scores_are: Range) -> None:
    least, most = LIMITS[scores_are]
    if scores.size and (scores.min() < least or scores.max() > most):
        raise ValueError(
            f"Expected argument `scores` to lie in {least:g} to {most:g} but got {scores.min():g} to {scores.max():g}."
        )


def stack_seeds(seeds: Sequence[ArrayLike]) -> Scores:
    """Puts the scores of several seeds into one matrix [S, E].

    Raises:
        ValueError: There are no seeds, or they differ in their number of episodes.
    """
    rows = [np.asarray(row, dtype=np.float64) for row in seeds]
    lengths = sorted({row.size for row in rows})
    if len(lengths) != 1 or any(row.ndim != 1 for row in rows):
        raise ValueError(f"Expected argument `seeds` to hold one row of E scores a seed but got lengths {lengths}.")
    return np.stack(rows)


@dataclass(frozen=True)
class Spread:
    """The variance of an estimate, split into the parts of seeds and of episodes that weigh its critical value.

    By chance the variance can be below that of episodes alone. The wider of the two intervals would then cover too
    much, up to 99 % if seeds do not differ. Satterthwaite's degrees of freedom are not used, because with 3 seeds they
    cover as little as 92 % if seeds have most of the variance.

    Args:
        of_seeds: The part [...] with `df_seeds` degrees of freedom; 0 with one seed.
        of_episodes: The part [...] with `df_episodes` degrees of freedom.
        df_seeds: The number of seeds minus one.
        df_episodes: The number of episodes (of the smallest set) minus one.
    """

    of_seeds: Scores
    of_episodes: Scores
    df_seeds: int
    df_episodes: int

    @property
    def error(self) -> Scores:
        """The standard error [...]."""
        found: Scores = np.sqrt(self.of_seeds + self.of_episodes)
        return found

    @property
    def share(self) -> Scores:
        """The share of the variance that comes from seeds [...]."""
        variance = np.asarray(self.of_seeds + self.of_episodes)
        one = np.full_like(variance, float(self.df_seeds > 0))
        return np.divide(self.of_seeds, variance, out=one, where=variance > 0)

    def quantile(self, exponent: float = _SHARE_EXPONENT) -> Scores:
        """The quantile of the 95 % interval [...]; the exponent 1 is Cochran's, the default is calibrated."""
        return critical_value(1 - 2 * (_UPPER - 0.5), self.share**exponent, self.df_seeds, self.df_episodes)

    def half_width(self, exponent: float = _SHARE_EXPONENT) -> Scores:
        """Half width of the symmetric 95 % interval [...]."""
        found: Scores = self.quantile(exponent) * self.error
        return found


def critical_value(level: ArrayLike, weight: ArrayLike, df_seeds: ArrayLike, df_episodes: ArrayLike) -> Scores:
    """A value between the t quantiles of the two parts of a variance, after W. G. Cochran (Biometrics 20, 1964).

    Args:
        level: The probability of both tails together.
        weight: 0 gives the quantile of episodes, 1 the quantile of seeds.
        df_seeds: Degrees of freedom of seeds; 0 gives the quantile of episodes.
        df_episodes: Degrees of freedom of episodes.
    """
    # With more seeds than episodes `low` exceeds `high`, and the weights are still correct.
    low = stats.t.isf(np.asarray(level) / 2, df_episodes)
    high = stats.t.isf(np.asarray(level) / 2, np.where(np.asarray(df_seeds) > 0, df_seeds, df_episodes))
    found: Scores = low + (high - low) * np.asarray(weight)
    return found


def crossed_spread(blocks: Sequence[Scores], weights: Sequence[float]) -> Spread:
    """The spread of a weighted sum of means over sets of episodes that the same seeds were tested on.

    For one set it follows from the two-way analysis of variance without replication. The variance of the mean is
    (MS_seeds + MS_episodes - MS_residual) / (S E), split into ``MS_seeds / (S E)`` and the rest, at least zero.

    Args:
        blocks: The scores [..., S, E_k] of each set of episodes; the sets are independent of each other.
        weights: The weight of each set's mean.

    Raises:
        ValueError: There are fewer than two episodes, or no seeds.
    """
    shapes = [_shape(block) for block in blocks]
    n_seeds = shapes[0][0]
    if n_seeds == 1:
        parts = [
            np.square(weight) * block[..., 0, :].var(axis=-1, ddof=1) / block.shape[-1]
            for block, weight in zip(blocks, weights, strict=True)
        ]
        return Spread(np.zeros_like(parts[0]), np.sum(parts, axis=0), 0, min(n for _, n in shapes) - 1)
    of_episodes = np.zeros(blocks[0].shape[:-2])
    for block, weight in zip(blocks, weights, strict=True):
        _, by_episodes, residual = mean_squares(block)
        of_episodes = of_episodes + weight**2 * np.maximum(by_episodes - residual, 0.0) / (n_seeds * block.shape[-1])
    seeds = np.sum([weight * block.mean(axis=-1) for block, weight in zip(blocks, weights, strict=True)], axis=0)
    of_seeds = seeds.var(axis=-1, ddof=1) / n_seeds
    return Spread(of_seeds, of_episodes, n_seeds - 1, min(n for _, n in shapes) - 1)


def episodes_half_width(scores: Scores) -> Scores:
    """Half width of the 95 % interval over episodes alone, given these seeds, as most papers print it.

    Args:
        scores: [..., S, E], E >= 2.

    Returns:
        [...], in the unit of the scores.

    Raises:
        ValueError: There are no seeds or fewer than two episodes.
    """
    _, n_episodes = _shape(scores)
    deviation = scores.mean(axis=-2).std(axis=-1, ddof=1)
    half_width: Scores = stats.t.ppf(_UPPER, n_episodes - 1) * deviation / np.sqrt(n_episodes)
    return half_width


def mean_squares(scores: Scores) -> tuple[Scores, Scores, Scores]:
    """The mean squares of seeds, episodes and residual of a two-way layout without replication.

    Args:
        scores: [..., S, E].

    Returns:
        Three arrays [...].
    """
    n_seeds, n_episodes = scores.shape[-2:]
    seeds = scores.mean(axis=-1, keepdims=True)
    episodes = scores.mean(axis=-2, keepdims=True)
    grand = seeds.mean(axis=-2, keepdims=True)
    residual = np.square(scores - seeds - episodes + grand).sum(axis=(-2, -1))
    return (
        n_episodes * np.square(seeds - grand).sum(axis=(-2, -1)) / (n_seeds - 1),
        n_seeds * np.square(episodes - grand).sum(axis=(-2, -1)) / (n_episodes - 1),
        residual / ((n_seeds - 1) * (n_episodes - 1)),
    )


def _shape(scores: Scores) -> tuple[int, int]:
    """Seeds and episodes of scores [..., S, E], checked to be enough."""
    if scores.ndim < 2 or scores.shape[-2] < 1 or scores.shape[-1] < 2:
        raise ValueError(
            f"Expected argument `scores` to have at least one seed and 2 episodes but got shape {scores.shape}."
        )
    return scores.shape[-2], scores.shape[-1]
