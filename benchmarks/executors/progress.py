"""What a terminal shows while a suite runs."""

import shlex
import time
from datetime import timedelta

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from adaptbench.benchmarks.executors.plan import PlannedRun
from adaptbench.benchmarks.executors.schedule import Status
from adaptbench.benchmarks.executors.time_left import seconds_left
from adaptbench.benchmarks.store.store import Store
from adaptbench.reports.plural import count_of
from adaptbench.reports.words.waiting import PATIENCE_SECONDS

START_SECONDS = 15.0
"""How long workers may take to start before a line says for whom the command waits."""
LAST_LINES = 3
"""Lines of a failed run's log that are shown."""


class _Patience:
    """Tells once of each wait that it has become long."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.since, self.told = seconds, time.monotonic(), False

    def ends(self, waiting: bool) -> bool:
        """Whether a wait has just become longer than the patience."""
        if not waiting:
            self.since, self.told = time.monotonic(), False
            return False
        ended = not self.told and time.monotonic() - self.since > self.seconds
        self.told = self.told or ended
        return ended


class SuiteProgress:
    """A bar for the whole suite with the time left, and one for each running run; plain lines without a terminal.

    Args:
        console: where to show it.
        store: where runs write their progress.
        finished: number of runs that were finished before.
        slots: number of one-device runs at a time.
        place: who works on the runs.
    """

    def __init__(self, console: Console, store: Store, finished: int, slots: int, place: str = "the workers") -> None:
        self.console, self.store, self.finished, self.slots, self.place = console, store, finished, slots, place
        self.shown, self.shown_found = 0, 0
        self.shown_failed: set[str] = set()
        self.shown_reasons: set[str] = set()
        self.shown_again = 0
        self.shown_stopping = False
        self.elsewhere, self.unbegun = _Patience(PATIENCE_SECONDS), _Patience(START_SECONDS)
        self.live = Live(console=console, transient=True, refresh_per_second=4) if console.is_terminal else None

    def show(self, status: Status) -> None:
        """Shows the status; bars need `live`, if there is one, to be entered."""
        for run, seconds in status.done[self.shown :]:
            self.shown += 1
            text = f"[green]done[/] {self._counts(status)} {escape(run.name)} ({seconds:.0f} s){self._warning(run)}"
            self.console.print(text, highlight=False, soft_wrap=not self.console.is_terminal)  # a log keeps its lines
        for run in status.found[self.shown_found :]:
            self.shown_found += 1
            text = f"[green]done[/] {self._counts(status)} {escape(run.name)} by another command"
            self.console.print(text, highlight=False, soft_wrap=True)
        for run_id in status.again[self.shown_again :]:
            self.console.print(
                Text.assemble(("again ", "yellow"), f"{_named(run_id, status)} failed and is tried again")
            )
        self.shown_again = len(status.again)
        if status.stopping and not self.shown_stopping:
            self.shown_stopping = True
            self.console.print("Stopping as soon as checkpoints are written; press Ctrl-C again to stop now.")
        for run_id in set(status.failed) - self.shown_failed:
            self.shown_failed.add(run_id)
            reason = status.failed[run_id]
            said = "for the same reason" if reason in self.shown_reasons else reason
            self.shown_reasons.add(reason)
            self.console.print(Text.assemble(("failed ", "red"), f"{_named(run_id, status)}: {said}"))
        self._show_unbegun(status)
        self._show_elsewhere(status)
        if self.live:
            self.live.update(self._display(status))

    def _show_unbegun(self, status: Status) -> None:
        """Says so once if, for a while, no run that was given away has written anything."""
        begun = any(self.store.partial(run_id).is_dir() for run_id in status.running)
        if self.unbegun.ends(bool(status.running) and not begun):
            nothing = f"for {self.place}; none of {count_of(len(status.running), 'run')} has written anything yet"
            self.console.print(Text.assemble(("waiting ", "yellow"), nothing))

    def _show_elsewhere(self, status: Status) -> None:
        """Says so once if, for a while, only other processes work on runs."""
        if self.elsewhere.ends(not status.running and bool(status.elsewhere)):
            names = ", ".join(run.name for run, _ in status.elsewhere.values())
            owners = ", ".join(sorted({self.store.owner(run_id) for run_id in status.elsewhere}))
            self.console.print(Text.assemble(("waiting ", "yellow"), f"for {owners}, at work on: {names}"))

    def _warning(self, run: PlannedRun) -> str:
        """Names the shots at which a run learned nothing."""
        scores = self.store.result(run.spec.run_id).scores
        shots = sorted({score.shots for score in scores if score.at_chance and score.on == "unseen"})
        return f" [yellow]no better than a guess[/] at {' and '.join(map(str, shots))} shots" if shots else ""

    def _counts(self, status: Status) -> str:
        return f"{self.finished + self.shown + len(status.found)}/{self._total(status)}"

    def _total(self, status: Status) -> int:
        ours = (status.done, status.found, status.running, status.waiting, status.elsewhere, status.failed)
        return self.finished + sum(len(runs) for runs in ours)

    def _display(self, status: Status) -> Table:
        shares = {run_id: self._share(run_id) for run_id in status.running}
        total = self._total(status)
        done = self.finished + len(status.done) + len(status.found) + len(status.failed)
        left = seconds_left(status, shares, self.slots)
        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=total, completed=done + sum(shares.values()), width=40)
        clock = "" if left is None else f"about {timedelta(seconds=round(left))} left"
        grid.add_row("suite", bar, f"{done}/{total}", clock)
        for run_id, (run, start) in status.running.items():
            bar = ProgressBar(total=1, completed=shares[run_id], width=40)
            grid.add_row("", bar, f"{shares[run_id]:4.0%}", f"{escape(run.name)} ({time.monotonic() - start:.0f} s)")
        return grid

    def _share(self, run_id: str) -> float:
        try:
            return float((self.store.partial(run_id) / "progress").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0.0


def say_failed(status: Status, store: Store, console: Console) -> None:
    """Names failed runs; those of one reason together, with the end of the first one's log.

    A reason that ends the log is not said twice.
    """
    alike: dict[str, list[str]] = {}
    for run_id, reason in status.failed.items():
        alike.setdefault(reason, []).append(run_id)
    for reason, (first, *others) in alike.items():
        lines = [line for line in store.last_lines(first) if line.strip(" ^~")][-LAST_LINES:]
        said = "" if lines and lines[-1] in reason else f": {reason}"
        text = f"[red]failed[/] {escape(_named(first, status) + said)}"
        console.print(text, highlight=False, soft_wrap=True)
        for line in lines:
            console.print(f"    {escape(line)}", highlight=False, soft_wrap=True, style="dim")
        if (log := store.log(first)).is_file():
            console.print(f"  log: {shlex.quote(str(log))}", markup=False, highlight=False, soft_wrap=True)
        if others:
            names = ", ".join(status.names[run_id] for run_id in others)
            console.print(f"  {len(others)} more for that reason: {escape(names)}", highlight=False, soft_wrap=True)
    if alike:
        console.print("The same command tries the failed runs again.")


def _named(run_id: str, status: Status) -> str:
    return f"{status.names.get(run_id, 'run')} ({run_id})"
