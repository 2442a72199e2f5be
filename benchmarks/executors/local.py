"""The local executor: worker processes on this machine, each with one run at a time."""

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from multiprocessing.util import get_temp_dir

from pebble import ProcessExpired, ProcessPool

from adaptbench.benchmarks.executors.plan import PlannedRun
from adaptbench.benchmarks.executors.worker import EXIT_LOST, PRELOAD, Ended, Job, last_words, work
from adaptbench.benchmarks.runs.devices import Devices
from adaptbench.benchmarks.runs.process import initialise
from adaptbench.benchmarks.store.store import Store

BEGIN_SECONDS = 60.0
"""Seconds in which a worker says that it has begun; after a longer silence it counts as lost."""
MOST_LOSSES = 3
LONGEST_TEMPORARY_FOLDER = 60
"""Characters that leave room for a socket below it; the system allows 107 in all."""


class LocalBackend:
    """A pool of worker processes.

    Args:
        devices: the devices for runs at a time; a GPU that runs share is listed several times. None leaves the job's
            own devices.
        make_job: makes the job of a run.
        time_limit: seconds that a run may take; None for no limit.
    """

    def __init__(
        self, devices: Sequence[Devices | None], make_job: Callable[[PlannedRun], Job], time_limit: float | None = None
    ) -> None:
        self.slots = len(devices)
        self._make_job, self._time_limit = make_job, time_limit
        self._devices = list(devices)
        self._futures: dict[Future[Ended], tuple[Job, list[Devices | None], float]] = {}
        self._losses: Counter[str] = Counter()
        self._context = _context()
        self._stopping = self._context.RawValue("b", 0)  # without a lock, which a killed worker would never release
        self._pools = [self._new_pool()]

    def _new_pool(self) -> ProcessPool:
        return ProcessPool(
            max_workers=self.slots, initializer=initialise, initargs=(self._stopping,), context=self._context
        )

    def submit(self, runs: list[PlannedRun]) -> None:
        """Gives each run to a worker."""
        for run in runs:
            job, devices = self._make_job(run), self._devices[: run.spec.devices]
            del self._devices[: run.spec.devices]
            if own := [each for each in devices if each is not None]:
                job = replace(job, devices=Devices.joined(own))
            self._futures[self._schedule(job)] = job, devices, time.monotonic()

    def _schedule(self, job: Job) -> Future[Ended]:
        try:
            return self._pools[-1].schedule(work, (job,), timeout=self._time_limit)
        except RuntimeError:  # the pool has ended, because a worker without a run was killed
            self._pools.append(self._new_pool())
            return self._pools[-1].schedule(work, (job,), timeout=self._time_limit)

    def ended(self, seconds: float) -> Iterator[tuple[str, Ended]]:
        """Waits until a worker has finished, or the seconds have passed."""
        if not self._futures:
            time.sleep(seconds)
        for future, (_, _, since) in self._futures.items():
            if not future.running() and time.monotonic() - since > BEGIN_SECONDS:
                future.cancel()
        for future in wait(self._futures, seconds, FIRST_COMPLETED).done:
            job, devices, _ = self._futures.pop(future)
            self._devices += devices
            yield job.spec.run_id, self._outcome(future, job)

    def ask_to_stop(self) -> None:
        """Sets the value that every worker reads after each step."""
        self._stopping.value = 1

    def close(self) -> None:
        """Kills the workers."""
        for pool in self._pools:
            pool.stop()
            pool.join()

    def _outcome(self, future: Future[Ended], job: Job) -> Ended:
        log = last_words(Store(job.root), job.spec.run_id)
        try:
            return future.result()
        except (CancelledError, BrokenProcessPool):
            return self._lost(job)
        except TimeoutError:
            return Ended("failed", f"it took longer than the time limit of {self._time_limit:g} s", log)
        except ProcessExpired as error:
            if error.exitcode == EXIT_LOST:
                return Ended("elsewhere")
            return Ended("failed", f"its worker died with exit code {error.exitcode}", log)
        except Exception as error:
            return Ended("failed", f"{type(error).__name__}: {error}", log)

    def _lost(self, job: Job) -> Ended:
        """Gives a run again whose worker was lost before it began; its pool may wait for that worker for ever."""
        self._losses[job.spec.run_id] += 1
        if self._losses[job.spec.run_id] > MOST_LOSSES:
            return Ended("failed", f"its worker was lost {MOST_LOSSES + 1} times before the run began")
        self._pools.append(self._new_pool())
        return Ended("stopped")


def _context() -> BaseContext:
    """On Linux, workers are forks of a process that has imported everything; elsewhere forks are not safe."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOAD))
    with _deaf_to_interrupts(), _safe_path(), _short_temporary_folder():
        forkserver.ensure_running()
    return context


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Ignores Ctrl-C and SIGHUP for a moment, so that processes started meanwhile ignore them from the start."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = [getattr(signal, each) for each in ("SIGINT", "SIGHUP") if hasattr(signal, each)]
    before = {each: signal.signal(each, signal.SIG_IGN) for each in signals}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _short_temporary_folder() -> Iterator[None]:
    """Makes multiprocessing choose /tmp for its sockets if `TMPDIR` is too long for their paths."""
    before = tempfile.tempdir
    if len(tempfile.gettempdir()) > LONGEST_TEMPORARY_FOLDER:
        tempfile.tempdir = "/tmp"
    try:
        get_temp_dir()  # remembered from now on
        yield
    finally:
        tempfile.tempdir = before


@contextmanager
def _safe_path() -> Iterator[None]:
    """Keeps the current folder off the module path of processes that start now; workers get this process's path."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        del os.environ["PYTHONSAFEPATH"]
        if before is not None:
            os.environ["PYTHONSAFEPATH"] = before
