"""Glyphs: few-shot classification of generated characters in unlimited number."""

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar, get_args

import numpy as np
import torch
from torch import Tensor

from adaptbench.datamodules.base import EvalPart, Part, Sampling, Scope, require_positive
from adaptbench.datamodules.choices import require_choice
from adaptbench.datamodules.class_task import PARTS, ClassDataModule, drawings_each, drawings_in_words
from adaptbench.datamodules.episodes import rng_for
from adaptbench.datamodules.glyph_alphabets import Alphabets, make_alphabets
from adaptbench.datamodules.glyph_drawings import draw_glyphs
from adaptbench.datamodules.glyph_strokes import SIZE, Glyphs, make_glyphs, states_of
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
        scope: "across" for characters that have nothing to do with each other; "within" if they form alphabets of 20 to
            50 that share a few sub-strokes and a pen, and an episode takes its characters from one.
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
        scope: Scope = "across",
        train_classes: int | None = None,
        images_per_class: int | None = None,
        train_images: int | None = None,
        unequal_shots: bool = False,
    ) -> None:
        super().__init__(sampling, unequal_shots=unequal_shots)
        require_choice("scope", scope, get_args(Scope))
        if train_classes is None:
            if scope == "within":
                raise ValueError("Expected argument `train_classes` to be given within alphabets but got None.")
            if train_images is not None:
                raise ValueError("Expected argument `train_classes` to be given with `train_images` but got None.")
            self.refuse_unlimited()
        else:
            require_positive(train_classes=train_classes)
            if train_classes > UNLIMITED:
                raise ValueError(f"Expected argument `train_classes` to be at most 2^40 but got {train_classes}.")
        self.scope, self.train_classes = scope, train_classes
        self._alphabets: dict[Part, Alphabets] = {}
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
        within = ["within alphabets"] if init_args.get("scope") == "within" else []
        return ", ".join(["generated characters", *within, *drawings_in_words(init_args)])

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
        """The scope unless it is "across", because there is one set of test characters in each."""
        return () if self.scope == "across" else (self.scope,)

    def groups(self, part: Part) -> np.ndarray | None:
        """The alphabet of each class of a part; None if there are none."""
        alphabets = self._alphabets_of(part)
        return None if alphabets is None else alphabets.of_class

    def gather(self, part: Part, classes: np.ndarray, drawings: np.ndarray) -> Tensor:
        """Generates the classes and draws them."""
        different, which = np.unique(classes, return_inverse=True)
        drawers = states_of(_key("drawings", part, self._seed_of(part)), classes, drawings)
        alphabets = self._alphabets_of(part)
        pens = None if alphabets is None else alphabets.pens[alphabets.of_class[classes]]
        return torch.from_numpy(draw_glyphs(self._made(part, different).at(which), drawers, pens))

    def guards(self) -> list[Finding]:
        """Also checks that the first classes of different parts have different strokes."""
        return [classes_apart({part: self._some_strokes(part) for part in PARTS}, self.class_word), *super().guards()]

    def _some_strokes(self, part: Part) -> list[str]:
        """Hashes the strokes of each of a part's first classes."""
        made = self._made(part, np.arange(min(self.class_count(part), self.guarded_classes)))
        return [hashlib.blake2b(controls.tobytes(), digest_size=8).hexdigest() for controls in made.controls]

    def _made(self, part: Part, classes: np.ndarray) -> Glyphs:
        """Makes classes of a part."""
        alphabets = self._alphabets_of(part)
        repertoires = None if alphabets is None else alphabets.repertoires[alphabets.of_class[classes]]
        key = _key("classes", part, self._seed_of(part), *(() if self.scope == "across" else (self.scope,)))
        return make_glyphs(key, _key("sub-strokes"), classes, repertoires)

    def _alphabets_of(self, part: Part) -> Alphabets | None:
        """The alphabets of a part; None if its characters have nothing to do with each other."""
        if self.scope == "across":
            return None
        if part not in self._alphabets:
            self._alphabets[part] = make_alphabets(_key("alphabets", part, self._seed_of(part)), self.class_count(part))
        return self._alphabets[part]

    def _seed_of(self, part: Part) -> int | None:
        """The seed of a part's characters; only those of training depend on it."""
        return self.seed if part == "train" else None


def _key(*parts: object) -> int:
    """Returns the 64-bit key that belongs to `parts`."""
    return int(rng_for("glyphs", *parts).integers(2**64, dtype=np.uint64))
