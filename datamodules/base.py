"""What every task has in common: LightningDataModules whose batches are pure functions of their index."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader, Dataset

from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize, ExampleBatch
from adaptbench.datamodules.guards import Finding, queries_apart

Mode = Literal["episodes", "examples"]
EvalSplit = Literal["val", "test"]
Part = Literal["train", "val", "test"]
Ways = int | tuple[int, ...] | None

GUARDED_BATCHES = 16
"""Training batches that guards look at, from the first on."""
Batch = TypeVar("Batch", EpisodeBatch, ExampleBatch)


def require_positive(**arguments: int) -> None:
    """Raises ValueError for the first argument that is not a positive integer."""
    for name, value in arguments.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"Expected argument `{name}` to be a positive integer but got {value!r}.")


@dataclass(frozen=True, kw_only=True)
class TrainEpisodes:
    """The episodes of training: a pool of distinct examples a step, and episodes built over it.

    Attributes:
        shots: support examples (per class); each batch draws one of these, so that one model serves them all.
        queries: query examples (per class) in an episode.
        pool: distinct examples encoded in a step.
        ways: classes in an episode, or several numbers, of which each batch draws one; None for regression.
        episodes: episodes built over a pool of classes; None for regression, where the pool alone decides.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    shots: tuple[int, ...]
    queries: int
    pool: int
    ways: Ways = None
    episodes: int | None = None

    def __post_init__(self) -> None:
        """Refuses sizes that no episode can have."""
        _check(self.ways, self.shots, self.queries, self.episodes)
        require_positive(pool=self.pool)
        smallest = (max(self.shots) + self.queries) * (max(all_ways(self.ways)) or 1)
        if self.pool < smallest:
            raise ValueError(f"Expected argument `pool` to hold an episode of {smallest} examples but got {self.pool}.")

    def draw(self, rng: np.random.Generator) -> EpisodeSize:
        """Draws the size of a batch's episodes; what has one value only is not drawn, but shots always are."""
        shots = int(rng.choice(self.shots))
        ways = int(rng.choice(self.ways)) if isinstance(self.ways, tuple) else self.ways
        return EpisodeSize(ways, shots, self.queries)


