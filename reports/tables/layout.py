"""The layout of a comparison table, before any markup: headers, rows, marks and notes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.results.settings import shots_label, size_label
from adaptbench.reports.words.numbers import (
    CHANCE_MARK,
    CHANCE_NOTE,
    caption,
    note,
    number,
)


@dataclass(frozen=True)
class TableCell:
    """The text of an entry, whether it is the best of its column, and the marks of its notes."""

    text: str
    bold: bool
    marks: tuple[str, ...]
    missing: bool = False


@dataclass(frozen=True)
class TableLayout:
    """A table as every markup shows it.

    Args:
        title: Task and protocol.
        caption: What the table shows.
        groups: The upper header: label and number of columns; empty where there is none.
        columns: The lower header.
        rows: For each learner its label and cells.
        notes: Mark and text.
        warnings: Why columns have no best entry.
        corner: The header of the first column.
        text_columns: Which columns hold text and not numbers, counted from 0 after the first.
    """

    title: str
    caption: str
    groups: tuple[tuple[str, int], ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[TableCell, ...]], ...]
    notes: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...] = ()
    corner: str = ""
    text_columns: tuple[int, ...] = ()


def lay_out(comparison: Comparison) -> TableLayout:
    """Lays a comparison out as a table of learners by (training classes x shots)."""
    entries = comparison.all_entries()
    texts = list(dict.fromkeys(text for entry in entries if (text := note(entry))))
    marks = {text: letter(index) for index, text in enumerate(texts)}
    chance = [(CHANCE_MARK, CHANCE_NOTE)] if any(_shows_chance(entry) for entry in entries) else []
    sizes = [size_label(setting, comparison.class_word) for setting in comparison.settings]
    with_ways = len({setting.ways for setting in comparison.settings}) > 1
    return TableLayout(
        title=f"{comparison.task} ({comparison.protocol})",
        caption=caption(comparison),
        groups=tuple((label, len(list(run))) for label, run in groupby(sizes)),
        columns=tuple(
            shots_label(setting, with_ways=with_ways, word=comparison.shots_word) for setting in comparison.settings
        ),
        rows=tuple((row[0].label, _cells(row, comparison.metric, marks)) for row in comparison.entries),
        notes=(*chance, *((mark, text) for text, mark in marks.items())),
        warnings=comparison.warnings,
    )


def _cells(row: Sequence[Entry], metric: str, marks: dict[str, str]) -> tuple[TableCell, ...]:
    return tuple(_cell(entry, metric, marks.get(note(entry))) for entry in row)


def _cell(entry: Entry, metric: str, mark: str | None) -> TableCell:
    chance = (CHANCE_MARK,) if _shows_chance(entry) else ()
    letters = () if mark is None else (mark,)
    if entry.interval is not None:
        return TableCell(number(entry.interval, metric), entry.best, (*chance, *letters))
    text = "—" if entry.status == "not planned" else entry.status
    return TableCell(text, False, letters, missing=True)


def _shows_chance(entry: Entry) -> bool:
    return entry.at_chance and entry.interval is not None


def letter(index: int) -> str:
    """a, b, ... z, aa, ab, ..."""
    before, last = divmod(index, 26)
    return (letter(before - 1) if before else "") + chr(ord("a") + last)


@dataclass(frozen=True)
class Sheet:
    """A table as every format writes it.

    Args:
        name: The stem of its files.
        layout: For Markdown, LaTeX, the page and the terminal.
        frame: For CSV and W&B, with numbers in their stored unit.
    """

    name: str
    layout: TableLayout
    frame: pd.DataFrame
