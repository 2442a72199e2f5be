"""Runs of transfer: what is pretrained, what is chosen, what a control is told, and what an episode cannot spoil."""

import sys

import numpy as np
import pandas as pd
import pytest
import torch

from adaptbench import load_run
from adaptbench.benchmarks.evaluation.adapters import with_guesses
from adaptbench.benchmarks.evaluation.evaluate import evaluate
from adaptbench.benchmarks.evaluation.guards import GuardFailed
from adaptbench.benchmarks.runs.build import TaskShape, build_module, build_task
from adaptbench.benchmarks.runs.run import execute
from adaptbench.benchmarks.runs.trained import load_adapter
from adaptbench.benchmarks.suites.spec import Pretraining, TransferSpec
from adaptbench.datamodules.base import EvalEpisodes, Sampling, TrainEpisodes
from adaptbench.datamodules.glyphs import GlyphsDataModule
from adaptbench.lit_modules.fine_tuning import FineTuning
from adaptbench.lit_modules.heads import ContextHead, CosineHead
from adaptbench.lit_modules.likelihoods import LIKELIHOODS
from adaptbench.reports.format import Guards
from adaptbench.reports.reading import read

GLYPHS = {
    "task": {"name": "glyphs", "init_args": {"train_classes": 9}},
    "train": {"ways": 3, "shots": [1, 2], "queries": 2, "pool": 30, "episodes": 4},
    "test": {"ways": 3, "shots": [1, 2], "queries": 3, "episodes": 10},
    "encoder": {"name": "strided", "init_args": {"filters": 4}},
}


@pytest.fixture
def adapt(pretraining, store):
    """Pretrains and adapts by a strategy; returns the spec and its result."""

    def run(name, init_args=None, **changes):
        pretrained = pretraining(**changes)
        execute(pretrained, store)
        spec = TransferSpec(
            pretrained=pretrained, strategy={"name": name, "init_args": init_args or {}}, test=pretrained.test
        )
        execute(spec, store)
        return spec, store.result(spec.run_id).model_dump()

    return run


def mse(result):
    return [score["value"] for score in result["scores"] if score["metric"] == "mse"]


def test_a_pretraining_has_another_id_than_the_usual_one(pretraining):
    usual, other = pretraining(), pretraining(pretraining={"objective": "context"})
    assert "pretraining" not in usual.canonical_json() and usual.run_id != other.run_id
    assert type(usual).model_validate_json(usual.model_dump_json()) == usual
    assert type(other).model_validate_json(other.model_dump_json()).pretraining == Pretraining(objective="context")


def test_each_kind_of_pretraining_builds_its_network(pretraining):
    def built(**changes):
        spec = pretraining(**GLYPHS, **changes)
        return build_module(spec, TaskShape.of(build_task(spec)))

    assert isinstance(built(pretraining={"head": "cosine", "head_scale": 7.0}).head, CosineHead)
    with pytest.raises(ValueError, match="`objective` not to be 'multitask' for glyphs"):
        built(pretraining={"objective": "multitask"})
    with pytest.raises(ValueError, match="`objective` not to be 'context' for glyphs"):
        built(pretraining={"objective": "context"})
    context = pretraining(pretraining={"objective": "context"})
    assert isinstance(build_module(context, TaskShape.of(build_task(context))).head, ContextHead)


def test_the_context_of_a_pretrained_network_adapts(adapt):
    _, result = adapt("fine_tuning", {"moves": "context", "steps": 3}, pretraining={"objective": "context"})
    assert np.isfinite(mse(result)).all()


def test_the_oracle_is_told_and_the_average_is_not(adapt):
    _, oracle = adapt("oracle")
    _, average = adapt("average")
    _, noisy = adapt("oracle", task__init_args={"noise": 0.5}, test__episodes=200)
    assert max(mse(oracle)) < 1e-10 and min(mse(average)) > 0.5
    assert mse(noisy) == pytest.approx([0.25, 0.25], rel=0.15)
    assert oracle["examples_encoded"] == 0 and average["examples_encoded"] == 640


@pytest.mark.usefixtures("own_learners")
def test_a_strategy_needs_no_more_than_the_guide_says(adapt, store):
    spec, result = adapt("own.Nearest", {"power": 1.0})
    network = sum(tensor.numel() for tensor in load_adapter(spec, store).network.parameters())
    assert (result["parameters"], result["examples_encoded"], result["transductive"]) == (network, 640, False)
    assert result["family"] == "own" and np.isfinite(mse(result)).all()
    assert load_run(store.published(spec.run_id)).predict([[0.0], [9.0]], [1.0, 2.0], [[8.0]]).means.item() == 2.0
    _, result = adapt("own.Weighing")
    assert result["parameters"] == 3