@dataclass(frozen=True, kw_only=True)
class EvalEpisodes:
    """The episodes of validation and test, the same for every learner.

    Attributes:
        shots: each number of support examples (per class) to test with.
        queries: query examples (per class) in an episode.
        episodes: how many episodes for each number of shots.
        ways: classes in an episode, or each number of classes to test with; None for regression.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    shots: tuple[int, ...]
    queries: int
    episodes: int
    ways: Ways = None

    def __post_init__(self) -> None:
        """Refuses sizes that no episode can have."""
        _check(self.ways, self.shots, self.queries, self.episodes)

    @property
    def sizes(self) -> tuple[EpisodeSize, ...]:
        """The size of the episodes at each number of ways and shots."""
        return tuple(
            EpisodeSize(ways or None, shots, self.queries) for ways in all_ways(self.ways) for shots in self.shots
        )


def all_ways(ways: Ways) -> tuple[int, ...]:
    """Lists the numbers of classes that episodes may have; 0 stands for regression, which has none."""
    return ways if isinstance(ways, tuple) else (ways or 0,)


def _check(ways: Ways, shots: tuple[int, ...], queries: int, episodes: int | None) -> None:
    if not shots:
        raise ValueError("Expected argument `shots` to name at least one number of support examples but got none.")
    for value in shots:
        require_positive(shots=value)
    require_positive(queries=queries)
    if episodes is not None:
        require_positive(episodes=episodes)
    if ways == ():
        raise ValueError("Expected argument `ways` to name at least one number of classes but got none.")
    for value in () if ways is None else ways if isinstance(ways, tuple) else (ways,):
        require_positive(ways=value)
        if value < 2:
            raise ValueError(f"Expected argument `ways` to be at least 2 but got {value!r}.")


class IndexedBatches(Dataset[Batch]):
    """Batches number `start`, `start + stride`, ... of a stream in which a batch is a function of its index."""

    def __init__(self, draw: Callable[[int], Batch], start: int, count: int, stride: int = 1) -> None:
        self.draw: Callable[[int], Batch] = draw
        self.start, self.count, self.stride = start, count, stride

    def __len__(self) -> int:
        """Number of batches."""
        return self.count

    def __getitem__(self, position: int) -> Batch:
        """Draws one batch."""
        if not 0 <= position < self.count:
            raise IndexError(position)
        return self.draw(self.start + position * self.stride)


class EpisodicDataModule(pl.LightningDataModule, ABC):
    """A task: a source of training episodes, of examples to pretrain on, and of fixed evaluation episodes.

    A training epoch is `steps_per_epoch` batches. The batches of an epoch are numbered on from the trainer's global
    step, so a resumed training meets the batches it would have met (use `reload_dataloaders_every_n_epochs=1`).

    Args:
        train: the training episodes.
        test: the validation and test episodes.
        seed: decides the training classes or functions and the training batches; never the test episodes.
        mode: whether `train_dataloader` yields `EpisodeBatch` ("episodes") or `ExampleBatch` ("examples").
        steps_per_epoch: training batches in an epoch.
        val_episodes: validation episodes for each number of shots.

    Class attributes: `task_name`; `class_word`, what it learns from many of; `size_argument`, the argument that says
    how many; `shots_word`, what its numbers of shots count; `likelihood`, how predictions are read; `stream`, whether
    every query is itself a step of the support sequence, to be predicted from the steps before it;
    `queries_are_trials`, whether each query of the test is an independent trial, so that the error has an exact
    binomial interval; and `fixed_test`, the test that the task comes with, where it has no other.
    """

    task_name: ClassVar[str]
    class_word: ClassVar[str]
    size_argument: ClassVar[str]
    shots_word: ClassVar[str] = "shot"
    stream: ClassVar[bool] = False
    likelihood: ClassVar[Literal["categorical", "gaussian"]]
    queries_are_trials: ClassVar[bool] = False
    fixed_test: ClassVar[EvalEpisodes | None] = None

    def __init__(
        self,
        *,
        train: TrainEpisodes,
        test: EvalEpisodes,
        seed: int = 0,
        mode: Mode = "episodes",
        steps_per_epoch: int = 100,
        val_episodes: int = 100,
    ) -> None:
        super().__init__()
        require_positive(steps_per_epoch=steps_per_epoch, val_episodes=val_episodes)
        if mode not in ("episodes", "examples"):
            raise ValueError(f"Expected argument `mode` to be 'episodes' or 'examples' but got {mode!r}.")
        self.train, self.test, self.seed = train, test, seed
        self.mode, self.steps_per_epoch, self.val_episodes = mode, steps_per_epoch, val_episodes

    @property
    @abstractmethod
    def example_shape(self) -> tuple[int, ...]:
        """Shape of one example."""

    @property
    @abstractmethod
    def targets(self) -> int:
        """Y, the width of an episode's targets: its ways, or the dimensions of a real target."""

    @property
    @abstractmethod
    def pretraining_outputs(self) -> int:
        """Outputs of a network that pretrains on all training data at once: its classes, or the real target's width."""

    @property
    def pretraining_groups(self) -> tuple[int, ...] | None:
        """The group of each output of such a network, such as a character's alphabet; by default there are none."""
        return None

    @property
    def told(self) -> int:
        """How many numbers tell the function that a pretraining example comes from; 0 where there are no functions."""
        return 0

    @classmethod
    @abstractmethod
    def protocol(cls, init_args: Mapping[str, Any]) -> str:
        """Says in words what decides the difficulty of a task besides ways, shots and training classes."""

    @classmethod
    def remarks(cls, init_args: Mapping[str, Any]) -> tuple[str, ...]:
        """Sentences that every table of this protocol has to carry; by default none."""
        return ()

    @classmethod
    def training_classes(cls, init_args: Mapping[str, Any]) -> int | None:
        """How many classes (before rotations) or functions there are to learn from; None for no end of them."""
        return init_args.get(cls.size_argument)

    @property
    def data_digest(self) -> str | None:
        """A digest of the data that the task reads; None where it is computed."""
        return None

    @abstractmethod
    def train_batch(self, index: int) -> EpisodeBatch:
        """Draws training batch number `index`."""

    @abstractmethod
    def example_batch(self, index: int) -> ExampleBatch:
        """Draws pretraining batch number `index`, with as many examples as a training pool may hold."""

    @abstractmethod
    def eval_batch(self, split: EvalSplit, size: EpisodeSize, episodes: int) -> EpisodeBatch:
        """Draws all evaluation episodes of a split, which depend on the protocol alone."""

    @abstractmethod
    def chance(self, size: EpisodeSize) -> float:
        """Score of the best guess that ignores the support set: accuracy, or mean squared error."""

    def guards(self) -> list[Finding]:
        """Looks for leaks in this task's data and episodes; subclasses add what they can look at."""
        return [queries_apart(self.guarded_batches(), self.stream)]

    def guarded_batches(self) -> list[EpisodeBatch]:
        """The test episodes, and the first of training, without their examples, which are large."""
        tests = (self.eval_batch("test", size, self.test.episodes) for size in self.test.sizes)
        trains = (self.train_batch(index) for index in range(GUARDED_BATCHES))
        return [batch._replace(inputs=batch.inputs[:0]) for batches in (tests, trains) for batch in batches]

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of the next epoch; of several devices that train together, each takes every so manieth."""
        step, rank, ranks = 0, 0, 1
        if self.trainer:
            step, rank, ranks = self.trainer.global_step, self.trainer.global_rank, self.trainer.world_size
        draw: Callable[[int], Any] = self.train_batch if self.mode == "episodes" else self.example_batch
        return DataLoader(IndexedBatches(draw, step * ranks + rank, self.steps_per_epoch, ranks), batch_size=None)

    def val_dataloader(self) -> DataLoader[EpisodeBatch]:
        """One batch of validation episodes for each number of shots."""
        return self._eval_dataloader("val", self.val_episodes)

    def test_dataloader(self) -> DataLoader[EpisodeBatch]:
        """One batch of all test episodes for each number of shots."""
        return self._eval_dataloader("test", self.test.episodes)

    def _eval_dataloader(self, split: EvalSplit, episodes: int) -> DataLoader[EpisodeBatch]:
        sizes = self.test.sizes
        batches = IndexedBatches(lambda index: self.eval_batch(split, sizes[index], episodes), 0, len(sizes))
        return DataLoader(batches, batch_size=None)
