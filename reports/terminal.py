"""A report in a terminal."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from adaptbench.reports.report import Report, write_report
from adaptbench.reports.selection import Only
from adaptbench.reports.sources.sources import SourceName
from adaptbench.reports.tables.table import Table, TableCell

# Superscript letters; Unicode has no superscript q.
_RAISED = dict(zip("abcdefghijklmnoprstuvwxyz", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ", strict=True))


def show_report(
    runs: SourceName | Sequence[SourceName],
    out: Path | None,
    suite: str | None,
    console: Console,
    only: Only | None = None,
    learner: str | None = None,
) -> Report:
    """Writes the report of a suite and prints its tables and the paths of its files.

    Args:
        runs: The folder that `adaptbench run` wrote, or several folders and bundles.
        out: The folder for the report; None for `report-SUITE` in the first folder of runs.
        suite: The suite; None for the only one there.
        console: The console.
        only: Values of which a cell must have one, by key; all cells by default.
        learner: The learner that the report is about, if it is about one.

    Raises:
        ReportError: The suite cannot be read.
    """
    report = write_report(runs, out, suite, only, learner)
    print_report(report, console)
    return report


def print_report(report: Report, console: Console) -> None:
    """Prints the tables of a report, the number of finished runs, and the paths of the files.

    Args:
        report: The report.
        console: The console; the quick suite needs 100 columns.
    """
    for table in report.main_tables:
        console.print()
        console.print(_table(table))
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
    console.print(Text(f"{report.n_finished} of {report.n_cells} runs finished{left}."))
    for problem in report.unreadable:
        cell = problem.cell
        text = f" {cell.learner} on {cell.task} seed {cell.seed} ({cell.run_id}): {problem.reason}"
        console.print(Text.assemble(("unreadable", "red"), text), soft_wrap=True)
    for text in report.notes:
        console.print(Text(f"Note: {text}", style="yellow"))
    main = [figure for figure in report.figures if figure.name.startswith("figure-")]
    for figure in main:
        console.print(f"Figure: {escape(str(figure))}", soft_wrap=True)
    others = len(report.figures) - len(main)
    console.print(f"In the same folder: {others} more files of figures and {len(report.table_files)} of tables.")
    console.print(f"Page:   {escape(str(report.page))}", soft_wrap=True)


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
    shown.add_column(Text("\n\nLearner"), overflow="fold")
    for group, column in zip(groups, table.columns, strict=True):
        size, _, word = group.partition(" ")
        shown.add_column(Text(f"{size}\n{word}\n{column}"), justify="right")
    for label, cells in table.rows:
        shown.add_row(Text(" ".join(label.split())), *map(_cell, cells))
    return shown


def _cell(cell: TableCell) -> Text:
    style = "bold" if cell.bold else "dim" if cell.missing else ""
    ends = f"\n{cell.ends}" if cell.ends else ""
    return Text(cell.text + ",".join(map(_raise, cell.marks)), style=style).append(ends, style="dim")


def _raise(mark: str) -> str:
    return "".join(_RAISED.get(letter, letter) for letter in mark)
