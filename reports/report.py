"""The report of a suite: tables, figures, records and one page."""

import itertools
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from adaptbench.reports.comparison.comparison import Comparison, axes_of, compare
from adaptbench.reports.comparison.gains import Gain, gains
from adaptbench.reports.comparison.places import places
from adaptbench.reports.comparison.published import bibliography, published_rows, read_numbers, unmatched
from adaptbench.reports.comparison.shot_matrix import shot_matrices
from adaptbench.reports.errors import ReportError
from adaptbench.reports.figures.canvas import save
from adaptbench.reports.figures.carried import draw_carried
from adaptbench.reports.figures.fits import draw_fits
from adaptbench.reports.figures.forms import draw_forms
from adaptbench.reports.figures.learning_curves import draw_learning_curves
from adaptbench.reports.figures.ranks import draw_ranks
from adaptbench.reports.figures.reliability import draw_reliability
from adaptbench.reports.figures.scores import draw, draw_places, panel_columns
from adaptbench.reports.figures.shot_matrix import draw_shot_matrix
from adaptbench.reports.figures.styles import LineStyle, line_styles
from adaptbench.reports.figures.trade_off import draw_costs, draw_trade_off
from adaptbench.reports.laboratory_format import Laboratory
from adaptbench.reports.page.laboratory import read_laboratory
from adaptbench.reports.page.page import Section, render_page
from adaptbench.reports.results.manifest import Suite
from adaptbench.reports.results.records import run_records
from adaptbench.reports.results.runs import Outcome, Problem, Run
from adaptbench.reports.selection import Only, suggest
from adaptbench.reports.sources.sources import Reading, SourceName, opened, read_sources
from adaptbench.reports.tables.markup.latex import to_latex
from adaptbench.reports.tables.markup.markdown import escape_markdown, to_markdown
from adaptbench.reports.tables.of_comparison import tables_of
from adaptbench.reports.tables.published import published_table
from adaptbench.reports.tables.table import Table
from adaptbench.reports.words.captions import slug
from adaptbench.reports.words.commands import suite_commands
from adaptbench.reports.words.csv_text import to_csv
from adaptbench.reports.words.named_images import image_notes
from adaptbench.reports.words.sentences import gain_sentence, standing_sentence

LISTED = "files.txt"
"""Lists the files of a report, so that the next one in the same folder leaves no stale file."""


@dataclass(frozen=True)
class Report:
    """The contents of a report and the paths of its files.

    Args:
        suite: The suite.
        runs: Its finished runs.
        problems: Its other cells, each with the reason why it has no run.
        comparisons: One for each task and protocol.
        tables: Every table, the main one of each comparison first.
        table_files: The paths of the tables (Markdown, CSV, LaTeX).
        figures: The paths of the figures (PNG, PDF).
        records: The path of results.csv, which holds every score of every run; results.parquet holds the same.
        page: The path of the page.
        notes: Runs and files of runs that are left out, each with its reason.
        standings: Where the learner that the report is about stands, in sentences.
    """

    suite: Suite
    runs: tuple[Run, ...]
    problems: tuple[Problem, ...]
    comparisons: tuple[Comparison, ...]
    tables: tuple[Table, ...]
    table_files: tuple[Path, ...]
    figures: tuple[Path, ...]
    records: Path
    page: Path
    notes: tuple[str, ...] = ()
    standings: tuple[str, ...] = ()

    @property
    def main_tables(self) -> tuple[Table, ...]:
        """The main table of each comparison."""
        return tuple(table for table in self.tables if table.name.startswith("table-"))

    @property
    def unreadable(self) -> tuple[Problem, ...]:
        """The cells whose runs are there but cannot be read."""
        return tuple(problem for problem in self.problems if problem.kind == "unreadable")


@dataclass(frozen=True)
class About:
    """The one learner that a report is about.

    Args:
        learner: Its key.
        command: The command that makes the report again.
    """

    learner: str
    command: str


