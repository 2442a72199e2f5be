"""Batch normalisation whose statistics come from an episode itself, without queries seeing each other."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class EpisodeNorm2d(nn.Module):
    """Normalises the images of an episode by the statistics of its first ones, the support set.

    Bronskill et al. 2020 (arXiv 2003.03284) compare such statistics for meta-learning; these are those of their
    MetaBN, of the support set for support set and queries, with the weights of a trained batch norm.

    Args:
        norm: the batch norm that it takes the place of; its weights are copied, its running statistics not used.

    Attributes:
        rows: how many images, from the first on, give the statistics; None for all, which lets queries see each other.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(norm.weight.detach().clone())
        self.bias = nn.Parameter(norm.bias.detach().clone())
        self.eps = norm.eps
        self.rows: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Normalises [M, C, H, W]."""
        seen = x[: self.rows]
        mean = seen.mean(dim=(0, 2, 3), keepdim=True)
        variance = (seen - mean).square().mean(dim=(0, 2, 3), keepdim=True)
        gain = self.weight.view(1, -1, 1, 1) * torch.rsqrt(variance + self.eps)
        return (x - mean) * gain + self.bias.view(1, -1, 1, 1)


def with_episode_norms(module: nn.Module) -> nn.Module:
    """Copies a module, with an `EpisodeNorm2d` in the place of every batch norm of images."""
    copied = copy.deepcopy(module)
    for parent in list(copied.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, EpisodeNorm2d(child))
    return EpisodeNorm2d(copied) if isinstance(copied, nn.BatchNorm2d) else copied


@contextmanager
def statistics_of(module: nn.Module, rows: int | None) -> Iterator[None]:
    """Lets every `EpisodeNorm2d` in a module take its statistics from so many first images."""
    norms = [part for part in module.modules() if isinstance(part, EpisodeNorm2d)]
    before = [norm.rows for norm in norms]
    for norm in norms:
        norm.rows = rows
    try:
        yield
    finally:
        for norm, was in zip(norms, before, strict=True):
            norm.rows = was
