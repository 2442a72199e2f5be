"""The options of executors, as typed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from adaptbench.benchmarks.runs.devices import CPU, Devices
from adaptbench.benchmarks.suites.registry import suggest

EXECUTORS = ("local", "ray", "slurm")


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
        ValueError: if there is no executor of that name.
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
        """Checks the name."""
        if self.name not in EXECUTORS:
            names = "`local`, `ray` or `slurm`"
            raise ValueError(
                f"Expected `--executor` to be {names} but got `{self.name}`. {suggest(self.name, EXECUTORS)}"
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
