"""What tasks of classes have in common: pools of classes, episodes over them, and the two axes of training data."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from adaptbench.datamodules.base import EpisodicDataModule, EvalEpisodes, EvalSplit, Mode, Part, TrainEpisodes, all_ways
from adaptbench.datamodules.class_episodes import episodes_over_pool, require_room
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize, ExampleBatch, rng_for, sample_distinct
from adaptbench.datamodules.guards import Finding, images_apart, labels_permuted, queries_apart

PARTS: tuple[Part, ...] = ("train", "val", "test")
GROUP_ROOM = 2
"""Classes of one group in a training pool, in multiples of the ways, where episodes stay within groups."""


class ClassDataModule(EpisodicDataModule):
    """Classes with equally many drawings each, in parts for training, validation and test.

    Training draws a pool of classes a step and builds many episodes over it; an evaluation batch holds all drawings of
    its part once and any number of episodes over them. Every class of an episode has as many shots and queries as the
    others.

    Args:
        train: the training episodes.
        test: the validation and test episodes.
        seed: decides the training classes and batches.
        mode: episodes or examples in `train_dataloader`.
        steps_per_epoch: training batches in an epoch.
        val_episodes: validation episodes for each number of shots.

    Class attribute: `guarded_classes`, of how many classes of a part guards compare the drawings with other parts'.
    """

    likelihood: ClassVar[Literal["categorical", "gaussian"]] = "categorical"
    guarded_classes: ClassVar[int] = 10_000

    def __init__(
        self,
        *,
        train: TrainEpisodes,
        test: EvalEpisodes,
        seed: int,
        mode: Mode,
        steps_per_epoch: int,
        val_episodes: int,
    ) -> None:
        super().__init__(
            train=train, test=test, seed=seed, mode=mode, steps_per_epoch=steps_per_epoch, val_episodes=val_episodes
        )
        if train.ways is None or test.ways is None or train.episodes is None:
            raise ValueError(f"Expected arguments `ways` and `episodes` to be given for {self.task_name}.")
        if not set(all_ways(test.ways)) <= set(all_ways(train.ways)):
            raise ValueError(
                "Expected argument `ways` to be the same in training and test, because labels have one width, "
                f"but got {train.ways} and {test.ways}."
            )

    @abstractmethod
    def class_count(self, part: Part) -> int:
        """Number of classes in a part."""

    @abstractmethod
    def drawing_count(self, part: Part) -> int:
        """Number of drawings of each class in a part."""

    @abstractmethod
    def gather(self, part: Part, classes: np.ndarray, drawings: np.ndarray) -> Tensor:
        """Collects drawing number `drawings[m]` of class number `classes[m]` of a part, as [M, H, W] uint8."""

    @abstractmethod
    def protocol_key(self, part: EvalSplit) -> tuple[object, ...]:
        """What decides a part's episodes besides their size and number, as JSON-serialisable values."""

    def groups(self, part: Part) -> np.ndarray | None:
        """The group of each class of a part, [C] int64, within which episodes stay; None where they take any class."""
        return None

    @property
    def targets(self) -> int:
        """Classes in an episode; the most, where their number is drawn."""
        return max(all_ways(self.train.ways))

    @property
    def pretraining_outputs(self) -> int:
        """All training classes."""
        return self.class_count("train")

    def train_batch(self, index: int) -> EpisodeBatch:
        """Draws a pool of classes, equally many drawings of each, and episodes over them."""
        rng = rng_for(self.task_name, "train", self.seed, index)
        size = self.train.draw(rng)
        pool, groups = self._pool(rng, size)
        drawings = min(self.train.pool // len(pool), self.drawing_count("train"))
        drawn = sample_distinct(rng, len(pool), self.drawing_count("train"), drawings)
        images = self.training_images(rng, np.repeat(pool, drawings), drawn.reshape(-1))
        return self.over_pool(rng, images, len(pool), size, self.train.episodes or 1, groups)

    def example_batch(self, index: int) -> ExampleBatch:
        """Draws images of all training classes."""
        rng = rng_for(self.task_name, "examples", self.seed, index)
        classes = rng.integers(self.pretraining_outputs, size=self.train.pool)
        drawings = rng.integers(self.drawing_count("train"), size=self.train.pool)
        return ExampleBatch(self.training_images(rng, classes, drawings), torch.from_numpy(classes))

    def training_images(self, rng: np.random.Generator, classes: np.ndarray, drawings: np.ndarray) -> Tensor:
        """Collects drawings to train on, [M, H, W] uint8; a task may change them on the way."""
        return self.gather("train", classes, drawings)

    def eval_batch(self, split: EvalSplit, size: EpisodeSize, episodes: int) -> EpisodeBatch:
        """Draws episodes over all images of a part."""
        classes, drawings = self.class_count(split), self.drawing_count(split)
        rows = np.arange(classes * drawings)
        images = self.gather(split, rows // drawings, rows % drawings)
        rng = rng_for(self.task_name, *self.protocol_key(split), split, size, episodes)
        return self.over_pool(rng, images, classes, size, episodes, self.groups(split))

    def over_pool(
        self,
        rng: np.random.Generator,
        images: Tensor,
        classes: int,
        size: EpisodeSize,
        episodes: int,
        groups: np.ndarray | None,
    ) -> EpisodeBatch:
        """Builds episodes over a pool of images, as `episodes_over_pool` does."""
        return episodes_over_pool(rng, images, classes, size, episodes, groups=groups, width=self.targets)

    def chance(self, size: EpisodeSize) -> float:
        """Accuracy of a guess."""
        return 1 / (size.ways or 1)

    def guards(self) -> list[Finding]:
        """Looks for images that stand in two parts, for queries in the support, and for labels that say something."""
        batches = self.guarded_batches()
        parts: dict[str, np.ndarray] = {part: self.guarded_drawings(part) for part in PARTS}
        return [images_apart(parts), labels_permuted(batches), queries_apart(batches, self.stream)]

    def guarded_drawings(self, part: Part) -> np.ndarray:
        """Every drawing of a part's classes, or of its first ones where there are many; [M, H, W] uint8."""
        drawings = self.drawing_count(part)
        rows = np.arange(min(self.class_count(part), self.guarded_classes) * drawings)
        images: np.ndarray = self.gather(part, rows // drawings, rows % drawings).numpy()
        return images

    def require_episodes_fit(self) -> None:
        """Refuses episodes that the parts cannot give, before any is drawn.

        Raises:
            ValueError: if there are too few classes or drawings; the message says what is possible.
        """
        if self.class_count("train") < self.targets:
            raise ValueError(
                f"Expected argument `{self.size_argument}` to give at least {self.targets} classes, rotations "
                f"included, but got {self.class_count('train')}."
            )
        sizes = [EpisodeSize(self.targets, shots, self.train.queries) for shots in self.train.shots]
        self._require_fit("test", self.test.sizes)
        self._require_fit("val", self.test.sizes)
        self._require_fit("train", sizes)

    def _require_fit(self, part: Part, sizes: "list[EpisodeSize] | tuple[EpisodeSize, ...]") -> None:
        groups = self.groups(part)
        largest = int(np.bincount(groups).max()) if groups is not None else None
        for size in sizes:
            if largest is not None and (size.ways or 0) > largest:
                raise ValueError(
                    f"{size.ways}-way episodes within an alphabet do not fit into any of the {part} alphabets: the "
                    f"largest has {largest} classes, so at most {largest} ways are possible."
                )
            try:
                require_room(size, self.class_count(part), self.drawing_count(part))
            except ValueError as error:
                raise ValueError(f"In the {part} part, {error}") from error

    def _pool(self, rng: np.random.Generator, size: EpisodeSize) -> tuple[np.ndarray, np.ndarray | None]:
        """Draws the classes of a training pool, and says in which group each stands where episodes stay in one."""
        total, groups = self.class_count("train"), self.groups("train")
        classes = min(self.train.pool // (size.shots + size.queries), total)
        if groups is None:
            return sample_distinct(rng, 1, total, classes)[0], None
        ways = size.ways or 1
        large = np.flatnonzero(np.bincount(groups) >= ways)
        chosen = rng.permutation(large)[: max(1, classes // (GROUP_ROOM * ways))]
        share = classes // len(chosen)
        pool = np.concatenate([rng.permutation(np.flatnonzero(groups == group))[:share] for group in chosen])
        return pool, groups[pool]


def drawings_each(classes: int, per_class: int | None, total: int | None, available: int) -> int:
    """Says how many drawings of each training class there are to learn from.

    Args:
        classes: training classes, each with equally many drawings.
        per_class: drawings of a class; None for all.
        total: drawings of all classes together, held fixed while classes grow; None for no such bound.
        available: drawings of a class that exist.

    Raises:
        ValueError: if both are given, or there are not so many drawings, or they are no equal shares.
    """
    if per_class is not None and total is not None:
        raise ValueError("Expected one of the arguments `images_per_class` and `train_images` but got both.")
    if total is not None:
        most = classes * available
        if not _is_count(total) or not classes <= total <= most or total % classes:
            nearest = min(max(round(float(total) / classes), 1), available) * classes
            raise ValueError(
                f"Expected argument `train_images` to be a multiple of the {classes} training classes up to {most}, "
                f"such as {nearest}, but got {total!r}."
            )
        return total // classes
    if per_class is not None and not (_is_count(per_class) and per_class <= available):
        raise ValueError(
            f"Expected argument `images_per_class` to be an integer from 1 to {available} but got {per_class!r}."
        )
    return available if per_class is None else per_class


def drawings_in_words(init_args: Mapping[str, Any]) -> tuple[str, ...]:
    """Says in a protocol's words what `images_per_class` and `train_images` do; nothing where they are left out."""
    each, total = init_args.get("images_per_class"), init_args.get("train_images")
    words = () if each is None else (f"{each} drawings of a training class",)
    return words if total is None else (*words, f"{total} training drawings in all")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
