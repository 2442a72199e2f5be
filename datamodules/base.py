"""The base of every task: a LightningDataModule whose batches are pure functions of their index."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar, get_args

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader, Dataset, Sampler

from adaptbench.datamodules.choices import require_choice
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize, ExampleBatch
from adaptbench.datamodules.guards import Finding, fingerprints, queries_apart

Mode = Literal["episodes", "examples"]
Part = Literal["train", "val", "test"]
EvalPart = Literal["val", "test", "seen", "held_out_drawings"]
TestOn = Literal["unseen", "seen", "held_out_drawings"]
Scope = Literal["across", "within"]
Ways = int | tuple[int, ...] | None

UNSEEN: tuple[TestOn, ...] = ("unseen",)
GUARDED_BATCHES = 16
"""The number of training batches that guards check, beginning with the first."""
Batch = TypeVar("Batch", EpisodeBatch, ExampleBatch)


def require_positive(**arguments: int) -> None:
    """Raises ValueError for the first argument that is not a positive integer."""
    for name, value in arguments.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"Expected argument `{name}` to be a positive integer but got {value!r}.")


@dataclass(frozen=True, kw_only=True)
class TrainEpisodes:
    """The training episodes: each step draws a pool of distinct examples and builds episodes from it.

    Attributes:
        shots: support examples (per class). Each batch draws one of these numbers, so one model learns them all.
        queries: query examples (per class) in an episode.
        pool: distinct examples encoded in a step.
        ways: classes in an episode. If several numbers are given, each batch draws one. None for regression.
        episodes: episodes built from a pool of classes. None for regression, where the pool alone decides.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    shots: tuple[int, ...]
    queries: int
    pool: int
    ways: Ways = None
    episodes: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for sizes that no episode can have."""
        _check(self.ways, self.shots, self.queries, self.episodes)
        require_positive(pool=self.pool)
        smallest = (max(self.shots) + self.queries) * (max(all_ways(self.ways)) or 1)
        if self.pool < smallest:
            raise ValueError(f"Expected argument `pool` to hold an episode of {smallest} examples but got {self.pool}.")

    def draw(self, rng: np.random.Generator) -> EpisodeSize:
        """Draws the size of a batch's episodes; draws `ways` only if it is a tuple, and shots always."""
        shots = int(rng.choice(self.shots))
        ways = int(rng.choice(self.ways)) if isinstance(self.ways, tuple) else self.ways
        return EpisodeSize(ways, shots, self.queries)


@dataclass(frozen=True, kw_only=True)
class EvalEpisodes:
    """The episodes of validation and test, the same for every learner.

    Attributes:
        shots: the numbers of support examples (per class) to test with.
        queries: query examples (per class) in an episode.
        episodes: episodes for each number of shots.
        ways: classes in an episode, or several numbers of classes to test with; None for regression.
        on: what the test is about: first "unseen" classes or functions; then perhaps "seen", those of training
            themselves, by drawings that training has; and "held_out_drawings", those of training by drawings that it
            does not have.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    shots: tuple[int, ...]
    queries: int
    episodes: int
    ways: Ways = None
    on: tuple[TestOn, ...] = UNSEEN

    def __post_init__(self) -> None:
        """Raises ValueError for sizes that no episode can have, or a test on what there is not."""
        _check(self.ways, self.shots, self.queries, self.episodes)
        known = get_args(TestOn)
        if self.on[:1] != UNSEEN or len(set(self.on)) < len(self.on) or not set(self.on) <= set(known):
            raise ValueError(
                f"Expected argument `on` to be 'unseen', then any of {', '.join(map(repr, known[1:]))}, each once, but "
                f"got {', '.join(map(repr, self.on)) or 'nothing'}."
            )

    @property
    def parts(self) -> tuple[EvalPart, ...]:
        """The parts that the test episodes are drawn from, "test" first."""
        return ("test", *(part for part in self.on if part != "unseen"))

    @property
    def sizes(self) -> tuple[EpisodeSize, ...]:
        """The size of the episodes at each number of ways and shots."""
        return tuple(
            EpisodeSize(ways or None, shots, self.queries) for ways in all_ways(self.ways) for shots in self.shots
        )


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What a task draws from its data: the episodes, how many of them, and the seed.

    Attributes:
        train: the training episodes.
        test: the validation and test episodes.
        seed: decides the training classes or functions and the training batches; never the validation or test episodes.
        mode: "episodes" if `train_dataloader` yields `EpisodeBatch`, "examples" if it yields `ExampleBatch`.
        steps_per_epoch: training batches in an epoch.
        val_episodes: validation episodes for each number of shots.
    """

    train: TrainEpisodes
    test: EvalEpisodes
    seed: int = 0
    mode: Mode = "episodes"
    steps_per_epoch: int = 100
    val_episodes: int = 100

    def __post_init__(self) -> None:
        """Raises ValueError for an unknown mode or a number that is not positive."""
        require_positive(steps_per_epoch=self.steps_per_epoch, val_episodes=self.val_episodes)
        require_choice("mode", self.mode, get_args(Mode))


