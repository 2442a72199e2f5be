"""Names seeds that collapsed among others that did not: their mean lies between two numbers that no seed has."""

from collections.abc import Mapping
from itertools import pairwise

LEAST_GAP = 0.1
MOST_OF_OTHERS = 0.5
SPREADS = 3.0


def collapsed_seeds(means: Mapping[int, float], chance: float, perfect: float) -> tuple[int, ...]:
    """The seeds that collapsed, ascending; empty where none did, or where most did.

    A seed's gain is how far it came from a guess to perfection. The seeds are split at the widest gap between two
    neighbouring gains. The lower ones collapsed if they are no more than half of the seeds, the others are better than
    a guess, none gained half of what the others did, and the gap is wider than a tenth of the way and than three times
    the range of the others.

    Args:
        means: By seed, its mean score.
        chance: The score of a guess.
        perfect: The best score that there is: 1 for an accuracy, 0 for an error.
    """
    if len(means) < 2 or chance == perfect:
        return ()
    gains = sorted(((mean - chance) / (perfect - chance), seed) for seed, mean in means.items())
    gaps = [upper[0] - lower[0] for lower, upper in pairwise(gains)]
    n_low = gaps.index(max(gaps)) + 1
    low, high = gains[:n_low], gains[n_low:]
    enough = max(LEAST_GAP, SPREADS * (high[-1][0] - high[0][0]))
    collapsed = len(low) <= len(high) and max(gaps) > enough and low[-1][0] < MOST_OF_OTHERS * high[0][0] > 0
    return tuple(sorted(seed for _, seed in low)) if collapsed else ()
