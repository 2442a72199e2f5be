"""Hypernetwork: the support set mapped to all weights of a small predictor."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_modules.deep_sets import SetEncoder


class Hypernetwork(nn.Module):
    """phi = f(support set): hypernetwork of Ha et al. 2016 (arXiv 1609.09106) on a set encoder.

    The support set is summed up by the very encoder that deep sets use. There the context vector itself is handed over,
    here all weights of a perceptron with one hidden layer, which predicts the queries and never sees the context.
    Departs from the paper in that the weights are generated from a support set instead of a layer's place; they start
    at the variance that Chang et al. 2020 (arXiv 2312.08399) ask for.

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        outputs: P, width of a prediction.
        width: width of the context vector that the weights are generated from.
        hidden: hidden units of the predictor.
        encode: whether a perceptron refines each bound pair before the mean.
    """

    permutation_invariant: ClassVar[bool] = True

    def __init__(
        self, features: int, targets: int, outputs: int, *, width: int = 256, hidden: int = 32, encode: bool = True
    ) -> None:
        super().__init__()
        self.support = SetEncoder(features, targets, width, encode)
        self.norm = nn.LayerNorm(width)
        self.shapes = ((hidden, width), (outputs, hidden))
        self.generate = nn.ModuleList(_generator(width, rows, columns) for rows, columns in self.shapes)

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predicts with the generated weights.

        Args:
            support_x: [B, S, D] float32.
            support_y: [B, S, Y] float32.
            query_x: [B, Q, D] float32.

        Returns:
            [B, Q, P] float32.
        """
        context = self.norm(self.support(support_x, support_y))
        first, second = (
            layer(context).unflatten(-1, (rows, columns + 1))
            for (rows, columns), layer in zip(self.shapes, self.generate, strict=True)
        )
        return _affine(second, F.relu(_affine(first, self.support.binding.embed(query_x))))


def _generator(width: int, rows: int, columns: int) -> nn.Linear:
    """Makes the map from a context of unit variance to weights and biases that keep unit variance."""
    layer = nn.Linear(width, rows * (columns + 1))
    nn.init.normal_(layer.weight, std=1 / math.sqrt(width * columns))
    nn.init.zeros_(layer.bias)
    return layer


def _affine(weights: Tensor, x: Tensor) -> Tensor:
    """Applies each episode's weights [B, 1, R, C + 1], whose last column is the bias, to its x [B, Q, C]."""
    matrix, bias = weights.squeeze(1)[..., :-1], weights[..., -1]
    return torch.baddbmm(bias, x, matrix.transpose(1, 2))
