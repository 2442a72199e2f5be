"""Omniglot: few-shot classification of handwritten characters."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from adaptbench.datamodules.augmentation import jitter
from adaptbench.datamodules.base import UNSEEN, EvalPart, Part, Sampling, Scope
from adaptbench.datamodules.choices import require_choice
from adaptbench.datamodules.class_task import PARTS, ClassDataModule, drawings_each, drawings_in_words
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize, rng_for, sample_distinct
from adaptbench.datamodules.guards import Finding, alphabets_apart, classes_apart
from adaptbench.datamodules.omniglot_archives import OFFICIAL, Archive
from adaptbench.datamodules.omniglot_images import load_images
from adaptbench.datamodules.omniglot_near_duplicates import expected_near_duplicates
from adaptbench.datamodules.omniglot_splits import (
    ALPHABETS_DISJOINT,
    CHARACTERS,
    JOINED_REMARK,
    REMARKS,
    VALIDATION_REMARKS,
    drawn_by_seed,
    nested_alphabets,
    nested_subset,
    split_by_name,
)

Rotations = Literal["none", "train", "all"]
Drawers = Literal["mixed", "apart"]
LearnFrom = Literal["train", "train_and_val"]
TWINS = 1
"""Images of 28 x 28 pixels that stand twice in one class: drawings 3 and 19 of Braille/character01."""
ROTATIONS = {"none": "no rotations", "train": "rotations in training", "all": "rotations in training and test"}


class OmniglotDataModule(ClassDataModule):
    """Omniglot of Lake et al. 2015 (Science 350:1332) in the episodes of Vinyals et al. 2016 (arXiv 1606.04080).

    Args:
        sampling: the episodes to draw.
        split: name of the split into training, validation and test characters.
        split_seed: number of the split if the split is drawn at random ("random"); otherwise 0.
        scope: "across" if an episode takes its characters from any alphabet; "within" if it takes them from one, which
            is about twice as hard. Episodes within one leave out alphabets with fewer characters than ways.
        rotations: the parts in which a character turned by 90, 180 and 270 degrees counts as three more classes:
            "none", "train" or "all". Published work differs in this, so protocols name it.
        train_classes: number of training characters to learn from (before rotations); None for all. Smaller sets are
            subsets of larger ones with the same seed. With `scope="within"` they fill one alphabet after the other.
        images_per_class: number of drawings of each training character to learn from; None for all. Smaller sets are
            subsets here too.
        train_images: number of drawings of all training characters together, in equal shares; None for all.
        unequal_shots: whether the characters of an episode have 1 to 2 K - 1 shots, K on average, in training and test.
        drawers: "apart" if one person drew all support images of a validation or test episode and another one its
            queries, as in Lake's one-shot runs: within alphabets, with 1 shot and 1 query. "mixed" if anybody did.
        learn_from: "train", or "train_and_val" for a final training on both parts after everything was chosen with
            validation apart. There is then no validation part, and the last model is tested.
        augment: whether each training image is turned, scaled, sheared and shifted a little at random.
        image_size: height and width of the images in pixels.
        archives: the image archives; change them to use another data set in the same layout.

    Raises:
        ValueError: if an argument is wrong, or the episodes do not fit into the parts of the split.
        DataUnavailable: if the images are missing and cannot be downloaded.
    """

    task_name: ClassVar[str] = "omniglot"
    class_word: ClassVar[str] = "characters"
    size_argument: ClassVar[str] = "train_classes"

    def __init__(
        self,
        sampling: Sampling,
        *,
        split: str = "vinyals",
        split_seed: int = 0,
        scope: Scope = "across",
        rotations: Rotations = "train",
        train_classes: int | None = None,
        images_per_class: int | None = None,
        train_images: int | None = None,
        unequal_shots: bool = False,
        drawers: Drawers = "mixed",
        learn_from: LearnFrom = "train",
        augment: bool = False,
        image_size: int = 28,
        archives: Sequence[Archive] = OFFICIAL,
    ) -> None:
        super().__init__(sampling, unequal_shots=unequal_shots)
        seed = sampling.seed
        require_choice("rotations", rotations, get_args(Rotations))
        require_choice("scope", scope, get_args(Scope))
        require_choice("learn_from", learn_from, get_args(LearnFrom))
        require_choice("drawers", drawers, get_args(Drawers))
        if drawers == "apart" and self.stream:
            raise ValueError(f"Expected argument `drawers` to be 'mixed' for the streams of {self.task_name}.")
        alone = scope == "within" and sampling.test.on == UNSEEN
        if drawers == "apart" and not (alone and all((k, q) == (1, 1) for _, k, q in sampling.test.sizes)):
            raise ValueError(
                "Expected argument `drawers` to be 'mixed' unless the test is on unseen characters within alphabets, "
                "with 1 shot and 1 query."
            )
        self.drawers = drawers
        self.images, self.usual_archives = load_images(image_size, archives), archives is OFFICIAL
        self.split, self.split_seed, self.scope = split, split_seed, scope
        self.rotations, self.augment, self.image_size = rotations, augment, image_size
        parts = split_by_name(split, self.images.characters, split_seed)
        joined = learn_from == "train_and_val"
        trained, val = (np.concatenate([parts.train, parts.val]), parts.val[:0]) if joined else (parts.train, parts.val)
        names, numbers = np.unique([alphabet for alphabet, _ in self.images.characters], return_inverse=True)
        self.alphabet_names, self.alphabets = tuple(map(str, names)), numbers  # [C] int64, the alphabet of each row
        if scope == "across":
            chosen = nested_subset(trained, train_classes, seed)
        else:
            chosen = nested_alphabets(trained, self.alphabets[trained], train_classes, seed)
        self.characters = {"train": chosen, "val": val, "test": parts.test}
        available = int(self.images.pixels.shape[1])
        self._kept = drawings_each(len(chosen), images_per_class, train_images, available)
        order = np.tile(np.arange(available), (len(self.images.characters), 1))
        self._drawing_order = (  # [C, N]: training takes the first ones, so smaller sets are subsets of larger ones
            order if self._kept == available else rng_for("nested drawings", seed).permuted(order, axis=1)
        )
        self.require_episodes_fit()

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Height and width of an image."""
        return (self.image_size, self.image_size)

    @classmethod
    def protocol(cls, init_args: Mapping[str, Any]) -> str:
        """Describes split, rotations and, where they are not the default, what else decides training and test."""
        split, rotations = init_args.get("split", "vinyals"), init_args.get("rotations", "train")
        words = [f"{split} (seed {init_args.get('split_seed', 0)})" if drawn_by_seed(split) else split]
        words += [] if cls.validates(init_args) else ["trained on validation too"]
        words += ["within alphabets"] if init_args.get("scope") == "within" else []
        words += ["one drawer a side"] if init_args.get("drawers") == "apart" else []
        augmented = ["augmented"] if init_args.get("augment") else []
        return ", ".join([*words, ROTATIONS.get(rotations, rotations), *drawings_in_words(init_args), *augmented])

    @classmethod
    def remarks(cls, init_args: Mapping[str, Any]) -> tuple[str, ...]:
        """The scope, and what a reader must know about the split."""
        within = init_args.get("scope") == "within"
        scope = "one alphabet; alphabets with fewer characters than ways are left out" if within else "any alphabet"
        split = init_args.get("split", "vinyals")
        apart = VALIDATION_REMARKS.get(split, ()) if cls.validates(init_args) else (JOINED_REMARK,)
        return (f"An episode takes its characters from {scope}.", *REMARKS.get(split, ()), *apart)

    @classmethod
    def validates(cls, init_args: Mapping[str, Any]) -> bool:
        """Whether validation characters are kept apart."""
        return init_args.get("learn_from", "train") == "train"

    @classmethod
    def training_classes(cls, init_args: Mapping[str, Any]) -> int | None:
        """The number of training characters asked for, or all of the split."""
        asked = super().training_classes(init_args)
        split = init_args.get("split", "vinyals")
        if asked is not None or split not in CHARACTERS:
            return asked
        train, val = CHARACTERS[split]
        return train if cls.validates(init_args) else train + val

    @property
    def pretraining_groups(self) -> tuple[int, ...]:
        """The alphabet of each training class, numbered from 0; a turned character keeps its alphabet."""
        alphabets = np.repeat(self.alphabets[self.characters["train"]], self._turns("train"))
        return tuple(map(int, np.unique(alphabets, return_inverse=True)[1]))

    @property
    def data_digest(self) -> str:
        """A digest of the archives' contents and the image size."""
        return self.images.digest

    @property
    def known_twins(self) -> int | None:
        """One image at the usual size, and its turns where they are classes; not known otherwise."""
        usual = self.usual_archives and self.image_size == 28
        return TWINS * self._turns("train") if usual else None

    @property
    def known_near_duplicates(self) -> int | None:
        """As many as the drawings that are seen and tested have at the usual size, in each turn of the test."""
        if not (self.usual_archives and self.image_size == 28):
            return None
        seen = {int(row): frozenset(range(self.drawing_count("val"))) for row in self.characters["val"]}
        seen |= {int(row): self._drawing_order[row, : self._kept].tolist() for row in self.characters["train"]}
        known = expected_near_duplicates(self.images.characters, self.characters["test"], seen)
        return known * self._turns("test")

    @property
    def training_turned(self) -> bool:
        """Whether rotations are classes of training."""
        return self._turns("train") > 1

    @property
    def training_changed(self) -> bool:
        """Whether images are augmented."""
        return self.augment

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that have characters; no validation if training has its characters."""
        return tuple(part for part in PARTS if len(self.characters[part]))

    def val_dataloader(self) -> Any:  # noqa: ANN401 - Lightning takes one loader or a list
        """The validation episodes; none if training has their characters."""
        return super().val_dataloader() if "val" in self.parts else []

    def class_count(self, part: Part) -> int:
        """The number of characters of a part, rotated ones included."""
        return len(self.characters[part]) * self._turns(part)

    def drawing_count(self, part: Part) -> int:
        """The number of drawings of each character; in training, of those to learn from."""
        return self._kept if part == "train" else int(self.images.pixels.shape[1])

    def seen_classes(self) -> np.ndarray:
        """Training characters, turned where those of the test are turned too; at most as many as the test has."""
        step = self._turns("train") // self._turns("test")
        return np.arange(0, self.class_count("train"), step)[: self.class_count("test")]

    def groups(self, part: Part) -> np.ndarray | None:
        """The alphabet of each class of a part; None if episodes go across alphabets."""
        if self.scope == "across":
            return None
        return np.repeat(self.alphabets[self.characters[part]], self._turns(part))

    def protocol_key(self, part: EvalPart) -> tuple[object, ...]:
        """The split and its seed, scope and drawers unless they are the usual ones, and the number of turns."""
        seed = (self.split_seed,) if drawn_by_seed(self.split) else ()
        ways = [word for word in (self.scope, self.drawers) if word not in ("across", "mixed")]
        return (self.split, *seed, *ways, self._turns(part))

    def eval_batch(self, part: EvalPart, size: EpisodeSize, episodes: int) -> EpisodeBatch:
        """Draws episodes, all support images of each by one person and all queries by another if drawers are apart.

        Drawing n of every character of an alphabet is by the same person.
        """
        batch = super().eval_batch(part, size, episodes)
        if self.drawers == "mixed":
            return batch
        people = int(self.images.pixels.shape[1])
        rng = rng_for(self.task_name, "drawers", *self.protocol_key(part), part, size, episodes)
        pair = torch.from_numpy(sample_distinct(rng, episodes, people, 2))
        support, query = (rows // people * people + pair[:, [side]] for side, rows in enumerate(batch[1:4:2]))
        return batch._replace(support=support, query=query)

    def gather(self, part: Part, classes: np.ndarray, drawings: np.ndarray) -> Tensor:
        """Returns drawings of classes; class c is character c // turns, turned c % turns times."""
        turns = self._turns(part)
        rows = self.characters[part][classes // turns]
        images = self.images.pixels[rows, self._drawing_order[rows, drawings] if part == "train" else drawings]
        for turn in range(1, turns):
            turned = classes % turns == turn
            images[turned] = np.rot90(images[turned], turn, axes=(1, 2))
        return torch.from_numpy(images)

    def training_images(self, rng: np.random.Generator, classes: np.ndarray, drawings: np.ndarray) -> Tensor:
        """Returns training drawings, augmented if `augment` is set."""
        images = super().training_images(rng, classes, drawings)
        return jitter(images, rng) if self.augment else images

    def class_identities(self, part: Part) -> list[str]:
        """Alphabet and character, such as "Greek/character01"."""
        return ["/".join(self.images.characters[row]) for row in self.characters[part]]

    def guards(self) -> list[Finding]:
        """Also checks that parts share no character and, unless the split allows it, no alphabet."""
        names: dict[str, list[str]] = {part: self.class_identities(part) for part in self.parts}
        alphabets = {part: {name.partition("/")[0] for name in found} for part, found in names.items()}
        apart = alphabets_apart(alphabets, allowed=self.split not in ALPHABETS_DISJOINT)
        return [classes_apart(names, self.class_word), apart, *super().guards()]

    def _turns(self, part: Part | EvalPart) -> int:
        return 4 if self.rotations == "all" or (self.rotations == "train" and part == "train") else 1
