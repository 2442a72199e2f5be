"""Streams: episodes in which every step is a query that is answered from the steps before it."""

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
    """Builds streams over a pool of examples: `size.shots` examples of each class, all different, in random order.

    Labels are a random permutation of a stream's classes. The queries are the support examples themselves.

    Args:
        rng: where all randomness comes from.
        inputs: [M, *x], M = classes x examples per class, one class after the other.
        classes: number of classes in the pool.
        size: ways, and in place of shots how often each class is presented.
        streams: how many to build.
        groups: [classes] the group of each class, within which a stream stays; None to take any class.
        width: Y, where labels must be wider than the ways of these streams.

    Raises:
        ValueError: if the pool has fewer classes, or fewer examples of a class, than a stream needs.
    """
    once = EpisodeSize(size.ways, size.shots, 0)
    batch = episodes_over_pool(rng, inputs, classes, once, streams, groups=groups, width=width)
    return batch._replace(query=batch.support, query_y=batch.support_y)


def select_presentation(batch: EpisodeBatch, number: int) -> EpisodeBatch:
    """Keeps of the queries those steps at which a class is presented for the `number`-th time, in order of time.

    Args:
        batch: streams, as `streams_over_pool` makes them.
        number: 1 for the first time.
    """
    times = (batch.support_y.cumsum(dim=1) * batch.support_y).sum(dim=-1)
    steps = (times == number).nonzero()[:, 1].reshape(len(times), -1)
    targets = batch.support_y.gather(1, steps.unsqueeze(-1).expand(-1, -1, batch.support_y.shape[-1]))
    return batch._replace(query=batch.support.gather(1, steps), query_y=targets)
