"""Several devices for one training: a process for each, which meet as the ranks of Lightning's DDP."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment, find_free_network_port

from benchmarks.spec import RUN_SPEC, EpisodicSpec, PretrainSpec


class Ranks(LightningEnvironment):
    """Tells Lightning that all processes have been started, on this machine, and which of them this one is.

    Args:
        rank: number of this process; 0 is the one that publishes.
        port: of this machine, where they meet.
    """

    main_address = "127.0.0.1"
    creates_processes_externally = True

    def __init__(self, rank: int, port: int) -> None:
        super().__init__()
        self._rank, self._main_port = rank, port

    def local_rank(self) -> int:
        """Number of this process."""
        return self._rank


def gpus(device: str, count: int) -> list[int]:
    """Lists the indices of `count` GPUs: those that "cuda:2,5" names, or for "cuda" the first."""
    _, named, indices = device.partition(":")
    return [int(index) for index in indices.split(",")] if named else list(range(count))


def first_device(device: str) -> torch.device:
    """Where what one device does alone is done."""
    return torch.device(device.partition(",")[0])


@contextmanager
def together(spec: EpisodicSpec | PretrainSpec, folder: Path, device: str) -> Iterator[LightningEnvironment]:
    """Starts the processes that train with this one, if the spec wants several; in the end they are gone."""
    if spec.trainer.devices == 1:
        yield LightningEnvironment()
        return
    port = find_free_network_port()
    others: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(1, spec.trainer.devices):
            command = [sys.executable, "-m", "benchmarks.ranks", str(rank), str(port), str(folder), device]
            paths = {"PYTHONPATH": os.pathsep.join(sys.path)}  # a learner of the user's own has to be found there too
            others.append(subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ | paths))
            _say(others[-1], spec.model_dump_json())
        yield Ranks(0, port)
    finally:
        for process in others:
            process.kill()
            process.communicate()


def _say(process: "subprocess.Popen[bytes]", line: str) -> None:
    """Writes a line to a process, which goes on listening: the end of what it hears is the end of this one."""
    if process.stdin is not None:
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()


def _train_along(rank: int, port: int, folder: Path, device: str) -> None:
    """Trains as one of the other processes, which publish nothing."""
    from benchmarks.build import TaskShape, build_module, build_task
    from benchmarks.callbacks import Curve
    from benchmarks.checkpoints import Checkpoints, Interrupted
    from benchmarks.fitting import fit
    from benchmarks.worker import initialise

    initialise()
    spec = RUN_SPEC.validate_json(sys.stdin.buffer.readline())
    if not isinstance(spec, EpisodicSpec | PretrainSpec):
        raise TypeError(f"Expected a training but got {spec.kind}.")
    threading.Thread(target=_end_with_first, name="end-with-first", daemon=True).start()
    torch.use_deterministic_algorithms(device != "cpu")
    task = build_task(spec)
    module = build_module(spec, TaskShape.of(task))
    try:
        fit(module, spec, task, folder, device, Ranks(rank, port), Curve(), Checkpoints())
    except Interrupted:
        return


def _end_with_first() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    _train_along(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