def write_report(
    runs: SourceName | Sequence[SourceName],
    out: Path | None,
    suite: str | Sequence[str] | None = None,
    only: Only | None = None,
    about: About | None = None,
    look: Mapping[Any, Any] | None = None,
    asked: Collection[str] | None = None,
) -> Report:
    """Writes the report of a suite from the runs that have finished; the same runs give the same bytes.

    Args:
        runs: The folder that `adaptbench run` wrote, or several folders and bundles.
        out: The folder for the report, created if it does not exist; None for `report-SUITE` in the first folder of
            runs.
        suite: The suite, or several; None for the only one there.
        only: Values of which a cell must have one, by key; all cells by default.
        about: The learner that the report is about, if it is about one; it is compared with each other one.
        look: Matplotlib's parameters, from `figures.styles.parameters`; by default those of a paper.
        asked: Ids of runs; others that nobody has begun are left out. All by default.

    Raises:
        ReportError: There is no manifest of such a suite, more than one to choose from, or it cannot be read.
        OSError: The report cannot be written.
    """
    with opened([runs] if isinstance(runs, str | Path) else runs) as sources:
        reading = read_sources(sources, suite)
        beside = next((source.folder for source in sources if not source.bundled), Path())
        where = beside / f"report-{reading.suite.name}" if out is None else Path(out)
        laboratory = read_laboratory([source.folder for source in sources], reading.suite.name)
        reading = reading.only(only) if only else reading
        reading = reading if asked is None else reading.begun(asked)
        names = [source.name for source in sources]
        try:
            return _write(reading, names, where, about, laboratory, look)
        except OSError as error:
            cure = f"`adaptbench report {shlex.quote(names[0])} --out FOLDER` writes it elsewhere"
            raise OSError(f"The report cannot be written: {error}; {cure}.") from error


def write_parts(
    runs: Sequence[SourceName],
    out: Path,
    parts: Sequence[str],
    suite: Sequence[str] | None = None,
    only: Only | None = None,
    look: Mapping[Any, Any] | None = None,
) -> tuple[Path, ...]:
    """Writes some tables and figures of a report, and nothing else; returns the paths of their files.

    Args:
        runs: Folders of runs, and bundles.
        out: The folder, created if it does not exist.
        parts: The names of the tables and figures, such as "table-omniglot".
        suite: The suites; None for the only one there.
        only: Values of which a cell must have one, by key; all cells by default.
        look: Matplotlib's parameters; by default those of a paper.

    Raises:
        ReportError: The report has no such part, or cannot be made.
    """
    with opened(runs) as sources:
        reading = read_sources(sources, suite)
        reading = reading.only(only) if only else reading
        comparisons = compare(reading.outcomes)
        known: dict[str, Callable[[], tuple[Path, ...]]] = {}
        for name, comparison in zip(file_names(comparisons), comparisons, strict=True):
            doublings = gains(comparison)
            for table in tables_of(comparison, name, _own(reading.outcomes, comparison), doublings, None):
                known[table.name] = partial(_write_table, table, out)
            for stem, make in _drawings(comparison, line_styles(reading.suite), doublings).items():
                known[f"{stem}-{name}"] = partial(save, make, out / f"{stem}-{name}", look)
        known["published"] = partial(_write_published, _published(reading, comparisons)[0], out)
        if strange := [part for part in parts if part not in known]:
            raise ReportError(f"Expected a table or figure but got `{strange[0]}`. {suggest(strange[0], known)}")
        out.mkdir(parents=True, exist_ok=True)
        made = {part: known[part]() for part in parts}
        if empty := [part for part, paths in made.items() if not paths]:
            for path in itertools.chain.from_iterable(made.values()):
                path.unlink()
            raise ReportError(f"Expected runs that have something to show in `{empty[0]}` but these have nothing.")
        return tuple(path for paths in made.values() for path in paths)


