"""Where and how runs are executed, as typed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from adaptbench.benchmarks.runs.devices import CPU, Devices
from adaptbench.benchmarks.suites.registry import suggest

EXECUTORS = ("local", "ray", "slurm")


@dataclass(frozen=True)
class ExecutorOptions:
    """Where and how runs are executed, as typed; nothing here changes a result.

    Attributes:
        name: "local", "ray" or "slurm".
        devices: of the local workers, one each.
        time_limit: seconds that a try of a run may take, locally; None for no limit.
        address: of the Ray cluster; None for one on this machine.
        cpus: cores for each device of a run.
        gpus: GPUs for each device of a run, on Ray fractions too.
        partition: SLURM's partition; None for its default.
        minutes: time limit of a SLURM job, after which it goes on as a new one.
        memory: gigabytes of a SLURM job; None for SLURM's default.
        max_parallel: SLURM jobs of an array that run at a time.
        slurm: further options of SLURM's `sbatch`, by name.
        cluster: submitit's name of the cluster; "local" runs SLURM's jobs as processes here.
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

    @property
    def at_a_time(self) -> int | None:
        """How many runs of one device run at a time; None for Ray, where only the cluster knows."""
        return {"local": len(self.devices), "slurm": self.max_parallel}.get(self.name)


def parse_slurm(pairs: Iterable[str]) -> dict[str, str]:
    """Reads further options of `sbatch`, NAME=VALUE each.

    Raises:
        ValueError: if one has no `=`.
    """
    for pair in pairs:
        if "=" not in pair:
            raise ValueError(f"Expected `--slurm` to be NAME=VALUE but got `{pair}`.")
    return {name.replace("-", "_"): value for name, _, value in (pair.partition("=") for pair in pairs)}


def check_executor(name: str) -> None:
    """Refuses an executor that there is none of.

    Raises:
        ValueError: with the nearest name.
    """
    if name not in EXECUTORS:
        raise ValueError(
            f"Expected `--executor` to be `local`, `ray` or `slurm` but got `{name}`. {suggest(name, EXECUTORS)}"
        )
