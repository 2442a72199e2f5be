"""Glyphs to Omniglot: learning from generated characters, tested on people's."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from adaptbench.datamodules.base import EvalEpisodes, EvalSplit, Mode, Part, TrainEpisodes
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize
from adaptbench.datamodules.glyphs import GlyphsDataModule
from adaptbench.datamodules.omniglot import OmniglotDataModule, Scope


class GlyphsToOmniglotDataModule(GlyphsDataModule):
    """Training and validation on glyphs; the test episodes are those of Omniglot under the same split and scope.

    Nothing is trained or selected on Omniglot; what it has lent to glyphs is the look of a drawing, chosen by eye.

    Args:
        train: the training episodes.
        test: the validation and test episodes.
        split: the split of Omniglot whose test characters are used.
        split_seed: which of the splits, where the split is drawn.
        scope: whether a test episode takes its characters "across" alphabets or "within" one.
        train_classes: how many glyphs to learn from; None for no end of them.
        images_per_class: how many drawings of each glyph to learn from; None for all 20.
        train_images: how many drawings of all glyphs together, in equal shares; None for all.
        seed: decides the training characters and batches.
        mode: episodes or examples in `train_dataloader`.
        steps_per_epoch: training batches in an epoch.
        val_episodes: validation episodes for each number of shots.

    Raises:
        ValueError: if an argument is wrong, or the episodes do not fit.
        DataUnavailable: if Omniglot cannot be had.
    """

    task_name: ClassVar[str] = "glyphs_to_omniglot"

    def __init__(
        self,
        *,
        train: TrainEpisodes,
        test: EvalEpisodes,
        split: str = "vinyals",
        split_seed: int = 0,
        scope: Scope = "across",
        train_classes: int | None = None,
        images_per_class: int | None = None,
        train_images: int | None = None,
        seed: int = 0,
        mode: Mode = "episodes",
        steps_per_epoch: int = 100,
        val_episodes: int = 100,
    ) -> None:
        self.omniglot = OmniglotDataModule(
            train=train, test=test, split=split, split_seed=split_seed, scope=scope, rotations="train"
        )
        super().__init__(
            train=train,
            test=test,
            train_classes=train_classes,
            images_per_class=images_per_class,
            train_images=train_images,
            seed=seed,
            mode=mode,
            steps_per_epoch=steps_per_epoch,
            val_episodes=val_episodes,
        )

    @classmethod
    def protocol(cls, init_args: Mapping[str, Any]) -> str:
        """What is trained on, what is tested on, and drawings where they are not all."""
        tested = OmniglotDataModule.protocol({**_omniglot(init_args), "rotations": "none"})
        return f"{super().protocol(init_args)}, tested on Omniglot: {tested}"

    @classmethod
    def remarks(cls, init_args: Mapping[str, Any]) -> tuple[str, ...]:
        """What is validated on, and the remarks of the test."""
        scope = OmniglotDataModule.remarks(_omniglot(init_args))[0]
        return ("Training and validation see generated characters only, the test people's only.", scope)

    @property
    def data_digest(self) -> str:
        """Digest of Omniglot's archives' contents and the image size."""
        return self.omniglot.data_digest

    def class_count(self, part: Part) -> int:
        """Characters of a part."""
        return self.omniglot.class_count("test") if part == "test" else super().class_count(part)

    def drawing_count(self, part: Part) -> int:
        """Drawings of each character."""
        return self.omniglot.drawing_count("test") if part == "test" else super().drawing_count(part)

    def groups(self, part: Part) -> np.ndarray | None:
        """The alphabets of the test, where its episodes stay within one."""
        return self.omniglot.groups("test") if part == "test" else None

    def gather(self, part: Part, classes: np.ndarray, drawings: np.ndarray) -> Tensor:
        """Draws glyphs, or collects Omniglot's drawings."""
        source = self.omniglot.gather if part == "test" else super().gather
        return source(part, classes, drawings)

    def eval_batch(self, split: EvalSplit, size: EpisodeSize, episodes: int) -> EpisodeBatch:
        """Validation episodes of glyphs, or the very test episodes of Omniglot."""
        source = self.omniglot.eval_batch if split == "test" else super().eval_batch
        return source(split, size, episodes)


def _omniglot(init_args: Mapping[str, Any]) -> dict[str, Any]:
    return {name: init_args[name] for name in ("split", "split_seed", "scope") if name in init_args}
