"""The commands `doctor`, `list runs` and `remove`: what a folder of runs holds, and what is wrong with it."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from adaptbench.benchmarks.runs.checkpoints import damaged_part
from adaptbench.benchmarks.store.store import CHECKPOINT, DAMAGED, PARTIAL, RunElsewhere, Store, is_free
from adaptbench.benchmarks.suites.description import describe, name_of
from adaptbench.benchmarks.suites.spec import RUN_SPEC
from adaptbench.reports.errors import ReportError
from adaptbench.reports.format import Environment, Guards, ManifestCell, Result
from adaptbench.reports.plural import count_of
from adaptbench.reports.reading import NewerFormat, Unreadable, read
from adaptbench.reports.results.curves import read_calibration, read_curve, read_fits
from adaptbench.reports.results.manifest import Cell, read_suite, suite_names, values_of
from adaptbench.reports.results.metrics import Metric
from adaptbench.reports.results.runs import Problem, read_outcome
from adaptbench.reports.selection import Only, select

Kind = Literal["damaged", "incomplete", "unreadable", "newer", "failed", "unfinished", "locked", "leftover"]


@dataclass(frozen=True)
class Complaint:
    """Something in a folder of runs that is not an intact, finished run.

    Attributes:
        kind: all but "unfinished" and "locked" need attention. "newer": a later version wrote it. "incomplete": the
            scores are intact, but not what is known of the machine. "unreadable": the report leaves it out.
        path: where it is.
        text: what it is, in a sentence without a full stop.
    """

    kind: Kind
    path: Path
    text: str

    @property
    def name(self) -> str:
        """The name of a run's learner, task and seed, in brackets; empty if it is not known."""
        try:
            return f" ({name_of(RUN_SPEC.validate_json((self.path / 'spec.json').read_bytes()))})"
        except (OSError, ValueError):
            return ""

    @property
    def wrong(self) -> bool:
        """Whether it needs attention."""
        return self.kind not in ("unfinished", "locked")


def show_complaints(runs: Path, repair: bool, console: Console) -> int:
    """Prints what is wrong with a folder of runs; returns how much of it needs attention.

    Raises:
        ValueError: if there is no such folder.
    """
    wrong = 0
    for complaint in examine(Store(runs), repair):
        wrong += complaint.wrong
        kind = Text.assemble((complaint.kind, "red" if complaint.wrong else "yellow"), " ")
        console.print(kind + Text(f"{complaint.path.name}{complaint.name}: {complaint.text}."), soft_wrap=True)
    finished = sum(1 for _ in runs.glob("[!.]*/result.json"))
    repaired = " What could be repaired was." if repair and wrong else ""
    console.print(f"Finished runs: {finished}. Wrong: {wrong}.{repaired}")
    return wrong


def examine(store: Store, repair: bool = False) -> Iterator[Complaint]:
    """Reads every file of every run, and yields what is wrong.

    Args:
        store: the folder.
        repair: whether to set damaged runs aside, so that the next `run` computes them again, and to remove leftovers.

    Raises:
        ValueError: if there is no such folder.
    """
    if not store.root.is_dir():
        raise ValueError(f"Expected a folder of runs but {store.root} is none; `adaptbench run` makes it.")
    held = {run_id for run_id in store.locked() if not is_free(store.watch(run_id))}
    for run_id in sorted(held):
        text = "a process is working on it, or was a moment ago on another machine"
        yield Complaint("locked", store.root / run_id, text)
    for path in sorted(store.root.iterdir()):
        if path.name.startswith(PARTIAL):
            yield from _unfinished(store, path, path.name.removeprefix(PARTIAL) in held, repair)
        elif path.name.startswith(DAMAGED):
            yield Complaint("leftover", path, "a damaged run, set aside until it is computed again")
        elif path.name.endswith(".new") or path.name.startswith(".probe-"):
            yield Complaint("leftover", path, "a file that was being written when its process was killed")
            if repair:
                path.unlink()
        elif (path / "spec.json").exists() or (path / "result.json").exists():
            yield from _finished(store, path, repair)
    for path in sorted(store.root.glob("suites/*.json")):
        yield from _of_suite(store, path)


def _finished(store: Store, path: Path, repair: bool) -> Iterator[Complaint]:
    try:
        trouble = store.damage(path.name)
    except NewerFormat as error:
        yield Complaint("newer", path, str(error).removesuffix("."))
        return
    if trouble is None:
        yield from _beside(store, path)
        return
    if repair:
        store.set_aside(path.name)
    then = "set aside; `adaptbench run` computes it again" if repair else "`adaptbench doctor --repair` sets it aside"
    yield Complaint("damaged", path, f"{trouble}; {then}")


def _unfinished(store: Store, path: Path, held: bool, repair: bool) -> Iterator[Complaint]:
    run_id = path.name.removeprefix(PARTIAL)
    checkpoint = path / CHECKPOINT
    part = damaged_part(checkpoint) if checkpoint.is_file() and not held else None
    if store.is_published(run_id) and not held:
        yield Complaint("leftover", path, "the run has been published since; the next `adaptbench run` removes it")
    elif part is not None:
        if repair:
            checkpoint.unlink()
        yield Complaint("damaged", checkpoint, f"the checkpoint cannot be read ({part}); the run has to start again")
    elif reason := store.failure(run_id):
        yield Complaint("failed", path, f"{reason}; `adaptbench run` tries it again")
    else:
        what = "continues from its checkpoint" if checkpoint.is_file() else "starts it again"
        yield Complaint("unfinished", path, f"`adaptbench run` {what}")


