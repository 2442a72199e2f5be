"""Prepares a process that computes runs: one thread, quiet, frugal with system calls, and ended with its parent."""

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from typing import Any

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Names of two settings in glibc's malloc.h: free memory to keep, and the most blocks with a mapping of their own."""


class StopRequest:
    """The request of an executor that this worker process stops."""

    flag: Any = None

    @classmethod
    def made(cls) -> bool:
        """Whether it was made."""
        return cls.flag is not None and bool(cls.flag.value)


def initialise(stopping: Any = None) -> None:  # noqa: ANN401 - ctypes' shared value has no type of its own
    """Prepares a worker process: one thread, quiet, ended with its parent, which alone handles Ctrl-C and SIGHUP.

    Args:
        stopping: a shared value that is set to ask running runs to stop.
    """
    import torch

    StopRequest.flag = stopping
    for each in ("SIGINT", "SIGHUP"):
        if hasattr(signal, each):
            signal.signal(getattr(signal, each), signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    os.environ["WANDB_SILENT"] = "true"
    os.environ.pop("WANDB_SERVICE", None)  # each worker starts its own
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, deterministic algorithms refuse CUDA
    torch.set_num_threads(1)
    keep_memory()
    quiet()


def keep_memory() -> None:
    """Makes glibc keep freed memory for this process, which changes no result; without glibc it does nothing.

    A training step frees what the next one asks for. By default glibc gives large blocks back to the system, which
    clears each page again for the next step: up to a third of the CPU time.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(TRIM_THRESHOLD, -1)
        mallopt(MMAP_MAX, 0)


def _end_with_parent() -> None:
    """Ends this process with its parent, so that an orphan does not work on a run that the next command starts."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def quiet() -> None:
    """Silences messages of Lightning that are of no use in a suite."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric", "pytorch_lightning.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=r".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=r".*recommended to use .*sync_dist=True")  # only the first device logs
    warnings.filterwarnings("ignore", message=r".*LeafSpec.*is deprecated.*")
    warnings.filterwarnings("ignore", message=r".*checkpoint.*ended before the epoch ended.*")
    warnings.filterwarnings("ignore", message=r".*`srun` command is available.*")
