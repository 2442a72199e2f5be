"""Agreement of two rankings of the same learners: Kendall's tau with an interval."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
SHARE = 0.95
"""The share of draws in the interval."""
Array = NDArray[np.float64]


def kendall(first: Array, second: Array) -> Array:
    """Kendall's tau-a of numbers [..., L] and [..., L] of L learners; returns [...]."""
    row, column = np.triu_indices(first.shape[-1], k=1)
    signs = (np.sign(each[..., row] - each[..., column]) for each in (first, second))
    agreement: Array = np.prod(list(signs), axis=0).mean(axis=-1)
    return agreement


def rank_agreement(first: Sequence[Array], second: Sequence[Array]) -> tuple[float, float, float]:
    """Kendall's tau between the means of learners in two sets of tests, and the ends of its bootstrap interval.

    Each draw resamples a set's episodes, the same for all its learners, and each learner's seeds.

    Args:
        first: The scores [S, E] of each learner in one set: seeds, episodes.
        second: Those of the same learners in the other set.
    """
    rng = np.random.default_rng(0)
    means = [np.array([scores.mean() for scores in each]) for each in (first, second)]
    drawn = kendall(*(_resampled(each, rng) for each in (first, second)))
    lower, upper = np.quantile(drawn, [(1 - SHARE) / 2, (1 + SHARE) / 2])
    return float(kendall(*means)), float(lower), float(upper)


def _resampled(learners: Sequence[Array], rng: np.random.Generator) -> Array:
    """Means of resampled scores, [DRAWS, L]."""
    episodes = learners[0].shape[1]
    weights = rng.multinomial(episodes, [1 / episodes] * episodes, size=DRAWS) / episodes
    found = []
    for scores in learners:
        seeds = rng.multinomial(len(scores), [1 / len(scores)] * len(scores), size=DRAWS) / len(scores)
        found.append(np.einsum("ds,se,de->d", seeds, scores, weights, optimize=True))
    return np.stack(found, axis=-1)
