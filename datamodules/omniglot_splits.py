"""Splits of Omniglot's characters into training, validation and test, and nested subsets for training."""

import csv
import difflib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from adaptbench.datamodules.episodes import rng_for
from adaptbench.datamodules.omniglot_images import Character

Rows = npt.NDArray[np.int64]

SMALL1 = ("Balinese", "Early_Aramaic", "Greek", "Korean", "Latin")
SMALL2 = ("Greek", "Japanese_(katakana)", "Latin", "Sanskrit", "Tagalog")
RANDOM_SIZES = (1100, 100, 423)


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of the characters in each part of a split; no character is in two parts, or twice in one.

    Attributes:
        train: [C_train] int64.
        val: [C_val] int64.
        test: [C_test] int64.
    """

    train: Rows
    val: Rows
    test: Rows

    def __post_init__(self) -> None:
        """Raises ValueError for a character that is in the split more than once."""
        rows, counts = np.unique(np.concatenate([self.train, self.val, self.test]), return_counts=True)
        shared = rows[counts > 1]
        if len(shared):
            raise ValueError(
                "Expected arguments `train`, `val` and `test` to share no character "
                f"but {len(shared)} are in them more than once, row {shared[0]} among them."
            )


class _Line(NamedTuple):
    """A line of the table in `data/`: consecutive characters of an alphabet, with their part and Lake's set."""

    part: str
    lake_set: str
    alphabet: str
    characters: tuple[Character, ...]


def vinyals(characters: Sequence[Character]) -> Split:
    """The split of Vinyals et al. 2016 (arXiv 1606.04080): 1028, 172 and 423 characters.

    Its parts share no character, but one alphabet: Gurmukhi 1-41 are for training, 42-45 for test.

    Args:
        characters: (alphabet, character) of each row; all 1623 characters.

    Raises:
        ValueError: if `characters` are not the 1623 of the table.
    """
    return _split(characters, lambda line: line.part)


def vinyals_clean(characters: Sequence[Character]) -> Split:
    """The split of Vinyals et al. without Gurmukhi, which is in both training and test: 987, 172 and 419.

    Arguments and errors are those of `vinyals`.
    """
    alphabets: dict[str, set[str]] = {"train": set(), "val": set(), "test": set()}
    for line in _table(characters):
        alphabets[line.part].add(line.alphabet)
    shared = alphabets["train"] & alphabets["test"]
    return _split(characters, lambda line: None if line.alphabet in shared else line.part)


def lake(characters: Sequence[Character]) -> Split:
    """The background and evaluation sets of Lake et al. 2015 (Science 350:1332): 792, 172 and 659 characters.

    They have no validation set. Here it is the five background alphabets that Vinyals et al. validate on.

    Arguments and errors are those of `vinyals`.
    """
    return _split(characters, _lake_part)


def small1(characters: Sequence[Character]) -> Split:
    """Lake et al.'s first minimal set: five training alphabets and the evaluation set: 136, 150 and 659 characters.

    Validation alphabets are those of `lake` except Early Aramaic, which is for training.

    Arguments and errors are those of `vinyals`.
    """
    return _split(characters, lambda line: _minimal_part(line, SMALL1))


def small2(characters: Sequence[Character]) -> Split:
    """Lake et al.'s second minimal set: five training alphabets and the evaluation set: 156, 172 and 659 characters.

    Validation alphabets are those of `lake`.

    Arguments and errors are those of `vinyals`.
    """
    return _split(characters, lambda line: _minimal_part(line, SMALL2))


def random(characters: Sequence[Character], seed: int) -> Split:
    """Characters drawn at random from all alphabets, as in many papers after Vinyals et al.: 1100, 100 and 423.

    Published work trains on 1200 characters. Here 100 of them are for validation, so nothing is chosen on the test.

    Args:
        characters: (alphabet, character) of each row; all 1623 characters.
        seed: number of the split.

    Raises:
        ValueError: if there are not 1623 characters, or `seed` is not an integer.
    """
    if len(characters) != sum(RANDOM_SIZES):
        raise ValueError(f"Expected argument `characters` to be {sum(RANDOM_SIZES)} but got {len(characters)}.")
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise ValueError(f"Expected argument `split_seed` to be an integer but got {seed!r}.")
    by_name = sorted(range(len(characters)), key=lambda row: characters[row])
    order = np.array(by_name)[rng_for("random split", seed).permutation(len(characters))]
    train, val, test = np.split(order, np.cumsum(RANDOM_SIZES)[:2])
    return Split(np.sort(train), np.sort(val), np.sort(test))


def _lake_part(line: _Line) -> str:
    if line.lake_set == "evaluation":
        return "test"
    return "val" if line.part == "val" else "train"


def _minimal_part(line: _Line, alphabets: Collection[str]) -> str | None:
    if line.alphabet in alphabets:
        return "train"
    return None if (part := _lake_part(line)) == "train" else part


def _table(characters: Sequence[Character]) -> list[_Line]:
    """Reads the table in `data/`, and checks that it names exactly these characters."""
    table = resources.files("adaptbench.datamodules").joinpath("data", "vinyals_split.csv")
    lines = []
    with table.open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            numbers = range(int(line["first_character"]), int(line["last_character"]) + 1)
            named = tuple((line["alphabet"], f"character{number:02d}") for number in numbers)
            lines.append(_Line(line["part"], line["lake_set"], line["alphabet"], named))
    strange = set(characters).symmetric_difference(character for line in lines for character in line.characters)
    if strange:
        raise ValueError(
            "Expected argument `characters` to be the 1623 of the Vinyals split "
            f"but {len(strange)} are missing or unknown, {'/'.join(min(strange))} among them."
        )
    return lines