def all_ways(ways: Ways) -> tuple[int, ...]:
    """Lists the numbers of classes that episodes may have; regression has no classes and gives 0."""
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
    """A sequence without end, in which each batch is a function of its index."""

    def __init__(self, draw: Callable[[int], Batch]) -> None:
        self.draw: Callable[[int], Batch] = draw

    def __getitem__(self, index: int) -> Batch:
        """Draws one batch."""
        return self.draw(index)


class NextIndices(Sampler[int]):
    """The indices of an epoch's batches, which go on from the trainer's global step whenever an epoch begins.

    Of n devices, device r takes every n-th batch, beginning with the r-th.

    Args:
        task: the task that the trainer trains on, or one without a trainer, whose every epoch begins with batch 0.
    """

    def __init__(self, task: "EpisodicDataModule") -> None:
        self.task = task

    def __len__(self) -> int:
        """Number of batches."""
        return self.task.steps_per_epoch

    def __iter__(self) -> Iterator[int]:
        """Yields the indices of the epoch that begins now."""
        step, rank, ranks = 0, 0, 1
        if trainer := self.task.trainer:
            step, rank = trainer.global_step * trainer.accumulate_grad_batches, trainer.global_rank
            ranks = trainer.world_size
        yield from range(step * ranks + rank, (step + len(self)) * ranks, ranks)


