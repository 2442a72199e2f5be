"""`--only KEY=VALUE`: the cells that a command is about."""

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import TypeVar

from adaptbench.reports.errors import ReportError

T = TypeVar("T")
Only = Mapping[str, Sequence[str]]
"""The values of which a cell must have one, by key."""

KEYS = ("task", "protocol", "learner", "family", "seed", "train_classes", "run_id", "ways", "examples")
"""What is known of every cell."""
MOST_LETTERS = 200
"""Letters of the known names that a suggestion lists."""
UNLIMITED = "unlimited"
"""What tables call training classes (or functions) without an end, for which a cell has None."""


def parse_only(pairs: Iterable[str], more_keys: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """Reads `KEY=VALUE` pairs; pairs of the same key mean either value.

    Args:
        pairs: The pairs.
        more_keys: Keys that are known besides `KEYS`.

    Raises:
        ReportError: One has no `=` or an unknown key.
    """
    found: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ReportError(f"Expected `--only` to be KEY=VALUE but got `{pair}`.")
        if key not in (known := (*KEYS, *more_keys)):
            raise ReportError(f"Expected a key of `--only` but got `{key}`. {suggest(key, known)}")
        found[key] = (*found.get(key, ()), value)
    return found


def select(cells: Iterable[T], only: Only, values: Callable[[T, str], Collection[object]], where: str) -> list[T]:
    """Lists the cells that have one of the wanted values of every key; case does not matter.

    A value may name several with commas between them, unless a cell has it as a whole.

    Args:
        cells: The cells.
        only: The wanted values.
        values: Gives the values that a cell has of a key.
        where: What the cells are of, for errors.

    Raises:
        ReportError: No cell has one of the values, or none has all of them together.
    """
    everything = list(cells)
    kept = everything
    for key, wanted in only.items():
        found = [word(key, value) for cell in everything for value in values(cell, key)]
        there = {each.lower(): each for each in found}
        names = set[str]()
        for value in wanted:
            parts = [value] if value.lower() in there else [part.strip() for part in value.split(",")]
            for part in parts:
                name = word(key, part).lower()
                if name not in there:
                    raise ReportError(f"No cell of {where} has {key}={part}. {suggest(part, there.values())}")
                names.add(name)
        kept = [cell for cell in kept if any(word(key, value).lower() in names for value in values(cell, key))]
    if not kept:
        said = " and ".join(f"{key}={','.join(wanted)}" for key, wanted in only.items())
        raise ReportError(f"No cell of {where} has {said}.")
    return kept


def word(key: str, value: object) -> str:
    """What a value of a key is called: unlimited training classes, for which cells have None, as they are in tables."""
    text = str(value)
    return UNLIMITED if key == "train_classes" and text.lower() == "none" else text


def suggest(name: str, known: Iterable[object]) -> str:
    """Suggests the known name that is nearest to a wrong one, or lists all known names."""
    names = sorted(map(str, known), key=lambda each: (not each.isdecimal(), int(each) if each.isdecimal() else 0, each))
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"Did you mean `{near[0]}`?"
    shown = [each for each, end in zip(names, accumulate(map(len, names)), strict=True) if end <= MOST_LETTERS]
    more = [f"and {len(names) - len(shown)} more"] if len(names) > len(shown) else []
    return f"Known: {', '.join([*shown, *more]) or 'none'}."
