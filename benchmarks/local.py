"""The local executor: worker processes on this machine, each with one run at a time."""

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field

from pebble import ProcessExpired, ProcessPool

from benchmarks.plan import PlannedRun
from benchmarks.store import Store
from benchmarks.worker import Order, initialise, work

POLL_SECONDS = 0.5


@dataclass
class Status:
    """Where an execution stands.

    Attributes:
        waiting: runs that no worker has yet.
        running: runs that a worker has, with the time when it got them.
        done: runs published by this execution, with the seconds each took.
        failed: reasons of the runs that failed, by id.
        unmirrored: what went wrong with W&B, by the id of the run that it missed.
    """

    waiting: list[PlannedRun]
    running: dict[str, tuple[PlannedRun, float]] = field(default_factory=dict)
    done: list[tuple[PlannedRun, float]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unmirrored: dict[str, str] = field(default_factory=dict)


def execute_locally(
    runs: list[PlannedRun], jobs: int, store: Store, order: Callable[[PlannedRun], Order]
) -> Generator[Status, None, None]:
    """Runs everything, several at a time, and yields where it stands now and then.

    A run that fails, or whose worker dies, is noted and does not stop the others. When the caller closes the iterator,
    or Ctrl-C ends it, workers are stopped at once: a run's files are always whole, and it goes on later.

    Args:
        runs: what to run; a run that needs another stands after it.
        jobs: worker processes.
        store: where the runs are published.
        order: makes the order of a run.
    """
    status = Status(list(runs))
    futures: dict[Future[str | None], str] = {}
    pool = ProcessPool(max_workers=jobs, initializer=initialise, context=multiprocessing.get_context("spawn"))
    try:
        while status.waiting or futures:
            for run in _ready(status, store, jobs - len(futures)):
                with _deaf_to_interrupts():
                    futures[pool.schedule(work, (order(run),))] = run.spec.run_id
                status.running[run.spec.run_id] = run, time.monotonic()
            yield status
            for future in wait(futures, POLL_SECONDS, FIRST_COMPLETED).done:
                _finish(future, futures.pop(future), status, store)
        yield status
    finally:
        pool.stop()
        pool.join()


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Ignores Ctrl-C for a moment: processes started in it ignore Ctrl-C from their first instruction on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _ready(status: Status, store: Store, free: int) -> list[PlannedRun]:
    """Takes runs that can start off the waiting list; those whose need cannot be had any more fail."""
    ready: list[PlannedRun] = []
    coming = {run.spec.run_id for run in status.waiting} | set(status.running)
    for run in list(status.waiting):
        published = run.needs is None or store.is_published(run.needs)
        if not published and run.needs not in coming:
            status.waiting.remove(run)
            reason = status.failed.get(str(run.needs), f"{run.needs} was published and is gone")
            _fail(run, f"what it needs failed: {reason}", "", status, store)
        elif published and len(ready) < free:
            status.waiting.remove(run)
            ready.append(run)
    return ready


def _finish(future: "Future[str | None]", run_id: str, status: Status, store: Store) -> None:
    run, start = status.running.pop(run_id)
    try:
        if trouble := future.result():
            status.unmirrored[run_id] = trouble
        status.done.append((run, time.monotonic() - start))
    except ProcessExpired as error:
        _fail(run, f"its worker died with exit code {error.exitcode}", "", status, store)
    except Exception as error:
        _fail(run, f"{type(error).__name__}: {error}", getattr(error, "traceback", ""), status, store)


def _fail(run: PlannedRun, reason: str, log: str, status: Status, store: Store) -> None:
    status.failed[run.spec.run_id] = reason
    store.note_failure(run.spec.run_id, reason, log)