def test_what_was_chosen_is_recorded_and_taken_over(adapt, store):
    grid = {"grid": {"lr": [0.001, 0.02], "steps": [1, 4]}, "fixed": {"moves": "all"}}
    spec, result = adapt("chosen_fine_tuning", grid)
    taken = [record for record in result["chosen"] if record["share"]]
    assert [record["support"] for record in taken] == [5, 10] and len(result["chosen"]) == 8
    best = {size: min(r["score"] for r in result["chosen"] if r["support"] == size) for size in (5, 10)}
    assert all(record["score"] == best[record["support"]] for record in taken)
    x = torch.linspace(-4, 4, 5).unsqueeze(1)
    by_hand = TransferSpec(
        pretrained=spec.pretrained,
        strategy={
            "name": "fine_tuning",
            "init_args": {"moves": "all", "lr": taken[0]["settings"]["lr"], "steps": taken[0]["settings"]["steps"]},
        },
        test=spec.test,
    )
    execute(by_hand, store)
    first, second = (load_run(store.published(each.run_id)).predict(x, x.sin(), x).means for each in (spec, by_hand))
    assert torch.equal(first, second)


def test_the_rate_of_the_pretraining_is_chosen_by_its_validation_score(pretraining, store):
    first, second = (pretraining(optimization={"lr": lr}) for lr in (1e-6, 1e-2))
    one, several = (
        TransferSpec(pretrained=second, strategy={"name": "average"}, test=second.test, **({"rivals": rivals}))
        for rivals in ((), (first,))
    )
    for spec in (first, second, one, several):
        execute(spec, store)
    alone, chosen = (store.result(spec.run_id).model_dump() for spec in (one, several))
    scores = {each["lr"]: each["score"] for each in chosen["pretrainings"]}
    assert scores[1e-2] < scores[1e-6] and chosen["pretrained"] == second.run_id
    assert [each["run_id"] for each in chosen["pretrainings"]] == [second.run_id, first.run_id]
    assert mse(alone) == mse(chosen) and alone["pretrainings"] == ()
    assert "rivals" not in one.canonical_json()
    x = torch.linspace(-4, 4, 5).unsqueeze(1)
    predictions = [load_run(store.published(spec.run_id)).predict(x, x.sin(), x).means for spec in (one, several)]
    assert torch.equal(*predictions)


def test_leaving_one_out_shares_the_episodes_out(adapt):
    grid = {"grid": {"lr": [0.001, 0.05]}, "fixed": {"moves": "head", "steps": 5}, "by": "leave_one_out"}
    _, result = adapt("chosen_fine_tuning", grid)
    shares = {size: sum(r["share"] for r in result["chosen"] if r["support"] == size) for size in (5, 10)}
    assert shares == pytest.approx({5: 1.0, 10: 1.0})


def test_queries_predicted_together_are_marked_so(adapt, store):
    together = {"moves": "all", "steps": 1, "frozen_norm": False}
    spec, result = adapt("fine_tuning", {**together, "transductive": True}, **GLYPHS)
    found = {each.guard: each.status for each in read(store.published(spec.run_id) / "guards.json", Guards).findings}
    assert result["transductive"] and found["other queries"] == "noted"
    spec, result = adapt("fine_tuning", together, **GLYPHS)
    found = {each.guard: each.status for each in read(store.published(spec.run_id) / "guards.json", Guards).findings}
    assert not result["transductive"] and found["other queries"] == "passed"


def test_an_episode_that_diverges_is_a_guess_and_is_counted():
    train = TrainEpisodes(ways=3, shots=(1,), queries=2, pool=30, episodes=4)
    test = EvalEpisodes(ways=3, shots=(1,), queries=4, episodes=9)
    task = GlyphsDataModule(Sampling(train=train, test=test), train_classes=9)

    class Sometimes:
        def predict(self, batch):
            if len(batch.query) < 7:
                return torch.zeros(len(batch.query), batch.query.shape[1], 3)
            prediction = 9 * targets.clone()
            prediction[4, 1] = torch.nan
            prediction[6, 0, 0] = torch.inf
            return prediction

    targets = task.eval_batch("test", task.test.sizes[0], 9).query_y

    found = evaluate(Sometimes(), task, torch.device("cpu"))
    assert [score.diverged for score in found.scores] == [2, 2, 0]
    assert pd.isna(found.episodes).sum().sum() == 0
    right = found.episodes["accuracy"].drop([4, 6])
    assert (right == 1).all() and found.episodes["nll"][4] == pytest.approx(np.log(3))
    assert with_guesses(torch.zeros(2, 3, 4))[1] == 0


