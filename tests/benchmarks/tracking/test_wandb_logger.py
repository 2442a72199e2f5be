"""W&B beside the run: it is told everything, and costs nothing when it fails or hangs."""

import os
import re
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest
import wandb

from adaptbench.benchmarks.executors.worker import Job, work
from adaptbench.benchmarks.suites.spec import RUN_SPEC
from adaptbench.benchmarks.tracking import wandb_logger
from adaptbench.benchmarks.tracking.wandb_logger import WandbMirror, default_mode
from adaptbench.benchmarks.tracking.wandb_runs import Target, folder_id, is_mirrored

SETTINGS = {"project": "adaptbench", "group": "tiny", "config": {"seed": 3}, "tags": ["tiny"]}


@pytest.fixture
def order(episodic, store):
    spec = episodic()
    return Job(spec=spec, root=store.root, name="deep sets", target=Target("tiny", "offline")), spec.run_id


@pytest.mark.slow
def test_an_offline_run_holds_configuration_curve_and_results(order, sent, assert_sent_is_written):
    run, run_id = order
    work(run)
    assert_sent_is_written(run_id, run_id)
    got = sent(run_id)
    assert (got.start.run_id, got.start.project, got.start.run_group) == (run_id, "adaptbench", "tiny")
    assert (got.start.job_type, list(got.start.tags)) == ("episodic", ["tiny", "sinusoid", "deep_sets", "sets"])
    assert got.config["cell"] | {"suite": "tiny", "family": "sets", "seed": 0} == got.config["cell"]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_after_a_resume_w_and_b_has_the_whole_curve_once(
    how, adaptbench, write_suite, own_learners, store, assert_sent_is_written
):
    suite = write_suite(learners=(), **{"learners.slow": {"learner": {"name": "own.Slow"}}})
    arguments = ("run", suite, "--wandb", "offline", "--jobs", "1", "--no-report")
    first = adaptbench.start(*arguments)
    deadline = time.monotonic() + 120
    while not list(store.root.glob(".partial-*/last.ckpt")):
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.02)
    os.killpg(first.pid, getattr(signal, how)) if how == "SIGKILL" else os.kill(first.pid, getattr(signal, how))
    first.communicate()
    assert first.returncode == (130 if how == "SIGTERM" else -signal.SIGKILL)
    assert adaptbench(*arguments).returncode == 0
    assert adaptbench("wandb-sync", "runs", "--wandb", "offline").returncode == 0  # on a busy machine W&B missed it
    (run_id,) = (path.parent.name for path in store.root.glob("[!.]*/result.json"))
    assert_sent_is_written(run_id, Target("tiny", "offline", folder_id(store.root)).id_of(run_id))


class Resumed:
    """A `WandbLogger` of a run of which W&B has three rows from an earlier try."""

    rows: ClassVar = []

    def __init__(self, **settings):
        self.experiment, self.step, self.summary = self, 3, {}

    def define_metric(self, name, step_metric):
        pass

    def log(self, values):
        Resumed.rows.append(values)

    def finish(self, exit_code=0):
        pass


def test_rows_that_w_and_b_has_from_an_earlier_try_are_not_sent_again(order, store, monkeypatch):
    run, run_id = order
    monkeypatch.setattr(Resumed, "rows", [])
    monkeypatch.setattr(wandb_logger, "WandbLogger", Resumed)
    assert work(run).unmirrored is None
    curve = pd.read_parquet(store.published(run_id) / "curve.parquet")
    steps = [row.get("trainer/global_step") for row in Resumed.rows]
    assert steps == [*sorted(set(curve["step"]))[3:], None, None]  # two rows of scores


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hanging"])
def test_a_service_that_is_gone_or_hangs_before_a_run_begins_is_replaced_and_costs_no_run(
    number, order, episodic, store, services, monkeypatch
):
    wandb.teardown(exit_code=0)
    monkeypatch.setattr(wandb_logger, "FINISH_SECONDS", 1.0)
    run, _ = order

    def is_there(seed):
        spec = episodic(seed=seed)
        work(replace(run, spec=spec))
        assert store.is_published(spec.run_id)
        deadline = time.monotonic() + 20
        while not (there := is_mirrored(store, spec.run_id, Target("tiny", "offline"))) and time.monotonic() < deadline:
            time.sleep(0.05)
        return there

    assert is_there(0)
    (service,) = services()
    os.kill(service, number)
    assert is_there(1)
    assert service not in services()
    assert is_there(2)


