"""Glyphs: few-shot classification of generated characters in unlimited number."""

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from adaptbench.datamodules.base import EvalPart, Part, Sampling, require_positive
from adaptbench.datamodules.class_task import PARTS, ClassDataModule, drawings_each, drawings_in_words
from adaptbench.datamodules.episodes import rng_for
from adaptbench.datamodules.glyph_drawings import draw_glyphs
from adaptbench.datamodules.glyph_strokes import SIZE, make_glyphs, states_of
from adaptbench.datamodules.guards import Finding, classes_apart

UNLIMITED = 2**40
DRAWINGS = 20
CLASSES = {"val": 172, "test": 423}  # as many as in the split of Vinyals et al.


class GlyphsDataModule(ClassDataModule):
    """Any number of generated characters that resemble Omniglot's (Lake et al. 2015, Science 350:1332).

    A class is a pure function of its part's key and its index. It has one to four smooth strokes made of shared
    sub-strokes; each stroke starts at, along or apart from an earlier one, as in the generative model of Lake et al.
    Their programs are learned from people's strokes; these are not. A drawing is those strokes with a drawer's
    jitter, warp and pen. Classes are generated on request and not stored.

    Args:
        sampling: the episodes to draw.
        train_classes: number of training characters to learn from; None for an unlimited number. Smaller sets are
            subsets of larger ones with the same seed.
        images_per_class: number of drawings of each training character to learn from; None for all 20. Smaller sets
            are subsets here too.
        train_images: number of drawings of all training characters together, in equal shares; None for all.
        unequal_shots: whether the characters of an episode have 1 to 2 K - 1 shots, K on average, in training and test.

    Raises:
        ValueError: if an argument is wrong, or the episodes do not fit.
    """

    task_name: ClassVar[str] = "glyphs"
    class_word: ClassVar[str] = "characters"
    size_argument: ClassVar[str] = "train_classes"
    guarded_classes: ClassVar[int] = 500

    def __init__(
        self,
        sampling: Sampling,
        *,
        train_classes: int | None = None,
        images_per_class: int | None = None,
        train_images: int | None = None,
        unequal_shots: bool = False,
    ) -> None:
        super().__init__(sampling, unequal_shots=unequal_shots)
        if train_classes is None:
            if train_images is not None:
                raise ValueError("Expected argument `train_classes` to be given with `train_images` but got None.")
            self.refuse_unlimited()
        else:
            require_positive(train_classes=train_classes)
            if train_classes > UNLIMITED:
                raise ValueError(f"Expected argument `train_classes` to be at most 2^40 but got {train_classes}.")
        self.train_classes = train_classes
        self._kept = drawings_each(train_classes or UNLIMITED, images_per_class, train_images, DRAWINGS)
        self.require_episodes_fit()

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Height and width of an image."""
        return (SIZE, SIZE)

    @property
    def pretraining_outputs(self) -> int:
        """The number of training classes.

        Raises:
            ValueError: if it is unlimited.
        """
        if self.train_classes is None:
            raise ValueError("Expected argument `train_classes` to be given for a network with an output for each.")
        return self.train_classes

    @classmethod
    def protocol(cls, init_args: Mapping[str, Any]) -> str:
        """Says that characters are generated, and how many drawings there are if not all."""
        return ", ".join(["generated characters", *drawings_in_words(init_args)])

    @classmethod
    def remarks(cls, init_args: Mapping[str, Any]) -> tuple[str, ...]:
        """Says that these are not Omniglot's characters."""
        return ("Glyphs are generated characters, none of them Omniglot's.",)

    def class_count(self, part: Part) -> int:
        """The number of characters of a part."""
        return (self.train_classes or UNLIMITED) if part == "train" else CLASSES[part]

    def drawing_count(self, part: Part) -> int:
        """The number of drawings of each character: 20; in training, the number of those to learn from."""
        return self._kept if part == "train" else DRAWINGS

    def protocol_key(self, part: EvalPart) -> tuple[object, ...]:
        """Nothing, because there is one set of test characters."""
        return ()

    def gather(self, part: Part, classes: np.ndarray, drawings: np.ndarray) -> Tensor:
        """Generates the classes and draws them."""
        seed = self.seed if part == "train" else None
        different, which = np.unique(classes, return_inverse=True)
        made = make_glyphs(_key("classes", part, seed), _key("sub-strokes"), different)
        return torch.from_numpy(draw_glyphs(made.at(which), states_of(_key("drawings", part, seed), classes, drawings)))

    def guards(self) -> list[Finding]:
        """Also checks that the first classes of different parts have different strokes."""
        return [classes_apart({part: self._some_strokes(part) for part in PARTS}, self.class_word), *super().guards()]

    def _some_strokes(self, part: Part) -> list[str]:
        """Hashes the strokes of each of a part's first classes."""
        classes = np.arange(min(self.class_count(part), self.guarded_classes))
        seed = self.seed if part == "train" else None
        made = make_glyphs(_key("classes", part, seed), _key("sub-strokes"), classes)
        return [hashlib.blake2b(controls.tobytes(), digest_size=8).hexdigest() for controls in made.controls]


def _key(*parts: object) -> int:
    """Returns the 64-bit key that belongs to `parts`."""
    return int(rng_for("glyphs", *parts).integers(2**64, dtype=np.uint64))
