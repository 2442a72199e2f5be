"""A table: headers, rows and notes for readers before any markup, and a frame with the same numbers for programs."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pandas as pd

from adaptbench.reports.results.manifest import Cell
from adaptbench.reports.results.settings import Setting

T = TypeVar("T")

WHOLE = (
    "ways", "shots", "queries", "train_classes", "examples", "seeds", "planned_seeds", "episodes", "support",
    "no_gain_shown_from",
)  # fmt: skip
"""Columns of integers that may be absent, as ways in regression and unlimited classes are: empty fields in the CSV."""
RARE = ("examples",)
"""Columns that a frame has only if some row has a value there."""


@dataclass(frozen=True)
class TableCell:
    """A cell for readers.

    Args:
        text: The text.
        bold: Whether it stands out.
        marks: The marks of its notes.
        missing: Whether the text stands for a missing value.
        ends: The ends of the number's interval, such as "[92.6, 94.1]"; empty if it has none.
        cite: The key of the publication that the number is from, in `published.bib`; empty if it is ours.
    """

    text: str
    bold: bool = False
    marks: tuple[str, ...] = ()
    missing: bool = False
    ends: str = ""
    cite: str = ""


ABSENT = TableCell("—", missing=True)


@dataclass(frozen=True)
class Table:
    """A table in every form that is written.

    Args:
        name: The stem of its files.
        title: The title: task and protocol.
        caption: The caption.
        frame: The numbers in their stored unit, for CSV and W&B.
        columns: The lower header.
        rows: The label and cells of each row.
        groups: The upper header: labels and numbers of columns; empty if there is none.
        notes: Marks and texts of the notes.
        warnings: Why columns have no best entry.
        corner: The header of the first column.
        text_columns: The columns of text instead of numbers, counted from 0 after the first.
        sections: A heading for each row, which stands above the rows that share it; none if empty.
    """

    name: str
    title: str
    caption: str
    frame: pd.DataFrame
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[TableCell, ...]], ...]
    groups: tuple[tuple[str, int], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    corner: str = ""
    text_columns: tuple[int, ...] = ()
    sections: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column(Generic[T]):
    """A column of a frame, which readers see too if it has a heading.

    Args:
        key: The name in the frame.
        value: Takes the value from the source of a row.
        heading: The header for readers; empty if they do not see the column.
        text: The text of a value for readers: a format, or a function.
    """

    key: str
    value: Callable[[T], object]
    heading: str = ""
    text: str | Callable[[Any], str] = ""

    def cell(self, source: T) -> TableCell:
        """The cell for readers."""
        value = self.value(source)
        if callable(self.text):
            return TableCell(self.text(value))
        return ABSENT if value is None else TableCell(format(value, self.text))


def frame_of(columns: Sequence[Column[T]], sources: Iterable[T]) -> pd.DataFrame:
    """A frame with a row for each source."""
    rows = [{column.key: column.value(source) for column in columns} for source in sources]
    frame = pd.DataFrame(rows, columns=[column.key for column in columns])
    frame = frame.drop(columns=[name for name in RARE if name in frame and frame[name].isna().all()])
    return frame.astype({name: "Int64" for name in WHOLE if name in frame})


def headings_of(columns: Sequence[Column[T]]) -> tuple[str, ...]:
    """The headers of the columns that readers see."""
    return tuple(column.heading for column in columns if column.heading)


def cells_of(columns: Sequence[Column[T]], source: T) -> tuple[TableCell, ...]:
    """The cells of a row that readers see."""
    return tuple(column.cell(source) for column in columns if column.heading)


def setting_columns(setting: Callable[[T], Setting]) -> tuple[Column[T], ...]:
    """The columns of a setting's numbers."""
    return (
        Column("train_classes", lambda source: setting(source).train_classes),
        Column("ways", lambda source: setting(source).ways),
        Column("shots", lambda source: setting(source).shots),
        Column("examples", lambda source: setting(source).examples),
    )


def training_labels(cells: Sequence[Cell]) -> tuple[str, ...]:
    """The label of the learner of each cell; with its training classes and budget if these are not the same for all."""
    several = len({cell.settings[0].training for cell in cells}) > 1
    return tuple(f"{cell.label}, {cell.settings[0].size_label}" if several else cell.label for cell in cells)


def letter(index: int) -> str:
    """The mark of a note: a, b, ... z, aa, ab, ..."""
    before, last = divmod(index, 26)
    return (letter(before - 1) if before else "") + chr(ord("a") + last)
