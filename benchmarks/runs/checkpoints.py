"""Checkpoints of a training: written atomically, at intervals and on request, and resumed to the same bits."""

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
    """The run was asked to stop; it wrote a checkpoint and goes on from there another time."""


class CheckpointDamaged(RuntimeError):
    """A checkpoint cannot be read; it has been removed."""


def never() -> bool:
    """Says that nobody asked the run to stop."""
    return False


@dataclass(frozen=True)
class Checkpoints:
    """When a training writes checkpoints; nothing here changes a result.

    Attributes:
        seconds: time between two checkpoints within an epoch; every epoch ends with one, whatever this is.
        should_stop: asked after every step; once it says yes, the training writes a checkpoint and stops.
    """

    seconds: float = CHECKPOINT_SECONDS
    should_stop: Callable[[], bool] = never


class AtomicCheckpoint(Callback):
    """Writes the training's state after every epoch and at intervals, so that a killed run goes on from there.

    It has to be the last of the callbacks, for it writes what they hold.

    Args:
        folder: the run's partial folder.
        checkpoints: when to write.
    """

    def __init__(self, folder: Path, checkpoints: Checkpoints) -> None:
        self.folder, self.checkpoints = folder, checkpoints
        self.last = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        """Writes if it is time; the last step of an epoch is left to the epoch's end, which comes after validation."""
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
        """Writes beside the last checkpoint, then takes its place."""
        new = self.folder / f"{CHECKPOINT}.new"
        try:
            trainer.save_checkpoint(new, weights_only=False)
            if trainer.is_global_zero:
                flush(new)
                os.replace(new, self.folder / CHECKPOINT)
        except BaseException:
            new.unlink(missing_ok=True)  # on a full disk, what was written of it is in everybody's way
            raise
        self.last = time.monotonic()
        if stop and trainer.global_step < trainer.max_steps:
            raise Interrupted


def _agreed(trainer: pl.Trainer, decision: tuple[bool, ...]) -> tuple[bool, ...]:
    """The decision of the first of the devices that train together, which all have to follow."""
    return trainer.strategy.broadcast(decision) if trainer.world_size > 1 else decision


class Generators(Callback):
    """Keeps the state of torch's generators in checkpoints, which Lightning does not."""

    def state_dict(self) -> dict[str, Any]:
        """The state of each."""
        return {
            "generator": torch.get_rng_state(),
            "generators": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The states of a checkpoint."""
        torch.set_rng_state(state_dict["generator"])
        if state_dict["generators"] and len(state_dict["generators"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state_dict["generators"])


def checkpoint_to_resume(folder: Path) -> Path | None:
    """Finds the checkpoint of an earlier try, and looks at every byte of it.

    Raises:
        CheckpointDamaged: if it cannot be what was written.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    damaged = damaged_part(path)
    if damaged is None:
        return path
    path.unlink()
    raise CheckpointDamaged(f"the checkpoint was damaged ({damaged}) and is removed; the next try starts anew")


def damaged_part(path: Path) -> str | None:
    """Reads every byte of a checkpoint; says what of it is damaged, or None."""
    try:
        with zipfile.ZipFile(path) as archive:  # what torch writes, with a checksum of each part that torch never reads
            return archive.testzip()
    except (zipfile.BadZipFile, OSError, ValueError, EOFError) as error:
        return str(error)
