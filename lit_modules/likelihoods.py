"""Likelihoods: how predictions are read in classification and in regression."""

import math
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

SCALE_FLOOR = 0.01


class Likelihood(Protocol):
    """Reads a prediction [..., P] as a distribution over targets [..., Y]."""

    metric: ClassVar[str]
    higher_is_better: ClassVar[bool]

    def outputs(self, targets: int) -> int:
        """Returns P for targets of width Y."""

    def nll(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Returns the negative log-likelihood of each target, [...]."""

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Returns the value of each target that `metric` averages, [...]."""

    def point(self, prediction: Tensor) -> Tensor:
        """Returns class probabilities or means, [..., Y]."""


class Categorical:
    """A choice among Y classes: predictions are logits, targets are one-hot."""

    metric: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool] = True

    def outputs(self, targets: int) -> int:
        """One logit per class."""
        return targets

    def nll(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy in nats."""
        return -(F.log_softmax(prediction, dim=-1) * target).sum(dim=-1)

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """One where the likeliest class is the right one, else zero."""
        return (prediction.argmax(dim=-1) == target.argmax(dim=-1)).float()

    def point(self, prediction: Tensor) -> Tensor:
        """Class probabilities."""
        return prediction.softmax(dim=-1)


class Gaussian:
    """Independent normal targets: predictions are Y means, then Y scales before softplus."""

    metric: ClassVar[str] = "mse"
    higher_is_better: ClassVar[bool] = False

    def outputs(self, targets: int) -> int:
        """A mean and a scale for each target."""
        return 2 * targets

    def nll(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Negative log density, summed over the target's dimensions."""
        mean, scale = prediction.chunk(2, dim=-1)[0], scale_of(prediction)
        return (0.5 * ((target - mean) / scale) ** 2 + scale.log() + 0.5 * math.log(2 * math.pi)).sum(dim=-1)

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Squared error of the mean, averaged over the target's dimensions."""
        return ((self.point(prediction) - target) ** 2).mean(dim=-1)

    def point(self, prediction: Tensor) -> Tensor:
        """Means."""
        return prediction.chunk(2, dim=-1)[0]


def scale_of(prediction: Tensor) -> Tensor:
    """Returns the standard deviations [..., Y] of a Gaussian prediction [..., 2Y]."""
    return F.softplus(prediction.chunk(2, dim=-1)[1]) + SCALE_FLOOR


def with_unit_scale(mean: Tensor) -> Tensor:
    """Makes a Gaussian prediction [..., 2Y] from means [..., Y], with a scale of one."""
    return torch.cat([mean, torch.full_like(mean, math.log(math.expm1(1 - SCALE_FLOOR)))], dim=-1)


def with_scale(mean: Tensor, scale: Tensor) -> Tensor:
    """Makes a Gaussian prediction [..., 2Y] from means [..., Y] and scales [..., Y] above `SCALE_FLOOR`."""
    return torch.cat([mean, (scale - SCALE_FLOOR).expm1().log()], dim=-1)


LIKELIHOODS: dict[str, Likelihood] = {"categorical": Categorical(), "gaussian": Gaussian()}
