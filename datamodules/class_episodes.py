"""Classification episodes over a pool of classes with the same number of examples each."""

import numpy as np
import torch
from torch import Tensor

from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize, sample_distinct


def episodes_over_pool(
    rng: np.random.Generator,
    inputs: Tensor,
    classes: int,
    size: EpisodeSize,
    episodes: int,
    *,
    groups: np.ndarray | None = None,
    width: int | None = None,
    counts: np.ndarray | None = None,
    unequal: bool = False,
) -> EpisodeBatch:
    """Builds episodes over a pool of examples; each example is encoded once, however many episodes use it.

    Labels are a random permutation of an episode's classes, and support and query examples are in random order, so
    neither a class's index nor a position gives an answer away.

    Args:
        rng: source of all randomness.
        inputs: [M, *x], one class after the other.
        classes: number of classes in the pool.
        size: ways, shots and queries (both per class).
        episodes: number of episodes to build.
        groups: [classes] group of each class, such as its alphabet. If given, an episode draws one of the groups that
            are large enough, with equal probability, and takes all its classes from it.
        width: Y, width of the labels; None for the number of ways.
        counts: [classes] examples of each class; None if all have M / classes.
        unequal: whether classes have 1 to 2 `size.shots` - 1 shots, drawn for each, with a mean of `size.shots` in
            every episode.

    Raises:
        ValueError: if the pool has too few classes or examples of a class, no group is large enough, `counts` do not
            add up to M, or `width` is less than the number of ways.
    """
    ways, shots, queries = size
    if ways is None:
        raise ValueError("Expected argument `size.ways` to be a positive integer but got None.")
    if counts is None:
        counts = np.full(classes, len(inputs) // classes)
    if counts.sum() != len(inputs):
        raise ValueError(
            f"Expected argument `inputs` to hold equally many examples of {classes} classes but got {len(inputs)}."
        )
    if width is not None and width < ways:
        raise ValueError(f"Expected argument `width` to be at least the {ways} ways but got {width}.")
    most = most_shots(shots, unequal=unequal)
    require_room(EpisodeSize(ways, most, queries), classes, int(counts.min()))
    if groups is None:
        chosen = sample_distinct(rng, episodes, classes, ways)
    else:
        chosen = _within_groups(rng, groups, ways, episodes)
    members = sample_distinct(rng, episodes * ways, counts[chosen.ravel()], most + queries)
    rows = (counts.cumsum() - counts)[chosen][:, :, None] + members.reshape(episodes, ways, -1)
    given = rows[:, :, :most]
    support, support_y = (
        _some_shuffled(rng, given, _unequal_shots(rng, episodes, ways, shots), width or ways)
        if unequal
        else _shuffled(rng, given, width or ways)
    )
    query, query_y = _shuffled(rng, rows[:, :, most:], width or ways)
    return EpisodeBatch(inputs, support, support_y, query, query_y)


def most_shots(shots: int, *, unequal: bool) -> int:
    """Returns the most shots that a class of an episode has."""
    return 2 * shots - 1 if unequal else shots


def require_room(size: EpisodeSize, classes: int, per_class: int) -> None:
    """Checks that an episode fits into `classes` classes with `per_class` examples each.

    Raises:
        ValueError: if it does not; the message says what is possible.
    """
    ways, shots, queries = size
    if (ways or 0) > classes or shots + queries > per_class:
        raise ValueError(
            f"{ways}-way episodes with {shots} shots and {queries} queries a class do not fit into "
            f"{classes} classes with {per_class} examples each: at most {classes} ways, and {per_class} shots and "
            "queries together, are possible."
        )


def _within_groups(rng: np.random.Generator, groups: np.ndarray, ways: int, episodes: int) -> np.ndarray:
    """Draws a group and `ways` of its classes, in random order, for each episode; returns [episodes, ways]."""
    names, sizes = np.unique(groups, return_counts=True)
    if ways > sizes.max():
        raise ValueError(f"Expected argument `groups` to have one of {ways} classes but the largest has {sizes.max()}.")
    large = names[sizes >= ways]
    group = large[rng.integers(len(large), size=episodes)]
    order = rng.random((episodes, len(groups)))
    order[groups[None] != group[:, None]] = 1.0
    return order.argsort(axis=1)[:, :ways]


def _shuffled(rng: np.random.Generator, rows: np.ndarray, width: int) -> tuple[Tensor, Tensor]:
    """Shuffles rows [episodes, ways, n] into [episodes, ways * n], and returns their one-hot labels too."""
    episodes, ways, examples = rows.shape
    order = rng.permuted(np.tile(np.arange(ways * examples), (episodes, 1)), axis=1)
    shuffled = np.take_along_axis(rows.reshape(episodes, -1), order, axis=1)
    return torch.from_numpy(shuffled), torch.from_numpy(np.eye(width, dtype=np.float32)[order // examples])


def _some_shuffled(rng: np.random.Generator, rows: np.ndarray, shots: np.ndarray, width: int) -> tuple[Tensor, Tensor]:
    """Shuffles the first shots [episodes, ways] of rows [episodes, ways, n], equally many in each episode."""
    episodes, _, most = rows.shape
    taken = np.arange(most) < shots[:, :, None]
    labels = np.nonzero(taken)[1].reshape(episodes, -1)
    order = rng.permuted(np.tile(np.arange(labels.shape[1]), (episodes, 1)), axis=1)
    shuffled = np.take_along_axis(rows[taken].reshape(episodes, -1), order, axis=1)
    one_hot = np.eye(width, dtype=np.float32)[np.take_along_axis(labels, order, axis=1)]
    return torch.from_numpy(shuffled), torch.from_numpy(one_hot)


def _unequal_shots(rng: np.random.Generator, episodes: int, ways: int, shots: int) -> np.ndarray:
    """Draws 1 to 2 `shots` - 1 shots for each class, uniform among those whose mean is `shots`; [episodes, ways]."""
    found = np.empty((0, ways), dtype=np.int64)
    while len(found) < episodes:
        drawn = rng.integers(1, 2 * shots, size=(8 * episodes, ways))
        found = np.concatenate([found, drawn[drawn.sum(axis=1) == ways * shots]])
    return found[:episodes]
