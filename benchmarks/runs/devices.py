"""The devices of a run: the CPU, or GPUs by their indices."""

import math
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning.plugins import Precision

from adaptbench.benchmarks.suites.spec import TrainerOptions


class Bfloat16Steps(Precision):
    """Training steps in bfloat16 where `torch.autocast` allows it; weights, validation and tests in float32.

    Lightning's own plugin refuses to clip the gradients of a fused optimiser.

    Args:
        kind: "cpu" or "cuda".
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._kind = kind

    @contextmanager
    def train_step_context(self) -> Generator[None]:
        """Rounds within a training step."""
        with torch.autocast(self._kind, torch.bfloat16):
            yield


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

    def trainer_arguments(self, options: TrainerOptions) -> dict[str, Any]:
        """Arguments of Lightning's Trainer for a training."""
        if self.kind == "cpu":
            return {"accelerator": "cpu", "devices": options.devices}
        return {"accelerator": "gpu", "devices": list(self.indices or range(options.devices))}

    def precision(self, options: TrainerOptions) -> Precision:
        """Lightning's plugin for the precision of a training.

        Raises:
            ValueError: if it is meant to be in bfloat16, and the device cannot multiply that.
        """
        if options.precision == "float32":
            return Precision()
        if not self._multiplies_bfloat16():
            lacks = "has no instructions for bfloat16"
            raise ValueError(f"Expected `precision` to be float32 on this {self.kind} device, which {lacks}.")
        return Bfloat16Steps(self.kind)

    def _multiplies_bfloat16(self) -> bool:
        """Whether it has instructions for it; without them it would be emulated, which is slow."""
        if self.kind == "cuda":
            return torch.cuda.is_bf16_supported(including_emulation=False)
        return any(flag in _processor_flags() for flag in ("avx512_bf16", "amx_bf16"))


def _processor_flags() -> list[str]:
    """What the processor can do, as Linux says it; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])


CPU = Devices()


def cores(control_groups: Path = Path("/sys/fs/cgroup")) -> int:
    """The cores that this process may use: those of its affinity, at most the whole ones of a container's CPU quota.

    Args:
        control_groups: where Linux mounts control groups, of version 2 or 1.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        own = Path("/proc/self/cgroup").read_text(encoding="utf-8").rpartition("::")[2].strip().strip("/")
    except OSError:
        own = ""
    folders = [control_groups / own, *(control_groups / own).parents]
    inside = [folder for folder in folders if folder.is_relative_to(control_groups)]
    quotas = [_quota(folder) for folder in [*inside, control_groups / "cpu"]]
    return max(1, int(min(allowed, *quotas)))


def _quota(folder: Path) -> float:
    """The cores that a control group may use; infinite without a limit."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
            period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
        return float(quota) / float(period) if float(quota) > 0 else math.inf
    except (OSError, ValueError):
        return math.inf
