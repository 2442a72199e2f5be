"""Heads: the last layer of a network, and the initial weights of an episode's head."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adaptbench.datamodules.choices import require_choice
from adaptbench.lit_modules.prototypes import ABSENT, class_means

HeadKind = Literal["linear", "cosine"]
HeadStart = Literal["zero", "random", "class_means", "pretrained"]


class CosineHead(nn.Module):
    """Scores classes by the cosine between the features and a weight vector for each class.

    The head of Baseline++, Chen et al. 2019 (arXiv 1904.04232), with one fixed scale for all classes.

    Args:
        features: D, width of the features.
        outputs: number of classes.
        scale: logit of features that have the direction of a class's weights.
    """

    def __init__(self, features: int, outputs: int, *, scale: float) -> None:
        super().__init__()
        self.weight = nn.Linear(features, outputs, bias=False).weight
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        """From features [..., D] to logits [..., outputs]."""
        return self.scale * F.normalize(features, dim=-1) @ F.normalize(self.weight, dim=-1).T


class NormalizedFeatures(nn.Module):
    """Scales every feature vector to the same length.

    Args:
        scale: that length.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        """Scales [..., D]."""
        return self.scale * F.normalize(features, dim=-1)


def make_head(kind: HeadKind, features: int, outputs: int, scale: float) -> nn.Linear | CosineHead:
    """Makes a head with random weights from torch's global generator.

    Raises:
        ValueError: if there is no such kind of head.
    """
    require_choice("head", kind, ("linear", "cosine"))
    return CosineHead(features, outputs, scale=scale) if kind == "cosine" else nn.Linear(features, outputs)


def restart_head(head: nn.Linear | CosineHead, start: HeadStart, seed: int) -> None:
    """Sets a new head's weights to zero, or to random values from the seed; class means are set for each episode.

    A zero vector has no direction, so a cosine head starts from random weights instead of zero.
    """
    if start == "random" or isinstance(head, CosineHead):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            fresh = nn.Linear(head.weight.shape[1], head.weight.shape[0])
        head.weight.data.copy_(fresh.weight.data)
    else:
        nn.init.zeros_(head.weight)
    if isinstance(head, nn.Linear):
        nn.init.zeros_(head.bias)


def class_mean_weights(x: Tensor, y: Tensor, *, temperature: float, bias: bool) -> tuple[Tensor, Tensor | None]:
    """Returns weights with which a head scores classes by the distance to their means, like a prototypical network.

    A linear head gets the weights of Triantafillou et al. 2020 (arXiv 1903.03096, proto-MAML), divided by twice the
    temperature. Its logits are -|x - mean|^2 / (2 temperature) plus a term that is the same for all classes. A head
    without a bias gets the means themselves; a cosine head uses only their direction.

    Args:
        x: [B, S, D] input of the head.
        y: [B, S, Y] one-hot.
        temperature: divisor of the squared distances.
        bias: whether the head has a bias.

    Returns:
        Weights [B, Y, D], and biases [B, Y] or None; the bias of a class without an example rules it out.
    """
    means, absent = class_means(x, y)
    if not bias:
        return means, None
    squares = means.square().sum(dim=-1) / (2 * temperature)
    return means / temperature, torch.where(absent.squeeze(1), ABSENT, -squares)


class ContextHead(nn.Module):
    """A head for regression that predicts the function given by a context vector.

    The context sets gain and offset of the hidden units (FiLM, Perez et al. 2018, arXiv 1709.07871). In pretraining it
    is the parameters of each example's function. For a new function it is a weight to be fitted, which starts at the
    mean of the training parameters (as in CAVIA, Zintgraf et al. 2019, arXiv 1810.03642, whose context has no given
    meaning).

    Args:
        features: D, width of the features and of the hidden layer.
        outputs: width of a real target.
        width: K, width of the context.
    """

    def __init__(self, features: int, outputs: int, *, width: int) -> None:
        super().__init__()
        self.standardize = nn.BatchNorm1d(width, affine=False, momentum=0.01)
        self.film = nn.Sequential(nn.Linear(width, features), nn.ReLU(), nn.Linear(features, 2 * features))
        self.hidden, self.output = nn.Linear(features, features), nn.Linear(features, outputs)
        self.context = nn.Parameter(torch.zeros(width))

    def of_functions(self, features: Tensor, functions: Tensor) -> Tensor:
        """From features [M, D] and the parameters of their functions [M, K] to predictions [M, outputs]."""
        return self._predict(features, self.standardize(functions))

    def forward(self, features: Tensor) -> Tensor:
        """From features [..., D] to predictions [..., outputs] of the function given by the fitted context."""
        return self._predict(features, self.context)

    def _predict(self, features: Tensor, context: Tensor) -> Tensor:
        gain, offset = self.film(context).chunk(2, dim=-1)
        return self.output(torch.relu(self.hidden(features) * (1 + gain) + offset))
