"""Both LightningModules under a trainer that knows nothing of benchmarks."""

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from adaptbench.benchmarks.suites.registry import LEARNERS, load
from adaptbench.datamodules.base import EvalEpisodes, Sampling, TrainEpisodes
from adaptbench.datamodules.episodes import EpisodeBatch, ExampleBatch
from adaptbench.datamodules.glyphs import GlyphsDataModule
from adaptbench.datamodules.sinusoid import SinusoidDataModule
from adaptbench.lit_modules.encoders import MLP
from adaptbench.lit_modules.episodic import EpisodicModule
from adaptbench.lit_modules.likelihoods import LIKELIHOODS
from adaptbench.lit_modules.optimization import Optimization
from adaptbench.lit_modules.transfer import TransferModule

STEPS_PER_EPOCH = 20
FAST = Optimization(lr=0.005)


class Means(pl.Callback):
    """Collects the rate of every step, and what each epoch logs."""

    def __init__(self):
        self.rates, self.train, self.val = [], [], []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_epoch_end(self, trainer, pl_module):
        self.train.append(logged(trainer, "train/"))

    def on_validation_epoch_end(self, trainer, pl_module):
        self.val.append(logged(trainer, "val/"))


def logged(trainer, prefix):
    return {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith(prefix)}


def sinusoid(mode):
    sampling = Sampling(
        train=TrainEpisodes(shots=(5, 10), queries=10, pool=300),
        test=EvalEpisodes(shots=(5, 10), queries=10, episodes=20),
        mode=mode,
        steps_per_epoch=STEPS_PER_EPOCH,
        val_episodes=20,
    )
    return SinusoidDataModule(sampling)


def episodic(name):
    torch.manual_seed(0)
    encoder = MLP((1,), width=16)
    return EpisodicModule(encoder, load("learner", name)(16, 1, 2), LIKELIHOODS["gaussian"], FAST)


def transfer():
    torch.manual_seed(0)
    return TransferModule(MLP((1,), width=16), 1, LIKELIHOODS["gaussian"], FAST)


def trainer(means, **limit):
    return pl.Trainer(
        **limit,
        accelerator="cpu",
        callbacks=[means],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def trained(module, mode, **limit):
    means = Means()
    trainer(means, **limit).fit(module, datamodule=sinusoid(mode))
    return means


def test_the_published_memory_learns_slowly():
    """In so few steps its training loss falls, and its validation loss hardly moves."""
    means = trained(episodic("mann_lrua"), "episodes", max_epochs=3)
    assert means.train[0]["train/nll"] > means.train[-1]["train/nll"]


@pytest.mark.parametrize("name", sorted(set(LEARNERS) - {"prototypes", "mann_lrua"}))  # the first classifies only
def test_a_learner_trains(name):
    module = episodic(name)
    means = trained(module, "episodes", max_epochs=3)
    assert set(means.train[0]) == {"train/nll", "train/mse"} and set(means.val[0]) == {"val/nll", "val/mse"}
    assert means.train[0]["train/nll"] > means.train[-1]["train/nll"]
    assert means.val[0]["val/nll"] > means.val[-1]["val/nll"]
    batches = [sinusoid("episodes").train_batch(index) for index in range(3 * STEPS_PER_EPOCH)]
    assert module.examples_encoded.item() == sum(len(batch.inputs) for batch in batches)


def test_pretraining_trains():
    module = transfer()
    means = trained(module, "examples", max_epochs=3)
    assert set(means.train[0]) == {"train/mse"} and set(means.val[0]) == {"val/mse"}
    assert means.train[0]["train/mse"] > means.train[-1]["train/mse"]
    assert module.examples_encoded.item() == 300 * 3 * STEPS_PER_EPOCH


def test_epochs_and_steps_limit_a_training_alike():
    rates, again = (
        trained(transfer(), "examples", **limit).rates
        for limit in ({"max_epochs": 2}, {"max_epochs": -1, "max_steps": 2 * STEPS_PER_EPOCH})
    )
    assert rates == again and len(rates) == 2 * STEPS_PER_EPOCH
    assert max(rates) == FAST.lr and 0 < rates[-1] < 0.02 * FAST.lr


def test_a_training_without_end_is_refused():
    with pytest.raises(ValueError, match=r"`max_steps` or `max_epochs` to limit the training but got -1\.$"):
        trained(transfer(), "examples", max_epochs=-1)


class Plain(nn.Identity):
    """An encoder whose features are its inputs, of which there are two."""

    features = 2


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_pretraining_on_classes_is_cross_entropy(label_smoothing):
    torch.manual_seed(0)
    module = TransferModule(Plain(), 4, LIKELIHOODS["categorical"], FAST, label_smoothing=label_smoothing)
    batch = ExampleBatch(torch.randn(9, 2), torch.randint(4, (9,)))
    module.log_means = lambda *_: None
    probabilities = (1 - label_smoothing) * F.one_hot(batch.targets, 4) + label_smoothing / 4
    expected = -(module.head(batch.inputs).log_softmax(-1) * probabilities).sum(-1).mean()
    torch.testing.assert_close(module.training_step(batch, 0), expected)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_with_groups_an_example_is_told_from_its_own_group_alone(label_smoothing):
    torch.manual_seed(0)
    groups = [0, 1, 0, 1, 0]
    module = TransferModule(
        Plain(), 5, LIKELIHOODS["categorical"], FAST, label_smoothing=label_smoothing, groups=groups
    )
    batch = ExampleBatch(torch.randn(9, 2), torch.arange(9) % 5)
    module.log_means = lambda *_: None
    losses = []
    for features, target in zip(batch.inputs, batch.targets, strict=True):
        own = [output for output in range(5) if groups[output] == groups[target]]
        logits, right = module.head(features)[own], torch.tensor(own.index(int(target)))
        losses.append(F.cross_entropy(logits, right, label_smoothing=label_smoothing))
    torch.testing.assert_close(module.training_step(batch, 0), torch.stack(losses).mean())


def test_the_context_in_pretraining_is_each_examples_function():
    torch.manual_seed(0)
    module = TransferModule(MLP((1,), width=16), 1, LIKELIHOODS["gaussian"], FAST, context=2)
    trained(module, "examples", max_epochs=1)
    batch = sinusoid("examples").example_batch(7)
    module.log_means = lambda *_: None
    loss = module.training_step(batch, 0)
    assert loss != module.training_step(batch._replace(functions=batch.functions.flip(0)), 0)
    assert loss != module.training_step(batch._replace(functions=None), 0)


def test_pretraining_on_classes_is_validated_by_the_nearest_class_mean():
    inputs = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 10.0], [0.0, 14.0], [3.0, 1.0], [1.0, 9.0], [0.0, 2.0]])
    support, query = torch.tensor([[3, 0, 2, 1]]), torch.tensor([[4, 5, 6, 6]])  # class means (2, 0) and (0, 12)
    labels, query_labels = torch.tensor([[1, 0, 1, 0]]), torch.tensor([[0, 1, 0, 1]])  # the last is labelled wrong
    batch = EpisodeBatch(inputs, support, torch.eye(2)[labels], query, torch.eye(2)[query_labels])
    module = TransferModule(Plain(), 4, LIKELIHOODS["categorical"], FAST)
    (metrics,) = trainer(Means()).validate(module, DataLoader([batch], batch_size=None), verbose=False)
    assert metrics == {"val/accuracy": 0.75}


