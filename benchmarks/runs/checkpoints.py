"""Checkpoints of a training: written atomically, at intervals and on request; resuming gives the same bits."""

import os
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from adaptbench.benchmarks.store.store import CHECKPOINT, flush
from adaptbench.benchmarks.suites.spec import CHECKPOINT_SECONDS


class Interrupted(Exception):
    """The run was asked to stop and wrote a checkpoint, from which it can continue."""


class CheckpointDamaged(RuntimeError):
    """A checkpoint cannot be read; it has been removed."""


def never() -> bool:
    """Returns False: nobody asks to stop."""
    return False


@dataclass(frozen=True)
class Checkpoints:
    """When a training writes checkpoints; it changes no result.

    Attributes:
        seconds: time between two checkpoints within an epoch; every epoch also ends with one.
        should_stop: called after every step; once it returns true, the training writes a checkpoint and stops.
    """

    seconds: float = CHECKPOINT_SECONDS
    should_stop: Callable[[], bool] = never


class AtomicCheckpoint(Callback):
    """Writes the training's state after every epoch and at intervals, so that a killed run can continue.

    It must be the last callback, because it writes the state of the others.

    Args:
        folder: the run's partial folder.
        checkpoints: when to write.
    """

    def __init__(self, folder: Path, checkpoints: Checkpoints) -> None:
        self.folder, self.checkpoints = folder, checkpoints
        self.last = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        """Writes if it is time, except after an epoch's last step: the epoch's end writes after validation."""
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return
        stop = self.checkpoints.should_stop()
        write, stop = _agreed(trainer, (stop or time.monotonic() - self.last >= self.checkpoints.seconds, stop))
        if write:
            self._write(trainer, stop)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes."""
        self._write(trainer, *_agreed(trainer, (self.checkpoints.should_stop(),)))

    def _write(self, trainer: pl.Trainer, stop: bool) -> None:
        """Writes a new file, then replaces the last checkpoint."""
        new = self.folder / f"{CHECKPOINT}.new"
        try:
            trainer.save_checkpoint(new, weights_only=False)
            if trainer.is_global_zero:
                flush(new)
                os.replace(new, self.folder / CHECKPOINT)
        except BaseException:
            new.unlink(missing_ok=True)  # frees a full disk
            raise
        self.last = time.monotonic()
        if stop and trainer.global_step < trainer.max_steps:
            raise Interrupted


def _agreed(trainer: pl.Trainer, decision: tuple[bool, ...]) -> tuple[bool, ...]:
    """Returns the decision of the first device, which all devices follow."""
    return trainer.strategy.broadcast(decision) if trainer.world_size > 1 else decision


class Generators(Callback):
    """Stores the state of torch's generators in checkpoints, which Lightning does not."""

    def state_dict(self) -> dict[str, Any]:
        """The states."""
        on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
        return {"generator": torch.get_rng_state(), "generators": on_gpus}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The states of a checkpoint."""
        torch.set_rng_state(state_dict["generator"])
        if state_dict["generators"] and len(state_dict["generators"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state_dict["generators"])


def checkpoint_to_resume(folder: Path) -> Path | None:
    """Finds the checkpoint of an earlier try, and reads every byte of it.

    Raises:
        CheckpointDamaged: if it is not what was written.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    damaged = damaged_part(path)
    if damaged is None:
        return path
    path.unlink()
    raise CheckpointDamaged(f"the checkpoint was damaged ({damaged}) and was removed; the next try starts again")


def damaged_part(path: Path) -> str | None:
    """Reads every byte of a checkpoint; returns the damaged part, or None."""
    try:
        with zipfile.ZipFile(path) as archive:  # torch writes a checksum of each part, but does not check it
            return archive.testzip()
    except (zipfile.BadZipFile, OSError, ValueError, EOFError) as error:
        return str(error)
