"""The comparison in a terminal."""

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from adaptbench.reports.report import Report, write_report
from adaptbench.reports.results.manifest import read_suite
from adaptbench.reports.tables.layout import TableCell, TableLayout

# Where a terminal's font lacks a raised letter, the letter itself is shown (there is no raised q).
_RAISED = dict(zip("abcdefghijklmnoprstuvwxyz", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ", strict=True))


def show_report(runs: Path, out: Path | None, suite: str | None, console: Console) -> Report:
    """Writes a suite's report and prints its tables and where everything is.

    Args:
        runs: The folder that `adaptbench run` wrote.
        out: The folder for the report; None for `report-SUITE` among the runs.
        suite: The suite; None for the only one there.
        console: Where to print.

    Raises:
        ReportError: The suite cannot be read.
    """
    chosen = read_suite(runs, suite).name
    report = write_report(runs, out or runs / f"report-{chosen}", chosen)
    print_report(report, console)
    return report


def print_report(report: Report, console: Console) -> None:
    """Prints the tables of a report, what is missing, and where the files are.

    Args:
        report: What `write_report` returned.
        console: Where to print; 100 columns hold the quick suite.
    """
    for layout in report.layouts:
        console.print()
        console.print(_table(layout))
        for mark, text in layout.notes:
            console.print(Text(f" {_raise(mark)} {text}"))
        for text in layout.warnings:
            console.print(Text(f" Warning: {text}", style="yellow"))
        console.print(Text(layout.caption, style="dim"))
    console.print()
    console.print(Text(f"{report.n_finished} of {report.n_cells} runs finished."))
    main = [figure for figure in report.figures if figure.name.startswith("figure-")]
    for figure in main:
        console.print(f"Figure: {escape(str(figure))}", soft_wrap=True)
    others = len(report.figures) - len(main)
    console.print(f"Beside them: {others} more files of figures, {len(report.tables)} of tables.")
    console.print(f"Page:   {escape(str(report.page))}", soft_wrap=True)


def _table(layout: TableLayout) -> Table:
    groups = [label for label, span in layout.groups for _ in range(span)]
    table = Table(title=Text(layout.title), title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(Text("\n\nLearner"), overflow="fold")
    for group, column in zip(groups, layout.columns, strict=True):
        size, _, word = group.partition(" ")
        table.add_column(Text(f"{size}\n{word}\n{column}"), justify="right")
    for label, cells in layout.rows:
        table.add_row(Text(" ".join(label.split())), *map(_cell, cells))
    return table


def _cell(cell: TableCell) -> Text:
    style = "bold" if cell.bold else "dim" if cell.missing else ""
    return Text(cell.text + ",".join(map(_raise, cell.marks)), style=style)


def _raise(mark: str) -> str:
    return "".join(_RAISED.get(letter, letter) for letter in mark)
