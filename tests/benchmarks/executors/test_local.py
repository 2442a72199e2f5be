"""The local executor: hung and killed workers, packed GPUs, and two of it on one folder."""

import importlib
import json
from concurrent.futures import Future

import pytest
from pebble import ProcessExpired

from adaptbench.benchmarks.executors import local
from adaptbench.benchmarks.executors.local import LocalBackend
from adaptbench.benchmarks.executors.plan import PlannedRun
from adaptbench.benchmarks.executors.schedule import drive
from adaptbench.benchmarks.executors.worker import EXIT_LOST, Ended, Job
from adaptbench.benchmarks.runs.devices import CPU, Devices

GPUS = [Devices("cuda", (index,)) for index in range(2)]


def test_a_run_whose_need_is_gone_fails_instead_of_waiting_for_ever(transfer, store):
    spec = transfer()
    run = PlannedRun(spec, "fine-tuning", needs=(spec.pretrained.run_id,))
    *_, last = drive([run], LocalBackend([CPU], make_job=lambda run: None), store)
    assert "is gone" in last.failed[spec.run_id]
    assert not last.waiting


def run_of(spec):
    return PlannedRun(spec, f"{spec.learner.name} {spec.seed}")


@pytest.fixture
def make_job(store):
    return lambda run: Job(spec=run.spec, root=store.root, name=run.name)


@pytest.mark.slow
def test_a_worker_that_hangs_fails_with_its_log_and_the_next_run_goes_on(store, episodic, own_learners, make_job):
    hanging, sound = episodic(learner={"name": "own.Hanging"}), episodic()
    backend = LocalBackend([CPU], make_job, time_limit=20)
    *_, status = drive([run_of(hanging), run_of(sound)], backend, store)
    assert status.failed == {hanging.run_id: "it took longer than the time limit of 20 s"}
    assert [run.spec for run, _ in status.done] == [sound]
    note = json.loads((store.partial(hanging.run_id) / "failure.json").read_text())
    assert "about to hang" in note["log"]
    assert store.locked() == []


def test_every_worker_has_a_device_of_its_own(monkeypatch, store, episodic, make_job):
    given = []

    class Pool:
        def __init__(self, **_):
            pass

        def schedule(self, function, arguments, timeout):
            future = Future()
            future.set_result(Ended("elsewhere"))
            given.append((arguments[0].devices, future))
            return future

        def stop(self):
            pass

        join = stop

    monkeypatch.setattr("adaptbench.benchmarks.executors.local.ProcessPool", Pool)
    backend = LocalBackend([GPUS[0], GPUS[1], GPUS[0]], make_job)
    runs = [run_of(episodic(seed=seed)) for seed in range(4)]
    backend.submit(runs[:3])
    assert [devices for devices, _ in given] == [GPUS[0], GPUS[1], GPUS[0]]
    assert {ended.how for _, ended in backend.ended(0)} == {"elsewhere"}
    backend.submit(runs[3:])
    assert given[-1][0] in GPUS
    backend.close()


LOSSY = """
import os, signal
from pathlib import Path
from adaptbench.benchmarks.runs import process


def initialise(stopping=None):
    process.initialise(stopping)
    import pebble.pool.process

    def lose(*_):
        Path(LOST).touch()
        os.kill(os.getpid(), signal.SIGKILL)

    if not Path(LOST).exists():
        pebble.pool.process.Acknowledgement = lose
"""


@pytest.mark.slow
def test_a_worker_lost_between_taking_a_run_and_saying_so_costs_no_run(
    store, episodic, own_learners, make_job, monkeypatch, tmp_path
):
    """Killed in that very place, it keeps the lock by which workers take runs, so its pool gives none any more."""
    (own_learners / "lossy.py").write_text(f"LOST = {str(tmp_path / 'lost')!r}\n{LOSSY}")
    monkeypatch.setattr(local, "initialise", importlib.import_module("lossy").initialise)
    monkeypatch.setattr(local, "BEGIN_SECONDS", 20.0)
    runs = [run_of(episodic(seed=seed)) for seed in range(2)]
    *_, status = drive(runs, LocalBackend([CPU, CPU], make_job), store)
    assert (tmp_path / "lost").exists()
    assert not status.failed and len(status.done) + len(status.found) == 2
    assert store.locked() == []


@pytest.mark.slow
def test_workers_that_are_always_lost_fail_the_run(store, episodic, own_learners, make_job, monkeypatch):
    (own_learners / "always.py").write_text(
        f"LOST = '/proc/version/nowhere'\n{LOSSY.replace('Path(LOST).touch()', '')}"
    )
    monkeypatch.setattr(local, "initialise", importlib.import_module("always").initialise)
    monkeypatch.setattr(local, "BEGIN_SECONDS", 10.0)
    monkeypatch.setattr(local, "MOST_LOSSES", 1)
    run = run_of(episodic())
    *_, status = drive([run], LocalBackend([CPU], make_job), store)
    assert status.failed == {run.spec.run_id: "its worker was lost 2 times before the run began"}


def test_a_worker_that_lost_its_run_leaves_it_to_the_other_command(store, episodic, make_job):
    lost = ProcessExpired("Abnormal termination", code=EXIT_LOST)
    future = Future()
    future.set_exception(lost)
    backend = LocalBackend([CPU], make_job)
    assert backend._outcome(future, make_job(run_of(episodic()))).how == "elsewhere"
    backend.close()
