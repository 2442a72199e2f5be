"""Exact posteriors of functions y = z(x) . w + noise: what the best predictor knows of w after a support set.

A prediction needs the mean and covariance of w alone, because y is linear in w.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr  # type: ignore[import-untyped]  # scipy ships no annotations

Floats = NDArray[np.float64]

FIRST_POINTS, MOST_POINTS = 513, 2**16 + 1
STILL = 1e-6
"""Posterior means of w that move by less than this, in units of y, when points are doubled stand still."""
NARROW = 1e-5
"""Amplitudes that differ by less than this, in units of the noise, are one: their normal has no digits left."""


class Moments(NamedTuple):
    """The posterior of w: mean [B, K] and covariance [B, K, K]."""

    mean: Floats
    covariance: Floats


def of_normal(z: Floats, y: Floats, noise: float) -> Moments:
    """The posterior under w ~ N(0, 1) in every dimension: ridge regression with the penalty noise^2.

    Args:
        z: [B, S, K], what the support set's y are linear in.
        y: [B, S].
        noise: standard deviation of the noise, above 0.
    """
    precision = np.eye(z.shape[2]) + z.swapaxes(1, 2) @ z / noise**2
    covariance: Floats = np.linalg.inv(precision).astype(np.float64, copy=False)
    mean: Floats = np.einsum("bkl,bsl,bs->bk", covariance, z, y) / noise**2
    return Moments(mean, covariance)


def of_list(z: Floats, y: Floats, noise: float, functions: Floats) -> Moments:
    """The posterior over a finite list of functions, each as likely before the support set.

    Args:
        z: [B, S, K].
        y: [B, S].
        noise: standard deviation of the noise, above 0.
        functions: [F, K], the w of each.
    """
    squares = z.swapaxes(1, 2) @ z
    fits = np.einsum("bsk,bs,fk->bf", z, y, functions, optimize=True)
    fits -= np.einsum("bkl,fk,fl->bf", squares, functions, functions, optimize=True) / 2
    return _moments(np.broadcast_to(functions, (len(z), *functions.shape)), fits / noise**2)


def of_sinusoids(
    z: Floats, y: Floats, noise: float, amplitudes: tuple[float, float], phases: tuple[float, float]
) -> Moments:
    """The posterior of w = A (cos phase, sin phase) under uniform A and phase.

    Given a phase, the posterior of A is a truncated normal, in closed form; A of a narrow range is known. The phase is
    integrated by Simpson's rule, with points doubled until the means stand still.

    Args:
        z: [B, S, 2].
        y: [B, S].
        noise: standard deviation of the noise, above 0.
        amplitudes: range of A.
        phases: range of the phase.

    Raises:
        ValueError: if the means still move with the most points.
    """
    points, before = FIRST_POINTS, None
    while points <= MOST_POINTS:
        found = _at_phases(z, y, noise, amplitudes, np.linspace(*phases, points))
        if before is not None and np.abs(found.mean - before.mean).max() < STILL:
            return found
        points, before = 2 * points - 1, found
    raise ValueError(f"Expected argument `noise` to be large enough for {MOST_POINTS} phases but got {noise}.")


def _at_phases(z: Floats, y: Floats, noise: float, amplitudes: tuple[float, float], phases: Floats) -> Moments:
    directions = np.stack([np.cos(phases), np.sin(phases)], axis=1)  # [P, 2]
    sines = np.einsum("bsk,pk->bps", z, directions)
    precision = np.maximum((sines**2).sum(axis=2), 1e-12) / noise**2
    centre = np.einsum("bps,bs->bp", sines, y) / noise**2 / precision
    simpson = np.log(_simpson(len(phases)))
    if amplitudes[1] - amplitudes[0] < NARROW * noise:
        amplitude = (amplitudes[0] + amplitudes[1]) / 2
        fits = precision * amplitude * (centre - amplitude / 2)
        return _moments(np.broadcast_to(amplitude * directions, (len(z), *directions.shape)), fits + simpson)
    low, high = ((end - centre) * np.sqrt(precision) for end in amplitudes)
    flip = low + high > 0  # the tail that is far from 0 is computed where it is small
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    width = log_ndtr(high) + np.log(-np.expm1(np.minimum(log_ndtr(low) - log_ndtr(high), -1e-300)))
    first, last = (np.exp(-(each**2) / 2 - width) / np.sqrt(2 * np.pi) for each in (low, high))
    shift = np.where(flip, -1.0, 1.0) * (first - last)
    spread = 1 + low * first - high * last - (first - last) ** 2
    mean, variance = centre + shift / np.sqrt(precision), np.maximum(spread, 0) / precision
    weights = precision * centre**2 / 2 - np.log(precision) / 2 + width + simpson
    return _moments(mean[..., None] * directions, weights, variance[..., None, None] * _outer(directions))


def _moments(w: Floats, logits: Floats, covariances: Floats | None = None) -> Moments:
    """The moments of a mixture of w [B, P, K] with covariances [B, P, K, K] and weights exp(logits) [B, P]."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    mean = np.einsum("bp,bpk->bk", weights, w)
    second = np.einsum("bp,bpk,bpl->bkl", weights, w, w, optimize=True)
    if covariances is not None:
        second = second + np.einsum("bp,bpkl->bkl", weights, covariances)
    return Moments(mean, second - _outer(mean))


def _simpson(points: int) -> Floats:
    weights = np.where(np.arange(points) % 2 == 1, 4.0, 2.0)
    weights[[0, -1]] = 1.0
    return weights


def _outer(vectors: Floats) -> Floats:
    return vectors[..., :, None] * vectors[..., None, :]