class EpisodicDataModule(pl.LightningDataModule, ABC):
    """A task: a source of training episodes, of examples for pretraining, and of fixed evaluation episodes.

    A training epoch has `steps_per_epoch` batches. Their indices go on from the trainer's global step, so a resumed
    training gets the batches that it would have got without the interruption.

    Args:
        sampling: the episodes to draw; its fields are attributes of the task too.

    Class attributes:
        task_name: the task's registered name.
        class_word: plural noun for what the task learns from, such as "characters".
        size_argument: the argument that sets how many of them there are to learn from.
        shots_word: what a number of shots counts.
        stream: whether every query is a step of the support sequence and is predicted from the steps before it.
        likelihood: how predictions are read.
        queries_are_trials: whether an error in per cent is reported too, with an interval over test episodes.
        fixed_test: the only test that the task has; None if the test can be chosen.
        tested_on: what the test can be about.
    """

    task_name: ClassVar[str]
    class_word: ClassVar[str]
    size_argument: ClassVar[str]
    shots_word: ClassVar[str] = "shot"
    stream: ClassVar[bool] = False
    likelihood: ClassVar[Literal["categorical", "gaussian"]]
    queries_are_trials: ClassVar[bool] = False
    fixed_test: ClassVar[EvalEpisodes | None] = None
    tested_on: ClassVar[tuple[TestOn, ...]] = UNSEEN

    def __init__(self, sampling: Sampling) -> None:
        super().__init__()
        if strange := [each for each in sampling.test.on if each not in self.tested_on]:
            raise ValueError(f"Expected argument `on` not to have {strange[0]!r} for {self.task_name}, which has none.")
        self.train, self.test, self.seed = sampling.train, sampling.test, sampling.seed
        self.mode, self.steps_per_epoch = sampling.mode, sampling.steps_per_epoch
        self.val_episodes = sampling.val_episodes

    @property
    @abstractmethod
    def example_shape(self) -> tuple[int, ...]:
        """Shape of one example."""

    @property
    @abstractmethod
    def targets(self) -> int:
        """Y, the width of an episode's targets: the number of ways, or the dimensions of a real target."""

    @property
    @abstractmethod
    def pretraining_outputs(self) -> int:
        """Outputs of a network pretrained on all training data: the number of classes, or a real target's width."""

    @property
    def pretraining_groups(self) -> tuple[int, ...] | None:
        """The group of each pretraining output, such as a character's alphabet; None, the default, means no groups."""
        return None

    @property
    def function_parameters(self) -> int:
        """K, the number of parameters of a training function; 0 if the task has classes."""
        return 0

    @classmethod
    @abstractmethod
    def protocol(cls, init_args: Mapping[str, Any]) -> str:
        """Describes what decides the task's difficulty besides ways, shots and training classes."""

    @classmethod
    def label(cls, init_args: Mapping[str, Any]) -> str:
        """What tables call the task with these arguments; empty, the default, if by its name."""
        return ""

    @classmethod
    def remarks(cls, init_args: Mapping[str, Any]) -> tuple[str, ...]:
        """Sentences that every table of this protocol must carry; none by default."""
        return ()

    @classmethod
    def training_classes(cls, init_args: Mapping[str, Any]) -> int | None:
        """The number of training classes (before rotations) or functions; None for an unlimited number.

        Raises:
            ValueError: if the number asked for is not a positive integer.
        """
        asked: int | None = init_args.get(cls.size_argument)
        if asked is not None:
            require_positive(**{cls.size_argument: asked})
        return asked

    @classmethod
    def pinned(cls, init_args: Mapping[str, Any]) -> dict[str, Any]:
        """Adds a digest of data that may change to the arguments, so that a run's id changes with them; none here."""
        return dict(init_args)

    @classmethod
    def validates(cls, init_args: Mapping[str, Any]) -> bool:
        """Whether a part is kept apart for validation; without one, nothing can be chosen by it."""
        return True

    @property
    def data_digest(self) -> str | None:
        """A digest of the data that the task reads; None if the task generates its data."""
        return None

    @abstractmethod
    def train_batch(self, index: int) -> EpisodeBatch:
        """Draws training batch number `index`."""

    @abstractmethod
    def example_batch(self, index: int) -> ExampleBatch:
        """Draws pretraining batch number `index`, with as many examples as a training pool holds."""

    @abstractmethod
    def eval_batch(self, part: EvalPart, size: EpisodeSize, episodes: int) -> EpisodeBatch:
        """Draws the evaluation episodes of a part; they depend on the protocol alone, never on the seed.

        Only "seen" and "held_out_drawings" depend on the classes or functions that training has.
        """

    @abstractmethod
    def chance(self, size: EpisodeSize, part: EvalPart = "test") -> float:
        """The score of the best prediction that ignores the support set: accuracy, or mean squared error."""

    def refuse_unlimited(self) -> None:
        """Raises ValueError for a test on what training has seen, which has no end."""
        if self.test.on != UNSEEN:
            raise ValueError(
                f"Expected argument `{self.size_argument}` to be given with a test on {self.test.on[1]!r}, because "
                f"unlimited {self.class_word} are not met twice."
            )

    def guards(self) -> list[Finding]:
        """Checks the task's data and episodes for leaks; subclasses add checks of their own."""
        return [queries_apart(self.guarded_batches(), self.stream)]

    def source_guards(self, source: "EpisodicDataModule") -> list[Finding]:
        """Checks another task to pretrain on before a network adapts to this one; subclasses allow some."""
        what = f"{source.task_name} is no source for {self.task_name}, whose data cannot be told apart."
        return [Finding("source classes", "failed", what)]

    def guarded_batches(self) -> list[EpisodeBatch]:
        """Draws test episodes, the first training episodes, and tests on training; inputs are fingerprints."""
        tests, *others = (
            [self.eval_batch(part, size, self.test.episodes) for size in self.test.sizes] for part in self.test.parts
        )
        trains = (self.train_batch(index) for index in range(GUARDED_BATCHES))
        groups = (tests, trains, *others)
        return [batch._replace(inputs=fingerprints(batch.inputs)) for batches in groups for batch in batches]

    def train_dataloader(self) -> DataLoader[Any]:
        """New batches in every epoch; a Trainer on several devices needs `use_distributed_sampler=False`."""
        draw: Callable[[int], Any] = self.train_batch if self.mode == "episodes" else self.example_batch
        return DataLoader(IndexedBatches(draw), sampler=NextIndices(self), batch_size=None)

    def val_dataloader(self) -> DataLoader[EpisodeBatch]:
        """One batch of validation episodes for each number of shots."""
        return self._eval_dataloader("val", self.val_episodes)

    def test_dataloader(self) -> DataLoader[EpisodeBatch]:
        """One batch of all test episodes for each number of shots."""
        return self._eval_dataloader("test", self.test.episodes)

    predict_dataloader = test_dataloader

    def _eval_dataloader(self, part: EvalPart, episodes: int) -> DataLoader[EpisodeBatch]:
        sizes = self.test.sizes
        batches = IndexedBatches(lambda index: self.eval_batch(part, sizes[index], episodes))
        return DataLoader(batches, sampler=range(len(sizes)), batch_size=None)
