"""Augmentation moves images a little, each its own way, and always the same way for the same generator."""

import numpy as np
import torch

from adaptbench.datamodules.augmentation import jitter
from adaptbench.datamodules.episodes import rng_for


def blobs(count):
    rows = torch.arange(28.0)
    blob = torch.exp(-(((rows - 10) / 3) ** 2))
    return (255 * blob[:, None] * blob[None, :]).to(torch.uint8).expand(count, -1, -1)


def test_the_same_generator_moves_the_same_way():
    images = blobs(50)
    first, same, other = (jitter(images, rng_for("jitter", seed)) for seed in (1, 1, 2))
    assert first.dtype == torch.uint8 and first.shape == images.shape
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert len({image.numpy().tobytes() for image in first}) == 50


def test_images_stay_where_they_are_up_to_a_little():
    images = blobs(500)
    moved = jitter(images, rng_for("jitter", 0)).double()
    weight = moved.sum(dim=(1, 2))
    centre = (moved.sum(dim=2) * torch.arange(28.0)).sum(dim=1) / weight
    assert abs(centre.mean().item() - 10) < 0.3
    assert 0.5 < centre.std().item() < 2.5 and (centre - 10).abs().max() < 5
    assert np.isclose(weight.mean().item(), images[0].double().sum().item(), rtol=0.1)
