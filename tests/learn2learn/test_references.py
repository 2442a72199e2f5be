"""MAML, ANIL and prototypes against learn2learn and by hand; `tox -e learn2learn` has what they need."""

import copy
import json
import subprocess
import sys
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from adaptbench.benchmarks.runs.build import TaskShape, build_module, build_task
from adaptbench.benchmarks.runs.run import execute
from adaptbench.benchmarks.store.store import Store
from adaptbench.benchmarks.suites.spec import EpisodicSpec
from adaptbench.datamodules.episodes import EpisodeBatch
from adaptbench.lit_modules.anil import ANIL
from adaptbench.lit_modules.encoders import MLP, StridedConv
from adaptbench.lit_modules.inner_loop import learn2learn_algorithms
from adaptbench.lit_modules.likelihoods import LIKELIHOODS
from adaptbench.lit_modules.maml import MAML
from adaptbench.lit_modules.optimization import Optimization
from adaptbench.lit_modules.prototypes import Prototypes

EPISODES, WAYS, SHOTS, QUERIES = 4, 3, 2, 5
pytestmark = pytest.mark.filterwarnings("default")  # gym warns of itself

try:
    learn2learn_algorithms("tests")
except ValueError:
    pytest.skip("needs learn2learn: tox -e learn2learn", allow_module_level=True)

SINUSOID = {
    "task": {"name": "sinusoid"},
    "train": {"shots": [5], "queries": 5, "pool": 40},
    "test": {"shots": [5, 10], "queries": 5, "episodes": 20},
    "encoder": {"name": "mlp", "init_args": {"width": 8, "depth": 1}},
    "budget": {"examples": 640, "epochs": 2, "val_episodes": 4},
    "optimization": {},
    "seed": 0,
}


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 256, (30, 28, 28), dtype=torch.uint8, generator=generator)
    rows = torch.stack([torch.randperm(30, generator=generator) for _ in range(EPISODES)])
    labels = torch.eye(WAYS)[torch.arange(WAYS * SHOTS) % WAYS].expand(EPISODES, -1, -1)
    query_y = torch.eye(WAYS)[torch.randint(WAYS, (EPISODES, QUERIES), generator=generator)]
    return EpisodeBatch(inputs, rows[:, : WAYS * SHOTS], labels, rows[:, 6 : 6 + QUERIES], query_y)


@pytest.fixture
def maml():
    """Makes MAML of images."""

    def make(**arguments):
        torch.manual_seed(0)
        encoder = StridedConv((28, 28), filters=4)
        return MAML(encoder, WAYS, LIKELIHOODS["categorical"], Optimization(), **arguments)

    return make


def only(batch, episode):
    return EpisodeBatch(batch.inputs, *(field[episode : episode + 1] for field in batch[1:]))


def test_prototypes_are_those_of_learn2learn(batch):
    from learn2learn.nn import PrototypicalClassifier

    features = torch.randn(30, 7)
    ours = Prototypes(7, WAYS, WAYS)(features[batch.support], batch.support_y, features[batch.query])
    for episode in range(EPISODES):
        labels = batch.support_y[episode].argmax(dim=-1)
        theirs = PrototypicalClassifier(features[batch.support[episode]], labels, distance="euclidean")
        logits = theirs(features[batch.query[episode]])
        torch.testing.assert_close(ours[episode].log_softmax(-1), logits.log_softmax(-1), rtol=1e-4, atol=1e-5)


def test_a_query_sees_no_other_query_unless_asked_to(maml, batch):
    alone = batch._replace(query=batch.query[:, :1], query_y=batch.query_y[:, :1])
    for transductive in (False, True):
        one = maml(transductive=transductive)
        moved = (one.predict(batch)[:, :1] - one.predict(alone)).abs().max()
        assert (moved > 1e-4) == transductive


def test_episodes_do_not_see_each_other(maml, batch):
    together = maml().predict(batch)
    alone = torch.cat([maml().predict(only(batch, episode)) for episode in range(EPISODES)])
    torch.testing.assert_close(together, alone)


def test_predicting_leaves_the_weights(maml, batch):
    one = maml(steps=3)
    before = copy.deepcopy(one.state_dict())
    assert torch.equal(one.predict(batch), one.predict(batch))
    assert all(torch.equal(value, before[name]) for name, value in one.state_dict().items())


def test_no_steps_predict_with_the_initial_weights(maml, batch):
    one, moved = maml(steps=0), maml(steps=2)
    with torch.no_grad():
        support, query = batch.inputs[batch.support[0]], batch.inputs[batch.query[0]]
        from adaptbench.lit_modules.normalization import statistics_of

        with statistics_of(one, len(support)):
            expected = one.head(one.encoder(torch.cat([support, query])))[len(support) :]
    torch.testing.assert_close(one.predict(batch)[0], expected)
    assert (moved.predict(batch) - one.predict(batch)).abs().max() > 1e-4


def test_a_head_from_zero_does_not_know_one_class_from_another(maml, batch):
    order = torch.tensor([2, 0, 1])
    renamed = batch._replace(support_y=batch.support_y[..., order])
    for zero_head in (False, True):
        one = maml(steps=2, lr=1.0, zero_head=zero_head)
        same = torch.allclose(one.predict(batch)[..., order], one.predict(renamed), atol=1e-4)
        assert same == zero_head
    one.log_means = lambda *_: None
    one.training_step(batch, 0).backward()
    assert not one.head.weight.grad.any() and one.encoder[1].weight.grad.abs().sum() > 0


