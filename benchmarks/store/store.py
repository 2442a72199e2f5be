"""The folder of the runs: each run has a folder, which is published by an atomic rename and locked by one process."""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from filelock import SoftFileLease, Timeout
from pydantic import BaseModel

from adaptbench.benchmarks.store.integrity import RESULT, canonical, damage
from adaptbench.reports.format import Environment, Failure, Manifest, Result
from adaptbench.reports.reading import NewerFormat, Unreadable, read

CHECKPOINT = "last.ckpt"
LOG = "log.txt"
FAILURE = "failure.json"
NEW = ".new"
"""Ending of a file that is being written beside the one whose place it takes; a killed process leaves it."""
SCRATCH = (CHECKPOINT, f"{CHECKPOINT}{NEW}", "progress", LOG, FAILURE)
"""Files of an unfinished run; publishing deletes them."""
PARTIAL = ".partial-"
LOCK = ".lock-"
DAMAGED = ".damaged-"
LEASE_SECONDS = 30.0
"""Seconds after which a lock that is not refreshed can be taken; that of a dead process on this machine, at once."""
LEASE_PATIENCE = 0.5
"""Seconds to wait for a lock: enough to take over a dead owner's lock."""


class RunElsewhere(Exception):
    """Another process works on the run."""


class Watch:
    """Sees whether anybody works on a run; it remembers the age of the lock, so every question needs the same one.

    Args:
        path: the file of the lock.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.lease = path, SoftFileLease(path, lease_duration=LEASE_SECONDS)
        self._empty: tuple[int, float] | None = None

    def is_free(self) -> bool:
        """Whether nobody does: there is no lock, or its owner is dead or has not refreshed it in time."""
        try:
            self.lease.acquire(timeout=0)
        except (Timeout, OSError):  # a lock that cannot be taken is not free
            self._give_up_empty()
            return False
        self.lease.release()
        return True

    def _give_up_empty(self) -> None:
        """Writes into a lock that stays empty, because its process was killed before it wrote its name.

        filelock takes it for that of an early version, and waits for ever; one with any text is taken over.
        """
        with suppress(OSError):
            found = self.path.lstat()
            if found.st_size:
                self._empty = None
            elif self._empty is None or self._empty[0] != found.st_ino:
                self._empty = found.st_ino, time.monotonic()
            elif time.monotonic() - self._empty[1] > LEASE_SECONDS:
                with self.path.open("r+b") as lock:
                    about = os.fstat(lock.fileno())
                    if (about.st_ino, about.st_size) == (found.st_ino, 0):
                        lock.write(b"?")


class Store:
    """A folder of runs.

    A run is written into a hidden partial folder, which also has its checkpoint. The folder gets the run's id as its
    name when the run is complete, so a folder of that name is a finished run.

    Args:
        root: the folder; it is made when it is needed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._claims: dict[str, SoftFileLease] = {}

    def published(self, run_id: str) -> Path:
        """The folder of a finished run."""
        return self.root / run_id

    def partial(self, run_id: str) -> Path:
        """The folder of an unfinished run."""
        return self.root / f"{PARTIAL}{run_id}"

    def checkpoint(self, run_id: str) -> Path:
        """The checkpoint of an unfinished run."""
        return self.partial(run_id) / CHECKPOINT

    def is_published(self, run_id: str) -> bool:
        """Whether a run has finished."""
        return Path(self.root, run_id, "result.json").is_file()

    def begin(self, run_id: str) -> Path:
        """Makes the partial folder, or uses that of an earlier try and deletes the note of its failure."""
        folder = self.partial(run_id)
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in (folder / FAILURE, *folder.glob(f"*{NEW}")):
            leftover.unlink(missing_ok=True)
        return folder

    @contextmanager
    def claimed(self, run_id: str, on_loss: Callable[[], None]) -> Iterator[None]:
        """Holds the lock of a run; a thread refreshes it, and `is_ours` tells at once whether it was lost.

        Args:
            run_id: the run.
            on_loss: called from that thread if another process took the lock because this one seemed dead.

        Raises:
            RunElsewhere: if another process holds it.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        lease = SoftFileLease(self._lock(run_id), lease_duration=LEASE_SECONDS, on_compromise=lambda _: on_loss())
        try:
            lease.acquire(timeout=LEASE_PATIENCE, poll_interval=0.05)
        except Timeout:
            raise RunElsewhere(run_id) from None
        self._claims[run_id] = lease
        try:
            yield
        finally:
            del self._claims[run_id]
            lease.release()

    def is_ours(self, run_id: str) -> bool:
        """Whether no other process took the lock that this store holds, or none is held."""
        claim = self._claims.get(run_id)
        return claim is None or ((owner := claim.owner) is not None and owner.token == claim.token)

    def watch(self, run_id: str) -> Watch:
        """Makes what sees whether another process still refreshes the lock of a run."""
        return Watch(self._lock(run_id))

    def locked(self) -> list[str]:
        """Lists the runs that have a lock, whether its owner lives or not."""
        return sorted(path.name.removeprefix(LOCK) for path in self.root.glob(f"{LOCK}*") if "." not in path.name[1:])

    def lock_leftovers(self) -> list[Path]:
        """Lists what processes left that were killed while they took the lock of a run that is published now."""

        def left(path: Path) -> bool:
            with suppress(FileNotFoundError):
                return "." in path.name[1:] or path.stat().st_size == 0
            return False

        found = (path for path in sorted(self.root.glob(f"{LOCK}*")) if left(path))
        return [path for path in found if self.is_published(path.name.removeprefix(LOCK).partition(".")[0])]

    def owner(self, run_id: str) -> str:
        """Names the process that has a run's lock, as far as the lock tells."""
        owner = self.watch(run_id).lease.owner
        return "another process" if owner is None else f"process {owner.pid} on {owner.hostname}"

    def _lock(self, run_id: str) -> Path:
        return self.root / f"{LOCK}{run_id}"

    def damage(self, run_id: str, thorough: bool = True) -> str | None:
        """Says what is wrong with a finished run's files; None if nothing is."""
        return damage(self.published(run_id), thorough)

    def set_aside(self, run_id: str) -> None:
        """Renames the folder of a damaged run, so that the run can be computed again."""
        aside = self.root / f"{DAMAGED}{run_id}"
        shutil.rmtree(aside, ignore_errors=True)
        self.published(run_id).rename(aside)

    def forget(self, run_id: str) -> None:
        """Sets a finished run aside, and removes what an unfinished one left, so that it is computed from the start.

        A run that another process works on keeps its files.
        """
        if self.is_published(run_id):
            self.set_aside(run_id)
        if self.watch(run_id).is_free():
            shutil.rmtree(self.partial(run_id), ignore_errors=True)

    def tidy(self) -> None:
        """Removes the locks of dead processes, and partial and damaged folders of runs that are published."""
        for run_id in self.locked():
            self.watch(run_id).is_free()
        for path in self.lock_leftovers():
            path.unlink(missing_ok=True)
        for pattern in (PARTIAL, DAMAGED):
            for path in self.root.glob(f"{pattern}*"):
                if self.is_published(path.name.removeprefix(pattern)):
                    shutil.rmtree(path, ignore_errors=True)

    def publish(self, run_id: str) -> Path:
        """Renames a complete partial folder; if the run was published meanwhile, the published folder stays.

        Raises:
            RunElsewhere: if another process took the run over.
        """
        partial, final = self.partial(run_id), self.published(run_id)
        if not self.is_ours(run_id):
            raise RunElsewhere(run_id)
        for name in SCRATCH:
            (partial / name).unlink(missing_ok=True)
        for file in partial.iterdir():
            flush(file)
        try:
            partial.rename(final)
        except OSError:
            if self.is_published(run_id):
                shutil.rmtree(partial)
            elif final.exists():  # a folder without a result is not a published run
                self.set_aside(run_id)
                partial.rename(final)
            else:
                raise
        flush(self.root)
        return final

    def note_failure(self, run_id: str, reason: str, log: str) -> None:
        """Writes why a run failed, for the report, if the folder can be written to."""
        folder = self.partial(run_id)
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / FAILURE, Failure(reason=reason, log=log))

    def failure(self, run_id: str) -> str | None:
        """Reads the reason why a run failed, if it did."""
        try:
            return read(self.partial(run_id) / FAILURE, Failure).reason
        except Unreadable:
            return None

    def log(self, run_id: str) -> Path:
        """The log of an unfinished run."""
        return self.partial(run_id) / LOG

    def last_lines(self, run_id: str) -> list[str]:
        """The end of what a failed run printed; none if it is not known."""
        try:
            return read(self.partial(run_id) / FAILURE, Failure).log.splitlines()
        except Unreadable:
            return []

    def write_manifest(self, manifest: Manifest) -> None:
        """Writes the runs that a suite wants, finished or not, for reports.

        Raises:
            NewerFormat: if a later version of adaptbench wrote the manifest that is there.
        """
        folder = self.root / "suites"
        try:
            if read(folder / f"{manifest.name}.json", Manifest) == manifest:
                return
        except NewerFormat:
            raise
        except Unreadable:
            pass
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / f"{manifest.name}.json", manifest)

    def result(self, run_id: str) -> Result:
        """Reads the result of a finished run."""
        return read(self.published(run_id) / RESULT, Result)

    def environment(self, run_id: str) -> Environment:
        """Reads where and how fast a finished run was computed."""
        return read(self.published(run_id) / "environment.json", Environment)

    def pretrainings(self, run_id: str) -> list[str]:
        """The runs that trained the candidates of a finished run; none for other and for unfinished runs."""
        if not self.is_published(run_id):
            return []
        result = self.result(run_id)
        rivals = [each.run_id for each in result.pretrainings]
        return rivals or ([] if result.pretrained is None else [result.pretrained])

    def load_checkpoint(self, run_id: str) -> Mapping[str, Any]:
        """Reads a finished run's weights and the shape of its task.

        Raises:
            OSError: if there is no such file.
            ValueError: if it is not what was written.
        """
        path = self.published(run_id) / "model.ckpt"
        try:
            checkpoint: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, UnpicklingError, EOFError) as error:
            advice = f"`adaptbench doctor {self.root} --repair` sets the run aside"
            raise ValueError(f"{path} holds no weights, so it is damaged; {advice}") from error
        return checkpoint


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
