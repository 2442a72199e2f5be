"""How a process that computes runs is prepared: one thread, quiet, and gone with its parent."""

import logging
import multiprocessing
import os
import signal
import threading
import warnings
from typing import Any


class _Asked:
    """Whether this worker process was asked to stop; its executor says where to look."""

    flag: Any = None

    @classmethod
    def to_stop(cls) -> bool:
        return cls.flag is not None and bool(cls.flag.value)


def initialise(stopping: Any = None) -> None:  # noqa: ANN401 - ctypes' shared value has no type of its own
    """Prepares a worker process: one thread, quiet, deaf to Ctrl-C, which the parent answers, and gone with it.

    Args:
        stopping: a shared value that is set once running runs shall stop.
    """
    import torch

    _Asked.flag = stopping
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
    warnings.filterwarnings("ignore", message=r".*recommended to use .*sync_dist=True")  # the first device's are logged
    warnings.filterwarnings("ignore", message=r".*LeafSpec.*is deprecated.*")
    warnings.filterwarnings("ignore", message=r".*checkpoint.*ended before the epoch ended.*")
    warnings.filterwarnings("ignore", message=r".*`srun` command is available.*")
