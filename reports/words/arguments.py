"""Arguments of a learner or strategy, in words, and how they differ from those of another."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from adaptbench.reports.comparison.comparison import Entry
from adaptbench.reports.format import visible

NO_RULES = ("episodes_at_once",)
"""Arguments of strategies that change no result."""


def in_words(arguments: Mapping[str, Any]) -> str:
    """The arguments with their values, such as "moves head, lr 0.01"; without those that change no result."""
    shown = {visible(key): value for key, value in arguments.items() if key not in NO_RULES}
    return ", ".join(f"{key} {value_in_words(value)}" for key, value in shown.items())


def value_in_words(value: Any) -> str:  # noqa: ANN401 - JSON of any kind
    """A short form of a value: alternatives with `or`, nested arguments in brackets."""
    if isinstance(value, Mapping):
        return f"({in_words(value)})"
    if isinstance(value, list):
        return " or ".join(map(value_in_words, value))
    return visible(value) if isinstance(value, str) else json.dumps(value)


def rule_of(row: Sequence[Entry], first: Sequence[Entry]) -> str:
    """The arguments of a row's component that differ from those of the first row, in words; empty if unknown."""
    name, arguments = _component(row)
    base_name, base = _component(first)
    if row is first or name != base_name:
        return f"{name}{': ' if arguments else ''}{in_words(arguments)}"
    changed = {key: value for key, value in arguments.items() if base.get(key) != value and key not in NO_RULES}
    dropped = {key: "as usual" for key in base if key not in arguments}
    return in_words(changed | dropped)


def _component(row: Sequence[Entry]) -> tuple[str, Mapping[str, Any]]:
    for run in (run for entry in row for run in entry.runs):
        if run.component:
            return run.component.name, run.component.init_args
    return "", {}