def _beside(store: Store, path: Path) -> Iterator[Complaint]:
    """Complains of what an intact result does not depend on: its machine, spec, tables, and the runs it came from."""
    result = store.result(path.name)
    readers: dict[str, Callable[[], object]] = {
        "times and machine": lambda: read(path / "environment.json", Environment),
        "spec": lambda: _check_spec(path),
        "learning curve": lambda: read_curve(path, ""),
        "predicted functions": lambda: read_fits(path),
        "calibration": lambda: read_calibration(path),
        "guards": lambda: read(path / "guards.json", Guards),
    }
    for what, reader in readers.items():
        try:
            reader()
        except NewerFormat as error:
            yield Complaint("newer", path, str(error).removesuffix("."))
        except (ValueError, OSError) as error:
            reason = " ".join(str(error).removesuffix(".").split())
            yield Complaint("incomplete", path, f"its scores are intact, but not its {what}: {reason}")
    for needed in dict.fromkeys([result.pretrained, *(each.run_id for each in result.pretrainings)]):
        if needed is not None and not store.is_published(needed):
            text = f"its scores are intact, but run {needed}, which trained for it, is gone"
            yield Complaint("incomplete", path, f"{text}; `adaptbench run` computes it again")


def _check_spec(path: Path) -> None:
    found = RUN_SPEC.validate_json((path / "spec.json").read_bytes()).run_id
    if found != path.name:
        raise ValueError(f"spec.json is that of run {found}")


def _of_suite(store: Store, path: Path) -> Iterator[Complaint]:
    """Complains of a manifest that cannot be read, and of intact runs that its report cannot read."""
    try:
        suite = read_suite(store.root, path.stem)
    except NewerFormat as error:
        yield Complaint("newer", path, str(error).removesuffix("."))
        return
    except ReportError as error:
        yield Complaint("damaged", path, f"{str(error).removesuffix('.')}; `adaptbench run` writes it again")
        return
    for cell in suite.cells:
        if store.is_published(cell.run_id) and _is_intact(store, cell.run_id):
            found = read_outcome(store.root, cell)
            if isinstance(found, Problem):
                cure = "without its folder, `adaptbench run` computes it again"
                text = f"the report of {suite.name} leaves it out: {found.reason.removesuffix('.')}; {cure}"
                yield Complaint("unreadable", store.published(cell.run_id), text)


def _is_intact(store: Store, run_id: str) -> bool:
    with suppress(NewerFormat):
        return store.damage(run_id, thorough=False) is None
    return False


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
            f"{cell.label} on {cell.task}{size}", str(cell.seed), " ".join(metric.value(each.value) for each in scores),
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
    folders = [path for path in root.glob("*") if path.name.startswith(PARTIAL) or (path / "result.json").is_file()]
    names = {path.name.removeprefix(PARTIAL) for path in folders}
    found = {cell.run_id: cell for name in suite_names(root) for cell in _cells_of(root, name) if cell.run_id in names}
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
    shown.add_column("run", overflow="fold", min_width=16)
    for name in ("seed", "scores", "seconds", "commit", "state", "id"):
        shown.add_column(name, justify="right" if name in ("seed", "seconds") else "left", no_wrap=name != "scores")
    for run in runs:
        colour = {"finished": "", "damaged": "red", "failed": "red"}.get(run.state, "yellow")
        shown.add_row(*(Text(text, style=colour if text == run.state else "") for text in run.columns))
    console.print(shown)
    dirty = ". An asterisk: the checkout had uncommitted changes" if any("*" in r.columns[4] for r in runs) else ""
    console.print(f"{count_of(len(runs), 'run')} in {root}{dirty}.", markup=False, highlight=False, soft_wrap=True)


def remove_runs(root: Path, only: Only, console: Console, *, ask: bool = True) -> None:
    """Removes runs, finished or not, except those at work.

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
    text += f"; a process works on {', '.join(left)}, so it stays" if left else ""
    console.print(f"{text}.", markup=False, highlight=False, soft_wrap=True)


def _cells_of(root: Path, name: str) -> Sequence[Cell]:
    try:
        return read_suite(root, name).cells
    except ReportError:
        return ()


def _described(root: Path, run_id: str) -> Cell | None:
    """Describes a run that no suite lists; None if its spec cannot be read."""
    for folder in (root / run_id, root / f"{PARTIAL}{run_id}"):
        try:
            spec = RUN_SPEC.validate_json((folder / "spec.json").read_bytes())
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
    if not is_free(store.watch(run_id)):
        return KeptRun(cell, "running")
    if store.failure(run_id) is not None:
        return KeptRun(cell, "failed")
    return KeptRun(cell, "stopped" if (store.partial(run_id) / CHECKPOINT).is_file() else "not begun")


def _environment(store: Store, run_id: str) -> Environment | None:
    try:
        return read(store.published(run_id) / "environment.json", Environment)
    except Unreadable:
        return None
