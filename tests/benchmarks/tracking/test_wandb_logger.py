"""W&B beside the run: it is told everything, and costs nothing when it fails or hangs."""

import json
import time
from dataclasses import replace
from typing import ClassVar

import pytest

from adaptbench.benchmarks.executors.worker import Job, work
from adaptbench.benchmarks.suites.spec import RUN_SPEC
from adaptbench.benchmarks.tracking import wandb_logger
from adaptbench.benchmarks.tracking.wandb_logger import WandbMirror, default_mode

SETTINGS = {"project": "adaptbench", "group": "tiny", "config": {"seed": 3}, "tags": ["tiny"]}


@pytest.fixture
def order(episodic, store):
    spec = episodic()
    return Job(spec=spec, root=store.root, suite="tiny", name="deep sets", wandb="offline"), spec.run_id


@pytest.mark.slow
def test_an_offline_run_holds_configuration_curve_and_results(order, store, offline_records):
    run, run_id = order
    work(run)
    found = offline_records(run_id)
    (start,) = (record.run for record in found if record.WhichOneof("record_type") == "run")
    assert (start.run_id, start.project, start.run_group) == (run_id, "adaptbench", "tiny")
    assert (start.job_type, list(start.tags)) == ("episodic", ["tiny", "sinusoid", "deep_sets", "sets"])
    config = {item.key: json.loads(item.value_json) for item in start.config.update}
    assert config["seed"] == 0
    assert config["learner"]["name"] == "deep_sets"
    assert config["cell"] | {"suite": "tiny", "family": "sets", "seed": 0} == config["cell"]
    history = [
        {(item.key or "/".join(item.nested_key)): json.loads(item.value_json) for item in record.history.item}
        for record in found
        if record.WhichOneof("record_type") == "history"
    ]
    assert len([row for row in history if "train/mse" in row]) == 4
    assert len([row for row in history if "val/mse" in row]) == 4
    summary = {
        item.key or "/".join(item.nested_key): json.loads(item.value_json)
        for record in found
        if record.WhichOneof("record_type") == "summary"
        for item in record.summary.update
    }
    result = store.result(run_id).model_dump()
    scores = {f"test/{score['metric']}/{score['shots']}-shot": score["value"] for score in result["scores"]}
    assert scores.items() <= summary.items()
    (end,) = (record.exit for record in found if record.WhichOneof("record_type") == "exit")
    assert end.exit_code == 0


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
        self.experiment = None

    def log_metrics(self, metrics, step=None):
        raise ConnectionError("gone")


@pytest.mark.parametrize(
    ("logger", "said"), [(Broken, "no W&B today"), (Forgetful, "gone"), (Hanging, "no answer within 1 s")]
)
def test_a_wandb_that_fails_or_hangs_costs_no_result(logger, said, order, store, tmp_path, monkeypatch, contents):
    run, run_id = order
    assert work(replace(run, root=tmp_path / "without", wandb="off")).unmirrored is None
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
        self.experiment = self
        self.summary = {}

    def log_metrics(self, metrics, step=None):
        pass

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
    ended = work(Job(spec=read, root=store.root, suite="tiny", name="deep sets", wandb="offline"))
    assert (ended.how, ended.reason) == ("failed", "NotFinite: diverged")
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
