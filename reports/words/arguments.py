"""Arguments of a learner or strategy, in words."""

import json
from collections.abc import Mapping
from typing import Any

NO_RULES = ("episodes_at_once",)
"""Arguments of strategies that change no result."""


def in_words(arguments: Mapping[str, Any]) -> str:
    """The arguments with their values, such as "moves head, lr 0.01"; without those that change no result."""
    return ", ".join(f"{key} {value_in_words(value)}" for key, value in arguments.items() if key not in NO_RULES)


def value_in_words(value: Any) -> str:  # noqa: ANN401 - JSON of any kind
    """A short form of a value: alternatives with `or`, nested arguments in brackets."""
    if isinstance(value, Mapping):
        return f"({in_words(value)})"
    if isinstance(value, list):
        return " or ".join(map(value_in_words, value))
    return value if isinstance(value, str) else json.dumps(value)
