"""Writes docs/atlas.md: what the bundles that ship say of growth with classes, and what ships of every suite.

    python -m adaptbench.benchmarks.commands.atlas docs [BUNDLE ...]

Numbers stand in sentences of the report's own tables, which are copied to docs/atlas with its figures.
"""

import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from adaptbench.benchmarks.commands.part import parts_of
from adaptbench.benchmarks.executors.plan import Plan, PlannedRun
from adaptbench.benchmarks.executors.time_left import Pace
from adaptbench.benchmarks.suites.registry import suite_files
from adaptbench.benchmarks.suites.suite import load_suite
from adaptbench.reports.plural import count_of, list_of
from adaptbench.reports.report import Report, file_names, write_report
from adaptbench.reports.results.runs import Run
from adaptbench.reports.sources.bundles import built_in
from adaptbench.reports.tables.markup.markdown import to_markdown
from adaptbench.reports.tables.table import Table
from adaptbench.reports.words.commands import suite_commands

FIRST = ("classes", "limits")
"""Suites that the page begins with; the others follow by name."""
NO_RESULTS = ("smoke",)
KEYS = ("learner", "train_classes", "ways", "shots", "examples")
"""Columns that tell the rows of a table apart."""
HEAD = """# The atlas

How does the error on unseen classes fall with the number of classes in training? Each section is of one bundle of
results: errors on logarithmic axes, a dot for each seed, and a power law a N^-b + c where four or more sizes have runs.
[Statistics](statistics.md) says how intervals are made. Where the cells of a bundle are from several processors, their
rounding differs, as it does between seeds. This page is written by
`python -m adaptbench.benchmarks.commands.atlas docs`, never by hand.
"""


def write_atlas(docs: Path, bundles: Sequence[str]) -> Path:
    """Writes atlas.md into a folder, and its figures and tables into the folder atlas beside it.

    Args:
        docs: The folder of the documentation.
        bundles: Names of suites whose bundle ships, files of bundles, or folders of runs of one suite.
    """
    shutil.rmtree(docs / "atlas", ignore_errors=True)
    (docs / "atlas").mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        reports = [write_report(name, Path(folder) / str(number)) for number, name in enumerate(bundles)]
        order = {name: place for place, name in enumerate(FIRST)}
        reports.sort(key=lambda report: (order.get(report.suite.name, len(order)), report.suite.name))
        sections = [_section(report, docs / "atlas") for report in reports]
    page = docs / "atlas.md"
    text = re.sub(r"\n{3,}", "\n\n", "\n".join([HEAD, *sections, _what_ships(reports)]))
    page.write_text(text, encoding="utf-8", newline="\n")
    return page


def _section(report: Report, folder: Path) -> str:
    findings: list[str] = []
    for comparison, name in zip(report.comparisons, file_names(report.comparisons), strict=True):
        if own := list(_findings(report, name, folder)):
            findings += [f"### {comparison.place}", "", *own, ""]
    if not findings:
        return ""
    suite = report.suite
    seeds = {run.cell.seed for run in report.runs}
    processors = sorted({run.machine.processor for run in report.runs if run.machine})
    commits = Counter(run.machine.git_commit or "" for run in report.runs if run.machine)
    made = [f"{count} at commit `{commit[:7]}`" for commit, count in commits.most_common() if commit]
    days = sorted({f"{run.times.finished:%Y-%m-%d}" for run in report.runs if run.times})
    parts = parts_of(suite.name, [run.cell for run in report.runs])
    lines = [
        f"## The suite `{suite.name}`",
        "",
        f"{suite.description} The bundle has {count_of(len(report.runs), 'cell')}, of "
        f"{count_of(len(seeds), 'seed')}, made on {list_of(processors)} ({', '.join(days)}), {list_of(made)}. "
        "These commands make them:",
        "",
        f"```bash\n{suite_commands(suite, report.runs, parts=parts)}\n```",
        "",
        *findings,
    ]
    return "\n".join(lines)


def _findings(report: Report, name: str, folder: Path) -> Iterator[str]:
    """The tables, figures and sentences of a comparison; none if its training classes do not vary."""
    tables = {table.name: table for table in report.tables}
    growth, doublings = tables.get(f"growth-{name}"), tables.get(f"gains-{name}")
    rows = growth.frame if growth else None
    table = growth
    if table is None and doublings is not None:
        table, rows = doublings, doublings.frame[doublings.frame["axis"] == "classes"]
    if table is not None and rows is not None and len(rows):
        yield to_markdown(tables[f"table-{name}"])
    for found, own, figure in ((table, rows, f"figure-{name}"), _with_places(tables, name)):
        if found is not None and own is not None and len(own):
            path = _copied(report, found, folder)
            picture = next(each for each in report.figures if each.name == f"{figure}.png")
            shutil.copyfile(picture, folder / f"{report.suite.name}-{picture.name}")
            yield f"![{found.title}](atlas/{report.suite.name}-{picture.name})\n"
            yield from ([f"{sentence}\n" for sentence in _last_doublings(own, path)] if found is growth else [])
            yield from _sentences(own, path)
            yield ""
    if memorising := tables.get(f"memorising-{name}"):
        _copied(report, memorising, folder)
        yield to_markdown(memorising)


