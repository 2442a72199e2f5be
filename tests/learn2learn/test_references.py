"""MAML, ANIL and prototypes against learn2learn; `tox -e learn2learn` has what they need."""

import json
import subprocess
import sys

import pytest
import torch

from adaptbench.benchmarks.runs.run import execute
from adaptbench.benchmarks.store.store import Store
from adaptbench.benchmarks.suites.registry import load
from adaptbench.benchmarks.suites.spec import EpisodicSpec
from adaptbench.datamodules.episodes import EpisodeBatch
from adaptbench.lit_modules.encoders import MLP, StridedConv
from adaptbench.lit_modules.likelihoods import LIKELIHOODS
from adaptbench.lit_modules.optimization import Optimization
from adaptbench.lit_modules.prototypes import Prototypes

EPISODES, WAYS, SHOTS, QUERIES = 4, 3, 2, 5
pytestmark = pytest.mark.filterwarnings("default")  # gym warns of itself

try:
    load("learner", "maml_learn2learn")
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


def test_prototypes_are_those_of_learn2learn(batch):
    from learn2learn.nn import PrototypicalClassifier

    features = torch.randn(30, 7)
    ours = Prototypes(7, WAYS, WAYS)(features[batch.support], batch.support_y, features[batch.query])
    for episode in range(EPISODES):
        labels = batch.support_y[episode].argmax(dim=-1)
        theirs = PrototypicalClassifier(features[batch.support[episode]], labels, distance="euclidean")
        logits = theirs(features[batch.query[episode]])
        torch.testing.assert_close(ours[episode].log_softmax(-1), logits.log_softmax(-1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [{"steps": 1}, {"steps": 3, "test_steps": 5}, {"steps": 2, "zero_head": True}, {"transductive": True}],
    ids=str,
)
@pytest.mark.parametrize("first_order", [True, False], ids=["first", "second"])
@pytest.mark.parametrize("task", ["categorical", "gaussian"])
def test_maml_is_that_of_learn2learn(batch, task, first_order, arguments):
    if task == "gaussian":
        arguments = {name: value for name, value in arguments.items() if name != "transductive"}
        generator = torch.Generator().manual_seed(1)
        numbers = [torch.randn(*shape, generator=generator) for shape in ((30, 1), (EPISODES, 6, 1), (EPISODES, 5, 1))]
        batch = batch._replace(inputs=numbers[0], support_y=numbers[1], query_y=numbers[2])
    found = []
    for name in ("maml", "maml_learn2learn"):
        torch.manual_seed(0)
        encoder = MLP((1,), width=6) if task == "gaussian" else StridedConv((28, 28), filters=4)
        one = load("learner", name)(
            encoder, 1 if task == "gaussian" else WAYS, LIKELIHOODS[task], Optimization(), lr=0.3,
            first_order=first_order, **arguments,
        )  # fmt: skip
        one.log_means = lambda *_: None
        loss = one.training_step(batch, 0)
        loss.backward()
        gradients = [weight.grad for weight in one.parameters()]
        found.append([loss, *gradients, one.predict(batch), one.examples_encoded])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("outputs", [WAYS, 2 * WAYS], ids=["classes", "regression"])
@pytest.mark.parametrize("first_order", [True, False], ids=["first", "second"])
def test_anil_is_that_of_learn2learn(outputs, first_order):
    found = []
    for name in ("anil", "anil_learn2learn"):
        torch.manual_seed(0)
        learner = load("learner", name)(6, WAYS, outputs, steps=2, test_steps=4, lr=0.1, first_order=first_order)
        x, y, query = torch.randn(2, 5, 6), torch.eye(WAYS)[torch.randint(WAYS, (2, 5))], torch.randn(2, 4, 6)
        prediction = learner(x, y, query)
        prediction.square().mean().backward()
        with torch.inference_mode():
            tested = learner.eval()(x, y, query)
        found.append([prediction, *(weight.grad for weight in learner.parameters()), tested])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    "learner",
    [{"name": "maml_learn2learn", "init_args": {"test_steps": 3}}, {"name": "anil_learn2learn"}],
    ids=lambda learner: learner["name"],
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
    entry = {**cell, "learners": {"anil": {"learner": {"name": "anil_learn2learn"}}}}
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
        "adaptbench.lit_modules.learn2learn_maml",
        "adaptbench.datamodules.base",
    ],
)
def test_every_package_can_be_imported_first(module):
    done = subprocess.run([sys.executable, "-c", f"import {module}, torchvision"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
