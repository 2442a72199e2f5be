"""Omniglot: few-shot classification of handwritten characters."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from datamodules.base import EpisodicDataModule, EvalEpisodes, EvalSplit, Mode, TrainEpisodes
from datamodules.class_episodes import episodes_over_pool
from datamodules.episodes import EpisodeBatch, EpisodeSize, ExampleBatch, rng_for, sample_distinct
from datamodules.omniglot_archives import OFFICIAL, Archive
from datamodules.omniglot_images import load_images
from datamodules.omniglot_splits import nested_subset, split_by_name

Rotations = Literal["none", "train", "all"]


class OmniglotDataModule(EpisodicDataModule):
    """Omniglot of Lake et al. 2015 (Science 350:1332) in the episodes of Vinyals et al. 2016 (arXiv 1606.04080).

    Training draws a pool of classes a step and builds many episodes over it; an evaluation batch holds all images of
    its split once and any number of episodes over them.

    Args:
        train: the training episodes.
        test: the validation and test episodes.
        split: name of the split into training, validation and test characters.
        rotations: whether a character turned by 90, 180 and 270 degrees counts as further classes: "none", in
            "train" only, or in "all" splits.
        train_classes: how many training characters to learn from (before rotations); None for all. Smaller sets are
            nested in larger ones of the same seed.
        image_size: height and width of the images in pixels.
        archives: the image archives, in case of another data set in the same layout.
        seed: decides the training characters and batches.
        mode: episodes or examples in `train_dataloader`.
        steps_per_epoch: training batches in an epoch.
        val_episodes: validation episodes for each number of shots.
    """

    task_name: ClassVar[str] = "omniglot"
    class_word: ClassVar[str] = "characters"
    size_argument: ClassVar[str] = "train_classes"
    likelihood: ClassVar[Literal["categorical", "gaussian"]] = "categorical"

    def __init__(
        self,
        *,
        train: TrainEpisodes,
        test: EvalEpisodes,
        split: str = "vinyals",
        rotations: Rotations = "train",
        train_classes: int | None = None,
        image_size: int = 28,
        archives: Sequence[Archive] = OFFICIAL,
        seed: int = 0,
        mode: Mode = "episodes",
        steps_per_epoch: int = 100,
        val_episodes: int = 100,
    ) -> None:
        super().__init__(
            train=train, test=test, seed=seed, mode=mode, steps_per_epoch=steps_per_epoch, val_episodes=val_episodes
        )
        if train.ways is None or test.ways is None or train.episodes is None:
            raise ValueError("Expected arguments `ways` and `episodes` to be given for Omniglot.")
        if train.ways != test.ways:
            raise ValueError(
                "Expected argument `ways` to be the same in training and test, because labels have one width, "
                f"but got {train.ways} and {test.ways}."
            )
        if rotations not in ("none", "train", "all"):
            raise ValueError(f"Expected argument `rotations` to be 'none', 'train' or 'all' but got {rotations!r}.")
        self.images = load_images(image_size, archives)
        self.split, self.rotations, self.image_size = split, rotations, image_size
        characters = split_by_name(split, self.images.characters)
        self.characters = {
            "train": nested_subset(characters.train, train_classes, seed),
            "val": characters.val,
            "test": characters.test,
        }

        if self.pretraining_outputs < train.ways:
            raise ValueError(
                f"Expected argument `train_classes` to give at least {train.ways} classes, rotations included, "
                f"but got {self.pretraining_outputs}."
            )

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Height and width of an image."""
        return (self.image_size, self.image_size)

    @property
    def targets(self) -> int:
        """Classes in an episode."""
        return self.test.ways or 0

    @property
    def pretraining_outputs(self) -> int:
        """All training classes, rotated ones included."""
        return len(self.characters["train"]) * self._turns("train")

    @classmethod
    def protocol(cls, init_args: Mapping[str, Any]) -> str:
        """Split and rotations."""
        words = {"none": "no rotations", "train": "rotations in training", "all": "rotations in training and test"}
        rotations = init_args.get("rotations", "train")
        return f"{init_args.get('split', 'vinyals')}, {words.get(rotations, rotations)}"

    @property
    def data_digest(self) -> str:
        """Digest of the archives' contents and the image size."""
        return self.images.digest

    def train_batch(self, index: int) -> EpisodeBatch:
        """Draws a pool of classes, equally many drawings of each, and episodes over them."""
        rng = rng_for(self.task_name, "train", self.seed, index)
        size = self.train.size(int(rng.choice(self.train.shots)))
        classes = min(self.train.pool // (size.shots + size.queries), self.pretraining_outputs)
        drawings = min(self.train.pool // classes, self._drawings)
        pool = sample_distinct(rng, 1, self.pretraining_outputs, classes)[0]
        drawn = sample_distinct(rng, classes, self._drawings, drawings)
        images = self._gather("train", np.repeat(pool, drawings), drawn.reshape(-1))
        return self._over_pool(rng, images, classes, size, self.train.episodes or 1)

    def example_batch(self, index: int) -> ExampleBatch:
        """Draws images of all training classes."""
        rng = rng_for(self.task_name, "examples", self.seed, index)
        classes = rng.integers(self.pretraining_outputs, size=self.train.pool)
        drawings = rng.integers(self._drawings, size=self.train.pool)
        return ExampleBatch(self._gather("train", classes, drawings), torch.from_numpy(classes))

    def eval_batch(self, split: EvalSplit, size: EpisodeSize, episodes: int) -> EpisodeBatch:
        """Draws episodes over all images of a split."""
        classes = len(self.characters[split]) * self._turns(split)
        rows = np.arange(classes * self._drawings)
        images = self._gather(split, rows // self._drawings, rows % self._drawings)
        rng = rng_for(self.task_name, self.split, self._turns(split), split, size, episodes)
        return self._over_pool(rng, images, classes, size, episodes)

    def chance(self, size: EpisodeSize) -> float:
        """Accuracy of a guess."""
        return 1 / (size.ways or 1)

    def _over_pool(
        self, rng: np.random.Generator, images: torch.Tensor, classes: int, size: EpisodeSize, episodes: int
    ) -> EpisodeBatch:
        return episodes_over_pool(rng, images, classes, size, episodes)

    @property
    def _drawings(self) -> int:
        return int(self.images.pixels.shape[1])

    def _turns(self, split: str) -> int:
        return 4 if self.rotations == "all" or (self.rotations == "train" and split == "train") else 1

    def _gather(self, split: str, classes: np.ndarray, drawings: np.ndarray) -> torch.Tensor:
        """Collects drawings of classes as [M, H, W] uint8; class c is character c // turns, turned c % turns times."""
        turns = self._turns(split)
        images = self.images.pixels[self.characters[split][classes // turns], drawings]
        for turn in range(1, turns):
            turned = classes % turns == turn
            images[turned] = np.rot90(images[turned], turn, axes=(1, 2))
        return torch.from_numpy(images)
