"""The distribution of the largest difference among several means: J. W. Tukey's studentized range, for many tests."""

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats  # type: ignore[import-untyped]  # scipy ships no annotations
from scipy.optimize import elementwise  # type: ignore[import-untyped]

Floats = NDArray[np.float64]

LEAST_TAIL = 1e-14
_WIDEST = 60.0


def range_tail(ratio: ArrayLike, groups: int, df: ArrayLike) -> Floats:
    """The probability that some two of several equal means differ by more than `ratio` standard errors.

    The same as `scipy.stats.studentized_range.sf(sqrt(2) * ratio, groups, df)`, a thousand times faster.

    Args:
        ratio: [N] differences divided by the standard error of a difference, not negative.
        groups: How many means, at least 2; with 2 it is Student's t, two-sided.
        df: [N] degrees of freedom of the standard error, at least 1.

    Returns:
        [N], at least `LEAST_TAIL`.
    """
    ratios, dfs = np.broadcast_arrays(np.asarray(ratio, dtype=np.float64), np.asarray(df, dtype=np.float64))
    least, most = np.log(stats.chi2.ppf(LEAST_TAIL, dfs)), np.log(stats.chi2.isf(LEAST_TAIL, dfs))
    log_s = (least[..., None] + (most - least)[..., None] * np.linspace(0, 1, 400) - np.log(dfs)[..., None]) / 2
    half = dfs[..., None] / 2
    density = 2 * np.exp(half * np.log(half) - special.gammaln(half) + 2 * half * (log_s - np.exp(2 * log_s) / 2))
    places, log_tails = _normal_range(groups)
    tails = np.exp(np.interp(np.sqrt(2) * ratios[..., None] * np.exp(log_s), places, log_tails))
    found: Floats = np.clip(np.trapezoid(density * tails, log_s, axis=-1), LEAST_TAIL, 1.0)
    return found


def range_critical(level: float, groups: int, df: ArrayLike) -> Floats:
    """The ratio [N] that some two of several equal means exceed with probability `level`."""
    dfs = np.asarray(df, dtype=np.float64)

    def excess(log_ratio: Floats, df: Floats) -> Floats:
        found: Floats = np.log(range_tail(np.exp(log_ratio), groups, df)) - np.log(level)
        return found

    bracket = (np.full_like(dfs, np.log(0.1)), np.full_like(dfs, np.log(1e6)))
    found: Floats = np.exp(elementwise.find_root(excess, bracket, args=(dfs,)).x)
    return found


@cache
def _normal_range(groups: int) -> tuple[Floats, Floats]:
    """Widths, and the logarithm of the probability that `groups` standard normal values span more."""
    widths = np.concatenate([np.linspace(0, 16, 1601), [_WIDEST]])
    z = np.linspace(-9, 9, 721)[:, None]
    inside = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * (special.ndtr(z + widths) - special.ndtr(z)) ** (groups - 1)
    tails = 1 - groups * np.trapezoid(inside, z, axis=0)
    return widths, np.log(np.maximum(tails, LEAST_TAIL))
