"""Episodes: the batch types that tasks yield, and the random numbers that episodes are drawn with."""

import hashlib
import json
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class EpisodeBatch(NamedTuple):
    """B episodes over M distinct examples; an example may be in many episodes, so episodes hold rows of `inputs`.

    Attributes:
        inputs: [M, *x], the distinct examples: uint8 images or float32 x values.
        support: [B, S] int64, rows of `inputs`.
        support_y: [B, S, Y] float32, one-hot classes or real targets.
        query: [B, Q] int64, rows of `inputs`.
        query_y: [B, Q, Y] float32.
    """

    inputs: Tensor
    support: Tensor
    support_y: Tensor
    query: Tensor
    query_y: Tensor

    def to(self, device: torch.device) -> "EpisodeBatch":
        """Copies the batch to a device."""
        return EpisodeBatch(*(field.to(device) for field in self))

    def episodes(self, which: slice | Tensor) -> "EpisodeBatch":
        """Takes some episodes, and all examples."""
        return EpisodeBatch(self.inputs, *(field[which] for field in self[1:]))

    def without_targets(self) -> "EpisodeBatch":
        """Puts zeros in the place of the queries' targets."""
        return self._replace(query_y=torch.zeros_like(self.query_y))

    def chunks(self, episodes: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yields support, its targets and query of `episodes` episodes at a time, so that memory stays bounded."""
        return zip(*(rows.split(episodes) for rows in (self.support, self.support_y, self.query)), strict=True)


class ExampleBatch(NamedTuple):
    """M labelled examples without episodes, for pretraining.

    Attributes:
        inputs: [M, *x], uint8 images or float32 x values.
        targets: [M] int64 classes, or [M, Y] float32 real targets.
        functions: [M, K] float32, the parameters of each example's function; None if the task has classes.
    """

    inputs: Tensor
    targets: Tensor
    functions: Tensor | None = None


class EpisodeSize(NamedTuple):
    """The size of an episode.

    Attributes:
        ways: classes in an episode; None for regression.
        shots: support examples per class (of the whole episode, for regression).
        queries: query examples per class (of the whole episode, for regression).
    """

    ways: int | None
    shots: int
    queries: int

    @property
    def title(self) -> str:
        """The size as tables name it, such as "5-way 1-shot"."""
        return f"{f'{self.ways}-way ' if self.ways else ''}{self.shots}-shot"


def rng_for(*parts: object) -> np.random.Generator:
    """Makes the random generator that belongs to `parts`: equal parts give equal streams, others unrelated ones.

    Args:
        *parts: JSON-serialisable values, such as a task's name, "train", a seed and a batch index.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key))


def sample_distinct(rng: np.random.Generator, rows: int, population: int | np.ndarray, size: int) -> np.ndarray:
    """Draws `size` distinct numbers below `population` (or that of each row), in random order, for each of `rows` rows.

    Floyd's algorithm, vectorised over rows: the cost does not grow with the population.

    Returns:
        [rows, size] int64.

    Raises:
        ValueError: if `size` is larger than `population`.
    """
    least = int(np.min(population))
    if not 0 < size <= least:
        raise ValueError(f"Expected argument `size` to be between 1 and the population of {least} but got {size}.")
    uniform = rng.random((size, rows))
    chosen = np.empty((rows, size), dtype=np.int64)
    for column in range(size):
        last = population - size + column
        draw = (uniform[column] * (last + 1)).astype(np.int64)
        taken = (chosen[:, :column] == draw[:, None]).any(axis=1)
        chosen[:, column] = np.where(taken, last, draw)
    return rng.permuted(chosen, axis=1)


def first_episodes(batch: EpisodeBatch, count: int) -> EpisodeBatch:
    """Takes the first episodes and only the examples that they use, so that few have to be encoded."""
    _, support, support_y, query, query_y = (field[:count] for field in batch)
    used, rows = torch.cat([support, query], dim=1).unique(return_inverse=True)
    support, query = rows.split([support.shape[1], query.shape[1]], dim=1)
    return EpisodeBatch(batch.inputs[used], support, support_y, query, query_y)


def episodes_digest(batch: EpisodeBatch, ways: int | None = None) -> str:
    """Returns a hash of everything in the episodes, which shows whether two runs used the same ones.

    Args:
        batch: the episodes.
        ways: classes in an episode; labels that are wider, because training has more classes, are cut to them. None
            for labels or targets as they are.
    """
    digest = hashlib.blake2b(digest_size=16)
    batch = batch._replace(support_y=batch.support_y[..., :ways], query_y=batch.query_y[..., :ways])
    for field in batch:
        array = np.ascontiguousarray(field.cpu().numpy())
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
