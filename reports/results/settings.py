"""Shots in words: they are counted, but a presentation of a stream is the n-th."""

from dataclasses import dataclass, field

ORDINAL_WORDS = ("presentation",)
"""What is named by its place in a row instead of by how many there are."""


def shots_phrase(shots: int, word: str) -> str:
    """Shots inside a sentence or a title, such as "5-shot" or "2nd presentation"."""
    return ordinal(shots, word) if word in ORDINAL_WORDS else f"{shots}-{word}"


def episode_phrase(ways: int | None, shots: int, word: str) -> str:
    """Ways and shots inside a sentence or a title, such as "5-way 1-shot"; regression has no ways."""
    phrase = shots_phrase(shots, word)
    return f"{ways}-way {phrase}" if ways else phrase


def shots_heading(shots: int, word: str) -> str:
    """Shots by themselves, such as "5 shots" or "2nd presentation"."""
    return ordinal(shots, word) if word in ORDINAL_WORDS else f"{shots} {plural(word, shots)}"


def ordinal(number: int, word: str) -> str:
    """A place in a row, such as "2nd presentation"."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending} {word}"


def plural(word: str, number: int) -> str:
    """A word in the singular or plural."""
    return word if number == 1 else f"{word}s"


@dataclass(frozen=True)
class Setting:
    """What a column of a table stands for.

    Args:
        train_classes: Training classes (or functions); None for unlimited.
        ways: Classes an episode; None in regression.
        shots: Support examples a class.
        class_word: What training classes are called, in the plural.
        shots_word: What a shot is called, in the singular.
    """

    train_classes: int | None
    ways: int | None
    shots: int
    class_word: str = field(default="classes", compare=False)
    shots_word: str = field(default="shot", compare=False)

    @property
    def order(self) -> tuple[float, int, int]:
        """A key that sorts settings: unlimited classes last."""
        size = float("inf") if self.train_classes is None else self.train_classes
        return size, self.ways or 0, self.shots


def describe(setting: Setting, class_word: str, shots_word: str = "shot") -> str:
    """A setting in words, such as "5-way 1-shot with 50 characters"."""
    size = "unlimited" if setting.train_classes is None else str(setting.train_classes)
    return f"{episode_phrase(setting.ways, setting.shots, shots_word)} with {size} {class_word}"


def size_label(setting: Setting, class_word: str) -> str:
    """The upper header of a column, such as "50 characters"."""
    return f"{'unlimited' if setting.train_classes is None else setting.train_classes} {class_word}"


def shots_label(setting: Setting, *, with_ways: bool, word: str = "shot") -> str:
    """The lower header of a column, such as "5 shots", or "20-way 5-shot" where ways differ between columns."""
    if with_ways and setting.ways is not None:
        return episode_phrase(setting.ways, setting.shots, word)
    return shots_heading(setting.shots, word)
