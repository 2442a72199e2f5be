"""Classification episodes over a pool of classes with equally many examples each."""

import numpy as np
import torch
from torch import Tensor

from datamodules.episodes import EpisodeBatch, EpisodeSize, sample_distinct


def episodes_over_pool(
    rng: np.random.Generator, inputs: Tensor, classes: int, size: EpisodeSize, episodes: int
) -> EpisodeBatch:
    """Builds episodes over a pool of examples, each encoded once however many episodes it stands in.

    Labels are a random permutation of an episode's classes, and its support examples stand in random order, so that
    neither a class's index nor a position gives an answer away.

    Args:
        rng: where all randomness comes from.
        inputs: [M, *x], M = classes x examples per class, one class after the other.
        classes: number of classes in the pool.
        size: ways, shots and queries (both per class).
        episodes: how many to build.

    Raises:
        ValueError: if the pool has fewer classes, or fewer examples of a class, than an episode needs.
    """
    ways, shots, queries = size
    if ways is None:
        raise ValueError("Expected argument `size.ways` to be a positive integer but got None.")
    per_class = len(inputs) // classes
    if ways > classes or shots + queries > per_class:
        raise ValueError(
            f"{ways}-way episodes with {shots} shots and {queries} queries a class do not fit into "
            f"{classes} classes with {per_class} examples each."
        )
    chosen = sample_distinct(rng, episodes, classes, ways)
    members = sample_distinct(rng, episodes * ways, per_class, shots + queries).reshape(episodes, ways, -1)
    rows = chosen[:, :, None] * per_class + members
    label = np.broadcast_to(np.arange(ways)[:, None], rows.shape[1:])
    order = rng.permuted(np.tile(np.arange(ways * shots), (episodes, 1)), axis=1)
    support = np.take_along_axis(rows[:, :, :shots].reshape(episodes, -1), order, axis=1)
    one_hot = np.eye(ways, dtype=np.float32)
    return EpisodeBatch(
        inputs=inputs,
        support=torch.from_numpy(support),
        support_y=torch.from_numpy(one_hot[label[:, :shots].reshape(-1)[order]]),
        query=torch.from_numpy(rows[:, :, shots:].reshape(episodes, -1)),
        query_y=torch.from_numpy(one_hot[label[:, shots:].reshape(-1)]).expand(episodes, -1, -1),
    )