STOPS = """
import multiprocessing
import os
import signal
import time
from pathlib import Path

import wandb
from own import Sound


class Stops(Sound):
    def forward(self, *episode):
        if multiprocessing.parent_process() and not Path("service").exists():
            while not list(Path("runs").glob("wandb/offline-run-*/run-*.wandb")):
                time.sleep(0.05)
            service = wandb.setup()._connection._proc._process.pid
            Path("service").write_text(str(service))
            os.kill(service, signal.SIGSTOP)
        return super().forward(*episode)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes as Linux lists them")
def test_a_service_that_hangs_does_not_outlive_its_command(adaptbench, write_suite, own_learners, tmp_path):
    (own_learners / "stops.py").write_text(STOPS)
    suite = write_suite(learners=(), **{"learners.stops": {"learner": {"name": "stops.Stops"}}})
    done = adaptbench("run", suite, "--wandb", "offline", "--jobs", "1", "--no-report")
    assert done.returncode == 0 and "W&B missed 1 of 1 run" in done.stdout, done.stdout + done.stderr
    assert not Path("/proc", (tmp_path / "service").read_text()).exists()


class Broken:
    """A `WandbLogger` that cannot be made."""

    def __init__(self, **settings):
        raise OSError("no W&B today")


class Hanging:
    """A `WandbLogger` that never comes back."""

    def __init__(self, **settings):
        time.sleep(3600)


class Forgetful:
    """A `WandbLogger` that starts and then fails whenever it is used."""

    def __init__(self, **settings):
        self.experiment, self.step = self, 0

    def log(self, values):
        raise ConnectionError("gone")


@pytest.mark.parametrize(
    ("logger", "said"), [(Broken, "no W&B today"), (Forgetful, "gone"), (Hanging, "no answer within 1 s")]
)
def test_a_wandb_that_fails_or_hangs_costs_no_result(logger, said, order, store, tmp_path, monkeypatch, contents):
    run, run_id = order
    assert work(replace(run, root=tmp_path / "without", target=None)).unmirrored is None
    monkeypatch.setattr(wandb_logger, "WandbLogger", logger)
    close = WandbMirror.close
    monkeypatch.setattr(WandbMirror, "close", lambda self, *a, **k: close(self, *a, **{**k, "seconds": 1.0}))
    start = time.monotonic()
    assert said in work(run).unmirrored
    assert time.monotonic() - start < 10
    assert store.is_published(run_id)
    assert contents(tmp_path / "without") == contents(store.root)


class Recording:
    """A `WandbLogger` that remembers how its run ended."""

    ended: ClassVar = []

    def __init__(self, **settings):
        self.experiment, self.step, self.summary = self, 0, {}

    def finish(self, exit_code=0):
        Recording.ended.append((dict(self.summary), exit_code))


def test_a_run_that_fails_is_marked_as_failed(episodic, store, monkeypatch):
    monkeypatch.setattr(wandb_logger, "WandbLogger", Recording)
    monkeypatch.setattr(Recording, "ended", [])
    spec = episodic(optimization__lr=float("inf"), optimization__clip=None)
    from adaptbench.benchmarks.runs import run

    def diverge(*arguments, **settings):
        raise run.NotFinite("diverged")

    monkeypatch.setattr(run, "execute", diverge)
    read = RUN_SPEC.validate_json(spec.canonical_json())
    ended = work(Job(spec=read, root=store.root, name="deep sets", target=Target("tiny", "offline")))
    assert ended.how == "failed" and re.fullmatch(
        r"NotFinite: diverged \(test_wandb_logger.py, line \d+\)", ended.reason
    )
    assert Recording.ended == [({}, 1)]


@pytest.mark.parametrize(("mode", "expected"), [("disabled", "off"), ("offline", "offline")])
def test_the_environment_decides_the_mode(mode, expected, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", mode)
    assert default_mode() == expected


def test_nobody_logged_in_means_offline(tmp_path, monkeypatch):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "NETRC", "XDG_CONFIG_HOME", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    assert default_mode() == "offline"
