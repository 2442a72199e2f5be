"""What a terminal shows of each run."""

import io
import os
import socket
import time
from contextlib import nullcontext

import pytest
from rich.console import Console

from adaptbench.benchmarks.executors import progress
from adaptbench.benchmarks.executors.plan import PlannedRun
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
    status.names = {failing.spec.run_id: failing.name}
    status.running[running.spec.run_id] = running, time.monotonic()
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=100, color_system=None)
    shown = progress.SuiteProgress(console, store, finished=1, slots=2)
    with shown.live or nullcontext():
        shown.show(status)
        shown.show(status)
    text = output.getvalue()
    assert text.count("done 2/5 run 0 (3 s)\n" if not terminal else "done 2/5 run 0 (3 s)") == 1
    assert text.count("done 3/5 run 1 (4 s) no better than a guess at 5 and 10 shots") == 1
    assert text.count(f"failed run 2 ({failing.spec.run_id}): it [broke]") == 1


def test_each_run_that_is_tried_again_is_named_in_its_turn(run, store):
    output, status = io.StringIO(), Status([])
    status.names = {run(seed).spec.run_id: run(seed).name for seed in (0, 1)}
    shown = progress.SuiteProgress(Console(file=output, width=200, color_system=None), store, finished=0, slots=1)
    for seed in (0, 1, 0):
        status.again.append(run(seed).spec.run_id)
        shown.show(status)
    assert [line.split()[2] for line in output.getvalue().splitlines()] == ["0", "1", "0"]


def test_a_reason_of_many_runs_is_said_once(run, store):
    output, runs = io.StringIO(), [run(seed) for seed in range(16)]
    shown = progress.SuiteProgress(Console(file=output, width=200, color_system=None), store, finished=0, slots=1)
    shown.show(Status([], failed={each.spec.run_id: "the encoder is [wrong]" for each in runs}))
    assert output.getvalue().count("the encoder is [wrong]") == 1
    assert output.getvalue().count("for the same reason") == 15


def test_a_place_that_begins_nothing_is_waited_for_aloud(monkeypatch, run, store):
    output, asked = io.StringIO(), run(0)
    monkeypatch.setattr(progress, "START_SECONDS", 0.05)
    console = Console(file=output, width=200, color_system=None)
    shown = progress.SuiteProgress(console, store, finished=0, slots=1, place="SLURM")
    status = Status([], running={asked.spec.run_id: (asked, time.monotonic())})
    for _ in range(3):
        shown.show(status)
        time.sleep(0.06)
    assert output.getvalue() == "waiting for SLURM; none of 1 run has written anything yet\n"
    store.begin(asked.spec.run_id)
    shown.show(status)
    assert "waiting" not in output.getvalue().partition("\n")[2]


def test_a_run_that_another_command_did_is_told_once(run, store):
    output = io.StringIO()
    shown = progress.SuiteProgress(Console(file=output, width=100, color_system=None), store, finished=0, slots=1)
    for _ in range(2):
        shown.show(Status([], found=[run(0)]))
    assert output.getvalue() == "done 1/1 run 0 by another command\n"


def test_runs_that_only_others_work_on_are_waited_for_aloud(monkeypatch, run, store):
    output, other = io.StringIO(), run(0)
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", 0.05)
    shown = progress.SuiteProgress(Console(file=output, width=200, color_system=None), store, finished=0, slots=1)
    with store.claimed(other.spec.run_id, lambda: None):
        status = Status([], elsewhere={other.spec.run_id: (other, store.watch(other.spec.run_id))})
        for _ in range(3):
            shown.show(status)
            time.sleep(0.06)
    assert output.getvalue() == f"waiting for process {os.getpid()} on {socket.gethostname()}, at work on: run 0\n"
