"""Drawings of Omniglot that almost equal a drawing of another character, and how many of them a split has to have."""

import csv
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt

from adaptbench.datamodules.near_duplicates import ink_of, near_pairs
from adaptbench.datamodules.omniglot_images import Character, OmniglotImages

Drawing = tuple[Character, int]


def expected_near_duplicates(
    characters: Sequence[Character], tested: Sequence[int] | npt.NDArray[np.int64], seen: Mapping[int, Collection[int]]
) -> int:
    """Counts the drawings of test characters that almost equal one of a seen character, by the table in `data/`.

    Args:
        characters: (alphabet, character) of each row.
        tested: rows of the test.
        seen: rows of training and validation, each with the numbers of its drawings there, from 0.
    """
    rows = {character: row for row, character in enumerate(characters)}
    test = set(map(int, tested))
    found = {
        (rows[character], drawing)
        for (character, drawing), (other, other_drawing) in known_pairs()
        if rows.get(character) in test and other_drawing in seen.get(rows.get(other, -1), ())
    }
    return len(found)


def find_pairs(images: OmniglotImages) -> list[tuple[Drawing, Drawing]]:
    """Finds all pairs of near-duplicates of two characters, in all turns: the content of the table in `data/`."""
    pixels = np.asarray(images.pixels).reshape(-1, *images.pixels.shape[2:])
    turned = [ink_of(np.rot90(pixels, turn, axes=(1, 2))) for turn in range(4)]
    rows, others = near_pairs(turned[0], turned, pixels.shape[1:])
    drawings = images.pixels.shape[1]
    numbers = {(one, other) for one, other in zip(rows.tolist(), others.tolist(), strict=True) if one < other}
    return [
        (_drawing(images, one, drawings), _drawing(images, other, drawings))
        for one, other in sorted(numbers)
        if one // drawings != other // drawings
    ]


def _drawing(images: OmniglotImages, number: int, drawings: int) -> Drawing:
    return images.characters[number // drawings], number % drawings


@cache
def known_pairs() -> tuple[tuple[Drawing, Drawing], ...]:
    """The pairs of the table, each in both orders; its drawings are numbered from 1, as in the file names."""
    table = resources.files("adaptbench.datamodules").joinpath("data", "near_duplicates.csv")
    found = []
    with table.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            one = ((row["alphabet"], row["character"]), int(row["drawing"]) - 1)
            other = ((row["other_alphabet"], row["other_character"]), int(row["other_drawing"]) - 1)
            found += [(one, other), (other, one)]
    return tuple(found)
