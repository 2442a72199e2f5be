"""Streams: episodes in which every step is a query, to be predicted from the steps before it."""

import numpy as np
from torch import Tensor

from adaptbench.datamodules.class_episodes import episodes_over_pool
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize


def streams_over_pool(
    rng: np.random.Generator,
    inputs: Tensor,
    classes: int,
    size: EpisodeSize,
    streams: int,
    *,
    groups: np.ndarray | None = None,
    width: int | None = None,
) -> EpisodeBatch:
    """Builds streams over a pool: `size.shots` different examples of each class in random order.

    Labels are a random permutation of a stream's classes. The queries are the support examples themselves.

    Args:
        rng: source of all randomness.
        inputs: [M, *x], M = classes x examples per class, one class after the other.
        classes: number of classes in the pool.
        size: ways, and as `shots` the number of times that each class is presented.
        streams: number of streams to build.
        groups: [classes] group of each class; a stream stays within one group. None to take any class.
        width: Y, width of the labels; None for the number of ways.

    Raises:
        ValueError: if the pool has fewer classes, or fewer examples of a class, than a stream needs.
    """
    once = EpisodeSize(size.ways, size.shots, 0)
    batch = episodes_over_pool(rng, inputs, classes, once, streams, groups=groups, width=width)
    return batch._replace(query=batch.support, query_y=batch.support_y)


def select_presentation(batch: EpisodeBatch, number: int) -> EpisodeBatch:
    """Keeps the queries at which a class is presented for the `number`-th time, in order of time.

    Args:
        batch: streams from `streams_over_pool`.
        number: 1 for the first time.
    """
    times = (batch.support_y.cumsum(dim=1) * batch.support_y).sum(dim=-1)
    steps = (times == number).nonzero()[:, 1].reshape(len(times), -1)
    targets = batch.support_y.gather(1, steps.unsqueeze(-1).expand(-1, -1, batch.support_y.shape[-1]))
    return batch._replace(query=batch.support.gather(1, steps), query_y=targets)
