"""Tables as Markdown; text from outside is escaped."""

import re

from adaptbench.reports.tables.markup.fit import panels_of
from adaptbench.reports.tables.table import Table, TableCell

MOST_COLUMNS = 16
"""Columns beside each other; further ones stand below, in a panel of their own."""


def escape_markdown(text: str) -> str:
    """Escapes text for a cell of a Markdown table."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~$])", r"\\\1", line)


def to_markdown(table: Table) -> str:
    """The table in Markdown, with caption, notes and warnings around it."""
    grids = map(_grid, panels_of(table, MOST_COLUMNS, width=lambda panel: len(panel.columns)))
    notes = [f"- <sup>{mark}</sup> {escape_markdown(text)}" for mark, text in table.notes]
    warnings = [f"- **Warning:** {escape_markdown(text)}" for text in table.warnings]
    below = "\n".join([*notes, *warnings])
    return "\n\n".join(part for part in (escape_markdown(table.caption), *grids, below) if part) + "\n"


def _grid(table: Table) -> str:
    upper = [label if first else "" for label, span in table.groups for first in [True] + [False] * (span - 1)]
    sides = ["---" if index in table.text_columns else "---:" for index in range(len(table.columns))]
    lower = [f"*{escape_markdown(label)}*" for label in table.columns]
    header = (
        [["", *map(escape_markdown, upper)], ["---", *sides], [escape_markdown(table.corner), *lower]]
        if upper
        else [[escape_markdown(table.corner), *map(escape_markdown, table.columns)], ["---", *sides]]
    )
    rows = [*header, *([escape_markdown(label), *map(_markdown_cell, cells)] for label, cells in table.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _markdown_cell(cell: TableCell) -> str:
    text = escape_markdown(cell.text)
    text = f"**{text}**" if cell.bold else f"*{text}*" if cell.missing else text
    text = f"{text}<sup>{','.join(cell.marks)}</sup>" if cell.marks else text
    return f"{text} {cell.ends}" if cell.ends else text
