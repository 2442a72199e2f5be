"""Learning rates in fine-tuning: which blocks are trained at each step, and how fast."""

import math
from dataclasses import dataclass
from typing import Literal

Schedule = Literal["constant", "slanted_triangular", "warmup"]
Unfreezing = Literal["top_down", "bottom_up"]

CUT, RATIO = 0.1, 32.0
"""Howard & Ruder's share of the steps in which the rate rises, and ratio of the largest to the smallest rate."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The learning rate of every block at every step.

    Attributes:
        steps: gradient steps.
        lr: the largest rate, which is that of the head.
        schedule: "constant"; "slanted_triangular", a short rise and a long fall (Howard & Ruder 2018, arXiv
            1801.06146); or "warmup", a linear rise over the same share of the steps, then constant.
        layer_lr_decay: ratio of a block's rate to that of the block above it (their discriminative rates).
        gradual_unfreeze: "top_down" begins with the head and adds the next block below every `unfreeze_every` steps, as
            they do; "bottom_up" begins with the lowest block; None trains all blocks from the first step.
        unfreeze_every: number of steps after which the next block is added.
    """

    steps: int
    lr: float
    schedule: Schedule = "constant"
    layer_lr_decay: float = 1.0
    gradual_unfreeze: Unfreezing | None = None
    unfreeze_every: int = 5

    def __post_init__(self) -> None:
        """Raises ValueError for arguments that are out of range or unknown."""
        if self.steps < 0:
            raise ValueError(f"Expected argument `steps` to be zero or more but got {self.steps}.")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"Expected argument `lr` to be positive but got {self.lr}.")
        if not 0 < self.layer_lr_decay <= 1:
            raise ValueError(f"Expected argument `layer_lr_decay` to be from 0 up to 1 but got {self.layer_lr_decay}.")
        if self.unfreeze_every < 1:
            raise ValueError(f"Expected argument `unfreeze_every` to be one or more but got {self.unfreeze_every}.")
        _among("schedule", self.schedule, ("constant", "slanted_triangular", "warmup"))
        _among("gradual_unfreeze", self.gradual_unfreeze, (None, "top_down", "bottom_up"))

    def of_step(self, step: int, blocks: int) -> list[float | None]:
        """Returns the rate of each of `blocks` blocks at a step, the head last; None for a frozen block."""
        rate, moving = self.lr * self._share(step), self._moving(step, blocks)
        decayed = [rate * self.layer_lr_decay ** (blocks - 1 - block) for block in range(blocks)]
        return [value if block in moving else None for block, value in enumerate(decayed)]

    def _moving(self, step: int, blocks: int) -> range:
        count = blocks if self.gradual_unfreeze is None else min(blocks, 1 + step // self.unfreeze_every)
        return range(count) if self.gradual_unfreeze == "bottom_up" else range(blocks - count, blocks)

    def _share(self, step: int) -> float:
        if self.schedule == "constant":
            return 1.0
        rise = max(1, math.floor(self.steps * CUT))
        if self.schedule == "warmup":
            return min(1.0, (step + 1) / rise)
        place = (step + 1) / rise if step < rise else 1 - (step + 1 - rise) / max(1, self.steps - rise)
        return (1 + place * (RATIO - 1)) / RATIO


def blocks_to_move(moves: str, blocks: int) -> int:
    """Returns the number of an encoder's last blocks that are trained together with the head.

    Args:
        moves: "head", "all", or "last_k" for the last k blocks, such as "last_1".
        blocks: number of blocks of the encoder.

    Raises:
        ValueError: if `moves` is none of these, or the encoder has too few blocks.
    """
    if moves in ("head", "all"):
        return 0 if moves == "head" else blocks
    number = moves.removeprefix("last_")
    if number == moves or not number.isdecimal() or not 1 <= int(number) <= blocks:
        raise ValueError(
            f"Expected argument `moves` to be 'head', 'all', or 'last_1' to 'last_{blocks}' for this encoder but got "
            f"{moves!r}."
        )
    return int(number)


def _among(name: str, value: str | None, known: tuple[str | None, ...]) -> None:
    if value not in known:
        raise ValueError(f"Expected argument `{name}` to be one of {', '.join(map(repr, known))} but got {value!r}.")
