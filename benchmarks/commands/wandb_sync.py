"""The command `adaptbench wandb-sync`: sends finished runs to W&B from their files."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.markup import escape

from adaptbench.benchmarks.executors.plan import runs_of
from adaptbench.benchmarks.store.store import Store
from adaptbench.benchmarks.suites.spec import read_spec
from adaptbench.benchmarks.tracking.wandb_logger import default_mode
from adaptbench.benchmarks.tracking.wandb_runs import (
    Target,
    close_suite,
    folder_id,
    forget_mirrored,
    is_mirrored,
    mirror_afterwards,
    report_of,
)
from adaptbench.reports.plural import count_of
from adaptbench.reports.selection import Only, select
from adaptbench.reports.words.waiting import waiting_for

if TYPE_CHECKING:
    from adaptbench.reports.report import Report
    from adaptbench.reports.results.manifest import Cell


def mode_of(text: str) -> Literal["online", "offline"]:
    """Reads `--wandb` of a command that uploads.

    Raises:
        ValueError: if it is wrong.
    """
    mode = default_mode() if text == "auto" else text
    if mode not in ("online", "offline"):
        named = "WANDB_MODE=disabled in the environment" if text == "auto" else f"`{text}`"
        raise ValueError(f"Expected `--wandb` to be `auto`, `online` or `offline` but got {named}.")
    return "online" if mode == "online" else "offline"


def sync_suite(
    runs: Path, suite: str | None, target: Target, console: Console, only: Only | None = None, again: bool = False
) -> bool:
    """Mirrors a suite's finished runs and its report in W&B, each run once; returns whether all of it arrived.

    Args:
        runs: the folder of the runs.
        suite: the suite; None for the only one there.
        target: where they go in W&B, without suite and folder.
        console: where to print.
        only: values of which a cell must have one, by key; all cells by default.
        again: whether to mirror them again, as new runs, because W&B takes no id of a deleted run.
    """
    from adaptbench.reports.report import write_report
    from adaptbench.reports.results.manifest import read_suite, values_of

    chosen = read_suite(runs, suite)
    store = Store(runs)
    names = _names(select(chosen.cells, only or {}, values_of, f"{runs}"), store)
    target = replace(target, suite=chosen.name, folder=folder_id(runs, anew=again))
    if again:
        for run_id in names:
            forget_mirrored(store, run_id, target)
    finished = [run_id for run_id in names if store.is_published(run_id)]
    found = mirror_afterwards(store, names, target, lambda name: console.print(escape(name), highlight=False))
    report_left = bool(finished) and not found and not is_mirrored(store, report_of(target), target)
    if None in found.values() or report_left:
        with waiting_for("the report, which is being drawn and sent", console):
            report = write_report(runs, runs / f"report-{chosen.name}", chosen.name)
            found["report"] = close_with_report(report, target, runs)
    for reason, count in Counter(trouble for trouble in found.values() if trouble is not None).items():
        console.print(f"[yellow]warning[/] W&B did not take {count}: {escape(reason)}", highlight=False)
    left = sum(not is_mirrored(store, run_id, target) for run_id in finished)
    all_of = count_of(len(finished), "finished run")
    console.print(f"W&B ({target.mode}) has {len(finished) - left} of {all_of}; {left} left.")
    return not left and found.get("report") is None


def _names(cells: Iterable["Cell"], store: Store) -> dict[str, str]:
    """Returns the name of each finished run in W&B by id, candidates before the runs that need them."""
    names: dict[str, str] = {}
    for cell in cells:
        if store.is_published(cell.run_id):
            try:
                runs = runs_of(cell, read_spec(store.published(cell.run_id)))
            except (OSError, ValueError):  # it cannot be mirrored, which is said later
                names[cell.run_id] = cell.learner
                continue
            for run in runs:
                names.setdefault(run.spec.run_id, run.name)
    return names


def close_with_report(report: "Report", target: Target, runs: Path) -> str | None:
    """Logs the report of a suite to W&B; returns what went wrong, or None."""
    pictures = [figure for figure in report.figures if figure.suffix == ".png"]
    return close_suite(target, runs, {table.name: table.frame for table in report.tables}, [*pictures, report.page])
