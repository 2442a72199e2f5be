"""Augmentation: training images turned, scaled, sheared and shifted a little."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

DEGREES, STRETCH, SHEAR, SHIFT = 10.0, 0.15, 0.15, 2 / 28
"""Largest turn in degrees, logarithm of the stretch along an axis, shear, and shift as a share of the image."""


def jitter(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Transforms each image by its own small random affine map; pixels from outside the image are zero.

    Args:
        images: [M, H, W] uint8.
        rng: source of all randomness.

    Returns:
        [M, H, W] uint8.
    """
    turn, wide, high, shear, right, down = torch.from_numpy(rng.uniform(-1, 1, (6, len(images))).astype(np.float32))
    cos, sin = (math.radians(DEGREES) * turn).cos(), (math.radians(DEGREES) * turn).sin()
    wide, high, shear = (STRETCH * wide).exp(), (STRETCH * high).exp(), SHEAR * shear
    rows = [
        torch.stack([wide * cos, wide * (shear * cos - sin), 2 * SHIFT * right], dim=-1),
        torch.stack([high * sin, high * (shear * sin + cos), 2 * SHIFT * down], dim=-1),
    ]
    grid = F.affine_grid(torch.stack(rows, dim=1), [len(images), 1, *images.shape[1:]], align_corners=False)
    moved = F.grid_sample(images.unsqueeze(1).float(), grid, align_corners=False)
    return moved.squeeze(1).round().to(torch.uint8)
