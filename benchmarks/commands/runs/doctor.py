"""The command `doctor`: what is wrong with a folder of runs."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.text import Text

from adaptbench.benchmarks.runs.checkpoints import damaged_part
from adaptbench.benchmarks.store.store import CHECKPOINT, DAMAGED, PARTIAL, Store
from adaptbench.benchmarks.suites.description import name_of
from adaptbench.benchmarks.suites.spec import read_spec
from adaptbench.reports.errors import ReportError
from adaptbench.reports.format import Environment, Guards
from adaptbench.reports.reading import NewerFormat, read
from adaptbench.reports.results.curves import read_curve, read_whole
from adaptbench.reports.results.manifest import read_suite
from adaptbench.reports.results.runs import Problem, read_outcome
from adaptbench.reports.words.waiting import waiting_for

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
            return f" ({name_of(read_spec(self.path))})"
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
    with waiting_for(f"the files of {runs}, which are being read", console):
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
    held = {run_id for run_id in store.locked() if not store.watch(run_id).is_free()}
    for run_id in sorted(held):
        text = "a process is working on it, or was a moment ago on another machine"
        yield Complaint("locked", store.root / run_id, text)
    left = store.lock_leftovers()
    for path in sorted(store.root.iterdir()):
        if path.name.startswith(PARTIAL):
            yield from _unfinished(store, path, path.name.removeprefix(PARTIAL) in held, repair)
        elif path.name.startswith(DAMAGED):
            yield Complaint("leftover", path, "a damaged run, set aside until it is computed again")
        elif path in left or path.name.endswith(".new") or path.name.startswith(".probe-"):
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
        "predicted functions": lambda: read_whole(path / "fits.parquet"),
        "calibration": lambda: read_whole(path / "calibration.parquet"),
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
    found = read_spec(path).run_id
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
