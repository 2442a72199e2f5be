"""Order sensitivity: how much an adapter's predictions change with the order of the support set."""

import numpy as np
import torch
from torch import Tensor

from adaptbench.benchmarks.evaluation.adapters import Adapter, with_guesses
from adaptbench.datamodules.episodes import EpisodeBatch, rng_for
from adaptbench.lit_modules.likelihoods import Likelihood

ORDERED_EPISODES = 100
"""Episodes that are predicted again in another order."""


def order_sensitivity(adapter: Adapter, batch: EpisodeBatch, likelihood: Likelihood) -> float:
    """Predicts the first episodes, and again with their support sets shuffled.

    Args:
        adapter: what predicts.
        batch: test episodes; the tensor of their examples stays the same, so that it need not be encoded again.
        likelihood: how predictions are read.

    Returns:
        In classification, the fraction of queries whose predicted class changes; in regression, the mean squared
        change.
    """
    some = batch.episodes(slice(ORDERED_EPISODES))
    rows = _shuffled_rows(*some.support.shape).to(some.support.device)
    targets = some.support_y.gather(1, rows.unsqueeze(-1).expand_as(some.support_y))
    shuffled = some._replace(support=some.support.gather(1, rows), support_y=targets)
    before, after = (with_guesses(adapter.predict(each))[0] for each in (some, shuffled))
    likeness = float(likelihood.score(after, likelihood.point(before)).double().mean())
    return 1 - likeness if likelihood.higher_is_better else likeness


def _shuffled_rows(episodes: int, size: int) -> Tensor:
    return torch.from_numpy(rng_for("order", episodes, size).permuted(np.tile(np.arange(size), (episodes, 1)), axis=1))
