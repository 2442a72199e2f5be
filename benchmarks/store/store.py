"""Where runs are kept: one folder a run, published by one atomic rename, and worked on by one process at a time."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import LeaseCompromise, SoftFileLease, Timeout
from pydantic import BaseModel

from adaptbench.benchmarks.store.integrity import RESULT, canonical, damage
from adaptbench.reports.format import Environment, Failure, Manifest, Result
from adaptbench.reports.reading import Unreadable, read

CHECKPOINT = "last.ckpt"
LOG = "log.txt"
FAILURE = "failure.json"
NEW = ".new"
"""Ending of a file that is being written beside the one whose place it takes; a killed process leaves it."""
SCRATCH = (CHECKPOINT, f"{CHECKPOINT}{NEW}", "progress", LOG, FAILURE)
"""What a run needs while it is unfinished, and nobody afterwards."""
PARTIAL = ".partial-"
LOCK = ".lock-"
DAMAGED = ".damaged-"
LEASE_SECONDS = 30.0
"""A lock that its owner has not refreshed for so long is taken over; one of a dead process on this machine, at once."""
LEASE_PATIENCE = 0.5
"""Seconds to try: long enough to take over a dead owner's lock, short enough to turn to another run."""


class RunElsewhere(Exception):
    """Another process works on the run."""


class Store:
    """A folder of runs.

    A run is written under a hidden partial folder, which also holds its checkpoint, and renamed when it is complete; so
    a folder with a run's own name is a finished run.

    Args:
        root: the folder, made where it is missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def published(self, run_id: str) -> Path:
        """Where a finished run is, or will be."""
        return self.root / run_id

    def partial(self, run_id: str) -> Path:
        """Where an unfinished run is kept."""
        return self.root / f"{PARTIAL}{run_id}"

    def is_published(self, run_id: str) -> bool:
        """Whether a run has finished."""
        return Path(self.root, run_id, "result.json").is_file()

    def begin(self, run_id: str) -> Path:
        """Makes the partial folder, or finds the one of an earlier try; a failure noted there is forgotten."""
        folder = self.partial(run_id)
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in (folder / FAILURE, *folder.glob(f"*{NEW}")):
            leftover.unlink(missing_ok=True)
        return folder

    @contextmanager
    def claimed(self, run_id: str, on_loss: Callable[[], None]) -> Iterator[None]:
        """Holds the lock of a run, which names its owner and which a thread refreshes.

        Args:
            run_id: the run.
            on_loss: called from that thread if another process took the lock, believing this one dead.

        Raises:
            RunElsewhere: if another process holds it.
        """

        def lost(_: LeaseCompromise) -> None:
            on_loss()

        self.root.mkdir(parents=True, exist_ok=True)
        lease = SoftFileLease(self._lock(run_id), lease_duration=LEASE_SECONDS, on_compromise=lost)
        try:
            lease.acquire(timeout=LEASE_PATIENCE, poll_interval=0.05)
        except Timeout:
            raise RunElsewhere(run_id) from None
        try:
            yield
        finally:
            lease.release()

    def watch(self, run_id: str) -> SoftFileLease:
        """Makes what `is_free` needs to see whether another process still refreshes its lock."""
        return SoftFileLease(self._lock(run_id), lease_duration=LEASE_SECONDS)

    def locked(self) -> list[str]:
        """Lists the runs that have a lock, whether its owner lives or not."""
        return sorted(path.name.removeprefix(LOCK) for path in self.root.glob(f"{LOCK}*") if "." not in path.name[1:])

    def _lock(self, run_id: str) -> Path:
        return self.root / f"{LOCK}{run_id}"

    def damage(self, run_id: str, thorough: bool = True) -> str | None:
        """Says what is wrong with a finished run's files; None where all is well."""
        return damage(self.published(run_id), thorough)

    def set_aside(self, run_id: str) -> None:
        """Takes a damaged run out of the way, so that it can be computed again."""
        aside = self.root / f"{DAMAGED}{run_id}"
        if aside.exists():
            shutil.rmtree(aside)
        self.published(run_id).rename(aside)

    def tidy(self) -> None:
        """Removes what killed processes left and nobody needs: locks of the dead, leftovers of published runs."""
        for run_id in self.locked():
            is_free(self.watch(run_id))
        for pattern in (PARTIAL, DAMAGED):
            for path in self.root.glob(f"{pattern}*"):
                if self.is_published(path.name.removeprefix(pattern)):
                    shutil.rmtree(path, ignore_errors=True)

    def publish(self, run_id: str) -> Path:
        """Renames a complete partial folder; if the run was published meanwhile, that one stays."""
        partial, final = self.partial(run_id), self.published(run_id)
        for name in SCRATCH:
            (partial / name).unlink(missing_ok=True)
        for file in partial.iterdir():
            flush(file)
        try:
            partial.rename(final)
        except OSError:
            if self.is_published(run_id):
                shutil.rmtree(partial)
            elif final.exists():  # without its result, it was no published run
                self.set_aside(run_id)
                partial.rename(final)
            else:
                raise
        flush(self.root)
        return final

    def note_failure(self, run_id: str, reason: str, log: str) -> None:
        """Leaves a note of why a run failed for the report; a folder that cannot be written to is none the worse."""
        try:
            folder = self.partial(run_id)
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / FAILURE, Failure(reason=reason, log=log))
        except OSError:
            return

    def failure(self, run_id: str) -> str | None:
        """Reads the reason why a run failed, if it did."""
        try:
            return read(self.partial(run_id) / FAILURE, Failure).reason
        except Unreadable:
            return None

    def write_manifest(self, manifest: Manifest) -> None:
        """Writes what a suite wants, whether finished or not, for reports to compare with what is there."""
        folder = self.root / "suites"
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / f"{manifest.name}.json", manifest)

    def result(self, run_id: str) -> Result:
        """Reads the result of a finished run."""
        return read(self.published(run_id) / RESULT, Result)

    def environment(self, run_id: str) -> Environment:
        """Reads where and how fast a finished run was computed."""
        return read(self.published(run_id) / "environment.json", Environment)

    def pretrainings(self, run_id: str) -> list[str]:
        """The runs of which a finished run adapted one's network; none if it trained its own or is not finished."""
        if not self.is_published(run_id):
            return []
        result = self.result(run_id)
        rivals = [each.run_id for each in result.pretrainings]
        return rivals or ([] if result.pretrained is None else [result.pretrained])

    def load_checkpoint(self, run_id: str) -> Mapping[str, Any]:
        """Reads a finished run's weights and the shape of its task."""
        checkpoint: Mapping[str, Any] = torch.load(
            self.published(run_id) / "model.ckpt", map_location="cpu", weights_only=True
        )
        return checkpoint


def is_free(lease: SoftFileLease) -> bool:
    """Whether nobody works on a run: its lock is gone, or its owner is dead, or has not refreshed it for too long.

    Args:
        lease: of `Store.watch`; the same one has to be asked again and again, for it sees the lock get old.
    """
    try:
        lease.acquire(timeout=0)
    except Timeout:
        return False
    lease.release()
    return True


def write_json(path: Path, record: BaseModel) -> None:
    """Writes canonical JSON atomically: sorted keys, the same bytes every time."""
    text = canonical(record.model_dump(mode="json"))
    new = path.with_name(f"{path.name}.{os.getpid()}{NEW}")
    new.write_text(text, encoding="utf-8")
    flush(new)
    new.replace(path)


def flush(path: Path) -> None:
    """Waits until a file, or a folder's list of files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
