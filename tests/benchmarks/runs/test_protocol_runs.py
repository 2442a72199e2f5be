"""Whole runs of the protocols that are not sinusoids: trained, guarded, tested, recorded."""

import json

import pandas as pd
import pytest

from adaptbench.benchmarks.runs.run import execute
from adaptbench.benchmarks.suites.spec import EpisodicSpec

LEARNER = {"name": "deep_sets", "init_args": {"width": 16, "slots": 1}}
SPEC = {
    "train": {"ways": 5, "shots": [1], "queries": 3, "pool": 80, "episodes": 4},
    "test": {"ways": 5, "shots": [1, 5], "queries": 5, "episodes": 120},
    "encoder": {"name": "mlp", "init_args": {"width": 16, "depth": 1}},
    "budget": {"examples": 640, "epochs": 2, "val_episodes": 4},
    "learner": LEARNER,
    "optimization": {},
    "seed": 0,
}
RUNS_TEST = {"ways": 20, "shots": [1], "queries": 1, "episodes": 20}


def run(store, task, **changes):
    """Runs a cell and returns its result, what its guards found, and its folder."""
    spec = EpisodicSpec(**{**SPEC, "task": task, **changes})
    folder = execute(spec, store)
    findings = json.loads((folder / "guards.json").read_text())["findings"]
    return store.result(spec.run_id).model_dump(), {each["guard"]: each["status"] for each in findings}, folder


def test_glyphs_are_run_and_guarded(store):
    result, guards, folder = run(store, {"name": "glyphs", "init_args": {"train_classes": 100_000}})
    assert (result["task"], result["train_classes"], result["protocol"]) == ("glyphs", 100_000, "generated characters")
    assert set(guards.values()) <= {"passed", "noted"} and guards["label permutation"] == "passed"
    assert not (folder / "fits.parquet").exists()
    assert "remarks" not in result


def test_drawn_ways_are_trained_and_tested_one_by_one(store):
    train = {**SPEC["train"], "ways": [3, 5]}
    test = {**SPEC["test"], "ways": [3, 5]}
    result, _, folder = run(store, {"name": "glyphs", "init_args": {"train_classes": 50}}, train=train, test=test)
    accuracy = [score for score in result["scores"] if score["metric"] == "accuracy"]
    assert [(score["ways"], score["shots"]) for score in accuracy] == [(3, 1), (3, 5), (5, 1), (5, 5)]
    assert {score["chance"] for score in accuracy} == {1 / 3, 1 / 5}
    assert len(pd.read_parquet(folder / "episodes.parquet")) == 4 * 120


@pytest.mark.slow
def test_the_official_runs_give_an_error_with_its_interval(store, real_cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(real_cache))
    train = {**SPEC["train"], "ways": 20, "pool": 80}
    result, guards, _ = run(store, {"name": "lake_runs"}, train=train, test=RUNS_TEST)
    assert guards["alphabet overlap"] == guards["identical images"] == "passed"
    (error,) = (score for score in result["scores"] if score["metric"] == "error_percent")
    assert error["low"] < error["value"] < error["high"] and error["trials"] == 400
    assert result["train_classes"] == 792


@pytest.mark.slow
def test_learning_from_glyphs_is_tested_on_omniglot(store, real_cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(real_cache))
    across, guards, _ = run(store, {"name": "glyphs_to_omniglot", "init_args": {"train_classes": 60}})
    own, own_guards, _ = run(store, {"name": "omniglot", "init_args": {"rotations": "none", "train_classes": 60}})
    assert guards["class overlap"] == guards["identical images"] == "passed"
    assert own_guards["alphabet overlap"] == "noted" and "alphabet overlap" not in guards
    digests = [[score["episodes_digest"] for score in result["scores"]] for result in (across, own)]
    assert digests[0] == digests[1]
