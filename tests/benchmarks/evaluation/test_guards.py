"""Guards of a run: recorded in every run, and stopping it with what was found."""

import json

import pandas as pd
import pytest
import torch

from adaptbench.benchmarks.evaluation.adapters import with_guesses
from adaptbench.benchmarks.evaluation.guards import GuardFailed, adapter_guards, alone_guard, chance_guard, worst
from adaptbench.benchmarks.evaluation.pictured_functions import SHOTS
from adaptbench.benchmarks.runs.run import execute
from adaptbench.datamodules.base import EvalEpisodes, Sampling, TrainEpisodes
from adaptbench.datamodules.class_episodes import episodes_over_pool
from adaptbench.datamodules.episodes import EpisodeSize, rng_for
from adaptbench.datamodules.glyphs import GlyphsDataModule
from adaptbench.datamodules.guards import Finding, queries_apart
from adaptbench.datamodules.sinusoid import SinusoidDataModule
from adaptbench.datamodules.streams import as_streams
from adaptbench.lit_modules.fine_tuning import FineTuning


class Nearest:
    """Gives a query the label of the nearest support pixel vector."""

    def predict(self, batch):
        pixels = batch.inputs.flatten(1).float()
        nearest = torch.cdist(pixels[batch.query], pixels[batch.support]).argmin(-1)
        return batch.support_y.gather(1, nearest[..., None].expand(-1, -1, batch.support_y.shape[-1]))


class SeesTargets(Nearest):
    """Peeks at the targets of its queries, a little."""

    def predict(self, batch):
        return super().predict(batch) + 0.01 * batch.query_y


class SeesQueries(Nearest):
    """Centres its predictions over the queries of an episode, as batch statistics do."""

    def predict(self, batch):
        prediction = super().predict(batch)
        return prediction - prediction.mean(dim=1, keepdim=True)


@pytest.fixture(scope="module")
def batch():
    train = TrainEpisodes(ways=3, shots=(1,), queries=2, pool=30, episodes=4)
    test = EvalEpisodes(ways=3, shots=(1,), queries=4, episodes=20)
    task = GlyphsDataModule(Sampling(train=train, test=test), train_classes=9)
    return task.eval_batch("test", task.test.sizes[0], 20)


@pytest.mark.parametrize(
    ("adapter", "failed"),
    [(Nearest(), set()), (SeesTargets(), {"query targets"}), (SeesQueries(), {"other queries"})],
    ids=lambda value: type(value).__name__,
)
def test_what_an_adapter_must_not_see_is_perturbed(adapter, failed, batch):
    _, findings = adapter_guards(adapter, batch)
    assert {finding.guard for finding in findings} == {"query targets", "other queries"}
    assert {finding.guard for finding in findings if finding.status == "failed"} == failed


def test_predictions_that_are_no_numbers_do_not_pass(batch):
    class Undefined(Nearest):
        def predict(self, batch):
            return super().predict(batch) * float("nan")

    alone, findings = adapter_guards(Undefined(), batch)
    assert {finding.status for finding in findings} == {"failed"}
    assert alone_guard(Undefined(), alone, Undefined().predict(batch)).status == "failed"


def test_an_adapter_may_diverge_in_one_episode(batch):
    class Sometimes(Nearest):
        def predict(self, batch):
            prediction = super().predict(batch)
            own = batch.inputs[batch.support].flatten(1).float().sum(1)
            prediction[own == first] = float("nan")
            return prediction

    first = float(batch.inputs[batch.support[0]].float().sum())
    alone, findings = adapter_guards(Sometimes(), batch)
    assert {finding.status for finding in findings} == {"passed"}
    assert alone_guard(Sometimes(), alone, with_guesses(Sometimes().predict(batch))[0]).status == "passed"


def test_the_most_serious_finding_of_each_guard_is_kept():
    found = [
        Finding("a", "passed", "1"),
        Finding("b", "noted", "2"),
        Finding("a", "failed", "3"),
        Finding("b", "passed", "4"),
    ]
    assert worst([*found, Finding("a", "failed", "5")]) == [found[2], found[1]]


def test_every_run_records_what_its_guards_found(episodic, transfer, store):
    for spec in (episodic(), transfer().pretrained, transfer()):
        folder = execute(spec, store)
        findings = json.loads((folder / "guards.json").read_text())["findings"]
        guards = {finding["guard"] for finding in findings}
        assert {"class overlap", "queries in the support"} <= guards
        tested = {"query targets", "other queries", "alone", "chance level"}
        assert tested & guards == (set() if spec.kind == "pretrain" else tested)
        assert all(finding["status"] in ("passed", "noted") and finding["found"] for finding in findings)