def test_a_script_of_ones_own_tests_and_predicts():
    module, task, alone = episodic("deep_sets"), sinusoid("episodes"), trainer(Means(), max_epochs=2)
    alone.fit(module, datamodule=task)
    (logged_scores,) = alone.test(module, datamodule=task, verbose=False)
    predicted = alone.predict(module, datamodule=task)
    for size, batch, mean in zip(task.test.sizes, task.test_dataloader(), predicted, strict=True):
        error = ((mean - batch.query_y) ** 2).mean().item()
        assert logged_scores[f"test/mse/{size.shots}-shot"] == pytest.approx(error)


class Counting(MLP):
    """An encoder that counts the examples that it gets in evaluation mode."""

    encoded = 0

    def forward(self, inputs):
        self.encoded += 0 if self.training else len(inputs)
        return super().forward(inputs)


@pytest.mark.parametrize("kind", ["learner", "pretraining"])
def test_validation_encodes_the_images_of_all_its_sizes_once_an_epoch(kind):
    """In the second epoch, the weights are others."""
    mode = "episodes" if kind == "learner" else "examples"
    encoder = Counting((28, 28), width=16)
    learner = load("learner", "prototypes")(16, 5, 5)
    likelihood = LIKELIHOODS["categorical"]
    module = (
        EpisodicModule(encoder, learner, likelihood, FAST)
        if kind == "learner"
        else TransferModule(encoder, 30, likelihood, FAST)
    )
    sampling = Sampling(
        train=TrainEpisodes(ways=5, shots=(1, 5), queries=3, pool=120, episodes=4),
        test=EvalEpisodes(ways=5, shots=(1, 5), queries=5, episodes=10),
        mode=mode,
        steps_per_epoch=2,
        val_episodes=10,
    )
    task = GlyphsDataModule(sampling, train_classes=30)
    means = Means()
    trainer(means, max_epochs=2).fit(module, datamodule=task)
    images = len(task.eval_batch("val", task.test.sizes[0], 10).inputs)
    assert encoder.encoded == 2 * images
    accuracies = []
    for size in task.test.sizes:
        batch = task.eval_batch("val", size, 10)
        if kind == "learner":
            accuracies.append(likelihood.score(module.predict(batch), batch.query_y).mean().item())
    if kind == "learner":
        assert means.val[-1]["val/accuracy"] == pytest.approx(sum(accuracies) / len(accuracies))