def _with_places(tables: Mapping[str, Table], name: str) -> tuple[Table | None, pd.DataFrame | None, str]:
    """The table of places with one row for each sentence."""
    table = tables.get(f"places-{name}")
    rows = None if table is None else table.frame.drop_duplicates("sentence", keep="last")
    return table, rows, f"places-{name}"


def _copied(report: Report, table: Table, folder: Path) -> str:
    """Copies the numbers of a table; returns their path as the documentation names it."""
    source = next(path for path in report.table_files if path.name == f"{table.name}.csv")
    shutil.copyfile(source, folder / f"{report.suite.name}-{source.name}")
    return f"docs/{folder.name}/{report.suite.name}-{source.name}"


def _sentences(rows: pd.DataFrame, path: str) -> Iterator[str]:
    for row in rows.to_dict("records"):
        yield f'- {row["sentence"]}<!-- sentence of {path} "{_place(row, "axis")}" -->'


def _last_doublings(rows: pd.DataFrame, path: str) -> Iterator[str]:
    """One sentence for each setting: what the last doubling brings at least and at most, and for whom."""
    per_cent = rows["metric"].iloc[0] == "accuracy"
    unit = "points" if per_cent else "of MSE"
    for _, own in rows.groupby([name for name in ("ways", "shots", "examples") if name in rows], dropna=False):
        in_order = own.sort_values("last_doubling").to_dict("records")
        least, most = (
            f"{row['last_doubling'] * (100 if per_cent else 1):.{2 if per_cent else 4}f}"
            f'<!-- {path} "{_place(row)}" last_doubling --> ({row["label"]})'
            for row in (in_order[0], in_order[-1])
        )
        setting = own["setting"].iloc[0]
        going_on = int(own["no_gain_shown_from"].isna().sum())
        if not going_on:
            yield f"**{setting}**: no learner's gain from the last but one size to the largest is significant."
            continue
        yield (
            f"**{setting}**: the last doubling takes {least} to {most} {unit} off the error; "
            f"the gain from the last but one size to the largest is significant for {going_on} of {len(own)} learners."
        )


def _place(row: Mapping[Hashable, Any], *more: str) -> str:
    """What tells a row apart from the others of its table."""
    return " ".join(f"{name}={row[name]}" for name in (*KEYS, *more) if name in row and pd.notna(row[name]))


def _what_ships(reports: Sequence[Report]) -> str:
    lines = [
        "## What ships, and what is left",
        "",
        "Cells of a suite's present version count as shipped if a bundle has their run. Numbers of `reference` and",
        "`optimization` elsewhere in the documentation are of earlier runs, whose bundles do not ship, and so are",
        "those of `transfer` with 768,000 images; those of `rates` are in `reports/data`. Core-hours are the CPU time",
        "of training and the time of testing. Those of cells without a run are estimates, in proportion to training",
        "images or test episodes, from the most similar runs of any bundle: of the same learner and encoder, else of",
        "the same encoder, else of all.",
        "",
        "| suite | cells | shipped | core-hours a cell | core-hours left |",
        "|---|---:|---:|---:|---:|",
    ]
    suites = {name: load_suite(name) for name in sorted(set(suite_files()) - set(NO_RESULTS))}
    plans = {name: Plan(suite, suite.cells(), {}) for name, suite in suites.items()}
    shipped = {run.cell.run_id: run for report in reports for run in report.runs}
    planned = {run.spec.run_id: run for plan in plans.values() for run in plan.runs()}
    seconds = {
        run_id: value
        for each in planned.values()
        if each.spec.run_id in shipped
        for run_id, value in _seconds(each, shipped[each.spec.run_id])
    }
    pace = Pace()
    for run_id, value in seconds.items():
        pace.add(planned[run_id], value)
    return "\n".join([*lines, *(_suite_row(name, plan, shipped, seconds, pace) for name, plan in plans.items()), ""])


def _seconds(planned: PlannedRun, run: Run) -> Iterator[tuple[str, float]]:
    """The seconds of a run and of the pretrainings that it needs, as far as they are known."""
    if run.times is None or run.times.test_seconds is None or run.times.train_cpu_seconds is None:
        return
    trained = run.pretraining_cpu_seconds or dict.fromkeys(planned.needs, run.times.train_cpu_seconds)
    yield from ((run_id, value) for run_id, value in trained.items() if value is not None)
    yield run.cell.run_id, run.times.test_seconds + (0 if planned.needs else run.times.train_cpu_seconds)


def _suite_row(name: str, plan: Plan, shipped: Collection[str], seconds: Mapping[str, float], pace: Pace) -> str:
    runs = {run.spec.run_id: run for run in plan.runs()}
    done = sum(cell.spec.run_id in shipped for cell in plan.cells)
    if not pace:
        return f"| `{name}` | {len(plan.cells)} | {done} | not known | not known |"
    left = sum(pace.expected(run) for run_id, run in runs.items() if run_id not in seconds) / 3600
    each = (left + sum(seconds.get(run_id, 0.0) for run_id in runs) / 3600) / len(plan.cells)
    return f"| `{name}` | {len(plan.cells)} | {done} | {each:.3f} | {left:.1f} |"


if __name__ == "__main__":
    write_atlas(Path(sys.argv[1]), sys.argv[2:] or list(built_in()))
