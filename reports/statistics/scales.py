"""Scales on which means are compared and intervals are made, so that no interval leaves the range of its scores."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special  # type: ignore[import-untyped]  # scipy ships no annotations

Floats = NDArray[np.float64]
Range = Literal["real", "positive", "fraction"]
"""What scores can be: anything (a log likelihood), not negative (an error), or between 0 and 1 (an accuracy)."""

LIMITS: dict[Range, tuple[float, float]] = {
    "real": (-np.inf, np.inf),
    "positive": (0.0, np.inf),
    "fraction": (0.0, 1.0),
}
"""The least and the largest score of each kind."""

LEAST_ERROR = 1e-12
"""Errors below this count as this: zero has no logarithm."""


class Scale(NamedTuple):
    """A scale without ends: there, back, and how fast it changes with the mean."""

    forward: Callable[[Floats], Floats]
    backward: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]


SCALES: dict[Range, Scale] = {
    "real": Scale(lambda mean: mean, lambda place: place, np.ones_like),
    "positive": Scale(np.log, np.exp, lambda mean: 1 / mean),
    "fraction": Scale(special.logit, special.expit, lambda mean: 1 / (mean * (1 - mean))),
}


def log_scores(scores: Floats) -> Floats:
    """Errors [..., S, E] as numbers whose mean over episodes is the logarithm of each seed's mean error.

    A mean of logarithms would compare other quantities than the means that tables print. To first order an episode
    moves the logarithm of the mean by (score - mean) / mean.
    """
    mean = np.maximum(scores.mean(axis=-1, keepdims=True), LEAST_ERROR)
    found: Floats = np.log(mean) + (scores - scores.mean(axis=-1, keepdims=True)) / mean
    return found


def skewed(quantile: Floats, skewness: Floats) -> Floats:
    """A t quantile corrected for the skewness of a mean, by P. Hall's cubic (J. R. Statist. Soc. B 54, 1992)."""
    bent = np.abs(skewness) > 1e-6
    a = np.where(bent, skewness, 1.0)
    found: Floats = np.where(bent, 3 / a * (np.cbrt(1 + a * (quantile - a / 6)) - 1), quantile)
    return found
