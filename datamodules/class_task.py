"""The base of classification tasks: pools of classes, episodes over them, and the amount of training data."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from adaptbench.datamodules.base import (
    GUARDED_BATCHES,
    EpisodicDataModule,
    EvalPart,
    Part,
    Sampling,
    TestOn,
    all_ways,
)
from adaptbench.datamodules.class_episodes import episodes_over_pool, most_shots, require_room
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize, ExampleBatch, rng_for, sample_distinct
from adaptbench.datamodules.guards import (
    Finding,
    fingerprints,
    images_apart,
    images_as_fed,
    images_differ,
    queries_apart,
    seen_as_said,
    source_apart,
)
from adaptbench.datamodules.label_permutation import labels_permuted
from adaptbench.datamodules.near_duplicates import ink_of, near_duplicates

PARTS: tuple[Part, ...] = ("train", "val", "test")
FED_BATCHES = 4
"""The number of pretraining batches whose images the guards look at."""
LOOKED_AT = 1024
"""Images that the guards look at at once, few enough to stay in the cache of a processor."""
GROUP_ROOM = 2
"""Classes that a training pool takes from one group, in multiples of the ways, if episodes stay within groups."""


class ClassDataModule(EpisodicDataModule):
    """A task of classes with drawings of each, divided into a training, validation and test part.

    Each training step draws a pool of classes and builds many episodes over it. An evaluation batch holds every
    drawing of its part once and any number of episodes over them. All classes of an episode have the same number of
    queries, and of shots unless they are unequal.

    Args:
        sampling: the episodes to draw.
        unequal_shots: whether the classes of an episode have 1 to 2 K - 1 shots, K on average, in training and test.

    Class attributes:
        guarded_classes: the number of classes of each part whose drawings the guards compare with other parts.
    """

    likelihood: ClassVar[Literal["categorical", "gaussian"]] = "categorical"
    guarded_classes: ClassVar[int] = 10_000
    tested_on: ClassVar[tuple[TestOn, ...]] = get_args(TestOn)

    def __init__(self, sampling: Sampling, *, unequal_shots: bool = False) -> None:
        super().__init__(sampling)
        if unequal_shots and self.stream:
            raise ValueError(f"Expected argument `unequal_shots` to be False for the streams of {self.task_name}.")
        self.unequal_shots = unequal_shots
        self._eval_images: dict[EvalPart, Tensor] = {}
        train, test = sampling.train, sampling.test
        if train.ways is None or test.ways is None or train.episodes is None:
            raise ValueError(f"Expected arguments `ways` and `episodes` to be given for {self.task_name}.")
        if max(all_ways(test.ways)) > max(all_ways(train.ways)):
            raise ValueError(
                "Expected argument `ways` to be at least as large in training as in the test, because labels are as "
                f"wide as those of training, but got {train.ways} and {test.ways}."
            )

    @abstractmethod
    def class_count(self, part: Part) -> int:
        """Number of classes in a part."""

    @abstractmethod
    def drawing_count(self, part: Part) -> int:
        """Number of drawings of each class in a part, or of the smallest one."""

    def drawings_of(self, part: Part, classes: np.ndarray) -> int | np.ndarray:
        """The number of drawings of some classes of a part; one number if all classes have as many, else [C] int64."""
        return self.drawing_count(part)

    @abstractmethod
    def gather(self, part: Part, classes: np.ndarray, drawings: np.ndarray) -> Tensor:
        """Returns drawing `drawings[m]` of class `classes[m]` of a part for every m, as [M, H, W] uint8."""

    @abstractmethod
    def protocol_key(self, part: EvalPart) -> tuple[object, ...]:
        """Returns what decides a part's episodes besides their size and number, as JSON-serialisable values."""

    def groups(self, part: Part) -> np.ndarray | None:
        """The group of each class of a part, [C] int64; None if episodes do not stay within one group."""
        return None

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that have classes: training, validation and test."""
        return PARTS

    @property
    def targets(self) -> int:
        """The largest number of classes in a training episode, or in a test episode if training has no episodes."""
        return max(all_ways(self.train.ways if self.mode == "episodes" else self.test.ways))

    @property
    def pretraining_outputs(self) -> int:
        """The number of training classes."""
        return self.class_count("train")

    def train_batch(self, index: int) -> EpisodeBatch:
        """Draws a pool of classes, the same number of drawings of each, and episodes over them."""
        rng = rng_for(self.task_name, "train", self.seed, index)
        size = self.train.draw(rng)
        pool, groups = self._pool(rng, size)
        drawings = min(self.train.pool // len(pool), self.drawing_count("train"))
        drawn = sample_distinct(rng, len(pool), self.drawings_of("train", pool), drawings)
        images = self.training_images(rng, np.repeat(pool, drawings), drawn.reshape(-1))
        return self.over_pool(rng, images, len(pool), size, self.train.episodes or 1, groups)

    def example_batch(self, index: int) -> ExampleBatch:
        """Draws images of all training classes."""
        rng = rng_for(self.task_name, "examples", self.seed, index)
        classes = rng.integers(self.pretraining_outputs, size=self.train.pool)
        drawings = rng.integers(self.drawings_of("train", classes), size=self.train.pool)
        return ExampleBatch(self.training_images(rng, classes, drawings), torch.from_numpy(classes))

    def training_images(self, rng: np.random.Generator, classes: np.ndarray, drawings: np.ndarray) -> Tensor:
        """Returns training drawings, [M, H, W] uint8; a subclass may augment them."""
        return self.gather("train", classes, drawings)

    def eval_batch(self, part: EvalPart, size: EpisodeSize, episodes: int) -> EpisodeBatch:
        """Draws episodes over all images of a part, or over those of training that a test on training has.

        All batches of a part share one tensor of images.
        """
        source, classes, _ = self._tested(part)
        unequal = ("unequal shots",) if self.unequal_shots else ()
        rng = rng_for(self.task_name, *self.protocol_key(part), *unequal, part, size, episodes)
        groups = self.groups(source)
        own = None if groups is None else groups[classes]
        return self.over_pool(rng, self._images(part), len(classes), size, episodes, own)

    def _images(self, part: EvalPart) -> Tensor:
        """All images of an evaluation, [M, H, W] uint8."""
        if part not in self._eval_images:
            source, classes, drawings = self._tested(part)
            rows = np.repeat(classes, len(drawings)), np.tile(drawings, len(classes))
            self._eval_images[part] = self.gather(source, *rows)
        return self._eval_images[part]

    def seen_classes(self) -> np.ndarray:
        """The training classes for a test on what training has seen, [C] int64; at most as many as the test has."""
        return np.arange(min(self.class_count("train"), self.class_count("test")))

    def _tested(self, part: EvalPart) -> tuple[Part, np.ndarray, np.ndarray]:
        """Returns where an evaluation's images are from: a part, its classes, and which drawings of each."""
        if part == "val" or part == "test":
            return part, np.arange(self.class_count(part)), np.arange(self.drawing_count(part))
        kept = self.drawing_count("train")
        met, held_out = np.arange(kept), np.arange(kept, self.drawing_count("test"))
        return "train", self.seen_classes(), met if part == "seen" else held_out

    def over_pool(
        self,
        rng: np.random.Generator,
        images: Tensor,
        classes: int,
        size: EpisodeSize,
        episodes: int,
        groups: np.ndarray | None,
    ) -> EpisodeBatch:
        """Builds episodes over a pool of images with `episodes_over_pool`."""
        width = max(self.targets, size.ways or 0)
        return episodes_over_pool(
            rng, images, classes, size, episodes, groups=groups, width=width, unequal=self.unequal_shots
        )

    def chance(self, size: EpisodeSize, part: EvalPart = "test") -> float:
        """The accuracy of a random guess."""
        return 1 / (size.ways or 1)

    def guards(self) -> list[Finding]:
        """Checks that parts and episodes hold no image twice, and that nothing predicts a label."""
        batches, tests = self.guarded_batches(), len(self.test.sizes)
        on_training: dict[str, np.ndarray] = {
            part: batches[tests + GUARDED_BATCHES + number * tests].inputs.numpy()
            for number, part in enumerate(self.test.parts[1:])
        }
        tested = list(self.guarded_drawings("test"))
        looked = {
            part: [
                (fingerprints(torch.from_numpy(images)).numpy(), ink_of(images))
                for images in (tested if part == "test" else self.guarded_drawings(part))
            ]
            for part in self.parts
        }
        prints: dict[str, np.ndarray] = {
            part: np.concatenate([found for found, _ in chunks]) for part, chunks in looked.items()
        }
        train = np.concatenate([ink for _, ink in looked["train"]])
        val = np.concatenate([ink for _, ink in looked["val"]]) if "val" in looked else train[:0]
        complete = self.class_count("train") <= self.guarded_classes and not self.training_changed
        return [
            images_apart(prints),
            images_as_fed(self._fed(batches[tests : tests + GUARDED_BATCHES]), prints, complete),
            near_duplicates(train, val, np.concatenate(tested), self.known_near_duplicates, self.training_turned),
            labels_permuted(batches[: tests + GUARDED_BATCHES], tests, self.drawing_count("test"), self.stream),
            queries_apart(batches, self.stream),
            images_differ(batches, self.known_twins, self.stream),
            *([seen_as_said(prints["train"], on_training, self.known_twins)] if on_training else []),
        ]

    def class_identities(self, part: Part) -> list[str]:
        """Names the classes of a part, before rotations, as every task of the same data names them; none by default."""
        return []

    def source_guards(self, source: EpisodicDataModule) -> list[Finding]:
        """Checks a task of classes to pretrain on: its classes are of other data, or training classes of this one.

        None of its images may be a test image, nor a drawing that is held out for the test.

        Its validation classes choose its weights, so they must not be test classes here. It may have as many
        near-duplicates of test images as the training and validation parts of this task.
        """
        if not isinstance(source, ClassDataModule) or source.example_shape != self.example_shape:
            return super().source_guards(source)
        classes: dict[str, list[str]] = {part: source.class_identities(part) for part in source.parts}
        classes.setdefault("val", [])
        names: dict[str, set[str]] = {part: set(self.class_identities(part)) for part in self.parts}
        same = source.data_digest == self.data_digest and bool(self.data_digest)
        images = {part: np.concatenate([*source.guarded_drawings(part)]) for part in source.parts if part != "test"}
        images.setdefault("val", images["train"][:0])
        tested = np.concatenate([*self.guarded_drawings("test")])
        prints = {name: fingerprints(torch.from_numpy(each)).numpy() for name, each in images.items()}
        unseen = (
            [tested, self._images("held_out_drawings").numpy()] if "held_out_drawings" in self.test.on else [tested]
        )
        apart = images_apart(
            {
                "the source": np.concatenate([prints["train"], prints["val"]]),
                "the test": fingerprints(torch.from_numpy(np.concatenate(unseen))).numpy(),
            }
        )
        near = near_duplicates(ink_of(images["train"]), ink_of(images["val"]), tested, self.known_near_duplicates)
        return [
            source_apart(classes, names, same=same),
            apart._replace(guard="source images"),
            near._replace(guard="source near-duplicates"),
        ]

    def _fed(self, batches: list[EpisodeBatch]) -> np.ndarray:
        """Returns the fingerprints of the images in the first training batches, [M] int64."""
        if self.mode == "episodes":
            return torch.cat([batch.inputs for batch in batches]).numpy()
        return torch.cat([fingerprints(self.example_batch(index).inputs) for index in range(FED_BATCHES)]).numpy()

    @property
    def known_near_duplicates(self) -> int | None:
        """The number of test images that almost equal a training or validation image; None if it is not known."""
        return None

    @property
    def training_turned(self) -> bool:
        """Whether the turns of each training image are training images too."""
        return False

    @property
    def training_changed(self) -> bool:
        """Whether training images are changed at random."""
        return False

    @property
    def known_twins(self) -> int | None:
        """The number of images that stand twice in one class; None if it is not known."""
        return 0

    def guarded_drawings(self, part: Part) -> Iterator[np.ndarray]:
        """Yields every drawing of a part's first `guarded_classes` classes, some [M, H, W] uint8 at a time."""
        drawings = self.drawing_count(part)
        rows = np.arange(min(self.class_count(part), self.guarded_classes) * drawings)
        for some in np.split(rows, range(LOOKED_AT, len(rows), LOOKED_AT)):
            yield self.gather(part, some // drawings, some % drawings).numpy()

    def require_episodes_fit(self) -> None:
        """Checks, before any episode is drawn, that every part has enough classes and drawings.

        Raises:
            ValueError: if a part has too few; the message says what is possible.
        """
        ways = max(all_ways(self.train.ways))
        if self.class_count("train") < ways:
            raise ValueError(
                f"Expected argument `{self.size_argument}` to give at least {ways} classes, rotations included, but "
                f"got {self.class_count('train')}."
            )
        sizes = [EpisodeSize(ways, shots, self.train.queries) for shots in self.train.shots]
        if (largest := ways * max(map(self._drawings_needed, sizes))) > self.train.pool:
            raise ValueError(f"Expected argument `pool` to hold {largest} examples but got {self.train.pool}.")
        self._require_fit("test", self.test.sizes)
        if "val" in self.parts:
            self._require_fit("val", self.test.sizes)
        self._require_fit("train", sizes)
        if "held_out_drawings" in self.test.on and self.drawing_count("train") == self.drawing_count("test"):
            raise ValueError(
                "Expected argument `images_per_class` to hold drawings out for the test but it holds none."
            )
        for part in self.test.parts[1:]:
            self._require_fit(part, self.test.sizes)

    def _require_fit(self, part: Part | EvalPart, sizes: Sequence[EpisodeSize]) -> None:
        if part == "seen" or part == "held_out_drawings":
            source, chosen, drawn = self._tested(part)
            groups, classes, drawings = self.groups(source), len(chosen), len(drawn)
            groups = None if groups is None else groups[chosen]
        else:
            groups, classes, drawings = self.groups(part), self.class_count(part), self.drawing_count(part)
        largest = int(np.bincount(groups).max()) if groups is not None else None
        for size in sizes:
            if largest is not None and (size.ways or 0) > largest:
                raise ValueError(
                    f"{size.ways}-way episodes within an alphabet do not fit into any of the {part} alphabets: the "
                    f"largest has {largest} classes, so at most {largest} ways are possible."
                )
            try:
                most = most_shots(size.shots, unequal=self.unequal_shots)
                require_room(size._replace(shots=most), classes, drawings)
            except ValueError as error:
                raise ValueError(f"In the {part} part, {error}") from error

    def _drawings_needed(self, size: EpisodeSize) -> int:
        """The most drawings of one class in an episode."""
        return most_shots(size.shots, unequal=self.unequal_shots) + size.queries

    def _pool(self, rng: np.random.Generator, size: EpisodeSize) -> tuple[np.ndarray, np.ndarray | None]:
        """Draws the classes of a training pool; also returns their groups if episodes stay within one."""
        total, groups = self.class_count("train"), self.groups("train")
        classes = min(self.train.pool // self._drawings_needed(size), total)
        if groups is None:
            return sample_distinct(rng, 1, total, classes)[0], None
        ways = size.ways or 1
        large = np.flatnonzero(np.bincount(groups) >= ways)
        chosen = rng.permutation(large)[: max(1, classes // (GROUP_ROOM * ways))]
        share = classes // len(chosen)
        pool = np.concatenate([rng.permutation(np.flatnonzero(groups == group))[:share] for group in chosen])
        return pool, groups[pool]


def drawings_each(classes: int, per_class: int | None, total: int | None, available: int) -> int:
    """Returns the number of drawings of each training class to learn from.

    Args:
        classes: the number of training classes, each with the same number of drawings.
        per_class: drawings of each class; None for all.
        total: drawings of all classes together; None for no such limit.
        available: drawings of each class that exist.

    Raises:
        ValueError: if both limits are given, or there are too few drawings, or `total` is no multiple of `classes`.
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
    """Describes `images_per_class`, `train_images` and `unequal_shots` for a protocol; empty if none is given."""
    each, total = init_args.get("images_per_class"), init_args.get("train_images")
    words = [] if each is None else [f"{each} drawings of a training class"]
    words += [] if total is None else [f"{total} training drawings in all"]
    return (*words, *(["unequal shots"] if init_args.get("unequal_shots") else []))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
