"""How wide a table is in LaTeX, and how a table is made to fit: texts below it, then panels."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

from adaptbench.reports.tables.table import Table, TableCell, letter

TEXT_WIDTH = 345.0
"""The width of the text of a one-column article in points."""
GAP = 8.0
"""Points between two columns."""
NARROW_LABEL, LABEL = 75.0, 110.0
"""Widths in points to which labels of rows are broken: at least, so that a table fits, and in one of several panels."""
POWER = 7.0
"""Points by which a power of ten is wider than its letters, as in 1e-5."""
MINUS, WIDER = re.compile(r"(?<![\w-])-(?=\.?\d)"), 4.4
"""A minus, and the points by which it is wider than a hyphen."""
CITATION = 25.0
"""The width of a citation by number in points."""
LONGEST_TEXT = 24
"""The longest text of a cell; longer ones stand below the table."""
BOLD, SMALL, RAISED = 1.16, 0.85, 0.8
"""Widths of letters in bold, in the ends of intervals and in marks, as shares of the normal ones."""
_WIDTHS = {
    letter: width
    for width, letters in (
        (2.8, ".,:;'!il[]|_`"), (3.4, " -"), (3.95, "fjIrst()"), (4.5, "ceaz?"), (5.0, "0123456789/*\\^{}~$\"\u2013"),
        (7.9, "ABCDEFGHKLNOPQRSTUVXYZw&+=±≈<>"), (10.3, "mMW%#@—…"),
    )
    for letter in letters
}  # fmt: skip
"""Widths of letters of Computer Modern at 10 points; those that are not here have at most `USUAL_WIDTH`."""
USUAL_WIDTH, UNKNOWN_WIDTH = 5.6, 42.0


def texts_below(table: Table) -> Table:
    """Puts long texts, and those right of numbers, into notes, whose marks stand at the first number of their row.

    A text of all rows needs no mark.
    """
    leading = _leading(table)
    below = [
        index
        for index in table.text_columns
        if index not in leading or any(len(cells[index].text) > LONGEST_TEXT for _, cells in table.rows)
    ]
    if not below:
        return table
    texts = {index: {cells[index].text for _, cells in table.rows} for index in below}
    shared = [index for index in below if len(texts[index]) == 1]
    own = [index for index in below if index not in shared]
    found = [_in_words(table, own, cells) for _, cells in table.rows]
    before = sum(mark.isalpha() for mark, _ in table.notes)
    marks = {text: (letter(before + number),) for number, text in enumerate(dict.fromkeys(filter(None, found)))}
    kept = [index for index in range(len(table.columns)) if index not in below] or below[:1]
    marked = next((index for index in kept if index not in leading), kept[0])
    rows = tuple(
        (label, tuple(_with_marks(c, marks.get(text, ())) if index == marked else c for index, c in enumerate(cells)))
        for (label, cells), text in zip(table.rows, found, strict=True)
    )
    all_rows = _in_words(table, shared, table.rows[0][1]) if table.rows else ""
    return replace(
        _columns(replace(table, rows=rows), kept),
        notes=(*table.notes, *((mark, text) for text, (mark,) in marks.items())),
        warnings=(*table.warnings, *([f"All rows: {all_rows}."] if all_rows else [])),
    )


def _with_marks(cell: TableCell, marks: tuple[str, ...]) -> TableCell:
    return replace(cell, marks=(*cell.marks, *marks))


def _in_words(table: Table, columns: Sequence[int], cells: Sequence[TableCell]) -> str:
    return "; ".join(f"{table.columns[index]}: {cells[index].text}" for index in columns if cells[index].text)


def _leading(table: Table) -> list[int]:
    """The columns of text before the first of numbers."""
    numbers = [index for index in range(len(table.columns)) if index not in table.text_columns]
    return list(range(min(numbers, default=len(table.columns))))


def panels_of(table: Table, room: float, width: Callable[[Table], float] | None = None) -> Iterator[Table]:
    """Divides the columns, so that each panel fits; a column that is too wide alone has a panel of its own.

    Args:
        table: The table.
        room: The width that a panel may have.
        width: Measures a panel; by default in points of LaTeX, without the labels of its rows.
    """
    width = width or _columns_width
    leading = _leading(table) if len(table.text_columns) < len(table.columns) else []
    others = [index for index in range(len(table.columns)) if index not in leading]
    panel: list[int] = []
    for unit in _units(table, leading, others, room, width):
        if panel and width(_columns(table, [*leading, *panel, *unit])) > room:
            yield _columns(table, [*leading, *panel])
            panel = []
        panel += unit
    yield _columns(table, [*leading, *panel])


def _units(
    table: Table, leading: list[int], others: list[int], room: float, width: Callable[[Table], float]
) -> list[list[int]]:
    """The columns that stay together: those of a group if it fits, else each alone."""
    ends = accumulate(span for _, span in table.groups)
    spans = [range(end - span, end) for end, (_, span) in zip(ends, table.groups, strict=True)]
    units: list[list[int]] = []
    for group in [[index for index in span if index in others] for span in spans] or [[index] for index in others]:
        whole = bool(group) and width(_columns(table, [*leading, *group])) <= room
        units += [group] if whole else [[index] for index in group]
    return units


def _columns(table: Table, kept: Sequence[int]) -> Table:
    """The table with these of its columns."""
    of_columns = [number for number, (_, span) in enumerate(table.groups) for _ in range(span)]
    spans = [
        sum(of_columns[index] == number for index in kept) if of_columns else 0 for number in range(len(table.groups))
    ]
    return replace(
        table,
        columns=tuple(table.columns[index] for index in kept),
        rows=tuple((label, tuple(cells[index] for index in kept)) for label, cells in table.rows),
        groups=tuple((label, span) for (label, _), span in zip(table.groups, spans, strict=True) if span),
        text_columns=tuple(place for place, index in enumerate(kept) if index in table.text_columns),
    )


def without_columns(table: Table, left: Sequence[int]) -> Table:
    """The table without some of its columns."""
    return _columns(table, [index for index in range(len(table.columns)) if index not in left])


def table_width(table: Table) -> float:
    """The width of a table in points."""
    return label_width(table) + _columns_width(table)


def label_width(table: Table) -> float:
    """The width of the widest label of a row in points."""
    return max(letters_width(label) for label in (table.corner, *(label for label, _ in table.rows)))


def longest_word(table: Table) -> float:
    """The width of the longest word of a label in points."""
    return max((letters_width(word) for label, _ in table.rows for word in label.split()), default=0.0)


def _columns_width(table: Table) -> float:
    """The width of all columns but the labels, with the gaps on their left."""
    widths = [
        GAP + max([*map(letters_width, broken(text)), *(_cell_width(cells[index]) for _, cells in table.rows)])
        for index, text in enumerate(table.columns)
    ]
    if not table.groups:
        return sum(widths)
    ends = list(accumulate(span for _, span in table.groups))
    return sum(
        max(sum(widths[end - span : end]), GAP + max(map(letters_width, lines)))
        for lines, end, (_, span) in zip(broken_groups(table), ends, table.groups, strict=True)
    )


def _cell_width(cell: TableCell) -> float:
    text = letters_width(cell.text) * (BOLD if cell.bold else 1.0) + letters_width(",".join(cell.marks)) * RAISED
    text += CITATION if cell.cite else 0.0
    return max(text, letters_width(cell.ends) * SMALL)


def letters_width(text: str) -> float:
    """The width of a text in points."""
    letters = sum(
        _WIDTHS.get(each, USUAL_WIDTH if is_known(each) else UNKNOWN_WIDTH) for each in " ".join(text.split())
    )
    return letters + POWER * len(re.findall(r"\de[+-]\d", text)) + WIDER * len(MINUS.findall(text))


def broken(text: str) -> list[str]:
    """The text, broken at the space nearest to its middle if it is long."""
    spaces = [index for index, letter in enumerate(text) if letter == " "]
    if len(text) <= 11 or not spaces:
        return [text]
    middle = min(spaces, key=lambda index: abs(2 * index - len(text)))
    return [text[:middle], text[middle + 1 :]]


def broken_groups(table: Table) -> list[list[str]]:
    """The labels of the upper header, broken where they are longer than a column or two."""
    return [broken(label) if len(label) > 11 * span else [label] for label, span in table.groups]


def is_known(character: str) -> bool:
    """Whether every pdfLaTeX font has a character."""
    return " " <= character <= "~" or ("\u00c0" <= character <= "\u00ff" and character not in "\u00d7÷ÐðÞþ")
