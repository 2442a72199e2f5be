"""What is wrong with a folder of runs, read file by file, and put right where that loses nothing."""

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
    """Something in a folder of runs that is not a sound, finished run.

    Attributes:
        kind: "unfinished" and "locked" need nobody's attention, the others do; "newer" is what a later version wrote.
        path: where.
        text: what, in a sentence.
    """

    kind: Kind
    path: Path
    text: str

    @property
    def wrong(self) -> bool:
        """Whether somebody should do something about it."""
        return self.kind not in ("unfinished", "locked")


def examine(store: Store, repair: bool = False) -> Iterator[Complaint]:
    """Reads every file of every run, and complains.

    Args:
        store: the folder.
        repair: whether to set damaged runs aside, for the next `run` to compute again, and to remove leftovers.
    """
    held = {run_id for run_id in store.locked() if not is_free(store.watch(run_id))}
    for run_id in sorted(held):
        yield Complaint("locked", store.root / run_id, "a process works on it, or did a moment ago on another machine")
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
        yield Complaint("damaged", checkpoint, f"the checkpoint cannot be read ({part}); the run has to start anew")
    elif reason := store.failure(run_id):
        yield Complaint("failed", path, f"{reason}; `adaptbench run` tries it again")
    else:
        where = "goes on from its checkpoint" if checkpoint.is_file() else "starts anew"
        yield Complaint("unfinished", path, f"`adaptbench run` {where}")
