"""Batch normalisation with statistics from the episode's support set."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class EpisodeNorm2d(nn.Module):
    """Normalises the images of an episode by the statistics of its first images, the support set.

    Bronskill et al. 2020 (arXiv 2003.03284) compare such statistics for meta-learning. This is their MetaBN: the
    support set's statistics normalise support set and queries, here with the weights of a trained batch norm.

    Args:
        norm: the batch norm to replace; its weights are copied, its running statistics are not used.

    Attributes:
        rows: number of images, beginning with the first, that give the statistics; None for all, the queries included.
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
    """Copies a module and replaces every batch norm of images by an `EpisodeNorm2d`."""
    copied = copy.deepcopy(module)
    for parent in list(copied.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, EpisodeNorm2d(child))
    return EpisodeNorm2d(copied) if isinstance(copied, nn.BatchNorm2d) else copied


@contextmanager
def statistics_of(module: nn.Module, rows: int | None) -> Iterator[None]:
    """Makes every `EpisodeNorm2d` in a module take its statistics from the first `rows` images."""
    norms = [part for part in module.modules() if isinstance(part, EpisodeNorm2d)]
    before = [norm.rows for norm in norms]
    for norm in norms:
        norm.rows = rows
    try:
        yield
    finally:
        for norm, was in zip(norms, before, strict=True):
            norm.rows = was
