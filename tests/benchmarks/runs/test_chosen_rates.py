"""A learner trained with several learning rates: validation chooses one, and test scores have no part in it."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from adaptbench import load_run
from adaptbench.benchmarks.commands.verify import choose, verify_runs
from adaptbench.benchmarks.executors.plan import make_plan
from adaptbench.benchmarks.runs.run import execute
from adaptbench.benchmarks.suites.suite import load_suite

RATES = (1e-6, 1e-2)


@pytest.fixture
def several(episodic):
    """Makes the spec of a tiny learner with two rates, with changes by dotted key."""

    def make(**changes):
        first, second = (episodic(optimization={"lr": lr}, **changes) for lr in RATES)
        return first.model_copy(update={"rivals": (second,)})

    return make


def published(spec, store):
    for each in (*spec.candidates, spec):
        execute(each, store)
    return store.result(spec.run_id)


def test_the_best_on_validation_is_tested(several, store):
    spec = several()
    result = published(spec, store)
    bad, good = spec.candidates
    scores = {each.run_id: each.score for each in result.pretrainings}
    assert scores[good.run_id] < scores[bad.run_id] and result.pretrained == good.run_id
    assert result.scores == store.result(good.run_id).scores and result.kind == "episodic"
    episodes = [pd.read_parquet(store.published(each.run_id) / "episodes.parquet") for each in (spec, good)]
    pd.testing.assert_frame_equal(*episodes)
    x = torch.linspace(-4, 4, 5).unsqueeze(1)
    predictions = [load_run(store.published(each.run_id)).predict(x, x.sin(), x).means for each in (spec, good)]
    assert torch.equal(*predictions)


def test_test_scores_choose_nothing(several, store):
    spec = several()
    bad, good = spec.candidates
    for each in (bad, good):
        execute(each, store)
    for each, value in ((bad, 0.0), (good, 1e9)):
        folder = store.published(each.run_id)
        result = json.loads((folder / "result.json").read_text())
        result["scores"] = [{**score, "value": value} for score in result["scores"]]
        (folder / "result.json").write_text(json.dumps(result))
        (folder / "episodes.parquet").unlink()
    execute(spec, store)
    assert store.result(spec.run_id).pretrained == good.run_id


def test_other_validation_scores_choose_another(several, store):
    spec = several()
    for each in spec.candidates:
        execute(each, store)
    bad, good = spec.candidates
    path = store.published(good.run_id) / "curve.parquet"
    curve = pd.read_parquet(path)
    curve.loc[curve["part"] == "val", "value"] = 1e9
    curve.to_parquet(path, index=False)
    execute(spec, store)
    assert store.result(spec.run_id).pretrained == bad.run_id


@pytest.mark.usefixtures("real_cache")
def test_a_stream_is_tested_as_a_stream(several, store):
    spec = several(
        task={"name": "omniglot-online"},
        train={"ways": 3, "shots": [3], "queries": 1, "pool": 27, "episodes": 2},
        test={"ways": 3, "shots": [1, 3], "queries": 1, "episodes": 10},
        encoder={"name": "strided", "init_args": {"filters": 4}},
        learner={"name": "gru", "init_args": {"width": 16}},
        budget={"examples": 270, "epochs": 1, "val_episodes": 4},
    )
    result = published(spec, store)
    assert result.scores == store.result(result.pretrained).scores


def test_a_suite_trains_each_rate_as_a_run_of_its_own(write_suite):
    def cells(**changes):
        return load_suite(str(write_suite(learners=("deep_sets",), **changes)))

    suite = cells(**{"learners.deep_sets.optimization_lr": [*RATES, RATES[0]]})
    runs = make_plan(suite).runs()
    alone = [cells(**{"learners.deep_sets.optimization": {"lr": lr}}).cells()[0].spec for lr in RATES]
    assert [run.spec.run_id for run in runs[:2]] == [spec.run_id for spec in alone]
    assert runs[2].needs == tuple(spec.run_id for spec in alone) and len(runs) == 3
    assert len({run.name for run in runs}) == 3
    one = cells(**{"learners.deep_sets.optimization_lr": [RATES[1]]})
    assert [run.spec.run_id for run in make_plan(one).runs()] == [alone[1].run_id]
    with pytest.raises(ValueError, match="`optimization_lr` only together with a `learner`"):
        cells(**{"learners.average": {"strategy": {"name": "average"}, "optimization_lr": [0.1]}})


@pytest.mark.slow
def test_verification_trains_the_candidates_again(several, store):
    spec = several()
    published(spec, store)
    path = store.published(spec.candidates[0].run_id) / "curve.parquet"
    curve = pd.read_parquet(path)
    curve["value"] += np.where(curve["part"] == "train", 1.0, 0.0)
    curve.to_parquet(path, index=False)
    found = {each.run_id: each.difference for each in verify_runs(store.root, choose(store.root, None, 0))}
    assert [found[each.run_id] is None for each in (*spec.candidates, spec)] == [False, True, True]
