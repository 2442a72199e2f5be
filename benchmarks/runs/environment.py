"""What a run's numbers do not depend on, but a reader wants to know: versions, hardware, commit."""

import functools
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import torch

from adaptbench.benchmarks.runs.devices import first_device
from adaptbench.reports.format import Machine

PACKAGES = ("adaptbench", "torch", "pytorch-lightning", "torchmetrics", "numpy", "pandas", "wandb")


@functools.cache
def describe_machine(device: str) -> Machine:
    """Collects versions, hardware and commit; no environment variable is read."""
    return Machine(
        versions={"python": platform.python_version(), **{name: version_of(name) for name in PACKAGES}},
        device="cpu" if device == "cpu" else torch.cuda.get_device_name(first_device(device)),
        processor=_processor(),
        system=f"{platform.system()} {platform.machine()}",
        threads=torch.get_num_threads(),
        git_commit=_git("rev-parse", "HEAD"),
        git_dirty=bool(_git("status", "--porcelain", "--untracked-files=no")),
    )


def version_of(package: str) -> str | None:
    """The version of a package; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _git(*arguments: str) -> str | None:
    """Asks git about the code that runs; None outside a checkout."""
    try:
        folder = Path(__file__).parent
        answer = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
