"""The commands `list runs` and `remove`: the runs of a folder, finished or not."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from adaptbench.benchmarks.store.store import CHECKPOINT, PARTIAL, RunElsewhere, Store
from adaptbench.benchmarks.suites.description import describe
from adaptbench.benchmarks.suites.spec import read_spec
from adaptbench.reports.errors import ReportError
from adaptbench.reports.format import Environment, ManifestCell, Result
from adaptbench.reports.plural import count_of
from adaptbench.reports.reading import Unreadable, read
from adaptbench.reports.results.manifest import Cell, listed_cells, values_of
from adaptbench.reports.results.metrics import Metric
from adaptbench.reports.selection import Only, select


@dataclass(frozen=True)
class KeptRun:
    """A run that a folder holds.

    Attributes:
        cell: what it is, as its suite describes it.
        state: "finished", "damaged", "failed", "running", "stopped" or "not begun".
        result: its scores, if it has finished.
        environment: where and how fast it was computed, if that is known.
    """

    cell: Cell
    state: str
    result: Result | None = None
    environment: Environment | None = None

    @property
    def columns(self) -> list[str]:
        """What it is, seed, scores, seconds, commit, state and id, for readers."""
        cell, times = self.cell, self.environment and self.environment.times
        size = "" if cell.train_classes is None else f", {cell.train_classes} {cell.class_word}"
        metric = Metric.named(cell.metric, higher_is_better=cell.higher_is_better)
        scores = [each for each in self.result.scores if each.metric == cell.metric] if self.result else []
        spent = [times.train_seconds, times.test_seconds] if times else []
        seconds = sum(each for each in spent if each is not None)
        machine = self.environment and self.environment.machine
        commit = f"{machine.git_commit[:7]}{'*' * bool(machine.git_dirty)}" if machine and machine.git_commit else ""
        return [
            f"{cell.label} on {cell.called}{size}", str(cell.seed),
            " ".join(metric.value(each.value) for each in scores),
            f"{seconds:,.0f}" if spent else "", commit, self.state, cell.run_id,
        ]  # fmt: skip


def kept_runs(root: Path, only: Only) -> list[KeptRun]:
    """Lists the runs of a folder, in the order of its suites; then those that no suite lists, such as pretrainings.

    Args:
        root: the folder.
        only: values of which a run must have one, by key.

    Raises:
        ReportError: if it has no runs, or none of these.
    """
    finished = [path.parent for path in root.glob("[!.]*/result.json")]
    names = {path.name.removeprefix(PARTIAL) for path in [*finished, *root.glob(f"{PARTIAL}*")]}
    found = {cell.run_id: cell for cell in listed_cells(root) if cell.run_id in names}
    found |= {name: cell for name in sorted(names - found.keys()) if (cell := _described(root, name)) is not None}
    if not found:
        raise ReportError(f"Expected a folder of runs but {root} has none; `adaptbench run` makes them.")
    store = Store(root)
    cells = select(found.values(), only, values_of, f"{root}")
    return [_kept(store, cell) for cell in cells]


def list_runs(root: Path, only: Only, console: Console) -> None:
    """Prints a line for each run of a folder."""
    runs = kept_runs(root, only)
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column("run", overflow="fold", min_width=10)
    for name in ("seed", "scores", "seconds", "commit", "state", "id"):
        justify: Literal["right", "left"] = "right" if name in ("seed", "seconds") else "left"
        least = {"id": 16, "state": 8}.get(name)
        shown.add_column(name, justify=justify, overflow="fold", min_width=least)
    for run in runs:
        colour = {"finished": "", "damaged": "red", "failed": "red"}.get(run.state, "yellow")
        shown.add_row(*(Text(text, style=colour if text == run.state else "") for text in run.columns))
    console.print(shown)
    dirty = ". An asterisk: the checkout had uncommitted changes" if any("*" in r.columns[4] for r in runs) else ""
    console.print(f"{count_of(len(runs), 'run')} in {root}{dirty}.", markup=False, highlight=False, soft_wrap=True)


def remove_runs(root: Path, only: Only, console: Console, *, ask: bool = True) -> list[str]:
    """Removes runs, finished or not, except those at work; returns the ids of these.

    Args:
        root: the folder.
        only: values of which a run must have one, by key; at least one key.
        console: where to print.
        ask: whether to ask first.

    Raises:
        ReportError: if `only` is empty or selects nothing.
    """
    if not only:
        raise ReportError("Expected `--only` to say which runs are removed.")
    runs, store = kept_runs(root, only), Store(root)
    if ask:
        list_runs(root, only, console)
        typer.confirm(f"Remove {count_of(len(runs), 'run')} for good?", abort=True)
    left = []
    for run_id in (run.cell.run_id for run in runs):
        try:
            with store.claimed(run_id, lambda: None):
                for folder in (store.published(run_id), store.partial(run_id)):
                    shutil.rmtree(folder, ignore_errors=not folder.exists())
        except RunElsewhere:
            left.append(run_id)
    text = f"Removed {count_of(len(runs) - len(left), 'run')} of {root}"
    text += f", but not {', '.join(left)}: a process is at work there" if left else ""
    console.print(f"{text}.", markup=False, highlight=False, soft_wrap=True)
    return left


def _described(root: Path, run_id: str) -> Cell | None:
    """Describes a run that no suite lists; None if its spec cannot be read."""
    for folder in (root / run_id, root / f"{PARTIAL}{run_id}"):
        try:
            spec = read_spec(folder)
            described: ManifestCell = describe(spec)
        except (OSError, ValueError):
            continue
        return Cell(**dict(described))
    return None


def _kept(store: Store, cell: Cell) -> KeptRun:
    run_id = cell.run_id
    if store.is_published(run_id):
        try:
            result = store.result(run_id)
            state = "finished" if store.damage(run_id, thorough=False) is None else "damaged"
        except Unreadable:
            return KeptRun(cell, "damaged")
        return KeptRun(cell, state, result, _environment(store, run_id))
    if not store.watch(run_id).is_free():
        return KeptRun(cell, "running")
    if store.failure(run_id) is not None:
        return KeptRun(cell, "failed")
    return KeptRun(cell, "stopped" if (store.partial(run_id) / CHECKPOINT).is_file() else "not begun")


def _environment(store: Store, run_id: str) -> Environment | None:
    try:
        return read(store.published(run_id) / "environment.json", Environment)
    except Unreadable:
        return None
