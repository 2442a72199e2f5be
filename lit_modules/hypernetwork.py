"""Hypernetwork: maps the support set to all weights of a small predictor."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adaptbench.lit_modules.deep_sets import SetEncoder
from adaptbench.lit_modules.embedding import EmbeddingLearner


class Hypernetwork(EmbeddingLearner):
    """phi = f(support set): hypernetwork of Ha et al. 2016 (arXiv 1609.09106) on a set encoder.

    The same encoder as in deep sets summarises the support set. Deep sets pass the context vector to the decoder; here
    it generates all weights of a perceptron with one hidden layer, which predicts the queries without the context.

    It differs from the paper in two ways. Weights are generated from a support set instead of the position of a layer.
    And by default the first layer also has fast weights in the sense of Schlag et al. 2021 (arXiv 2102.11174): the
    weights of each unit start as one slot of the context, so a query is multiplied with the support set from the first
    step (see `lit_modules.binding`). A linear generator alone (`fast=False`) learns too, but more slowly.

    Equation:
        W, b, V, c = generate(mean_i e(x_i) ⊗ u(y_i)); prediction = V relu(W e(x*) + b) + c

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        outputs: P, width of a prediction.
        fast: whether the first layer has fast weights beside the generated ones.
        width: width of the context vector that generates the weights.
        slots: number of slots of the context (see `lit_modules.binding.Binding`).
        heads: number of hidden units of the predictor for each slot.
        inputs: numbers that the predictor reads of an embedded query, through a linear map that all support sets share;
            None for the whole embedding.
        encode: whether a perceptron refines each bound pair before the mean.
    """

    permutation_invariant: ClassVar[bool] = True

    def __init__(
        self,
        features: int,
        targets: int,
        outputs: int,
        *,
        fast: bool = True,
        width: int = 512,
        slots: int | None = None,
        heads: int = 4,
        inputs: int | None = None,
        encode: bool = False,
    ) -> None:
        super().__init__()
        self.support = SetEncoder(features, targets, width, slots, encode)
        embedding, hidden = self.support.binding.embedding, heads * self.support.binding.slots
        self.norm = nn.LayerNorm(width)
        reads = embedding if inputs is None else inputs
        self.read = nn.Identity() if inputs is None else nn.Linear(embedding, inputs, bias=False)
        self.fast = nn.Parameter(torch.randn(heads, 1, reads) / math.sqrt(reads)) if fast else None
        self.first = Generator(width, hidden, reads)
        nn.init.zeros_(self.first.generate.bias)  # no weight of the first layer is common to all support sets
        self.second = Generator(width, outputs, hidden)

    def embed(self, x: Tensor) -> Tensor:
        """Embeds features [..., D] in [..., E]."""
        return self.support.binding.embed(x)

    def infer(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predicts with the generated weights."""
        binding = self.support.binding
        context = self.norm(self.support(support_x, support_y)).squeeze(1)
        slots = context.unflatten(-1, (binding.embedding, binding.slots)).transpose(1, 2).unsqueeze(1)
        weight, bias = self.first(context)
        if self.fast is not None:
            weight = weight + (self.fast * self.read(slots)).flatten(1, 2)
        hidden = _affine(self.read(query_x), weight, bias)
        return _affine(F.relu(hidden), *self.second(context))

    def carried(self, support: int) -> int:
        """The generated weights."""
        return math.prod(self.first.shape) + math.prod(self.second.shape)


class Generator(nn.Module):
    """A linear map from a context [B, W] to the weights and biases of a linear layer.

    The context is divided by the root of W. The optimiser's steps have the same size for every weight; without the
    division, a wide context would change a generated weight more than a narrow one (Chang et al. 2020, arXiv
    2312.08399).
    """

    def __init__(self, width: int, rows: int, columns: int) -> None:
        super().__init__()
        self.shape, self.scale = (rows, columns + 1), 1 / math.sqrt(width)
        self.generate = nn.Linear(width, rows * (columns + 1))
        nn.init.normal_(self.generate.weight, std=0.3 / math.sqrt(columns))
        nn.init.normal_(self.generate.bias, std=1 / math.sqrt(columns))

    def forward(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Generates weights [B, rows, columns] and biases [B, rows]."""
        generated = self.generate(self.scale * context).unflatten(-1, self.shape)
        return generated[..., :-1], generated[..., -1]


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Applies each episode's linear layer to its x [B, Q, C]."""
    return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))