def _split(characters: Sequence[Character], part_of: Callable[[_Line], str | None]) -> Split:
    """Puts each line of the table into the part that `part_of` returns; None leaves the line out."""
    row = {character: index for index, character in enumerate(characters)}
    parts: dict[str | None, list[int]] = {"train": [], "val": [], "test": [], None: []}
    for line in _table(characters):
        parts[part_of(line)] += [row[character] for character in line.characters]
    return Split(*(np.array(sorted(parts[part])) for part in ("train", "val", "test")))


SPLITS: dict[str, Callable[[Sequence[Character]], Split]] = {
    "vinyals": vinyals,
    "vinyals_clean": vinyals_clean,
    "lake": lake,
    "small1": small1,
    "small2": small2,
}
DRAWN_SPLITS: dict[str, Callable[[Sequence[Character], int], Split]] = {
    "random": random,
}
CHARACTERS = {
    "vinyals": (1028, 172),
    "vinyals_clean": (987, 172),
    "random": RANDOM_SIZES[:2],
    "lake": (792, 172),
    "small1": (136, 150),
    "small2": (156, 172),
}
"""The numbers of training and of validation characters of each split."""
REMARKS: dict[str, tuple[str, ...]] = {
    "vinyals": ("One alphabet, Gurmukhi, is in both training and test.",),
    "vinyals_clean": ("The split of Vinyals et al. without Gurmukhi, which is in both its training and its test.",),
    "random": ("The same alphabets are in training and test.",),
}
"""Sentences that tables must carry about a split."""
VALIDATION_REMARKS: dict[str, tuple[str, ...]] = {
    "random": ("100 of the 1200 characters that published work trains on are for validation.",),
    "lake": ("25 of the 30 background alphabets are for training, the other five for validation.",),
    "small1": ("Five alphabets are for training, four other background alphabets for validation.",),
    "small2": ("Five alphabets are for training, five other background alphabets for validation.",),
}
"""Sentences that tables must carry about a split whose validation characters are not for training."""
JOINED_REMARK = "The validation characters are for training too; nothing was chosen with them in this training."
"""The sentence that tables carry where training has the validation characters."""
ALPHABETS_DISJOINT = frozenset({"vinyals_clean", "lake", "small1", "small2"})
"""The splits whose parts share no alphabet."""


def drawn_by_seed(name: str) -> bool:
    """Returns whether the split of that name is drawn at random, with a seed."""
    return name in DRAWN_SPLITS


def split_by_name(name: str, characters: Sequence[Character], seed: int = 0) -> Split:
    """Splits the characters by the function of that name in `SPLITS` or `DRAWN_SPLITS`.

    Args:
        name: the split's name.
        characters: (alphabet, character) of each row.
        seed: number of the split if it is drawn at random; otherwise 0.

    Raises:
        ValueError: if the name is unknown, the split does not fit the characters, or a fixed split gets a seed.
    """
    if drawn_by_seed(name):
        return DRAWN_SPLITS[name](characters, seed)
    if name not in SPLITS:
        nearest = " or ".join(map(repr, difflib.get_close_matches(name, [*SPLITS, *DRAWN_SPLITS], cutoff=0.0)))
        raise ValueError(f"Expected argument `split` to be a known split such as {nearest} but got {name!r}.")
    if seed != 0:
        raise ValueError(f"Expected argument `split_seed` to be 0 for split {name!r}, the only one, but got {seed!r}.")
    return SPLITS[name](characters)


def nested_subset(rows: Rows, n: int | None, seed: int) -> Rows:
    """Takes the first n of a permutation that depends only on the seed, so smaller subsets are part of larger ones.

    Args:
        rows: [C] the training characters.
        n: number of rows to take; None for all, in the order of the permutation.
        seed: decides the permutation.

    Raises:
        ValueError: if `n` is not from 1 to the number of rows.
    """
    _require_subset(rows, n)
    return rng_for("nested subset", seed).permutation(rows)[:n]


def nested_alphabets(rows: Rows, alphabets: Rows, n: int | None, seed: int) -> Rows:
    """Takes the first n of a permutation that goes alphabet by alphabet and depends only on the seed.

    Args:
        rows: [C] the training characters.
        alphabets: [C] number of each character's alphabet.
        n: number of rows to take; None for all, in the order of the permutation.
        seed: decides the permutation.

    Raises:
        ValueError: if `n` is not from 1 to the number of rows.
    """
    _require_subset(rows, n)
    rng = rng_for("nested alphabets", seed)
    order = rng.permutation(len(rows))
    rank = rng.permutation(int(alphabets.max()) + 1)
    return rows[order[np.argsort(rank[alphabets[order]], kind="stable")]][:n]


def _require_subset(rows: Rows, n: int | None) -> None:
    if n is not None and (not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= len(rows)):
        raise ValueError(f"Expected argument `train_classes` to be an integer from 1 to {len(rows)} but got {n!r}.")
