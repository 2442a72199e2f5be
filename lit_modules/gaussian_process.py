"""Gaussian process regression: a classical reference in closed form, which nothing is trained for."""

from typing import ClassVar

import torch
from torch import Tensor

from adaptbench.datamodules.episodes import EpisodeBatch
from adaptbench.lit_modules.controls import require_kind
from adaptbench.lit_modules.likelihoods import SCALE_FLOOR, with_scale
from adaptbench.lit_modules.transfer import TransferModule

EPISODES_AT_ONCE = 100


class GaussianProcess:
    """Predicts the posterior of a Gaussian process with a squared-exponential kernel, given the support set.

    Rasmussen & Williams 2006 (Gaussian Processes for Machine Learning, algorithm 2.1). The prior mean is zero, and the
    covariance is signal^2 exp(-|x - x'|^2 / (2 length^2)). All episodes share these numbers, which a suite should
    take from validation episodes.

    Equation:
        prediction = k(x*, X) (k(X, X) + noise^2 I)^-1 y

    Args:
        network: the pretrained network, which is not used.
        targets: Y, width of a real target.
        length: length scale, in units of x.
        signal: standard deviation of the functions, in units of y.
        noise: standard deviation of the observations, in units of y.
    """

    parameters: ClassVar[int] = 0
    examples_encoded: ClassVar[int] = 0

    def __init__(
        self, network: TransferModule, targets: int, *, length: float = 1.0, signal: float = 1.0, noise: float = 0.1
    ) -> None:
        require_kind(network, "gaussian_process", regression=True)
        for name, value in {"length": length, "signal": signal, "noise": noise}.items():
            if not value > 0:
                raise ValueError(f"Expected argument `{name}` to be positive but got {value}.")
        self.network, self.length, self.signal, self.noise = network, length, signal, noise

    def carried(self, batch: EpisodeBatch) -> int:
        """The support set itself."""
        return batch.support.shape[1] * (batch.inputs[0].numel() + batch.support_y.shape[-1])

    def predict(self, batch: EpisodeBatch) -> Tensor:
        """Predicts mean and standard deviation of the queries, [B, Q, 2Y]."""
        x = batch.inputs.flatten(1).double()
        parts = batch.chunks(EPISODES_AT_ONCE)
        return torch.cat([self._posterior(x[support], y.double(), x[query]) for support, y, query in parts])

    def _posterior(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        covariance = self._kernel(support_x, support_x)
        covariance.diagonal(dim1=-2, dim2=-1).add_(self.noise**2)
        cross = self._kernel(support_x, query_x)
        solved = torch.cholesky_solve(cross, torch.linalg.cholesky(covariance))  # [B, S, Q]
        mean = solved.transpose(1, 2) @ support_y
        variance = self.signal**2 - (cross * solved).sum(dim=1) + self.noise**2
        scale = variance.clamp(min=(2 * SCALE_FLOOR) ** 2).sqrt().unsqueeze(-1).expand_as(mean)
        return with_scale(mean, scale).float()

    def _kernel(self, first: Tensor, second: Tensor) -> Tensor:
        return self.signal**2 * torch.exp(-0.5 * (torch.cdist(first, second) / self.length) ** 2)
