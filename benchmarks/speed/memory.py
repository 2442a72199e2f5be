"""The memory that the measured work takes."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

SECONDS = 90
"""How long eight runs train until their memory is taken to have reached its peak."""


def most_memory(script: str, *arguments: str) -> float:
    """Measures the peak memory, in GiB, of a new process that runs a script; on Linux only.

    `getrusage` would not do: its peak includes the process that started this one.
    """
    script += "; print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    printed = subprocess.check_output([sys.executable, "-c", script, *arguments], text=True, stderr=subprocess.DEVNULL)
    return int(printed.split()[-1]) / 1024**2


def eight_runs() -> float:
    """Measures the peak memory, in GiB, of a command that trains eight networks on Omniglot; on Linux only."""
    options = ("--only", "task=omniglot", "--only", "train_classes=1028", "--jobs", "8", "--wandb", "off")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "adaptbench", "run", "quick", *options, "--out", folder]
        running = subprocess.Popen(
            command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end, most = time.monotonic() + SECONDS, 0
        while running.poll() is None and time.monotonic() < end:
            most = max(most, sum(map(_proportional, _of_group(running.pid))))
            time.sleep(0.5)
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    return most / 1024**2


def _of_group(group: int) -> list[Path]:
    """The folders in /proc of the processes of a group."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getpgid(int(path.name)) == group:
                found.append(path)
    return found


def _proportional(process: Path) -> int:
    """The memory of a process in KiB, in which a page that n processes share counts as an nth."""
    with suppress(OSError):
        for line in (process / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0
