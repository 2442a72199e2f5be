"""Classification episodes over a pool of classes with equally many examples each."""

import numpy as np
import torch
from torch import Tensor

from datamodules.episodes import EpisodeBatch, EpisodeSize, sample_distinct


def episodes_over_pool(
    rng: np.random.Generator, inputs: Tensor, classes: int, size: EpisodeSize, episodes: int
) -> EpisodeBatch:
    """Builds episodes over a pool of examples, each encoded once however many episodes it stands in.

    Labels are a random permutation of an episode's classes, and its support and query examples stand in random order,
    so that neither a class's index nor a position gives an answer away.

    Args:
        rng: where all randomness comes from.
        inputs: [M, *x], M = classes x examples per class, one class after the other.
        classes: number of classes in the pool.
        size: ways, shots and queries (both per class).
        episodes: how many to build.

    Raises:
        ValueError: if the pool has fewer classes, or fewer examples of a class, than an episode needs, or not equally
            many examples of each class.
    """
    ways, shots, queries = size
    if ways is None:
        raise ValueError("Expected argument `size.ways` to be a positive integer but got None.")
    per_class, left_over = divmod(len(inputs), classes)
    if left_over:
        raise ValueError(
            f"Expected argument `inputs` to hold equally many examples of {classes} classes but got {len(inputs)}."
        )
    if ways > classes or shots + queries > per_class:
        raise ValueError(
            f"{ways}-way episodes with {shots} shots and {queries} queries a class do not fit into "
            f"{classes} classes with {per_class} examples each."
        )
    chosen = sample_distinct(rng, episodes, classes, ways)
    members = sample_distinct(rng, episodes * ways, per_class, shots + queries).reshape(episodes, ways, -1)
    rows = chosen[:, :, None] * per_class + members
    support, support_y = _shuffled(rng, rows[:, :, :shots])
    query, query_y = _shuffled(rng, rows[:, :, shots:])
    return EpisodeBatch(inputs, support, support_y, query, query_y)


def _shuffled(rng: np.random.Generator, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Brings rows [episodes, ways, n] into random order, [episodes, ways * n], beside their labels as one-hot."""
    episodes, ways, examples = rows.shape
    order = rng.permuted(np.tile(np.arange(ways * examples), (episodes, 1)), axis=1)
    shuffled = np.take_along_axis(rows.reshape(episodes, -1), order, axis=1)
    return torch.from_numpy(shuffled), torch.from_numpy(np.eye(ways, dtype=np.float32)[order // examples])