def test_the_second_step_from_a_zero_head_moves_the_encoder(maml, batch, monkeypatch):
    one, clones = maml(steps=2, lr=1.0, zero_head=True), []
    clone = one._wrapped[0].clone
    monkeypatch.setattr(one._wrapped[0], "clone", lambda: clones.append(clone()) or clones[-1])
    one.predict(batch)
    for learner in clones:
        moved = [
            (after - before).abs().max() for after, before in zip(learner.parameters(), one.parameters(), strict=True)
        ]
        assert len(clones) == EPISODES and min(moved) > 0


@pytest.mark.parametrize("first_order", [True, False])
def test_the_outer_gradient_is_that_of_a_step_by_hand(first_order):
    torch.manual_seed(0)
    one = MAML(MLP((1,), width=6, depth=1), 1, LIKELIHOODS["gaussian"], Optimization(), lr=0.1, first_order=first_order)
    x, y = torch.randn(9, 1), torch.randn(1, 9, 1)
    batch = EpisodeBatch(x, torch.arange(4).unsqueeze(0), y[:, :4], torch.arange(4, 9).unsqueeze(0), y[:, 4:])
    one.log_means = lambda *_: None
    one.training_step(batch, 0).backward()
    network = nn.Sequential(one.encoder, one.head)
    weights = dict(network.named_parameters())
    call = partial(torch.func.functional_call, network)
    inner = torch.autograd.grad(F.mse_loss(call(weights, x[:4]), y[0, :4]), weights.values(), create_graph=True)
    inner = [gradient.detach() if first_order else gradient for gradient in inner]
    stepped = {name: value - 0.1 * step for (name, value), step in zip(weights.items(), inner, strict=True)}
    outer = torch.autograd.grad(F.mse_loss(call(stepped, x[4:]), y[0, 4:]), weights.values())
    for value, expected in zip(weights.values(), outer, strict=True):
        torch.testing.assert_close(value.grad, expected, rtol=1e-4, atol=1e-6)


def test_what_is_encoded_is_counted(maml, batch):
    one = maml(steps=2)
    one.log_means = lambda *_: None
    one.training_step(batch, 0)
    assert int(one.examples_encoded) == EPISODES * (2 * WAYS * SHOTS + WAYS * SHOTS + QUERIES)


@pytest.mark.parametrize("outputs", [WAYS, 2 * WAYS], ids=["classes", "regression"])
def test_anil_takes_steps_of_the_head_alone(outputs):
    torch.manual_seed(0)
    learner = ANIL(6, WAYS, outputs, steps=2, lr=0.1)
    x, y, query = torch.randn(2, 5, 6), torch.eye(WAYS)[torch.randint(WAYS, (2, 5))], torch.randn(2, 4, 6)
    prediction = learner(x.requires_grad_(), y, query)
    prediction.square().mean().backward()
    assert x.grad.abs().sum() > 0 and all(weight.grad.abs().sum() > 0 for weight in learner.parameters())
    with torch.no_grad():
        again = learner.eval()(x, y, query)
    torch.testing.assert_close(again, prediction)
    assert prediction.shape == (2, 4, outputs) and not again.requires_grad


@pytest.mark.parametrize(
    "learner", [{"name": "maml", "init_args": {"test_steps": 3}}, {"name": "anil"}], ids=lambda learner: learner["name"]
)
def test_a_run_trains_and_predicts(learner, tmp_path):
    spec = EpisodicSpec(**SINUSOID, learner=learner)
    store = Store(tmp_path)
    execute(spec, store)
    result = store.result(spec.run_id).model_dump()
    assert result["family"] == "optimization" and not result["transductive"] and not result["scores"][0]["diverged"]
    assert result["examples_encoded"] == 640


def test_a_suite_runs_in_worker_processes(tmp_path):
    cell = {name: value for name, value in SINUSOID.items() if name not in ("optimization", "seed")}
    entry = {**cell, "learners": {"anil": {"learner": {"name": "anil"}}}}
    suite = {"suite": "tiny", "version": 1, "description": "ANIL.", "seeds": [0], "tasks": [entry]}
    (tmp_path / "tiny.yaml").write_text(json.dumps(suite))
    command = [sys.executable, "-m", "adaptbench", "run", str(tmp_path / "tiny.yaml")]
    options = ["--wandb", "off", "--no-report", "--out", str(tmp_path / "runs")]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "module",
    [
        "adaptbench.benchmarks.executors.worker",
        "adaptbench.benchmarks.speed.races",
        "adaptbench.lit_modules.maml",
        "adaptbench.datamodules.base",
    ],
)
def test_every_package_can_be_imported_first(module):
    done = subprocess.run([sys.executable, "-c", f"import {module}, torchvision"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_cannot_be_is_refused(maml):
    with pytest.raises(ValueError, match="`steps` to be zero or more but got -1"):
        maml(steps=-1)
    for steps in ({"steps": 1}, {"steps": 2, "test_steps": 1}):
        with pytest.raises(ValueError, match="two steps or more with `zero_head`"):
            maml(zero_head=True, **steps)
    for wrong in ({"steps": -1}, {"test_steps": -1}, {"lr": -0.1}):
        with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` to be"):
            ANIL(4, 3, 3, **wrong)
    spec = EpisodicSpec(**SINUSOID, learner={"name": "maml", "init_args": {"transductive": True}})
    with pytest.raises(ValueError, match="`transductive` to be false for an encoder without batch norms"):
        build_module(spec, TaskShape.of(build_task(spec)))
