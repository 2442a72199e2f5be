"""The optimisation of every network here: AdamW with a short warm-up, then a cosine decay to zero."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """Settings of the optimiser.

    Attributes:
        lr: peak learning rate.
        weight_decay: decoupled weight decay.
        warmup: share of the steps in which the learning rate rises linearly to its peak.
        clip: largest norm of the gradient; None for no clipping.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    lr: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.1
    clip: float | None = 1.0

    def __post_init__(self) -> None:
        """Raises ValueError for settings that cannot train."""
        if not self.lr > 0:
            raise ValueError(f"Expected argument `lr` to be positive but got {self.lr}.")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"Expected argument `warmup` to be a share from 0 up to 1 but got {self.warmup}.")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"Expected argument `clip` to be positive or None but got {self.clip}.")

    def configure(self, parameters: Iterable[nn.Parameter], steps: int) -> dict[str, Any]:
        """Makes optimiser and schedule for `steps` steps, in the form that Lightning expects."""
        optimizer = torch.optim.AdamW(parameters, lr=self.lr, weight_decay=self.weight_decay, fused=True)
        warm = max(1, round(self.warmup * steps))

        def factor(step: int) -> float:
            if step < warm:
                return (step + 1) / warm
            return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
