"""Numbers of things in words."""

from collections.abc import Sequence


def count_of(number: int, thing: str) -> str:
    """A number of things, such as "1 run" and "2 runs".

    Args:
        number: The number.
        thing: The thing in the singular; the plural ends in s.
    """
    return f"{number} {thing}{'' if number == 1 else 's'}"


def list_of(values: Sequence[object]) -> str:
    """Values with commas and an "and", such as "16, 32 and 64"."""
    *others, last = map(str, values)
    return f"{', '.join(others)} and {last}" if others else last
