"""What a terminal shows while a suite runs."""

import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from statistics import mean
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from adaptbench.benchmarks.executors.plan import PlannedRun
from adaptbench.benchmarks.executors.schedule import Status
from adaptbench.benchmarks.store.store import Store
from adaptbench.reports.reading import Unreadable

SHARE_TO_JUDGE_BY = 0.1
RUNS_TO_JUDGE_BY = 10


class SuiteProgress:
    """A bar for the whole suite with the time left, and a line for each run at work; plain lines where nobody looks.

    Args:
        console: where to show it.
        store: where running runs leave how far they are.
        finished: runs that were finished before.
        jobs: worker processes.
    """

    def __init__(self, console: Console, store: Store, finished: int, jobs: int) -> None:
        self.console, self.store, self.finished, self.jobs = console, store, finished, jobs
        self.told = 0
        self.told_failed: set[str] = set()
        self.told_again = 0
        self.told_stopping = False
        self.live = Live(console=console, transient=True, refresh_per_second=4) if console.is_terminal else None

    def __enter__(self) -> "SuiteProgress":
        """Starts the display."""
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Takes the display away."""
        if self.live:
            self.live.stop()

    def show(self, status: Status) -> None:
        """Shows where things stand."""
        for run, seconds in status.done[self.told :]:
            self.told += 1
            text = f"[green]done[/] {self._counts(status)} {run.name} ({seconds:.0f} s){self._warning(run)}"
            self.console.print(text, highlight=False, soft_wrap=True)
        for run_id in list(status.again.elements())[self.told_again :]:
            self.console.print(Text.assemble(("again ", "yellow"), f"{run_id} failed and is tried once more"))
        self.told_again = status.again.total()
        if status.stopping and not self.told_stopping:
            self.told_stopping = True
            self.console.print("Stopping as soon as checkpoints are written; Ctrl-C again stops now.")
        for run_id in set(status.failed) - self.told_failed:
            self.told_failed.add(run_id)
            self.console.print(Text.assemble(("failed ", "red"), f"{run_id}: {status.failed[run_id]}"))
        if self.live:
            self.live.update(self._display(status))

    def _warning(self, run: PlannedRun) -> str:
        """Says where a run learned nothing."""
        scores = self.store.result(run.spec.run_id).scores
        shots = sorted({score.shots for score in scores if score.at_chance})
        return f" [yellow]no better than a guess[/] at {' and '.join(map(str, shots))} shots" if shots else ""

    def _counts(self, status: Status) -> str:
        return f"{self.finished + self.told + len(status.found)}/{self._total(status)}"

    def _total(self, status: Status) -> int:
        ours = (status.done, status.found, status.running, status.waiting, status.elsewhere, status.failed)
        return self.finished + sum(len(runs) for runs in ours)

    def _display(self, status: Status) -> Group:
        shares = {run_id: self._share(run_id) for run_id in status.running}
        total = self._total(status)
        done = self.finished + len(status.done) + len(status.found) + len(status.failed)
        left = seconds_left(status, shares, self.jobs)
        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=total, completed=done + sum(shares.values()), width=40)
        clock = "" if left is None else f"about {timedelta(seconds=round(left))} left"
        grid.add_row("suite", bar, f"{done}/{total}", clock)
        for run_id, (run, start) in status.running.items():
            bar = ProgressBar(total=1, completed=shares[run_id], width=40)
            grid.add_row("", bar, f"{shares[run_id]:4.0%}", f"{run.name} ({time.monotonic() - start:.0f} s)")
        return Group(grid)

    def _share(self, run_id: str) -> float:
        try:
            return float((self.store.partial(run_id) / "progress").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0.0


def estimate(finished: Iterable[PlannedRun], left: Iterable[PlannedRun], store: Store) -> float | None:
    """Estimates the seconds that runs take in all, from what some finished ones of the same group took.

    Args:
        finished: finished runs.
        left: the others.
        store: where the finished runs are.

    Returns:
        The seconds; None where nothing is finished.
    """
    known: defaultdict[str, list[float]] = defaultdict(list)
    for run in finished:
        if len(known[run.group]) < RUNS_TO_JUDGE_BY:
            with suppress(Unreadable):  # the others tell as much
                known[run.group].append(_seconds_taken(run, store))
    times = {group: mean(seconds) for group, seconds in known.items() if seconds}
    anywhere = mean(times.values()) if times else None
    return None if anywhere is None else sum(times.get(run.group, anywhere) for run in left)


def _seconds_taken(run: PlannedRun, store: Store) -> float:
    times = store.environment(run.spec.run_id).times
    trained = None if run.needs else times.train_seconds  # of what it needs, which counts by itself
    return (trained or 0.0) + (times.test_seconds or 0.0)


def seconds_left(status: Status, shares: dict[str, float], jobs: int) -> float | None:
    """Estimates the time left from what runs of the same group took; None while nothing is known.

    Args:
        status: where things stand.
        shares: the share of each running run that is done.
        jobs: worker processes.
    """
    known: defaultdict[str, list[float]] = defaultdict(list)
    for run, seconds in status.done:
        known[run.group].append(seconds)
    for run_id, (run, start) in status.running.items():
        if shares[run_id] > SHARE_TO_JUDGE_BY and run.group not in known:
            known[run.group].append((time.monotonic() - start) / shares[run_id])
    if not known:
        return None
    anywhere = mean(seconds for group in known.values() for seconds in group)

    def expected(run: PlannedRun) -> float:
        return mean(known[run.group]) if run.group in known else anywhere

    work = sum(expected(run) for run in status.waiting)
    work += sum(expected(run) * (1 - shares[run_id]) for run_id, (run, _) in status.running.items())
    return work / jobs
