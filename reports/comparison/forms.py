"""The forms of learners: those that depart from another one, and from which budget on a form learns."""

from collections.abc import Sequence
from dataclasses import replace

from adaptbench.reports.comparison.comparison import Comparison, Entry

Row = Sequence[Entry]


def form_groups(comparison: Comparison) -> tuple[Comparison, ...]:
    """A comparison for each learner from which others depart: its row first, then theirs."""
    rows = {row[0].learner: row for row in comparison.entries}
    groups: dict[str, list[tuple[Entry, ...]]] = {}
    for row in comparison.entries:
        if (base := row[0].departs_from) in rows:
            groups.setdefault(base, [rows[base]]).append(row)
    return tuple(replace(comparison, entries=tuple(group)) for group in groups.values())


def learns_from(row: Row, column: int) -> str:
    """The smallest budget from which on no seed is at chance, in words, with all else as in a column.

    Args:
        row: The entries of a learner.
        column: The column.
    """
    same = row[column].setting.others("examples")
    entries = [entry for entry in row if entry.setting.others("examples") == same]
    first = ""
    for entry in reversed(entries):
        if entry.interval is None:
            if first:
                return first
            continue  # a larger budget than the form was run with
        if entry.at_chance:
            return first or "never"
        first = "the start" if entry.setting.examples is None else f"{entry.setting.examples:,}"
    return first
