"""Whole runs of the protocols that are not sinusoids: trained, guarded, tested, recorded."""

import json

import pandas as pd
import pytest

from adaptbench.benchmarks.executors.plan import Plan, make_plan
from adaptbench.benchmarks.runs.build import TaskShape, build_module, build_task
from adaptbench.benchmarks.runs.run import execute
from adaptbench.benchmarks.suites.spec import EpisodicSpec
from adaptbench.benchmarks.suites.suite import Suite
from adaptbench.reports.comparison.comparison import compare
from adaptbench.reports.results.manifest import read_suite
from adaptbench.reports.results.runs import read_outcomes

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


def test_more_ways_in_training_than_in_the_test_change_no_test_episode(store):
    test = {"ways": 3, "shots": [1], "queries": 2, "episodes": 20}
    trains = {3: {**SPEC["train"], "ways": 3}, 60: {**SPEC["train"], "ways": 60, "pool": 240}}
    same = {"task": {"name": "glyphs", "init_args": {"train_classes": 70}}, "test": test}
    same |= {"encoder": SPEC["encoder"], "budget": {**SPEC["budget"], "examples": 960}}
    prototypes, tuned = {"learner": {"name": "prototypes"}}, {"strategy": {"name": "fine_tuning"}}
    tasks = [{**same, "train": train, "learners": {f"{ways}": prototypes}} for ways, train in trains.items()]
    tasks += [{**same, "train": trains[60], "learners": {"fine_tuning": tuned}}]
    suite = Suite.model_validate({"suite": "ways", "version": 1, "description": "", "seeds": [0], "tasks": tasks})
    *trained, adapted = (cell.spec for cell in make_plan(suite).cells)
    for spec in trained:
        execute(spec, store)
    store.write_manifest(Plan(suite, suite.cells(), {}).manifest(["ways"]))
    (comparison,) = compare(read_outcomes(store.root, read_suite(store.root, "ways")))
    few, many, _ = (entry for (entry,) in comparison.entries)
    assert comparison.warnings == () and few.conditions == many.conditions and few.interval and many.interval
    assert [TaskShape.of(build_task(spec.training)).targets for spec in (*trained, adapted)] == [3, 60, 3]


def test_ways_that_a_learner_cannot_hold_are_refused_before_training():
    spec = {**SPEC, "train": {**SPEC["train"], "ways": 60, "pool": 240}}
    task = {"name": "glyphs", "init_args": {"train_classes": 70}}
    small = EpisodicSpec(**{**spec, "task": task, "learner": {"name": "lstm", "init_args": {"width": 64}}})
    shape = TaskShape.of(build_task(small))
    with pytest.raises(ValueError, match=r"^Expected argument `width` to be a multiple of 64 slots, twice at least"):
        build_module(small, shape)


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
def test_a_final_training_has_no_validation_and_refuses_choices_by_it(store, real_cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(real_cache))
    task = {"name": "omniglot", "init_args": {"learn_from": "train_and_val"}}
    result, guards, folder = run(store, task)
    assert result["train_classes"] == 1200 and result["protocol"].startswith("vinyals, trained on validation too")
    assert guards["class overlap"] == "passed" and guards["near-duplicates"] == "noted"
    assert set(pd.read_parquet(folder / "curve.parquet")["part"]) == {"train"}
    entry = {name: SPEC[name] for name in ("train", "test", "encoder", "budget")} | {"task": task}
    tuned = {"strategy": {"name": "fine_tuning"}}
    chosen = {"strategy": {"name": "chosen_fine_tuning", "init_args": {"grid": {"steps": [1, 2]}}}}
    refused = [
        (r"^Expected argument `selection` to be 'last' where training", {"learner": LEARNER}, {"selection": "best"}),
        (r"^Expected one training instead of several", {**tuned, "pretraining_lr": [0.1, 0.2]}, {}),
        (r"^Expected one training instead of several", {"learner": LEARNER, "optimization_lr": [0.1, 0.2]}, {}),
        (r"^Expected the strategy `chosen_fine_tuning` not to choose where", chosen, {}),
    ]
    for message, learner, budget in refused:
        tasks = [{**entry, "budget": {**SPEC["budget"], **budget}, "learners": {"it": learner}}]
        suite = {"suite": "final", "version": 1, "description": "", "seeds": [0], "tasks": tasks}
        with pytest.raises(ValueError, match=message):
            make_plan(Suite.model_validate(suite))
    chosen["strategy"]["init_args"]["by"] = "leave_one_out"
    make_plan(Suite.model_validate({**suite, "tasks": [{**entry, "learners": {"it": chosen}}]}))


@pytest.mark.slow
def test_learning_from_glyphs_is_tested_on_omniglot(store, real_cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(real_cache))
    across, guards, _ = run(store, {"name": "glyphs_to_omniglot", "init_args": {"train_classes": 60}})
    own, own_guards, _ = run(store, {"name": "omniglot", "init_args": {"rotations": "none", "train_classes": 60}})
    assert guards["class overlap"] == guards["identical images"] == "passed"
    assert own_guards["alphabet overlap"] == "noted" and "alphabet overlap" not in guards
    digests = [[score["episodes_digest"] for score in result["scores"]] for result in (across, own)]
    assert digests[0] == digests[1]
