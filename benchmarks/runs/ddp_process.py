"""One of the processes that train together; the first process starts it."""

import os
import sys
import threading
from pathlib import Path

import torch

from adaptbench.benchmarks.runs.build import TaskShape, build_module, build_task
from adaptbench.benchmarks.runs.callbacks import Curve
from adaptbench.benchmarks.runs.checkpoints import Interrupted
from adaptbench.benchmarks.runs.ddp import Ranks
from adaptbench.benchmarks.runs.devices import Devices
from adaptbench.benchmarks.runs.fitting import fit
from adaptbench.benchmarks.runs.process import initialise
from adaptbench.benchmarks.suites.spec import RUN_SPEC


def train_along(ranks: Ranks, folder: Path, devices: Devices) -> None:
    """Trains as one of the processes that publish nothing."""
    initialise()
    spec = RUN_SPEC.validate_json(sys.stdin.buffer.readline()).training
    threading.Thread(target=_end_with_first, name="end-with-first", daemon=True).start()
    torch.use_deterministic_algorithms(devices.kind != "cpu")
    task = build_task(spec)
    module = build_module(spec, TaskShape.of(task))
    try:
        fit(module, spec, task, folder=folder, devices=devices, environment=ranks, curve=Curve())
    except Interrupted:
        return


def _end_with_first() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    _, rank, port, partial, kind, *indices = sys.argv
    devices = Devices("cpu" if kind == "cpu" else "cuda", tuple(map(int, indices)))
    train_along(Ranks(int(rank), int(port)), Path(partial), devices)
