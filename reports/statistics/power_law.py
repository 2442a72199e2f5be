"""Power laws: errors a N^-b + c against sizes N, fitted by weighted least squares, with bootstrap intervals."""

from dataclasses import dataclass

import numpy as np

from adaptbench.reports.statistics.intervals import LEVEL, Scores

LEAST_SIZES = 4
"""A law has three numbers, so three sizes fit any and can test none."""
EXPONENTS = np.geomspace(0.02, 4.0, 250)
"""The exponents that are tried; below them a curve is a line over log N, above them it has a corner."""
RESAMPLES = 1000
LEAST_SHARE = 0.05
"""A limit is above 0 if the lower end of its interval is at least this share of it; a fit never goes below 0."""


@dataclass(frozen=True)
class Estimate:
    """A number with the ends of its 95 % interval."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class PowerLaw:
    """The law a N^-b + c of the mean error at N.

    Args:
        sizes: The sizes that it was fitted to, ascending.
        factor: a, in the unit of the error.
        exponent: b.
        limit: c, in the unit of the error; never below 0.
        first_doubling: How much the error falls from the smallest size to its double.
        last_doubling: How much it falls from half the largest size to the largest.
        misfit: The p-value of the test that the means follow such a law.
        worst_size: The size whose mean is furthest from the law.
    """

    sizes: tuple[int, ...]
    factor: float
    exponent: Estimate
    limit: Estimate
    first_doubling: Estimate
    last_doubling: Estimate
    misfit: float
    worst_size: int

    @property
    def known(self) -> bool:
        """Whether the data tell the exponent: its interval ends within the range that was tried."""
        return EXPONENTS[0] < self.exponent.lower and self.exponent.upper < EXPONENTS[-1]

    @property
    def holds(self) -> bool:
        """Whether the means do not differ significantly from the law."""
        return self.misfit >= LEVEL

    @property
    def bends_at(self) -> float | None:
        """The size from which the limit is most of the error; None if it is not shown to be above 0."""
        if self.limit.lower < LEAST_SHARE * self.limit.value or not self.limit.value:
            return None
        return float((self.factor / self.limit.value) ** (1 / self.exponent.value))

    def at(self, sizes: Scores) -> Scores:
        """The error at some sizes."""
        found: Scores = self.factor * sizes**-self.exponent.value + self.limit.value
        return found


def power_law(sizes: tuple[int, ...], errors: Scores) -> PowerLaw:
    """Fits a law to the means over seeds and episodes; relative deviations weigh the same at every size.

    Intervals are of a bootstrap that resamples test episodes, the same for every size, and seeds, anew for each size
    (after Owen 2007, Annals of Applied Statistics 1:386). The deviations of S seeds are widened by sqrt(S / (S - 1)),
    which a bootstrap of few would lack. With one seed, intervals are over episodes only.

    Args:
        sizes: N sizes, ascending.
        errors: [N, S, E] the error of each seed in each test episode; every mean over S and E is above 0.

    Raises:
        ValueError: There are fewer than four sizes.
    """
    if len(sizes) < LEAST_SIZES:
        raise ValueError(f"Expected argument `sizes` to have at least {LEAST_SIZES} sizes but got {len(sizes)}.")
    relative = np.asarray(sizes, dtype=np.float64) / sizes[0]
    means = errors.mean(axis=(1, 2))
    noise = _noise(errors / means[:, None, None])
    fitted, squares = _fit(relative, means[None])
    resampled, _ = _fit(relative, means * np.exp(noise))
    expected = _at(fitted, relative)[0]
    _, by_chance = _fit(relative, expected * np.exp(noise))
    ends = np.array([1.0, 2.0, relative[-1] / 2, relative[-1]])
    falls, falls_again = (_at(each, ends) for each in (fitted, resampled))
    factor, exponent, limit = fitted[0]
    return PowerLaw(
        sizes=sizes,
        factor=float(factor * sizes[0] ** exponent),
        exponent=_estimate(exponent, resampled[:, 1]),
        limit=_estimate(limit, resampled[:, 2]),
        first_doubling=_estimate(falls[0, 0] - falls[0, 1], falls_again[:, 0] - falls_again[:, 1]),
        last_doubling=_estimate(falls[0, 2] - falls[0, 3], falls_again[:, 2] - falls_again[:, 3]),
        misfit=float((1 + (by_chance >= squares[0]).sum()) / (1 + RESAMPLES)),
        worst_size=sizes[int(np.abs(np.log(means / expected)).argmax())],
    )


def _noise(ratios: Scores) -> Scores:
    """Draws deviations of the logarithm of the means, [RESAMPLES, N], of ratios [N, S, E] to these means."""
    rng = np.random.default_rng(0)
    _, seeds, episodes = ratios.shape
    by_episode, by_seed = ratios.mean(axis=1) - 1, ratios.mean(axis=2) - 1
    found: Scores = rng.multinomial(episodes, np.full(episodes, 1 / episodes), size=RESAMPLES) @ by_episode.T / episodes
    if seeds > 1:
        counts = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=(RESAMPLES, len(ratios))) / seeds
        found += (counts * by_seed).sum(axis=-1) * np.sqrt(seeds / (seeds - 1))
    return found


def _fit(sizes: Scores, means: Scores) -> tuple[Scores, Scores]:
    """Fits K curves: a and c in closed form at every exponent, of which the best is taken.

    Args:
        sizes: [N] relative to the smallest.
        means: [K, N].

    Returns:
        a, b and c [K, 3], and the sum of squares of relative deviations [K].
    """
    powers, inverse = sizes ** -EXPONENTS[:, None], 1 / means
    aa, ac = inverse**2 @ (powers**2).T, inverse**2 @ powers.T
    a1, c1 = inverse @ powers.T, inverse.sum(axis=1, keepdims=True)
    cc = (inverse**2).sum(axis=1, keepdims=True)
    determinant = aa * cc - ac**2
    factor, limit = (a1 * cc - c1 * ac) / determinant, (c1 * aa - a1 * ac) / determinant
    below, rises = limit < 0, factor < 0
    factor, limit = np.where(below, a1 / aa, factor), np.where(below, 0.0, limit)
    factor, limit = np.where(rises, 0.0, factor), np.where(rises, c1 / cc, limit)
    squares = len(sizes) - factor * a1 - limit * c1
    best = squares.argmin(axis=1)
    rows = np.arange(len(means))
    return np.stack([factor[rows, best], EXPONENTS[best], limit[rows, best]], axis=1), squares[rows, best]


def _at(laws: Scores, sizes: Scores) -> Scores:
    """The errors [K, N] of laws [K, 3] at sizes."""
    factor, exponent, limit = (column[:, None] for column in laws.T)
    found: Scores = factor * sizes**-exponent + limit
    return found


def _estimate(value: float, resampled: Scores) -> Estimate:
    lower, upper = np.quantile(resampled, [LEVEL / 2, 1 - LEVEL / 2])
    return Estimate(float(value), float(lower), float(upper))
