"""Pooled encoding equals encoding each episode by itself; fine-tuning side by side equals one episode at a time."""

import copy

import pytest
import torch

from datamodules.class_episodes import episodes_over_pool
from datamodules.episodes import EpisodeBatch, EpisodeSize, rng_for
from lit_modules.deep_sets import DeepSets
from lit_modules.encoders import StridedConv
from lit_modules.episodic import EpisodicModule
from lit_modules.fine_tuning import FineTuning
from lit_modules.likelihoods import LIKELIHOODS
from lit_modules.optimization import Optimization
from lit_modules.transfer import TransferModule


@pytest.fixture
def batch():
    images = torch.randint(0, 256, (30, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return episodes_over_pool(rng_for("adapters"), images, 6, EpisodeSize(3, 2, 2), 4)


def by_itself(batch, number):
    """One episode with its own copies of its examples."""
    support, query = batch.support[number], batch.query[number]
    rows = torch.cat([support, query])
    return EpisodeBatch(
        batch.inputs[rows],
        torch.arange(len(support))[None],
        batch.support_y[number : number + 1],
        torch.arange(len(support), len(rows))[None],
        batch.query_y[number : number + 1],
    )


def fine_tuning(moves, steps=5):
    torch.manual_seed(0)
    network = TransferModule(StridedConv((28, 28), filters=8), 12, LIKELIHOODS["categorical"], Optimization())
    return FineTuning(network, 3, moves=moves, steps=steps, lr=0.01)


def test_pooled_encoding_equals_encoding_each_episode(batch):
    torch.manual_seed(0)
    encoder = StridedConv((28, 28), filters=8)
    module = EpisodicModule(encoder, DeepSets(encoder.features, 3, 3), LIKELIHOODS["categorical"], Optimization())
    pooled = module.predict(batch)
    for number in range(4):
        torch.testing.assert_close(pooled[number], module.predict(by_itself(batch, number))[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("moves", ["head", "all"])
def test_fine_tuning_side_by_side_equals_a_loop(batch, moves):
    adapter = fine_tuning(moves)
    before = copy.deepcopy(adapter.network.state_dict())
    together = adapter.predict(batch)
    for number in range(4):
        one = by_itself(batch, number)
        network = copy.deepcopy(adapter.moving).eval()
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        with torch.no_grad():
            inputs = adapter.frozen.eval()(one.inputs)
        for _ in range(5):
            output = network(inputs[one.support[0]])
            loss = -(output.log_softmax(-1) * one.support_y[0]).sum(-1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        torch.testing.assert_close(together[number], network(inputs[one.query[0]]), rtol=1e-3, atol=1e-4)
    for name, tensor in adapter.network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_no_steps_leave_the_fresh_head_undecided(batch):
    assert torch.equal(fine_tuning("head", steps=0).predict(batch), torch.zeros(4, 6, 3))
