"""The real command line: repeated, parallel, killed, interrupted, with failing cells and with a user's own classes."""

import os
import re
import shutil
import signal
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

TINY = ("--wandb", "off", "--out", "runs")
LOOKALIKE = '''"""A small data set in Omniglot's layout as a task of a user's own."""

import numpy as np

from adaptbench.datamodules.omniglot import OmniglotDataModule
from adaptbench.datamodules.omniglot_archives import Archive
from adaptbench.datamodules.omniglot_splits import SPLITS, Split

ARCHIVES = {archives!r}


def thirds(characters):
    rows = np.arange(len(characters))
    return Split(train=rows[rows % 3 == 0], val=rows[rows % 3 == 1], test=rows[rows % 3 == 2])


SPLITS["thirds"] = thirds


class LookAlike(OmniglotDataModule):
    """The look-alike."""

    def __init__(self, sampling, **arguments):
        super().__init__(sampling, archives=ARCHIVES, **arguments)
'''


def published(folder):
    """When each finished run was written, by id."""
    return {path.parent.name: path.stat().st_mtime_ns for path in Path(folder).glob("[!.]*/result.json")}


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def alive(group):
    """Lists the processes of a group that have not ended; one that has may still wait for init to collect it."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, process_group = status.read_text().rpartition(") ")[2].split()[:3]
        except OSError:
            continue
        if int(process_group) == group and state not in "ZX":
            found.append(status.parent.name)
    return found


@pytest.mark.slow
def test_smoke_says_nothing_on_stderr_and_is_run_once(adaptbench, contents, tmp_path):
    first = adaptbench("run", "smoke", "--jobs", "2", *TINY)
    assert (first.returncode, first.stderr) == (0, "")
    assert "16 cells, 20 runs: 0 finished, 20 to do, 2 at a time." in first.stdout
    assert len(re.findall(r"^done \d+/20", first.stdout, re.MULTILINE)) == 20
    assert "16 of 16 runs finished" in first.stdout
    assert " no better than a guess at 5 and 10 shots" in first.stdout
    report = tmp_path / "runs" / "report-smoke"
    assert {"index.html", "results.csv"} <= {path.name for path in report.iterdir()}
    assert not list((tmp_path / "runs").glob(".*"))
    before, times = contents(tmp_path / "runs"), published(tmp_path / "runs")
    second = adaptbench("run", "smoke", "--no-report", *TINY)
    assert (second.returncode, second.stderr) == (0, "")
    assert "20 finished, 0 to do" in second.stdout and "Runs: 20 finished before." in second.stdout
    assert contents(tmp_path / "runs") == before
    assert published(tmp_path / "runs") == times


@pytest.mark.slow
def test_one_worker_or_two_killed_or_not_the_results_are_the_same(adaptbench, write_suite, contents, tmp_path):
    suite = write_suite(seeds=(0, 1))
    whole = adaptbench("run", suite, "--out", "whole", "--wandb", "off", "--jobs", "1")
    assert whole.returncode == 0, whole.stderr

    process = adaptbench.start("run", suite, "--jobs", "2", *TINY)
    wait_for(lambda: published(tmp_path / "runs"))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    finished = published(tmp_path / "runs")
    assert 0 < len(finished) < 6
    again = adaptbench("run", suite, "--jobs", "2", *TINY)
    assert again.returncode == 0, again.stderr
    assert f"{len(finished)} finished, {6 - len(finished)} to do" in again.stdout
    assert len(re.findall(r"^done", again.stdout, re.MULTILINE)) == 6 - len(finished)
    assert contents(tmp_path / "runs") == contents(tmp_path / "whole") != {}
    assert finished.items() <= published(tmp_path / "runs").items()
    assert not list((tmp_path / "runs").glob(".partial-*"))


@pytest.mark.slow
def test_control_c_and_a_killed_parent_leave_no_process_behind(adaptbench, write_suite, own_learners, tmp_path):
    slow = {"learners.deep_sets.learner": {"name": "own.Slow"}, "budget.epochs": 16}
    suite = write_suite(learners=("deep_sets",), **slow)

    def start():
        return adaptbench.start("run", suite, "--jobs", "2", *TINY)

    process = start()
    wait_for(lambda: list((tmp_path / "runs").glob(".partial-*/last.ckpt")))
    os.killpg(process.pid, signal.SIGINT)
    start_of_end = time.monotonic()
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - start_of_end < 15
    assert (process.returncode, err) == (130, "")
    assert "Stopped. Finished runs are kept; the same command continues from here." in out
    wait_for(lambda: not alive(process.pid), seconds=5)
    (checkpoint,) = (tmp_path / "runs").glob(".partial-*/last.ckpt")
    before = checkpoint.stat().st_mtime_ns

    process = start()
    wait_for(lambda: checkpoint.stat().st_mtime_ns > before)
    process.kill()
    process.communicate()
    wait_for(lambda: not alive(process.pid), seconds=5)
    assert not published(tmp_path / "runs")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there are no terminals to close here")
def test_a_closed_terminal_leaves_a_checkpoint(adaptbench, write_suite, own_learners, tmp_path):
    """Every process of a terminal is told, in a temporary folder whose name is too long for a socket."""
    temporary = tmp_path / ("long" * 20)
    temporary.mkdir()
    os.environ["TMPDIR"] = str(temporary)
    try:
        slow = {"learners.deep_sets.learner": {"name": "own.Slow"}, "budget.epochs": 8}
        process = adaptbench.start("run", write_suite(learners=("deep_sets",), **slow), "--jobs", "1", *TINY)
    finally:
        del os.environ["TMPDIR"]
    wait_for(lambda: list((tmp_path / "runs").glob(".partial-*/last.ckpt")))
    (checkpoint,) = (tmp_path / "runs").glob(".partial-*/last.ckpt")
    before = checkpoint.stat().st_mtime_ns
    os.killpg(process.pid, signal.SIGHUP)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert "Stopped. Finished runs are kept" in out
    assert checkpoint.stat().st_mtime_ns > before
    wait_for(lambda: not alive(process.pid), seconds=5)


@pytest.mark.slow
def test_control_c_while_workers_start_is_quiet(adaptbench, write_suite, tmp_path):
    process = adaptbench.start("run", write_suite(), "--jobs", "2", *TINY)
    first = process.stdout.readline() + process.stdout.readline()
    assert "3 runs: 0 finished" in first
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")
    wait_for(lambda: not alive(process.pid), seconds=5)


@pytest.mark.slow
def test_failing_cells_do_not_stop_the_others(adaptbench, write_suite, own_learners, tmp_path):
    own = ("--learner", "own.Fragile", "--learner", "own.Deadly", "--learner", "own.Sound")
    result = adaptbench("run", write_suite(learners=("deep_sets",)), *own, "--jobs", "2", *TINY)
    assert result.returncode == 1
    assert re.search(r"ArithmeticError: it \[broke\] in training \(own.py, line \d+\)\n", result.stdout)
    assert "its worker died with exit code 7" in result.stdout
    assert "2 of 4 runs finished, 2 failed." in result.stdout
    assert "Runs: 2 done now, 2 failed." in result.stdout
    (log,) = re.findall(r"failed Fragile sinusoid seed 0 \(\w+\)\n(?:    .*\n)+  log: (.*)", result.stdout)
    assert "ArithmeticError: it [broke] in training" in (tmp_path / log).read_text()
    assert "The same command tries the failed runs again." in result.stdout
    assert len(published(tmp_path / "runs")) == 2
    rows = (tmp_path / "runs" / "report-tiny" / "table-sinusoid.md").read_text()
    assert {name for name in ("Sound", "Fragile", "Deadly", "Deep sets") if name in rows} == {
        *("Sound", "Fragile", "Deadly", "Deep sets"),
    }
    fragile = ("--only", "learner=Fragile", "--no-report")
    again = adaptbench("run", write_suite(learners=("deep_sets",)), *own, *fragile, *TINY)
    assert again.returncode == 1
    assert "0 finished, 1 to do" in again.stdout


@pytest.mark.slow
def test_a_task_without_data_is_said_twice_and_costs_nothing_else(adaptbench, write_suite, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ADAPTBENCH_OMNIGLOT", str(tmp_path / "nowhere"))
    path = write_suite(learners=("deep_sets",))
    suite = yaml.safe_load(path.read_text())
    classes = {"ways": 2, "queries": 1, "shots": [1]}
    suite["tasks"].append(
        suite["tasks"][0]
        | {
            "task": {"name": "omniglot"},
            "train": {**classes, "pool": 8, "episodes": 2},
            "test": {**classes, "episodes": 5},
        }
    )
    path.write_text(yaml.safe_dump(suite))
    result = adaptbench("run", path, *TINY)
    assert (result.returncode, result.stderr) == (1, "")
    assert result.stdout.count("The cells of task omniglot cannot run") == 2
    assert "Runs: 1 done now, 1 without data." in result.stdout
    assert str(tmp_path / "nowhere") in result.stdout
    assert len(published(tmp_path / "runs")) == 1
    assert "1 of 2 runs finished" in result.stdout


@pytest.mark.slow
def test_a_data_set_and_a_learner_of_a_users_own(adaptbench, write_suite, own_learners, lookalike_archives, tmp_path):
    (own_learners / "lookalike.py").write_text(LOOKALIKE.format(archives=tuple(lookalike_archives)))
    classes = {"ways": 3, "queries": 3, "shots": [1, 2]}
    suite = write_suite(
        learners=("attention", "fine_tuning"),
        **{
            "task": {"name": "lookalike.LookAlike", "init_args": {"split": "thirds"}},
            "over": {"train_classes": [6, None]},
            "train": {**classes, "pool": 40, "episodes": 8},
            "test": {**classes, "episodes": 30},
            "encoder": {"name": "strided", "init_args": {"filters": 4}},
            "learners.own": {"learner": {"name": "own.Sound"}, "label": "My own"},
        },
    )
    result = adaptbench("run", suite, "--jobs", "2", *TINY)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    assert "6 of 6 runs finished" in result.stdout
    assert "My own" in result.stdout
    table = pd.read_csv(tmp_path / "runs" / "report-tiny" / "results.csv")
    accuracy = table.query("metric == 'accuracy'")
    assert len(accuracy) == 3 * 2 * 2
    assert accuracy["value"].between(0.2, 1.0).all()
    assert accuracy.groupby("shots")["episodes_digest"].nunique().tolist() == [1, 1]


@pytest.mark.slow
def test_what_a_bundle_holds_is_not_computed_again(adaptbench, write_suite, tmp_path):
    suite = write_suite(seeds=(0, 1))
    first = adaptbench("run", suite, "--only", "seed=0", "--no-report", *TINY)
    assert first.returncode == 0, first.stderr
    assert "tiny.zip: 2 of 4 runs" in adaptbench("submit").stdout
    shutil.rmtree(tmp_path / "runs")  # the machine is gone, its bundle is not

    command = ("run", suite, "--from", "tiny.zip", *TINY)
    asked = adaptbench(*command, "--dry-run")
    assert "4 cells, 6 runs: 3 finished, 3 to do" in asked.stdout and "Time left: about" in asked.stdout
    second = adaptbench(*command)
    assert second.returncode == 0, second.stderr
    assert "4 of 4 runs finished" in second.stdout and "3 done now, 3 finished before" in second.stdout
    assert len(published(tmp_path / "runs")) == 3
    assert "tiny.zip: 4 of 4 runs" in adaptbench("submit", "runs", "tiny.zip").stdout


@pytest.mark.slow
def test_again_computes_finished_runs_anew(adaptbench, write_suite, contents, tmp_path):
    command = ("run", write_suite(learners=("deep_sets",)), "--no-report", "--jobs", "1", *TINY)
    first = adaptbench(*command)
    assert first.returncode == 0, first.stderr
    before, times = contents(tmp_path / "runs"), published(tmp_path / "runs")
    done = adaptbench(*command, "--again")
    assert (done.returncode, done.stderr) == (0, "") and "0 finished, 1 to do" in done.stdout
    assert contents(tmp_path / "runs") == before
    assert published(tmp_path / "runs") != times
