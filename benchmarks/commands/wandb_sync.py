"""The command `adaptbench wandb-sync`: sends finished runs to W&B from their files."""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from adaptbench.benchmarks.store.store import Store
from adaptbench.benchmarks.tracking.wandb_runs import Target, close_suite, is_mirrored, mirror_afterwards
from adaptbench.reports.reading import Unreadable

if TYPE_CHECKING:
    from adaptbench.reports.report import Report
    from adaptbench.reports.results.manifest import Cell


def sync_suite(runs: Path, suite: str | None, target: Target, console: Console) -> int:
    """Mirrors a suite's finished runs and its report in W&B, each run once; returns how many runs are left."""
    from adaptbench.reports.report import write_report
    from adaptbench.reports.results.manifest import read_suite

    chosen = read_suite(runs, suite)
    target = replace(target, suite=chosen.name)
    store = Store(runs)
    names = _names(chosen.cells, store)
    finished = [run_id for run_id in names if store.is_published(run_id)]
    found = mirror_afterwards(store, names, target, lambda name: console.print(escape(name), highlight=False))
    if None in found.values():
        report = write_report(runs, runs / f"report-{chosen.name}", chosen.name)
        found["report"] = close_with_report(report, target, runs)
    for reason, count in Counter(trouble for trouble in found.values() if trouble is not None).items():
        console.print(f"[yellow]warning[/] W&B did not take {count}: {escape(reason)}", highlight=False)
    left = sum(not is_mirrored(store, run_id, target) for run_id in finished)
    console.print(
        f"{len(finished) - left} of {len(finished)} finished runs are in W&B ({target.mode}); {left} are left."
    )
    return left


def _names(cells: Iterable["Cell"], store: Store) -> dict[str, str]:
    """Returns the name of each run in W&B by id, candidates before the runs that need them."""
    names: dict[str, str] = {}
    for cell in cells:
        where = f"{cell.task}{f' {cell.train_classes}' if cell.train_classes else ''} seed {cell.seed}"
        with suppress(Unreadable):  # an unreadable run cannot be mirrored
            for needed in store.pretrainings(cell.run_id):
                names.setdefault(needed, f"{store.result(needed).learner} {where}")
        names[cell.run_id] = f"{cell.learner} {where}"
    return names


def close_with_report(report: "Report", target: Target, runs: Path) -> str | None:
    """Logs the report of a suite to W&B; returns what went wrong, or None."""
    pictures = [figure for figure in report.figures if figure.suffix == ".png"]
    return close_suite(target, runs, {table.name: table.frame for table in report.tables}, [*pictures, report.page])
