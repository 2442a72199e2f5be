"""Binding by multiplication: how features meet labels, and how a query meets what was carried over.

A sum of functions of the concatenation [x; y] must first learn to multiply before it can say which x went with which
y, and learners built on one stay at the loss of a guess for a long time. A sum of products says it from the first step;
and when queries are embedded by the same weights as support examples, a query resembles its class before any training.
"""

from torch import Tensor, nn


class Binding(nn.Module):
    """Embeds features, binds them to targets, and reads a context with a query: e(x) * V y, then e(x) * context.

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        width: W, width of the embedding, of a bound pair and of a context.
    """

    def __init__(self, features: int, targets: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(features, width), nn.LayerNorm(width))
        self.target = nn.Linear(targets, width)

    def pair(self, x: Tensor, y: Tensor) -> Tensor:
        """Binds features [..., D] to their targets [..., Y]; returns [..., W]."""
        return self.embed(x) * self.target(y)

    def meet(self, x: Tensor, context: Tensor) -> Tensor:
        """Reads a context [..., W] with the features [..., D] of a query; returns [..., W]."""
        return self.embed(x) * context


class Readout(nn.Module):
    """A perceptron beside a linear map, from [..., width] to [..., outputs].

    Args:
        width: width of the input and of the hidden layers.
        outputs: width of the output.
        depth: hidden layers.
    """

    def __init__(self, width: int, outputs: int, depth: int) -> None:
        super().__init__()
        hidden = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU())]
        self.deep, self.linear = nn.Sequential(*hidden, nn.Linear(width, outputs)), nn.Linear(width, outputs)

    def forward(self, met: Tensor) -> Tensor:
        """Adds both."""
        return self.deep(met) + self.linear(met)