def test_a_rate_with_which_every_episode_diverges_stops_the_run(adapt):
    with pytest.raises(GuardFailed, match="A prediction moves by nan"):
        adapt("fine_tuning", {"moves": "all", "steps": 60, "lr": 1e12, "optimizer": "sgd"})


@pytest.mark.parametrize("name", ["maml_learn2learn", "anil_learn2learn"])
def test_without_learn2learn_it_says_how_to_install_it(name, episodic, monkeypatch):
    monkeypatch.setitem(sys.modules, "learn2learn", None)
    monkeypatch.delitem(sys.modules, "adaptbench.lit_modules.learn2learn_maml", raising=False)
    spec = episodic(learner={"name": name})
    with pytest.raises(ValueError, match=f"`{name}` cannot be imported: it needs .*`tox -e learn2learn` makes an env"):
        build_module(spec, TaskShape.of(build_task(spec)))


@pytest.mark.parametrize(
    "learner",
    [
        {"name": "maml", "init_args": {"test_steps": 3}},
        {"name": "anil"},
        {"name": "reptile", "init_args": {"lr": 0.01}},
    ],
    ids=lambda learner: learner["name"],
)
def test_a_run_trains_and_predicts(learner, episodic, store):
    spec = episodic(learner=learner)
    execute(spec, store)
    result = store.result(spec.run_id).model_dump()
    assert result["family"] == "optimization" and not result["transductive"] and not result["scores"][0]["diverged"]
    assert result["examples_encoded"] > 0


def test_a_source_is_chosen_on_the_validation_episodes_of_the_target(pretraining, store):
    own = pretraining(**GLYPHS)
    source = pretraining(**{**GLYPHS, "task": {"name": "glyphs", "init_args": {"train_classes": 40}}})
    spec = TransferSpec(pretrained=own, rivals=(source,), strategy={"name": "nearest_centroid"}, test=own.test)
    for each in (own, source, spec):
        execute(each, store)
    result = store.result(spec.run_id)
    assert [each.source for each in result.pretrainings] == ["", "Glyphs, 40 characters (generated characters)"]
    for each in result.pretrainings:  # all tasks of glyphs have the same validation episodes
        curve = pd.read_parquet(store.published(each.run_id) / "curve.parquet")
        validated = curve.loc[(curve["part"] == "val") & (curve["metric"] == "accuracy"), "value"].iloc[-1]
        assert each.score == pytest.approx(validated)
    best = max(result.pretrainings, key=lambda each: each.score)
    assert (result.pretrained, result.train_classes) == (best.run_id, 9), "the task is the target whatever is adapted"
    guards = {each.guard: each.status for each in read(store.published(spec.run_id) / "guards.json", Guards).findings}
    assert guards["source classes"] == "passed" and "source near-duplicates" in guards
    assert (
        load_run(store.published(spec.run_id)).shape.pretraining_outputs
        == {own.run_id: 9, source.run_id: 40}[best.run_id]
    )


def test_a_source_that_holds_test_classes_stops_the_run(pretraining, store, monkeypatch):
    own = pretraining(**GLYPHS)
    source = pretraining(**{**GLYPHS, "task": {"name": "glyphs", "init_args": {"train_classes": 40}}})
    spec = TransferSpec(pretrained=own, rivals=(source,), strategy={"name": "nearest_centroid"}, test=own.test)
    monkeypatch.setattr(GlyphsDataModule, "class_identities", lambda self, part: ["one", part])
    with pytest.raises(
        GuardFailed, match="source classes: Classes of the source that are in the test: 1, one among them"
    ):
        execute(spec, store)


def test_fine_tuning_needs_no_python_loop_over_episodes(pretraining, monkeypatch):
    spec = pretraining(**GLYPHS)
    task = build_task(spec)
    network = build_module(spec, TaskShape.of(task))
    calls = []
    score = type(LIKELIHOODS["categorical"]).nll
    monkeypatch.setattr(type(network.likelihood), "nll", lambda *each: calls.append(1) or score(*each))
    FineTuning(network, 3, steps=7).predict(task.eval_batch("test", task.test.sizes[0], 10))
    assert len(calls) == 7
