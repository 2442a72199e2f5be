"""The time left of a suite, and what is told of each run."""

import io
import time

import pytest
from rich.console import Console

from adaptbench.benchmarks.executors.plan import PlannedRun
from adaptbench.benchmarks.executors.progress import SuiteProgress, estimate, seconds_left
from adaptbench.benchmarks.executors.schedule import Status
from adaptbench.benchmarks.store.store import write_json


@pytest.fixture
def run(episodic):
    return lambda seed, group="a": PlannedRun(episodic(seed=seed), f"run {seed}", group)


def test_nothing_is_said_of_the_time_before_anything_is_known(run):
    now = time.monotonic()
    first = run(0)
    assert seconds_left(Status([run(1)]), {}, 2) is None
    running = {first.spec.run_id: (first, now)}
    assert seconds_left(Status([], running=running), {first.spec.run_id: 0.05}, 2) is None


def test_runs_of_a_group_are_expected_to_take_equally_long(run):
    done = [(run(0, "short"), 10.0), (run(1, "short"), 20.0), (run(2, "long"), 100.0)]
    waiting = [run(3, "short"), run(4, "long"), run(5, "unknown")]
    expected = 15 + 100 + (10 + 20 + 100) / 3
    assert seconds_left(Status(waiting, done=done), {}, 1) == pytest.approx(expected)
    assert seconds_left(Status(waiting, done=done), {}, 2) == pytest.approx(expected / 2)


def test_a_running_run_tells_by_how_far_it_is(run):
    first = run(0)
    status = Status([run(1)], running={first.spec.run_id: (first, time.monotonic() - 30)})
    assert seconds_left(status, {first.spec.run_id: 0.25}, 1) == pytest.approx(120 + 90, rel=0.01)


def test_the_time_left_is_estimated_from_runs_whose_times_can_be_read(run, store, environment):
    runs = [run(seed) for seed in range(3)]
    for each, text in zip(runs, (environment.model_dump_json(), "{"), strict=False):
        folder = store.published(each.spec.run_id)
        folder.mkdir(parents=True)
        (folder / "environment.json").write_text(text)
    assert estimate(runs[:2], runs[2:], store) == 60
    assert estimate(runs[1:2], runs[2:], store) is None


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
    with SuiteProgress(console, store, finished=1, jobs=2) as progress:
        progress.show(status)
        progress.show(status)
    text = output.getvalue()
    assert text.count("done 2/5 run 0 (3 s)\n" if not terminal else "done 2/5 run 0 (3 s)") == 1
    assert text.count("done 3/5 run 1 (4 s) no better than a guess at 5 and 10 shots") == 1
    assert text.count("it [broke]") == 1
