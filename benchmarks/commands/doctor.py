"""Finds what is wrong with a folder of runs, and repairs what can be repaired without loss."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from adaptbench.benchmarks.runs.checkpoints import damaged_part
from adaptbench.benchmarks.store.store import CHECKPOINT, DAMAGED, PARTIAL, Store, is_free
from adaptbench.reports.reading import NewerFormat

Kind = Literal["damaged", "newer", "failed", "unfinished", "locked", "leftover"]


@dataclass(frozen=True)
class Complaint:
    """Something in a folder of runs that is not an intact, finished run.

    Attributes:
        kind: all but "unfinished" and "locked" need attention; "newer" means that a later version wrote the run.
        path: where it is.
        text: what it is, in a sentence without a full stop.
    """

    kind: Kind
    path: Path
    text: str

    @property
    def wrong(self) -> bool:
        """Whether it needs attention."""
        return self.kind not in ("unfinished", "locked")


def examine(store: Store, repair: bool = False) -> Iterator[Complaint]:
    """Reads every file of every run, and yields what is wrong.

    Args:
        store: the folder.
        repair: whether to set damaged runs aside, so that the next `run` computes them again, and to remove leftovers.
    """
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


def _finished(store: Store, path: Path, repair: bool) -> Iterator[Complaint]:
    try:
        trouble = store.damage(path.name)
    except NewerFormat as error:
        yield Complaint("newer", path, str(error).removesuffix("."))
        return
    if trouble is None:
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
