"""The environment of a run: versions, hardware, commit."""

import functools
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import torch

from adaptbench.benchmarks.runs.devices import Devices
from adaptbench.reports.format import Machine

PACKAGES = ("adaptbench", "torch", "pytorch-lightning", "torchmetrics", "numpy", "pandas", "wandb")
C_LIBRARY = "libc"
"""The name of the C library's version, such as "glibc 2.36": it computes exponentials, and others round otherwise."""


@functools.cache
def describe_machine(devices: Devices) -> Machine:
    """Collects versions, hardware and commit; no environment variable is read."""
    commit, dirty = git_state(Path(__file__))
    packages = {name: version_of(name) for name in PACKAGES}
    return Machine(
        versions={
            "python": platform.python_version(),
            C_LIBRARY: " ".join(platform.libc_ver()).strip() or None,
            **packages,
        },
        device=devices.name,
        processor=_processor(),
        system=f"{platform.system()} {platform.machine()}",
        threads=torch.get_num_threads(),
        git_commit=commit,
        git_dirty=dirty,
    )


def version_of(package: str) -> str | None:
    """The version of a package; None if it is not installed."""
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


def git_state(module: Path) -> tuple[str | None, bool | None]:
    """Finds the commit that a file of ours comes from.

    Args:
        module: this file; another one in tests.

    Returns:
        The commit, and whether tracked files differ from it. Both are None unless the file is tracked at this place in
        a repository, because an environment may lie in another repository. Each is None if git gives no answer.
    """
    module = module.resolve()  # in a checkout, `adaptbench` has links to the packages
    ask = functools.partial(_git, module.parent)
    if ask("rev-parse", "--show-toplevel") != module.parents[2].as_posix():
        return None, None
    if ask("ls-files", "--error-unmatch", module.name) is None:
        return None, None
    changes = ask("status", "--porcelain", "--untracked-files=no")
    return ask("rev-parse", "HEAD"), None if changes is None else bool(changes)


def _git(folder: Path, *arguments: str) -> str | None:
    """Asks git in a folder; None if git fails or is not installed."""
    try:
        command = ["git", "-C", str(folder), *arguments]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
