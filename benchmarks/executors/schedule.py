"""Starts runs, records how they end, and retries them; the same for every executor."""

import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from adaptbench.benchmarks.executors.plan import PlannedRun
from adaptbench.benchmarks.executors.worker import Ended
from adaptbench.benchmarks.runs.checkpoints import never
from adaptbench.benchmarks.store.store import Store, Watch

POLL_SECONDS = 0.5
GRACE_SECONDS = 10.0
"""Seconds that running runs have for a checkpoint once they are asked to stop."""


@dataclass
class Status:
    """The status of an execution.

    Attributes:
        waiting: runs that have not started.
        running: running runs with their start times, by id.
        elsewhere: runs that another process works on, with what watches its lock, by id.
        done: runs published by this execution, with the seconds that each took.
        found: runs that another process published meanwhile.
        failed: why runs failed, by id.
        again: the ids of runs that failed and were tried again, each time.
        unmirrored: why W&B missed a run, by id.
        stopping: whether it was asked to stop.
        names: the names of all runs, by id.
    """

    waiting: list[PlannedRun]
    running: dict[str, tuple[PlannedRun, float]] = field(default_factory=dict)
    elsewhere: dict[str, tuple[PlannedRun, Watch]] = field(default_factory=dict)
    done: list[tuple[PlannedRun, float]] = field(default_factory=list)
    found: list[PlannedRun] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    again: list[str] = field(default_factory=list)
    unmirrored: dict[str, str] = field(default_factory=dict)
    stopping: bool = False
    names: dict[str, str] = field(default_factory=dict)


class Backend(Protocol):
    """Where runs are executed."""

    @property
    def slots(self) -> int:
        """The number of one-device runs at a time."""

    def submit(self, runs: list[PlannedRun]) -> None:
        """Starts runs; together they need no more devices than there are free slots, except for a run alone."""

    def ended(self, seconds: float) -> Iterable[tuple[str, Ended]]:
        """Waits up to some seconds for runs to end; returns their ids and how they ended."""

    def ask_to_stop(self) -> None:
        """Asks all running runs to write a checkpoint and to stop; does not wait for them."""

    def close(self) -> None:
        """Stops at once whatever still runs."""


def drive(
    runs: list[PlannedRun],
    backend: Backend,
    store: Store,
    retry: int = 0,
    stop: Callable[[], bool] = never,
) -> Generator[Status, None, None]:
    """Executes runs, several at a time, and yields the status now and then.

    A run that fails, or whose worker dies, is recorded and does not stop the others. A run that another process works
    on is left to it while it lives. When the caller closes the iterator, running runs are stopped at once; their files
    stay whole, so a later execution can continue them.

    Args:
        runs: what to run; a run comes after those that it needs.
        backend: where to run.
        store: where the runs are published.
        retry: how often a failed run is tried again.
        stop: called now and then; once it returns true, no run starts, and the running ones are asked to stop.
    """
    status = Status(list(runs), names={run.spec.run_id: run.name for run in runs})
    try:
        while status.waiting or status.running or status.elsewhere:
            if stop():
                break
            ready = _ready(status, store, backend.slots)
            if ready:
                backend.submit(ready)
                status.running |= {run.spec.run_id: (run, time.monotonic()) for run in ready}
            yield status
            _advance(status, backend, store, retry=retry)
        if stop():
            yield from _wind_down(status, backend, store)
        yield status
    finally:
        backend.close()
        store.tidy()


def _ready(status: Status, store: Store, slots: int) -> list[PlannedRun]:
    """Removes the runs that can start from the waiting list; runs whose needs cannot be published any more fail.

    A run takes a slot for each of its devices, at most all slots. The next run in the list waits for free slots.
    """
    free = slots - sum(min(run.spec.devices, slots) for run, _ in status.running.values())
    if free <= 0:
        return []
    ready: list[PlannedRun] = []
    coming = {run.spec.run_id for run in status.waiting} | status.running.keys() | status.elsewhere.keys()
    left: list[PlannedRun] = []
    for position, run in enumerate(status.waiting):
        if min(run.spec.devices, slots) > free:
            left += status.waiting[position:]
            break
        missing = [needed for needed in run.needs if not store.is_published(needed)]
        lost = next((needed for needed in missing if needed not in coming), None)
        if not missing:
            ready.append(run)
            free -= min(run.spec.devices, slots)
        elif lost is None:
            left.append(run)
        else:
            reason = status.failed.get(lost, f"{lost} was published and is gone")
            _fail(run, Ended("failed", f"what it needs failed: {reason}"), status=status, store=store)
    status.waiting = left
    return ready


def _advance(status: Status, backend: Backend, store: Store, retry: int) -> None:
    """Records which runs ended, here and elsewhere."""
    for run_id, ended in backend.ended(POLL_SECONDS):
        run, start = status.running.pop(run_id)
        if ended.how == "done":
            status.done.append((run, time.monotonic() - start))
            if ended.unmirrored:
                status.unmirrored[run_id] = ended.unmirrored
        elif ended.how == "elsewhere":
            status.elsewhere[run_id] = run, store.watch(run_id)
        elif ended.how == "stopped":
            status.waiting.append(run)
        elif status.again.count(run_id) < retry:
            status.again.append(run_id)
            status.waiting.append(run)
        else:
            _fail(run, ended, status=status, store=store)
    for run_id, (run, watch) in list(status.elsewhere.items()):
        if watch.is_free():
            del status.elsewhere[run_id]
            _came_back(run, status, store)


def _came_back(run: PlannedRun, status: Status, store: Store) -> None:
    """Records how a run ended that another process worked on."""
    reason = store.failure(run.spec.run_id)
    if store.is_published(run.spec.run_id):
        status.found.append(run)
    elif reason is not None:
        status.failed[run.spec.run_id] = reason
    else:
        status.waiting.append(run)


def _wind_down(status: Status, backend: Backend, store: Store) -> Generator[Status, None, None]:
    """Gives running runs a while to write their checkpoints."""
    status.stopping = True
    backend.ask_to_stop()
    deadline = time.monotonic() + GRACE_SECONDS
    while status.running and time.monotonic() < deadline:
        yield status
        _advance(status, backend, store, retry=0)


def _fail(run: PlannedRun, ended: Ended, *, status: Status, store: Store) -> None:
    status.failed[run.spec.run_id] = ended.reason
    store.note_failure(run.spec.run_id, ended.reason, ended.log)