def _write(
    reading: Reading,
    sources: Sequence[str],
    out: Path,
    about: About | None,
    laboratory: Laboratory,
    look: Mapping[Any, Any] | None,
) -> Report:
    wanted, outcomes = reading.suite, reading.outcomes
    finished = tuple(outcome for outcome in outcomes if isinstance(outcome, Run))
    problems = tuple(outcome for outcome in outcomes if isinstance(outcome, Problem))
    comparisons = compare(outcomes)
    out.mkdir(parents=True, exist_ok=True)
    styles = line_styles(wanted)
    sections = [
        _write_section(comparison, name, out, styles, outcomes, about.learner if about else None, look)
        for name, comparison in zip(file_names(comparisons), comparisons, strict=True)
    ]
    published, beside_none = _published(reading, comparisons)
    tables = (*(table for section in sections for table in section.tables), published)
    records = run_records(wanted, finished)
    if len(sources) > 1:
        origins = {run.cell.run_id: run.source.name for run in finished if run.source}
        records["source"] = records["run_id"].map(origins)
    records.to_parquet(out / "results.parquet", index=False)
    images = image_notes(finished)
    notes = (*reading.notes, *(text for run in finished for text in _lost(run)), *beside_none, *images)
    commands = about.command if about else suite_commands(wanted, finished, sources)
    label = next((cell.label for cell in wanted.cells if about and cell.learner == about.learner), "")
    heading = f"{label} among the learners of suite {wanted.name}" if label else ""
    standings = tuple(text for section in sections for text in section.standings)
    said = "".join(f"- {escape_markdown(text)}\n" for text in standings)
    sentences = (_write_text(out / "standings.md", said),) if said else ()
    report = Report(
        suite=wanted,
        runs=finished,
        problems=problems,
        comparisons=comparisons,
        tables=tables,
        table_files=(
            *(path for section in sections for table in section.tables for path in _write_table(table, out)),
            *_write_published(published, out),
        ),
        figures=tuple(path for section in sections for path in section.figures),
        records=_write_text(out / "results.csv", to_csv(records)),
        page=_write_text(
            out / "index.html",
            render_page(wanted, finished, problems, sections, published, commands, notes, laboratory, heading),
        ),
        notes=notes,
        standings=standings,
    )
    others = (report.records, report.page, out / "results.parquet", *sentences)
    _remove_stale(out, (*report.table_files, *report.figures, *others))
    return report


def _lost(run: Run) -> list[str]:
    """Why files beside the scores of a run are left out."""
    cell = run.cell
    where = f"Left out beside the scores of {cell.learner} on {cell.called}, seed {cell.seed} (run {cell.run_id})"
    return [f"{where}: {text}" for text in dict.fromkeys(run.lost)]


def _remove_stale(out: Path, written: Sequence[Path]) -> None:
    """Removes what an earlier report wrote here and this one did not, and lists what this one wrote."""
    listed, names = out / LISTED, {path.name for path in written}
    before = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    for name in set(before) - names:
        if Path(name).name == name:  # a list that somebody edited reaches no other folder
            (out / name).unlink(missing_ok=True)
    _write_text(listed, "".join(f"{name}\n" for name in sorted(names)))


def _write_section(
    comparison: Comparison,
    name: str,
    out: Path,
    styles: Mapping[str, LineStyle],
    outcomes: Sequence[Outcome],
    learner: str | None,
    look: Mapping[Any, Any] | None,
) -> Section:
    """Draws the figures of a comparison and makes its tables."""
    doublings = gains(comparison)
    drawings = _drawings(comparison, styles, doublings)
    figures = [path for stem, draw in drawings.items() for path in save(draw, out / f"{stem}-{name}", look)]
    sentences = tuple(gain_sentence(gain, comparison) for gain in doublings)
    columns = range(len(comparison.settings)) if learner else ()
    standings = tuple(text for column in columns if (text := standing_sentence(comparison, column, learner or "")))
    tables = tables_of(comparison, name, _own(outcomes, comparison), doublings, learner)
    return Section(comparison, tables, tuple(figures), name, sentences, standings)


