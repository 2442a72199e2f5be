"""Estimates the time left from the duration of each run and the number of runs at a time."""

import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from heapq import heappop, heappush

from adaptbench.benchmarks.executors.plan import PlannedRun
from adaptbench.benchmarks.executors.schedule import Status
from adaptbench.benchmarks.store.store import Store
from adaptbench.benchmarks.suites.spec import RunSpec, read_spec

SHARE_TO_JUDGE_BY = 0.1
"""The share of a running run that must be done before it counts."""
RUNS_TO_JUDGE_BY = 10
"""The most finished runs of each kind that are read."""
RUNS_TO_READ = 1000
"""The most finished runs of any suite that are considered."""


class Pace:
    """Estimates how long runs take from the times of others, in proportion to the work.

    A run is estimated from the most similar runs: those of the same component and encoder on the same task, else on
    any task, else those of the same encoder, else any. Trainings and adaptations are kept apart.
    """

    def __init__(self) -> None:
        self._seconds: defaultdict[tuple[str, ...], float] = defaultdict(float)
        self._work: Counter[tuple[str, ...]] = Counter()
        self._runs: Counter[tuple[str, ...]] = Counter()

    def add(self, run: PlannedRun, seconds: float) -> None:
        """Records the seconds that a run took."""
        for likeness in run.likenesses:
            self._seconds[likeness] += seconds
            self._work[likeness] += _work(run.spec) if likeness else 1
            self._runs[likeness] += 1

    def alike(self, run: PlannedRun) -> int:
        """Counts the runs with the same component, encoder and task."""
        return self._runs[run.likenesses[0]]

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return bool(self._runs)

    def expected(self, run: PlannedRun) -> float:
        """Returns the seconds that a run takes in total; needs at least one recorded run."""
        known = next(each for each in run.likenesses if each in self._runs)
        return self._seconds[known] / self._work[known] * (_work(run.spec) if known else 1)


def _work(spec: RunSpec) -> int:
    """The work of a run: training examples, or test episodes if it only adapts."""
    return len(spec.test.sizes) * spec.test.episodes if spec.candidates else spec.training.budget.examples


def makespan(runs: Iterable[tuple[PlannedRun, float]], slots: int) -> float:
    """Returns the seconds until all runs have ended.

    As in `drive`, they start in order, each takes a slot for each of its devices, and none starts before what it needs.

    Args:
        runs: runs with the seconds that each takes.
        slots: number of one-device runs at a time.
    """
    order = list(runs)
    places = {run.spec.run_id: place for place, (run, _) in enumerate(order)}
    missing = [[places[need] for need in run.needs if need in places] for run, _ in order]
    followers: defaultdict[int, list[int]] = defaultdict(list)
    for place, needs in enumerate(missing):
        for need in needs:
            followers[need].append(place)
    ready = [place for place, needs in enumerate(missing) if not needs]
    running: list[tuple[float, int, int]] = []
    now, free = 0.0, slots
    while ready or running:
        while ready and (width := min(order[ready[0]][0].spec.devices, slots)) <= free:
            place = heappop(ready)
            heappush(running, (now + order[place][1], place, width))
            free -= width
        now, ended, width = heappop(running)
        free += width
        for place in followers[ended]:
            missing[place].remove(ended)
            if not missing[place]:
                heappush(ready, place)
    return now


def estimate(
    finished: Iterable[PlannedRun], left: Iterable[PlannedRun], stores: Sequence[Store], slots: int
) -> float | None:
    """Estimates the seconds until all runs have ended from the times of finished runs.

    Args:
        finished: finished runs of the same plan.
        left: the others.
        stores: where finished runs are, including those of other suites.
        slots: number of one-device runs at a time.

    Returns:
        The seconds; None if nothing is finished.
    """
    pace = Pace()
    own = list(finished)
    for store in stores:
        for run in itertools.chain(own, _published(store)):
            if pace.alike(run) < RUNS_TO_JUDGE_BY:
                with suppress(OSError, ValueError):
                    pace.add(run, _seconds_taken(run.spec, store))
    return makespan(((run, pace.expected(run)) for run in left), slots) if pace else None


def _published(store: Store) -> Iterator[PlannedRun]:
    """Yields some of the finished runs in a folder, from any suite."""
    for path in itertools.islice(store.root.glob("[!.]*/result.json"), RUNS_TO_READ):
        with suppress(OSError, ValueError):
            yield PlannedRun(read_spec(path.parent), path.parent.name)


def _seconds_taken(spec: RunSpec, store: Store) -> float:
    times = store.environment(spec.run_id).times
    trained = None if spec.candidates else times.train_seconds  # its pretraining counts by itself
    return (trained or 0.0) + (times.test_seconds or 0.0)


def seconds_left(status: Status, shares: dict[str, float], slots: int) -> float | None:
    """Estimates the seconds left from the runs of this execution; None while nothing is known.

    Args:
        status: the status of the execution.
        shares: the share of each running run that is done, by id.
        slots: number of one-device runs at a time.
    """
    pace = Pace()
    for run, seconds in status.done:
        pace.add(run, seconds)
    for run_id, (run, start) in status.running.items():
        if shares[run_id] > SHARE_TO_JUDGE_BY and not pace.alike(run):
            pace.add(run, (time.monotonic() - start) / shares[run_id])
    started = ((run, 1 - shares[run_id]) for run_id, (run, _) in status.running.items())
    parts = (*started, *((run, 1.0) for run in status.waiting))
    return makespan(((run, part * pace.expected(run)) for run, part in parts), slots) if pace else None
