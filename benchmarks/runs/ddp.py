"""Trains on several devices: a process for each, as the ranks of Lightning's DDP."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning_fabric.plugins.environments.lightning import LightningEnvironment, find_free_network_port

from adaptbench.benchmarks.runs.devices import Devices
from adaptbench.benchmarks.suites.spec import Training


class Ranks(LightningEnvironment):
    """Tells Lightning that all processes run on this machine, and which of them this one is.

    Args:
        rank: number of this process; process 0 publishes.
        port: the port that they connect to.
    """

    main_address = "127.0.0.1"
    creates_processes_externally = True

    def __init__(self, rank: int, port: int) -> None:
        super().__init__()
        self._rank, self._main_port = rank, port

    def local_rank(self) -> int:
        """Number of this process."""
        return self._rank


@contextmanager
def together(spec: Training, folder: Path, devices: Devices) -> Iterator[LightningEnvironment]:
    """Starts the other processes if the spec wants several devices, and kills them in the end."""
    if spec.devices == 1:
        yield LightningEnvironment()
        return
    port = find_free_network_port()
    others: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(1, spec.devices):
            # -P: the current folder is searched for modules only if this process searches it
            command = [sys.executable, "-P", "-m", "adaptbench.benchmarks.runs.ddp_process"]
            command += map(str, (rank, port, folder, devices.kind, *devices.indices))
            paths = {"PYTHONPATH": os.pathsep.join(sys.path)}  # the process must find a user's learner, too
            others.append(subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ | paths))
            _say(others[-1], spec.model_dump_json())
        yield Ranks(0, port)
    finally:
        for process in others:
            process.kill()
            process.communicate()


def _say(process: "subprocess.Popen[bytes]", line: str) -> None:
    """Writes a line to a process; it keeps reading, because the end of its input is the end of this process."""
    if process.stdin is not None:
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()
