"""Order sensitivity: zero for what reads a set, and as large as it is for what reads a sequence."""

import numpy as np
import pytest
import torch

from adaptbench.benchmarks.evaluation.order_sensitivity import order_sensitivity
from adaptbench.datamodules.class_episodes import episodes_over_pool
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize, rng_for
from adaptbench.lit_modules.likelihoods import LIKELIHOODS, with_unit_scale

EPISODES = 100


class Reads:
    """Predicts one and the same thing for all queries of an episode, from its support targets."""

    def __init__(self, read):
        self.read = read

    def predict(self, batch):
        prediction = self.read(batch.support_y)
        return prediction.unsqueeze(1).expand(-1, batch.query.shape[1], -1)


@pytest.fixture
def characters():
    return episodes_over_pool(rng_for("order test"), torch.zeros(200, 1), 20, EpisodeSize(4, 2, 3), EPISODES)


@pytest.fixture
def functions():
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(EPISODES * 6).reshape(EPISODES, 6)
    y = torch.randn(EPISODES, 6, 1, generator=generator)
    return EpisodeBatch(torch.zeros(rows.numel(), 1), rows[:, :5], y[:, :5], rows[:, 5:], y[:, 5:])


def test_a_reader_of_sets_is_not_sensitive(characters, functions):
    first_class = torch.tensor([0.1, 0.0, 0.0, 0.0])
    means = Reads(lambda y: y.mean(dim=1) + first_class)
    assert order_sensitivity(means, characters, LIKELIHOODS["categorical"]) == 0.0
    sums = Reads(lambda y: with_unit_scale(y.sum(dim=1)))
    assert order_sensitivity(sums, functions, LIKELIHOODS["gaussian"]) == pytest.approx(0.0, abs=1e-9)


def test_who_repeats_the_last_label_changes_its_mind_whenever_that_changes(characters):
    last = Reads(lambda y: y[:, -1])
    found = order_sensitivity(last, characters, LIKELIHOODS["categorical"])
    assert found == pytest.approx(6 / 8, abs=0.12), "the last of eight examples, two of each class, is drawn anew"


def test_in_regression_it_is_the_mean_squared_change(functions):
    last = Reads(lambda y: with_unit_scale(y[:, -1]))
    found = order_sensitivity(last, functions, LIKELIHOODS["gaussian"])
    assert found == pytest.approx(2 * 4 / 5, rel=0.5), "two independent draws, one in five times the same"


def test_examples_stay_with_their_targets(functions):
    x = np.random.default_rng(0).normal(size=(len(functions.inputs), 1)).astype(np.float32)
    batch = functions._replace(inputs=torch.from_numpy(x))

    class Products:
        def predict(self, batch):
            sums = (batch.inputs[batch.support] * batch.support_y).sum(dim=1, keepdim=True)
            return with_unit_scale(sums.expand(-1, batch.query.shape[1], -1))

    assert order_sensitivity(Products(), batch, LIKELIHOODS["gaussian"]) == pytest.approx(0.0, abs=1e-9)