def _own(outcomes: Sequence[Outcome], comparison: Comparison) -> list[Outcome]:
    """The outcomes of a comparison."""
    return [o for o in outcomes if o.cell.group == comparison.group]


def _drawings(
    comparison: Comparison, styles: Mapping[str, LineStyle], doublings: Sequence[Gain]
) -> dict[str, Callable[[], Figure | None]]:
    """The figures of a comparison by the first part of their files' names."""
    main, *others = axes_of(comparison)
    laws = {(each.learner, each.fixed.others("classes")): each.law for each in doublings if each.law}
    found: dict[str, Callable[[], Figure | None]] = {"figure": partial(draw, comparison, styles, main, laws)}
    for axis in (each for each in others if panel_columns(comparison, each)):
        found[axis] = partial(draw, comparison, styles, axis)
    found["time"] = partial(draw_trade_off, comparison, styles)
    found["cost"] = partial(draw_costs, comparison, styles)
    found["training"] = partial(draw_learning_curves, comparison, styles)
    found["ranks"] = partial(draw_ranks, comparison)
    for index, matrix in enumerate(shot_matrices(comparison), start=1):
        found[f"train-shots-{index}"] = partial(draw_shot_matrix, matrix, comparison)
    found["reliability"] = partial(draw_reliability, comparison, styles)
    for index, column in enumerate(comparison.largest, start=1):
        found[f"forms-{index}"] = partial(draw_forms, comparison, comparison.settings[column])
    found["carried"] = partial(draw_carried, comparison, styles)
    found["places"] = partial(draw_places, comparison, styles, places(comparison))
    found["fits"] = partial(draw_fits, comparison, styles)
    return found


def file_names(comparisons: tuple[Comparison, ...]) -> tuple[str, ...]:
    """A distinct name for each comparison: its task, and the terms of its protocol that not all of the task have."""
    names: list[str] = []
    for comparison in comparisons:
        protocols = [each.protocol.split(", ") for each in comparisons if each.called == comparison.called]
        shared = set.intersection(*map(set, protocols))
        own = [term for term in comparison.protocol.split(", ") if term not in shared]
        words = " ".join([comparison.called, *own])
        base = slug(words, slug(comparison.task))
        numbered = (base if number == 1 else f"{base}-{number}" for number in range(1, len(comparisons) + 1))
        names.append(next(name for name in numbered if name not in names))
    return tuple(names)


def _write_table(table: Table, out: Path) -> tuple[Path, Path, Path]:
    return (
        _write_text(out / f"{table.name}.md", to_markdown(table)),
        _write_text(out / f"{table.name}.csv", to_csv(table.frame)),
        _write_text(out / f"{table.name}.tex", to_latex(table)),
    )


def _published(reading: Reading, comparisons: Sequence[Comparison]) -> tuple[Table, list[str]]:
    """The table of published numbers, and a note on those of the suites that are not in it."""
    of_suites = (read_numbers(text, f"the published numbers of suite {name}") for name, text in reading.published)
    numbers = tuple(dict.fromkeys(number for own in of_suites for number in own))
    rows = published_rows(comparisons, {cell.learner: cell.family for cell in reading.suite.cells}, numbers)
    return published_table(rows), unmatched(numbers, rows)


def _write_published(table: Table, out: Path) -> tuple[Path, ...]:
    """The table of published numbers, and what it cites."""
    return *_write_table(table, out), _write_text(out / "published.bib", bibliography())


def _write_text(path: Path, text: str) -> Path:
    """Writes UTF-8 with the same line ends on every system."""
    path.write_text(text, encoding="utf-8", newline="\n")
    return path
