"""Settings: training classes, budget, ways and shots, and the words for them."""

import sys
from dataclasses import dataclass, field
from typing import Literal

Axis = Literal["classes", "examples", "shots", "ways"]
"""What a suite may vary: training classes, examples encoded in training, shots in the test, ways in the test."""
DOUBLED: tuple[Axis, ...] = ("classes", "examples", "shots")
"""What learners may gain from more of."""
ORDINAL_WORDS = ("presentation",)
"""Shots with these names are numbered ("2nd presentation") instead of counted ("2 shots")."""


@dataclass(frozen=True)
class Setting:
    """The setting of a test: one column of a table.

    Args:
        train_classes: Training classes (or functions); None for unlimited.
        ways: Classes per episode; None in regression.
        shots: Support examples per class.
        examples: Examples encoded in training, if they vary; otherwise None.
        class_word: The name of training classes, in the plural.
        shots_word: The name of a shot, in the singular.
    """

    train_classes: int | None
    ways: int | None
    shots: int
    examples: int | None = None
    class_word: str = field(default="classes", compare=False)
    shots_word: str = field(default="shot", compare=False)

    def __str__(self) -> str:
        """The whole setting, such as "5-way 1-shot with 50 characters"."""
        return f"{self.episode_phrase} with {self.size_label}"

    @property
    def order(self) -> tuple[float, int, int, int]:
        """A key that sorts settings: unlimited classes last."""
        size = float("inf") if self.train_classes is None else self.train_classes
        return size, self.examples or 0, self.ways or 0, self.shots

    @property
    def training(self) -> tuple[int | None, int | None]:
        """What is the same for all tests of a training: its classes and its budget."""
        return self.train_classes, self.examples

    def value(self, axis: Axis) -> int | None:
        """The value along an axis; None for unlimited classes, and for a budget that does not vary."""
        values = {"classes": self.train_classes, "examples": self.examples, "shots": self.shots, "ways": self.ways}
        return values[axis]

    def others(self, axis: Axis) -> tuple[int, ...]:
        """A key of settings that differ in one axis only."""
        size = sys.maxsize if self.train_classes is None else self.train_classes
        values = {"classes": size, "examples": self.examples or 0, "ways": self.ways or 0, "shots": self.shots}
        return tuple(value for name, value in values.items() if name != axis)

    def beside(self, axis: Axis, episode: str = "") -> str:
        """Everything but one axis, such as "5-way 1-shot, 1028 characters" for the budget.

        Args:
            axis: What is left out.
            episode: Ways and shots in words; by default those of a sentence or a title.
        """
        if axis == "shots":
            return self.ways_and_size
        if axis == "ways":
            return f"{self.shots_label}, {self.size_label}"
        other = self.classes_label if axis == "examples" else self._budget
        return ", ".join(part for part in (episode or self.episode_phrase, other) if part)

    @property
    def size(self) -> str:
        """The number of training classes, such as "50" or "unlimited"."""
        return "unlimited" if self.train_classes is None else str(self.train_classes)

    @property
    def classes_label(self) -> str:
        """The training classes, such as "50 characters"."""
        return f"{self.size} {self.class_word}"

    @property
    def size_label(self) -> str:
        """The training classes, such as "50 characters", and the budget if it varies."""
        return ", ".join(part for part in (self.classes_label, self._budget) if part)

    @property
    def training_label(self) -> str:
        """The training, such as "50 training characters", and the budget if it varies."""
        return ", ".join(part for part in (f"{self.size} training {self.class_word}", self._budget) if part)

    @property
    def shots_phrase(self) -> str:
        """The shots inside a sentence or a title, such as "5-shot" or "2nd presentation"."""
        return self._ordinal if self.shots_word in ORDINAL_WORDS else f"{self.shots}-{self.shots_word}"

    @property
    def shots_label(self) -> str:
        """The shots by themselves, such as "5 shots" or "2nd presentation"."""
        if self.shots_word in ORDINAL_WORDS:
            return self._ordinal
        return f"{self.shots} {self.shots_word if self.shots == 1 else self.shots_plural}"

    @property
    def shots_plural(self) -> str:
        """The name of several shots."""
        return f"{self.shots_word}s"

    @property
    def episode_phrase(self) -> str:
        """Ways and shots, such as "5-way 1-shot"; without ways in regression."""
        return self.shots_phrase if self.ways is None else f"{self.ways}-way {self.shots_phrase}"

    @property
    def episode_label(self) -> str:
        """Ways and shots by themselves, such as "5-way 1-shot"; "5 shots" in regression."""
        return self.shots_label if self.ways is None else self.episode_phrase

    @property
    def ways_and_size(self) -> str:
        """Ways and training classes, such as "5-way, 50 characters"; without ways in regression."""
        return self.size_label if self.ways is None else f"{self.ways}-way, {self.size_label}"

    @property
    def _budget(self) -> str:
        """The budget, such as "51,200 examples", if it varies."""
        return "" if self.examples is None else f"{self.examples:,} examples"

    @property
    def _ordinal(self) -> str:
        """The place in a sequence, such as "2nd presentation"."""
        teens = self.shots % 100 in (11, 12, 13)
        ending = "th" if teens else {1: "st", 2: "nd", 3: "rd"}.get(self.shots % 10, "th")
        return f"{self.shots}{ending} {self.shots_word}"
