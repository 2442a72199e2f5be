"""The options of executors, as typed."""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from adaptbench.benchmarks.runs.devices import CPU, Devices
from adaptbench.reports.selection import suggest

EXECUTORS = ("local", "ray", "slurm")
MEANT_FOR = {
    "time_limit": ("local",),
    "address": ("ray",),
    "cpus": ("ray", "slurm"),
    "gpus": ("ray", "slurm"),
    "partition": ("slurm",),
    "minutes": ("slurm",),
    "memory": ("slurm",),
    "max_parallel": ("slurm",),
    "slurm": ("slurm",),
}
"""The executors that each option is for; any other one would ignore it."""


@dataclass(frozen=True)
class ExecutorOptions:
    """Where and how runs are executed; no option changes a result.

    Attributes:
        name: "local", "ray" or "slurm".
        devices: devices of the local workers.
        time_limit: seconds that a try of a local run may take; None for no limit.
        address: address of the Ray cluster; None for one on this machine.
        cpus: cores for each device of a run.
        gpus: GPUs for each device of a run; Ray allows fractions.
        partition: SLURM's partition; None for its default.
        minutes: time limit of a SLURM job; a longer run continues in another job.
        memory: gigabytes of a SLURM job; None for SLURM's default.
        max_parallel: SLURM jobs at a time.
        slurm: further options of submitit's SlurmExecutor, by name.
        cluster: submitit's name of the cluster; "local" runs SLURM's jobs as processes here.

    Raises:
        ValueError: if there is no executor of that name, if an option is for another one, or if a number is wrong.
    """

    name: str = "local"
    devices: tuple[Devices, ...] = (CPU,)
    time_limit: float | None = None
    address: str | None = None
    cpus: int = 1
    gpus: float = 0
    partition: str | None = None
    minutes: float = 60
    memory: float | None = None
    max_parallel: int = 256
    slurm: Mapping[str, Any] = field(default_factory=dict)
    cluster: str = "slurm"

    def __post_init__(self) -> None:
        """Checks the name and the options."""
        if self.name not in EXECUTORS:
            names = "`local`, `ray` or `slurm`"
            raise ValueError(
                f"Expected `--executor` to be {names} but got `{self.name}`. {suggest(self.name, EXECUTORS)}"
            )
        for option in fields(self):
            able = MEANT_FOR.get(option.name, EXECUTORS)
            usual = option.default_factory() if option.default_factory is not MISSING else option.default
            if self.name not in able and getattr(self, option.name) != usual:
                typed = f"--{'time' if option.name == 'minutes' else option.name.replace('_', '-')}"
                wanted = " or ".join(f"`--executor {each}`" for each in able)
                raise ValueError(f"Expected `{typed}` only with {wanted} but the executor is `{self.name}`.")
        if self.name == "slurm" and self.gpus != int(self.gpus):
            raise ValueError(
                f"Expected `--gpus` to be a whole number, because SLURM divides no GPU, but got {self.gpus:g}."
            )

    @property
    def at_a_time(self) -> int | None:
        """The number of one-device runs at a time; None for Ray, whose cluster decides it."""
        return {"local": len(self.devices), "slurm": self.max_parallel}.get(self.name)


def parse_slurm(pairs: Iterable[str]) -> dict[str, str]:
    """Reads further options of submitit's SlurmExecutor, NAME=VALUE each.

    Raises:
        ValueError: if one has no `=`.
    """
    for pair in pairs:
        if "=" not in pair:
            raise ValueError(f"Expected `--slurm` to be NAME=VALUE but got `{pair}`.")
    return {name.replace("-", "_"): value for name, _, value in (pair.partition("=") for pair in pairs)}
