"""Which Omniglot characters are for training, validation and test, and nested subsets of the training characters."""

import csv
import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
import numpy.typing as npt

from datamodules.episodes import rng_for
from datamodules.omniglot_images import Character

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of the characters in each part of a split; no character stands in two parts, nor twice in one.

    Attributes:
        train: [C_train] int64.
        val: [C_val] int64.
        test: [C_test] int64.
    """

    train: Rows
    val: Rows
    test: Rows

    def __post_init__(self) -> None:
        """Refuses a split that leaks."""
        rows, counts = np.unique(np.concatenate([self.train, self.val, self.test]), return_counts=True)
        shared = rows[counts > 1]
        if len(shared):
            raise ValueError(
                "Expected arguments `train`, `val` and `test` to share no character "
                f"but {len(shared)} stand in them more than once, row {shared[0]} among them."
            )


def vinyals(characters: Sequence[Character]) -> Split:
    """The split of Vinyals et al. 2016 (arXiv 1606.04080): 1028, 172 and 423 characters.

    It is disjoint in characters but not in alphabets: Gurmukhi 1-41 are for training, 42-45 for test.

    Args:
        characters: (alphabet, character) of each row, all 1623 of them.

    Raises:
        ValueError: if `characters` are not those that the split names.
    """
    row = {character: index for index, character in enumerate(characters)}
    parts: dict[str, list[Character]] = {"train": [], "val": [], "test": []}
    table = resources.files("datamodules").joinpath("data", "vinyals_split.csv")
    with table.open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            numbers = range(int(line["first_character"]), int(line["last_character"]) + 1)
            parts[line["split"]] += [(line["alphabet"], f"character{number:02d}") for number in numbers]
    strange = set(row).symmetric_difference(character for part in parts.values() for character in part)
    if strange:
        raise ValueError(
            "Expected argument `characters` to be the 1623 of the Vinyals split "
            f"but {len(strange)} are missing or unknown, {'/'.join(min(strange))} among them."
        )
    return Split(**{name: np.array(sorted(row[character] for character in part)) for name, part in parts.items()})


SPLITS: dict[str, Callable[[Sequence[Character]], Split]] = {
    "vinyals": vinyals,
}


def split_by_name(name: str, characters: Sequence[Character]) -> Split:
    """Splits the characters by the rule of that name in `SPLITS`.

    Raises:
        ValueError: if there is no rule of that name, or it does not fit the characters.
    """
    if name not in SPLITS:
        nearest = " or ".join(map(repr, difflib.get_close_matches(name, SPLITS, cutoff=0.0)))
        raise ValueError(f"Expected argument `split` to be a known split such as {nearest} but got {name!r}.")
    return SPLITS[name](characters)


def nested_subset(rows: Rows, n: int | None, seed: int) -> Rows:
    """Takes the first n of a permutation that depends on the seed only, so that smaller subsets lie in larger ones.

    Args:
        rows: [C] the training characters.
        n: how many to take; None for all, in the order of the permutation.
        seed: decides the permutation.

    Raises:
        ValueError: if there are not as many rows.
    """
    if n is not None and (not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= len(rows)):
        raise ValueError(f"Expected argument `train_classes` to be an integer from 1 to {len(rows)} but got {n!r}.")
    return rng_for("nested subset", seed).permutation(rows)[:n]
