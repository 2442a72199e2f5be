"""What a worker process does: one run after the other, each with one thread."""

import logging
import multiprocessing
import os
import signal
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path

from benchmarks.mirror import Mode
from benchmarks.mirrored import Target, close_mirror, open_mirror
from benchmarks.spec import RUN_SPEC
from benchmarks.store import Store


@dataclass(frozen=True)
class Order:
    """What a worker is asked to do; nothing here changes a result.

    Attributes:
        spec: JSON of the run's spec.
        root: folder of the runs.
        suite: name of the suite, by which W&B groups runs.
        name: what to call the run in W&B.
        wandb: how W&B follows.
        device: "cpu" or "cuda".
        models: whether W&B gets the weights too.
    """

    spec: str
    root: Path
    suite: str
    name: str
    wandb: Mode
    device: str
    models: bool = False


def initialise() -> None:
    """Prepares a worker process: one thread, quiet, deaf to Ctrl-C, which the parent answers, and gone with it."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    os.environ["WANDB_SILENT"] = "true"
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, deterministic algorithms refuse CUDA
    torch.set_num_threads(1)
    quiet()


def _end_with_parent() -> None:
    """Ends this process when its parent is killed: a run nobody waits for would meet the next command's own try."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def quiet() -> None:
    """Silences what Lightning says about every training that a suite has no use for."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric", "pytorch_lightning.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=r".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=r".*LeafSpec.*is deprecated.*")
    warnings.filterwarnings("ignore", message=r".*checkpoint.*ended before the epoch ended.*")


def work(order: Order) -> str | None:
    """Runs one cell and publishes it; W&B follows as far as it can.

    Returns:
        What went wrong with W&B; None if nothing did.
    """
    from benchmarks.run import execute

    spec = RUN_SPEC.validate_json(order.spec)
    store = Store(order.root)
    if order.wandb == "off":
        execute(spec, store, None, order.device)
        return None
    target = Target(order.suite, order.wandb, models=order.models)
    mirror = open_mirror(spec, order.name, order.root, target)
    try:
        execute(spec, store, mirror, order.device)
    except BaseException:
        mirror.close({}, failed=True)
        raise
    return close_mirror(mirror, store, spec.run_id, target)
