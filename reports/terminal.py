"""A report in a terminal."""

import shlex
import textwrap
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from adaptbench.reports.plural import count_of
from adaptbench.reports.report import About, Report, write_report
from adaptbench.reports.selection import Only
from adaptbench.reports.sources.sources import SourceName
from adaptbench.reports.tables.markup.fit import panels_of
from adaptbench.reports.tables.table import Table, TableCell
from adaptbench.reports.words.waiting import waiting_for

# Superscript letters; Unicode has no superscript q.
_RAISED = dict(zip("abcdefghijklmnoprstuvwxyz", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ", strict=True))

WIDEST_LABEL = 26
"""Columns of a terminal to which the names of learners are broken."""


def show_report(
    runs: SourceName | Sequence[SourceName],
    out: Path | None,
    suite: str | Sequence[str] | None,
    console: Console,
    only: Only | None = None,
    about: About | None = None,
    look: Mapping[Any, Any] | None = None,
    asked: Collection[str] | None = None,
) -> Report:
    """Writes the report of a suite and prints its tables and the paths of its files.

    Args:
        runs: The folder that `adaptbench run` wrote, or several folders and bundles.
        out: The folder for the report; None for `report-SUITE` in the first folder of runs.
        suite: The suite, or several; None for the only one there.
        console: The console.
        only: Values of which a cell must have one, by key; all cells by default.
        about: The learner that the report is about, if it is about one.
        look: Matplotlib's parameters; by default those of a paper.
        asked: Ids of runs; others that nobody has begun are left out. All by default.

    Raises:
        ReportError: The suite cannot be read.
    """
    with waiting_for("the report, which is being drawn", console):
        report = write_report(runs, out, suite, only, about, look, asked)
    print_report(report, console)
    return report


def print_report(report: Report, console: Console) -> None:
    """Prints the tables of a report, the number of finished runs, and the paths of the files.

    Args:
        report: The report.
        console: The console; a table that is wider is divided into panels, one below the other.
    """
    for table in report.main_tables:
        console.print()
        for panel in panels_of(table, console.width, lambda each: _width(each, console)):
            console.print(_table(panel))
        for mark, text in table.notes:
            console.print(Text(f" {_raise(mark)} {text}"))
        for text in table.warnings:
            console.print(Text(f" Warning: {text}", style="yellow"))
        console.print(Text(table.caption, style="dim"))
    console.print()
    for text in report.standings:
        console.print(Text(text, style="bold"))
    kinds = Counter(problem.kind for problem in report.problems)
    left = "".join(f", {count} {kind}" for kind, count in kinds.items())
    console.print(Text(f"{len(report.runs)} of {count_of(len(report.suite.cells), 'run')} finished{left}."))
    for problem in report.unreadable:
        cell = problem.cell
        text = f" {cell.learner} on {cell.called} seed {cell.seed} ({cell.run_id}): {problem.reason}"
        console.print(Text.assemble(("unreadable", "red"), text), soft_wrap=True)
    for text in report.notes:
        console.print(Text(f"Note: {text}", style="yellow"))
    main = [figure for figure in report.figures if figure.name.startswith("figure-") and figure.suffix != ".csv"]
    others = len(report.figures) - len(main)
    beside = f"In the same folder: {count_of(others, 'more file')} of figures and {len(report.table_files)} of tables."
    for figure in main:
        console.print(f"Figure: {_path(figure)}", markup=False, soft_wrap=True)
    console.print(beside)
    console.print(f"Page:   {_path(report.page)}", markup=False, soft_wrap=True)


def print_indented(text: str, console: Console) -> None:
    """Prints a line of a list; where it is too long, its next lines are indented further."""
    for line in textwrap.wrap(text, console.width, initial_indent="  ", subsequent_indent="    "):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _path(path: Path) -> str:
    """A path as a shell takes it."""
    return shlex.quote(str(path))


def _width(table: Table, console: Console) -> int:
    """The columns of a terminal that a table needs."""
    return Measurement.get(console, console.options.update(max_width=10_000), _table(table)).maximum


def _table(table: Table) -> RichTable:
    groups = [label for label, span in table.groups for _ in range(span)]
    shown = RichTable(
        title=Text(table.title),
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    words = [len(word) for label, _ in table.rows for word in label.split()]
    shown.add_column(Text("\n\nLearner"), overflow="fold", max_width=max([*words, WIDEST_LABEL]))
    for group, column in zip(groups, table.columns, strict=True):
        size, _, word = group.partition(" ")
        shown.add_column(Text(f"{size}\n{word}\n{column}"), justify="right", no_wrap=True)
    for label, cells in table.rows:
        shown.add_row(Text(" ".join(label.split())), *map(_cell, cells))
    return shown


def _cell(cell: TableCell) -> Text:
    style = "bold" if cell.bold else "dim" if cell.missing else ""
    ends = f"\n{cell.ends}" if cell.ends else ""
    return Text(cell.text + ",".join(map(_raise, cell.marks)), style=style).append(ends, style="dim")


def _raise(mark: str) -> str:
    return "".join(_RAISED.get(letter, letter) for letter in mark)