def test_a_leak_in_the_data_stops_a_run_before_it_trains(episodic, store, monkeypatch):
    leak = Finding("class overlap", "failed", "All is one.")
    monkeypatch.setattr(SinusoidDataModule, "guards", lambda self: [leak])
    monkeypatch.setattr(SinusoidDataModule, "train_batch", lambda *_: pytest.fail("it trains"))
    with pytest.raises(GuardFailed, match=r"a guard stopped this run: class overlap: All is one\."):
        execute(episodic(), store)
    assert not store.is_published(episodic().run_id)


def test_an_adapter_that_sees_targets_stops_its_run_with_what_was_found(transfer, store, monkeypatch):
    spec = transfer()
    execute(spec.pretrained, store)
    predict = FineTuning.predict

    def peek(self, batch):
        prediction = predict(self, batch)
        return torch.cat([batch.query_y, prediction[..., 1:]], dim=-1)

    monkeypatch.setattr(FineTuning, "predict", peek)
    with pytest.raises(GuardFailed, match=r"query targets: A prediction moves by .* when the targets of the queries"):
        execute(spec, store)
    assert not store.is_published(spec.run_id)


def test_a_collapsed_learner_is_told_and_not_stopped(score_of):
    scores = [
        score_of(shots=1, metric="accuracy", chance=0.2, at_chance=True),
        score_of(shots=5, metric="accuracy", chance=0.2, at_chance=False),
        score_of(shots=5, metric="nll", chance=None, at_chance=True),
    ]
    assert chance_guard(scores) == Finding("chance level", "noted", "No better than a guess at 1-shot.")
    assert chance_guard(scores[1:]).status == "passed"


def test_fits_hold_support_truth_and_prediction_of_the_same_functions(episodic, store):
    table = pd.read_parquet(execute(episodic(), store) / "fits.parquet")
    assert list(table.columns) == ["function", "role", "x", "y", "prediction", "shots"]
    counts = table.groupby(["role", "shots"]).size()
    assert {shots: counts["support", shots] for shots in SHOTS} == {shots: 4 * shots for shots in SHOTS}
    assert {counts["query", shots] for shots in SHOTS} == {4 * 101}
    assert table.query("role == 'query'")["prediction"].notna().all()
    assert table.query("role == 'support'")["prediction"].isna().all()
    curves = [table.query("role == 'query' and shots == @shots")["y"].to_numpy() for shots in SHOTS]
    assert all((curve == curves[0]).all() for curve in curves)
    one, ten = (table.query("role == 'support' and shots == @s and function == 2")["x"].to_list() for s in (1, 10))
    assert ten[:1] == one


class Counting:
    """Predicts a step of a stream by how often each label was told before it, or until some steps later."""

    def __init__(self, ahead=0):
        self.ahead = ahead

    def predict(self, batch):
        told = batch.support_y.cumsum(dim=1)
        before = torch.cat([torch.zeros_like(told[:, :1]), told], dim=1)
        steps = (batch.query.unsqueeze(-1) == batch.support.unsqueeze(1)).int().argmax(dim=-1) + self.ahead
        steps = steps.clamp(max=told.shape[1])
        return before.gather(1, steps.unsqueeze(-1).expand(-1, -1, told.shape[-1]))


class LooksAhead(Counting):
    """Adds the number of steps."""

    def predict(self, batch):
        return super().predict(batch) + batch.support.shape[1]


@pytest.mark.parametrize(
    ("adapter", "failed"),
    [(Counting(), set()), (Counting(ahead=1), {"query targets", "other queries"}), (LooksAhead(), {"other queries"})],
    ids=["sound", "its label", "later steps"],
)
def test_a_step_of_a_stream_must_not_see_its_label_or_later_steps(adapter, failed):
    streams = as_streams(episodes_over_pool(rng_for("guard"), torch.zeros(60, 1), 10, EpisodeSize(3, 4, 0), 20))
    alone, findings = adapter_guards(adapter, streams, stream=True)
    assert {finding.guard for finding in findings if finding.status == "failed"} == failed
    assert alone_guard(adapter, alone, adapter.predict(streams)).status == ("failed" if failed else "passed")
    assert queries_apart([streams], stream=True).status == "passed"
    assert queries_apart([streams]).status == "failed"
