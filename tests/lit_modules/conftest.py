"""Tiny pretrained networks and episodes of both kinds of task, for everything that adapts."""

import pytest
import torch

from adaptbench.datamodules.episodes import EpisodeBatch
from adaptbench.lit_modules.encoders import MLP, StridedConv
from adaptbench.lit_modules.likelihoods import LIKELIHOODS
from adaptbench.lit_modules.optimization import Optimization
from adaptbench.lit_modules.transfer import TransferModule

EPISODES, WAYS, SHOTS, QUERIES = 5, 3, 2, 4


@pytest.fixture(params=["categorical", "gaussian"])
def task(request):
    return request.param


@pytest.fixture
def targets(task):
    """Width of an episode's targets."""
    return WAYS if task == "categorical" else 1


@pytest.fixture
def batch(task):
    """Episodes of images, with labels that fit no better than by chance, or of points on lines."""
    return (images if task == "categorical" else points)(torch.Generator().manual_seed(0))


@pytest.fixture
def network(task):
    """A network whose batch norms, if it has any, have seen data of another distribution than standard normal."""
    torch.manual_seed(0)
    encoder = StridedConv((28, 28), filters=8) if task == "categorical" else MLP((1,), width=16)
    network = TransferModule(encoder, 12 if task == "categorical" else 1, LIKELIHOODS[task], Optimization())
    if task == "categorical":
        encoder(torch.randint(0, 256, (32, 28, 28), dtype=torch.uint8))
    return network.eval()


def images(generator):
    inputs = torch.randint(0, 256, (40, 28, 28), dtype=torch.uint8, generator=generator)
    labels = torch.eye(WAYS)[torch.arange(WAYS * SHOTS) % WAYS].expand(EPISODES, -1, -1)
    query_y = torch.eye(WAYS)[torch.randint(WAYS, (EPISODES, QUERIES), generator=generator)]
    return rows(inputs, labels, query_y, generator)


def points(generator):
    inputs = torch.randn(40, 1, generator=generator)
    targets = torch.randn(2, EPISODES, 6, 1, generator=generator)
    return rows(inputs, targets[0], targets[1, :, :QUERIES], generator)


def rows(inputs, support_y, query_y, generator):
    order = torch.stack([torch.randperm(len(inputs), generator=generator) for _ in range(EPISODES)])
    shots = support_y.shape[1]
    return EpisodeBatch(inputs, order[:, :shots], support_y, order[:, shots : shots + QUERIES], query_y)
