"""What a terminal shows of each run."""

import io
import time
from contextlib import nullcontext

import pytest
from rich.console import Console

from adaptbench.benchmarks.executors.plan import PlannedRun
from adaptbench.benchmarks.executors.progress import SuiteProgress
from adaptbench.benchmarks.executors.schedule import Status
from adaptbench.benchmarks.store.store import write_json


@pytest.fixture
def run(episodic):
    return lambda seed: PlannedRun(episodic(seed=seed), f"run {seed}")


@pytest.mark.parametrize("terminal", [True, False])
def test_every_end_is_told_once_with_what_is_wrong(terminal, run, store, result_of, score_of):
    fine, guess, failing, running = run(0), run(1), run(2), run(3)
    for ended, at_chance in ((fine, False), (guess, True)):
        scores = tuple(score_of(shots=shots, at_chance=at_chance) for shots in (5, 10))
        result = result_of(ended.spec.run_id, scores=scores)
        write_json(store.begin(ended.spec.run_id) / "result.json", result)
        store.publish(ended.spec.run_id)
    status = Status([], done=[(fine, 3.0), (guess, 4.0)], failed={failing.spec.run_id: "it [broke]"})
    status.running[running.spec.run_id] = running, time.monotonic()
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=100, color_system=None)
    progress = SuiteProgress(console, store, finished=1, slots=2)
    with progress.live or nullcontext():
        progress.show(status)
        progress.show(status)
    text = output.getvalue()
    assert text.count("done 2/5 run 0 (3 s)\n" if not terminal else "done 2/5 run 0 (3 s)") == 1
    assert text.count("done 3/5 run 1 (4 s) no better than a guess at 5 and 10 shots") == 1
    assert text.count("it [broke]") == 1
