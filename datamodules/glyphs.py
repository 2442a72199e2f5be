"""Glyphs: few-shot classification of generated characters, of which there is no end."""

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from adaptbench.datamodules.base import EvalEpisodes, EvalSplit, Mode, Part, TrainEpisodes, require_positive
from adaptbench.datamodules.class_task import PARTS, ClassDataModule, drawings_each, drawings_in_words
from adaptbench.datamodules.episodes import rng_for
from adaptbench.datamodules.glyph_drawings import draw_glyphs
from adaptbench.datamodules.glyph_strokes import SIZE, make_glyphs, states_of
from adaptbench.datamodules.guards import Finding, classes_apart

WITHOUT_END = 2**40
DRAWINGS = 20
CLASSES = {"val": 172, "test": 423}  # as many as in the split of Vinyals et al.


class GlyphsDataModule(ClassDataModule):
    """Generated characters in the likeness of Omniglot (Lake et al. 2015, Science 350:1332), for any number of them.

    A class is a pure function of its part's stream and its index: one to four smooth strokes made of shared
    sub-strokes, each starting at, along or apart from an earlier one, as in the generative model of Lake et al. (their
    programs are learned from people's strokes, these are not). A drawing is those strokes with a drawer's jitter, warp
    and pen. Classes are made when they are asked for, and kept nowhere.

    Args:
        train: the training episodes.
        test: the validation and test episodes.
        train_classes: how many training characters to learn from; None for no end of them. Smaller sets are nested in
            larger ones of the same seed.
        images_per_class: how many drawings of each training character to learn from; None for all 20. Nested likewise.
        train_images: how many drawings of all training characters together, in equal shares; None for all.
        seed: decides the training characters, their drawings and batches; never those of validation and test.
        mode: episodes or examples in `train_dataloader`.
        steps_per_epoch: training batches in an epoch.
        val_episodes: validation episodes for each number of shots.

    Raises:
        ValueError: if an argument is wrong, or the episodes do not fit.
    """

    task_name: ClassVar[str] = "glyphs"
    class_word: ClassVar[str] = "characters"
    size_argument: ClassVar[str] = "train_classes"
    guarded_classes: ClassVar[int] = 500

    def __init__(
        self,
        *,
        train: TrainEpisodes,
        test: EvalEpisodes,
        train_classes: int | None = None,
        images_per_class: int | None = None,
        train_images: int | None = None,
        seed: int = 0,
        mode: Mode = "episodes",
        steps_per_epoch: int = 100,
        val_episodes: int = 100,
    ) -> None:
        super().__init__(
            train=train, test=test, seed=seed, mode=mode, steps_per_epoch=steps_per_epoch, val_episodes=val_episodes
        )
        if train_classes is None:
            if train_images is not None:
                raise ValueError("Expected argument `train_classes` to be given with `train_images` but got None.")
        else:
            require_positive(train_classes=train_classes)
            if train_classes > WITHOUT_END:
                raise ValueError(f"Expected argument `train_classes` to be at most 2^40 but got {train_classes}.")
        self.train_classes = train_classes
        self._kept = drawings_each(train_classes or WITHOUT_END, images_per_class, train_images, DRAWINGS)
        self.require_episodes_fit()

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Height and width of an image."""
        return (SIZE, SIZE)

    @property
    def pretraining_outputs(self) -> int:
        """All training classes.

        Raises:
            ValueError: if there is no end of them.
        """
        if self.train_classes is None:
            raise ValueError("Expected argument `train_classes` to be given for a network with an output for each.")
        return self.train_classes

    @classmethod
    def protocol(cls, init_args: Mapping[str, Any]) -> str:
        """That characters are generated, and drawings where they are not all."""
        return ", ".join(["generated characters", *drawings_in_words(init_args)])

    @classmethod
    def remarks(cls, init_args: Mapping[str, Any]) -> tuple[str, ...]:
        """That these are not Omniglot's characters."""
        return ("Glyphs are generated characters, none of them Omniglot's.",)

    def class_count(self, part: Part) -> int:
        """Characters of a part."""
        return (self.train_classes or WITHOUT_END) if part == "train" else CLASSES[part]

    def drawing_count(self, part: Part) -> int:
        """Drawings of each character: 20, but in training those that there are to learn from."""
        return self._kept if part == "train" else DRAWINGS

    def protocol_key(self, part: EvalSplit) -> tuple[object, ...]:
        """Nothing: there is one set of test characters."""
        return ()

    def gather(self, part: Part, classes: np.ndarray, drawings: np.ndarray) -> Tensor:
        """Makes the classes and draws them."""
        seed = self.seed if part == "train" else None
        different, which = np.unique(classes, return_inverse=True)
        made = make_glyphs(_key("classes", part, seed), _key("sub-strokes"), different)
        return torch.from_numpy(draw_glyphs(made.at(which), states_of(_key("drawings", part, seed), classes, drawings)))

    def guards(self) -> list[Finding]:
        """Looks for classes with the same strokes in two parts, among the first of each, too."""
        return [classes_apart({part: self._some_strokes(part) for part in PARTS}, self.class_word), *super().guards()]

    def _some_strokes(self, part: Part) -> list[str]:
        """Fingerprints of the strokes of a part's first classes."""
        classes = np.arange(min(self.class_count(part), self.guarded_classes))
        seed = self.seed if part == "train" else None
        made = make_glyphs(_key("classes", part, seed), _key("sub-strokes"), classes)
        return [hashlib.blake2b(controls.tobytes(), digest_size=8).hexdigest() for controls in made.controls]


def _key(*parts: object) -> int:
    """The 64 bits that name a stream."""
    return int(rng_for("glyphs", *parts).integers(2**64, dtype=np.uint64))
