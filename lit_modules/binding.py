"""Binding by multiplication: combines features with labels, and a query with the context.

A learner that sums functions of the concatenation [x; y] must first learn to multiply before it can represent which x
belongs to which y, and stays at chance for a long time. A sum of products represents it from the first step. Queries
are embedded with the same weights as support examples, so a query resembles its class before any training.
"""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from adaptbench.datamodules.choices import require_choice

BindingKind = Literal["product", "concat"]
FEWEST_SLOTS = 8
"""Slots of a bound pair in an episode of few classes, unless an argument says otherwise."""


class Binding(nn.Module):
    """Binds features to targets by the outer product of their embeddings; a query reads a context the same way.

    This is the tensor product of Smolensky 1990 (Artificial Intelligence 46:159). With as many slots as classes, a sum
    of pairs can hold the sum of each class's embeddings separately. With one slot, each feature is multiplied by its
    own linear map of the target, which suits real targets.

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        width: W, width of a bound pair and of a context; the embedding of an example has W / slots.
        slots: width of the embedding of a target; by default 8, or for more classes the smallest divisor of the width
            that gives each a slot.
    """

    def __init__(self, features: int, targets: int, width: int, slots: int | None) -> None:
        super().__init__()
        if slots is None:
            slots = slots_for(targets, width)
        if slots < 1:
            raise ValueError(f"Expected argument `slots` to be a positive integer but got {slots}.")
        if 1 < slots < targets:
            raise ValueError(f"Expected argument `slots` to be at least the {targets} classes but got {slots}.")
        if width % slots or width < 2 * slots:
            raise ValueError(
                f"Expected argument `width` to be a multiple of {slots} slots, twice at least, but got {width}."
            )
        self.slots, self.embedding = slots, width // slots
        self.paired = self.met = width
        self.embed = nn.Sequential(nn.Linear(features, self.embedding), nn.LayerNorm(self.embedding))
        self.target = nn.Linear(targets, width if slots == 1 else slots)
        if slots > 1:
            nn.init.normal_(self.target.weight)

    def pair(self, x: Tensor, y: Tensor) -> Tensor:
        """Binds embedded features [..., W / slots] to their targets [..., Y]; returns [..., W]."""
        target = self.target(y).to(x.dtype)  # another under autocast, and products of two types are slow
        if self.slots == 1:
            return x * target
        return (x.unsqueeze(-1) * target.unsqueeze(-2)).flatten(-2)

    def meet(self, x: Tensor, context: Tensor) -> Tensor:
        """Reads a context [..., W] with the embedded features [..., W / slots] of a query; returns [..., W]."""
        slots = context.to(x.dtype).unflatten(-1, (self.embedding, self.slots))
        return (x.unsqueeze(-1) * slots).flatten(-2)


class Concatenation(nn.Module):
    """Puts features and target, or query and context, side by side, with the interface of `Binding`.

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        width: W, width of a context.
    """

    def __init__(self, features: int, targets: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Identity()
        self.paired, self.met = features + targets, features + width

    def pair(self, x: Tensor, y: Tensor) -> Tensor:
        """Returns features [..., D] beside their targets [..., Y], [..., D + Y]."""
        return torch.cat([x, y], dim=-1)

    def meet(self, x: Tensor, context: Tensor) -> Tensor:
        """Returns the features of a query [..., D] beside a context [..., W], [..., D + W]."""
        return torch.cat([x, context.expand(*x.shape[:-1], -1)], dim=-1)


def make_binding(
    kind: BindingKind, features: int, targets: int, width: int, slots: int | None
) -> Binding | Concatenation:
    """Makes what joins features to targets and queries to a context; a concatenation has no slots."""
    require_choice("binding", kind, ("product", "concat"))
    return Binding(features, targets, width, slots) if kind == "product" else Concatenation(features, targets, width)


def slots_for(targets: int, width: int) -> int:
    """Returns the fewest slots, from eight, that hold every class and divide the width."""
    fewest = max(FEWEST_SLOTS, targets)
    return next((slots for slots in range(fewest, width + 1) if width % slots == 0), fewest)


def perceptron(width: int, outputs: int, depth: int, hidden: int = 256) -> nn.Sequential:
    """Makes a perceptron of `depth` hidden layers with ReLU, from [..., width] to [..., outputs]."""
    widths = [width] + [hidden] * depth
    layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))


class Readout(nn.Module):
    """The sum of a perceptron and a linear map, from [..., width] to [..., outputs].

    Args:
        width: width of the input.
        outputs: width of the output.
        depth: number of hidden layers.
        hidden: width of the hidden layers.
    """

    def __init__(self, width: int, outputs: int, depth: int, hidden: int = 256) -> None:
        super().__init__()
        self.deep, self.linear = perceptron(width, outputs, depth, hidden), nn.Linear(width, outputs)

    def forward(self, met: Tensor) -> Tensor:
        """Returns the sum, [..., outputs]."""
        return self.deep(met) + self.linear(met)
