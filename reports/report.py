"""Writes the report of a suite: tables, figures, records and one page."""

from dataclasses import dataclass
from pathlib import Path

from reports.comparison import Comparison, compare
from reports.figures import save_figure
from reports.layout import TableLayout, lay_out
from reports.manifest import Suite, read_suite
from reports.markup import to_latex, to_markdown
from reports.page import Section, render_page
from reports.records import entry_records, long_records, to_csv
from reports.runs import Problem, Run, read_outcomes
from reports.styles import line_styles
from reports.words import slug


@dataclass(frozen=True)
class Report:
    """What a report holds and where its files are.

    Args:
        suite: The suite that was asked for.
        runs: Its finished runs.
        problems: Its other cells, each with the reason.
        comparisons: One for each task and protocol.
        layouts: The table of each comparison.
        tables: The paths of the tables (Markdown, CSV, LaTeX).
        figures: The paths of the figures (PNG, PDF).
        records: The path of the long records, results.csv.
        page: The path of the page.
    """

    suite: Suite
    runs: tuple[Run, ...]
    problems: tuple[Problem, ...]
    comparisons: tuple[Comparison, ...]
    layouts: tuple[TableLayout, ...]
    tables: tuple[Path, ...]
    figures: tuple[Path, ...]
    records: Path
    page: Path

    @property
    def n_finished(self) -> int:
        """How many cells have a result."""
        return len(self.runs)

    @property
    def n_cells(self) -> int:
        """How many cells the suite wants."""
        return len(self.suite.cells)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why some columns have no best entry."""
        return tuple(warning for comparison in self.comparisons for warning in comparison.warnings)


def write_report(runs: Path, out: Path, suite: str | None = None) -> Report:
    """Writes everything about a suite, whether its runs are finished or not; the same runs give the same bytes.

    Args:
        runs: The folder that `adaptbench run` wrote.
        out: The folder for the report; made if it is not there.
        suite: The suite; None for the only one there.

    Raises:
        ReportError: There is no manifest of such a suite, more than one to choose from, or it cannot be read.
    """
    wanted = read_suite(Path(runs), suite)
    outcomes = read_outcomes(Path(runs), wanted)
    finished = tuple(outcome for outcome in outcomes if isinstance(outcome, Run))
    problems = tuple(outcome for outcome in outcomes if isinstance(outcome, Problem))
    comparisons = compare(outcomes)
    Path(out).mkdir(parents=True, exist_ok=True)
    tables: list[Path] = []
    figures: list[Path] = []
    sections: list[Section] = []
    for name, comparison in zip(file_names(comparisons), comparisons, strict=True):
        layout = lay_out(comparison)
        tables += _write_tables(comparison, layout, Path(out) / f"table-{name}")
        png, pdf = save_figure(comparison, line_styles(wanted), Path(out) / f"figure-{name}")
        figures += [png, pdf]
        sections.append(Section(comparison, layout, png.read_bytes(), name))
    return Report(
        suite=wanted,
        runs=finished,
        problems=problems,
        comparisons=comparisons,
        layouts=tuple(section.layout for section in sections),
        tables=tuple(tables),
        figures=tuple(figures),
        records=_write(Path(out) / "results.csv", to_csv(long_records(wanted, finished))),
        page=_write(Path(out) / "index.html", render_page(wanted, finished, problems, sections)),
    )


def file_names(comparisons: tuple[Comparison, ...]) -> tuple[str, ...]:
    """A distinct name for each comparison: its task, with its protocol where a task has several."""
    tasks = [comparison.task for comparison in comparisons]
    names: list[str] = []
    for comparison in comparisons:
        several = tasks.count(comparison.task) > 1
        base = slug(f"{comparison.task} {comparison.protocol}" if several else comparison.task)
        numbered = (base if number == 1 else f"{base}-{number}" for number in range(1, len(comparisons) + 1))
        names.append(next(name for name in numbered if name not in names))
    return tuple(names)


def _write_tables(comparison: Comparison, layout: TableLayout, base: Path) -> tuple[Path, Path, Path]:
    texts = {
        "md": to_markdown(layout),
        "csv": to_csv(entry_records(comparison)),
        "tex": to_latex(layout, label=base.name.replace("table-", "tab:", 1)),
    }
    markdown, csv, tex = (_write(base.with_name(f"{base.name}.{ending}"), text) for ending, text in texts.items())
    return markdown, csv, tex


def _write(path: Path, text: str) -> Path:
    """Writes UTF-8 with the same line ends on every system."""
    path.write_text(text, encoding="utf-8", newline="\n")
    return path
