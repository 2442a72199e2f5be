"""The work of a worker process: one run after the other, each with one thread."""

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from adaptbench.benchmarks.runs.checkpoints import Checkpoints, Interrupted
from adaptbench.benchmarks.runs.devices import CPU, Devices
from adaptbench.benchmarks.runs.process import StopRequest
from adaptbench.benchmarks.runs.run import OtherCode
from adaptbench.benchmarks.store.redaction import without_secrets
from adaptbench.benchmarks.store.store import LEASE_SECONDS, LOG, RunElsewhere, Store
from adaptbench.benchmarks.suites.registry import named
from adaptbench.benchmarks.suites.spec import CHECKPOINT_SECONDS, RunSpec
from adaptbench.benchmarks.tracking.wandb_runs import Target, close_mirror, open_mirror

PRELOAD = ("adaptbench.benchmarks.runs.run", "adaptbench.benchmarks.suites.registry", "wandb")
"""Modules that are imported once, in the process that workers are forked from."""
EXIT_LOST = 75
LOG_CHARACTERS = 4000
"""Characters of the log's tail kept in failure.json."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run for a worker, and settings that change no result.

    Attributes:
        spec: what to run.
        root: folder of the runs.
        name: name of the run in W&B.
        target: where it goes in W&B; None for nowhere.
        devices: where it runs.
        checkpoint_seconds: time between two checkpoints within an epoch.
    """

    spec: RunSpec
    root: Path
    name: str
    target: Target | None = None
    devices: Devices = CPU
    checkpoint_seconds: float = CHECKPOINT_SECONDS


@dataclass(frozen=True)
class Ended:
    """How a try of a run ended.

    Attributes:
        how: "done", published; "failed"; "elsewhere", left to another process that works on it; or "stopped" on
            request, with a checkpoint.
        reason: why it failed.
        log: the end of its log if it failed.
        unmirrored: what went wrong with W&B; None if nothing did.
    """

    how: Literal["done", "failed", "elsewhere", "stopped"]
    reason: str = ""
    log: str = ""
    unmirrored: str | None = None


def work(job: Job, should_stop: Callable[[], bool] = StopRequest.made) -> Ended:
    """Executes and publishes one run, unless another process works on it; W&B may fail.

    No exception of the run leaves this function. A failure is also written into the run's folder, because the process
    that asked for the run may be gone by then. After an exception the next try starts anew, because the code may be
    mended until then; only after an error of the disk or of memory does it continue from the checkpoint.
    """
    store = Store(job.root)
    try:
        with store.claimed(job.spec.run_id, on_loss=_give_up):
            if store.is_published(job.spec.run_id):  # by another process since
                return Ended("elsewhere")
            with _logged(store.partial(job.spec.run_id)):
                return _try(job, store, _watching(should_stop, store, job.spec.run_id))
    except RunElsewhere:
        return Ended("elsewhere")
    except OSError as error:
        return Ended("failed", f"the folder of the runs cannot be written to: {error}")


def _try(job: Job, store: Store, should_stop: Callable[[], bool]) -> Ended:
    try:
        return _run(job, store, should_stop)
    except Interrupted:
        return Ended("stopped")
    except RunElsewhere:
        return Ended("elsewhere")
    except Exception as error:
        if store.is_published(job.spec.run_id) or not store.is_ours(job.spec.run_id):
            return Ended("elsewhere")  # another process moved the files away while this one was stopped
        traceback.print_exc()
        if not isinstance(
            error, (OSError, MemoryError, torch.OutOfMemoryError, OtherCode)
        ):  # an error in the code: a new try must not go on from it
            store.checkpoint(job.spec.run_id).unlink(missing_ok=True)
        reason = without_secrets(named(error))
        ended = Ended("failed", reason, last_words(store, job.spec.run_id))
        store.note_failure(job.spec.run_id, ended.reason, ended.log)
        return ended


def last_words(store: Store, run_id: str) -> str:
    """Removes secrets from the log of an unfinished run, and returns its end; empty if there is no log."""
    try:
        return _clean(store.partial(run_id) / LOG)[-LOG_CHARACTERS:]
    except OSError:
        return ""


def _clean(log: Path) -> str:
    said = log.read_text(encoding="utf-8", errors="replace")
    clean = without_secrets(said)
    if clean != said:
        log.write_text(clean, encoding="utf-8")
    return clean


def _run(job: Job, store: Store, should_stop: Callable[[], bool]) -> Ended:
    from adaptbench.benchmarks.runs.run import execute

    if should_stop():
        raise Interrupted
    checkpoints = Checkpoints(job.checkpoint_seconds, should_stop)
    if job.target is None:
        execute(job.spec, store, devices=job.devices, checkpoints=checkpoints)
        return Ended("done")
    mirror = open_mirror(job.spec, name=job.name, root=job.root, target=job.target)
    try:
        execute(job.spec, store, mirror.log_curve, devices=job.devices, checkpoints=checkpoints)
    except BaseException:
        mirror.close({}, failed=True)
        raise
    return Ended("done", unmirrored=close_mirror(mirror, store, run_id=job.spec.run_id, target=job.target))


def _watching(should_stop: Callable[[], bool], store: Store, run_id: str) -> Callable[[], bool]:
    """Asks after each step, too, whether this process was stopped so long that another one took its run over."""
    last = time.time()

    def ask() -> bool:
        nonlocal last
        before, last = last, time.time()
        if last - before > LEASE_SECONDS / 2 and not store.is_ours(run_id):
            _give_up()
        return should_stop()

    return ask


def _give_up() -> None:
    """Ends this process at once, because another one took it for dead and works on its run."""
    os._exit(EXIT_LOST)


@contextmanager
def _logged(folder: Path) -> Iterator[None]:
    """Redirects what this process prints into the run's log."""
    folder.mkdir(parents=True, exist_ok=True)
    before = [os.dup(stream) for stream in (1, 2)]
    with (folder / LOG).open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for stream, descriptor in enumerate(before, start=1):
            os.dup2(descriptor, stream)
            os.close(descriptor)
        with suppress(OSError):  # a published run has no log
            _clean(folder / LOG)
