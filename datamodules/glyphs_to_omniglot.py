"""Glyphs to Omniglot: training on generated characters, test on characters that people drew."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from adaptbench.datamodules.base import UNSEEN, EvalPart, Part, Sampling, Scope
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize
from adaptbench.datamodules.glyphs import GlyphsDataModule
from adaptbench.datamodules.omniglot import Drawers, OmniglotDataModule


class GlyphsToOmniglotDataModule(GlyphsDataModule):
    """Training and validation on glyphs, with the test episodes of Omniglot under the same split and scope.

    Nothing is trained or selected on Omniglot. Only the look of the glyphs was chosen, by eye, to resemble it.

    Args:
        sampling: the episodes to draw.
        split: the split of Omniglot that provides the test characters.
        split_seed: number of the split if the split is drawn at random.
        scope: whether a test episode takes its characters "across" alphabets or "within" one.
        drawers: whether a test episode has drawers "mixed" or "apart", one for the support set and one for the queries.
        training_scope: whether glyphs are of alphabets, and training and validation stay "within" one.
        train_classes: number of glyphs to learn from; None for an unlimited number.
        images_per_class: number of drawings of each glyph to learn from; None for all 20.
        train_images: number of drawings of all glyphs together, in equal shares; None for all.

    Raises:
        ValueError: if an argument is wrong, or the episodes do not fit.
        DataUnavailable: if Omniglot is missing and cannot be downloaded.
    """

    task_name: ClassVar[str] = "glyphs_to_omniglot"

    def __init__(
        self,
        sampling: Sampling,
        *,
        split: str = "vinyals",
        split_seed: int = 0,
        scope: Scope = "across",
        drawers: Drawers = "mixed",
        training_scope: Scope = "across",
        train_classes: int | None = None,
        images_per_class: int | None = None,
        train_images: int | None = None,
    ) -> None:
        unseen = replace(sampling, test=replace(sampling.test, on=UNSEEN))
        self.omniglot = OmniglotDataModule(unseen, split=split, split_seed=split_seed, scope=scope, drawers=drawers)
        super().__init__(
            sampling,
            scope=training_scope,
            train_classes=train_classes,
            images_per_class=images_per_class,
            train_images=train_images,
        )

    @classmethod
    def protocol(cls, init_args: Mapping[str, Any]) -> str:
        """Describes the training and the test."""
        tested = OmniglotDataModule.protocol({**_omniglot(init_args), "rotations": "none"})
        return (
            f"{super().protocol({**init_args, 'scope': init_args.get('training_scope')})}, tested on Omniglot: {tested}"
        )

    @classmethod
    def remarks(cls, init_args: Mapping[str, Any]) -> tuple[str, ...]:
        """Says what training, validation and test use, and gives the remarks of the test."""
        scope = OmniglotDataModule.remarks(_omniglot(init_args))[0]
        return ("Training and validation use only generated characters, the test only people's.", scope)

    @property
    def data_digest(self) -> str:
        """A digest of Omniglot's archives' contents and the image size."""
        return self.omniglot.data_digest

    def class_count(self, part: Part) -> int:
        """The number of characters of a part."""
        return self.omniglot.class_count("test") if part == "test" else super().class_count(part)

    def drawing_count(self, part: Part) -> int:
        """The number of drawings of each character."""
        return self.omniglot.drawing_count("test") if part == "test" else super().drawing_count(part)

    def groups(self, part: Part) -> np.ndarray | None:
        """The alphabet of each class if episodes of the part stay within one; None otherwise."""
        return self.omniglot.groups("test") if part == "test" else super().groups(part)

    def gather(self, part: Part, classes: np.ndarray, drawings: np.ndarray) -> Tensor:
        """Draws glyphs, or returns Omniglot's drawings for the test."""
        source = self.omniglot.gather if part == "test" else super().gather
        return source(part, classes, drawings)

    def eval_batch(self, part: EvalPart, size: EpisodeSize, episodes: int) -> EpisodeBatch:
        """Draws validation episodes of glyphs, or the test episodes of Omniglot."""
        source = self.omniglot.eval_batch if part == "test" else super().eval_batch
        return source(part, size, episodes)


def _omniglot(init_args: Mapping[str, Any]) -> dict[str, Any]:
    return {name: init_args[name] for name in ("split", "split_seed", "scope", "drawers") if name in init_args}
