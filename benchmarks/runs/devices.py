"""The devices of a run: the CPU, or GPUs by their indices."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch


@dataclass(frozen=True)
class Devices:
    """The CPU, or one or several GPUs.

    Attributes:
        kind: "cpu" or "cuda".
        indices: indices of the GPUs; empty for the first ones.
    """

    kind: Literal["cpu", "cuda"] = "cpu"
    indices: tuple[int, ...] = ()

    @classmethod
    def joined(cls, devices: "Sequence[Devices]") -> "Devices":
        """Joins several into one."""
        return cls(devices[0].kind, tuple(index for each in devices for index in each.indices))

    @property
    def first(self) -> torch.device:
        """The device for work that one device does alone."""
        return torch.device(self.kind, self.indices[0]) if self.indices else torch.device(self.kind)

    @property
    def name(self) -> str:
        """The name in records: "cpu", or the model of the first GPU."""
        return "cpu" if self.kind == "cpu" else torch.cuda.get_device_name(self.first)

    def trainer_arguments(self, count: int) -> dict[str, Any]:
        """Arguments of Lightning's Trainer for a training on `count` devices."""
        if self.kind == "cpu":
            return {"accelerator": "cpu", "devices": count}
        return {"accelerator": "gpu", "devices": list(self.indices or range(count))}


CPU = Devices()
