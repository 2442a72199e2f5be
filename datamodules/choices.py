"""Arguments that take one of a few values."""

from collections.abc import Collection


def require_choice(argument: str, value: object, choices: Collection[object]) -> None:
    """Raises ValueError if an argument has none of its values."""
    if value not in choices:
        *others, last = map(repr, choices)
        raise ValueError(f"Expected argument `{argument}` to be {', '.join(others)} or {last} but got {value!r}.")
