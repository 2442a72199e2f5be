"""Lightning callbacks of a run: training time, learning curve, best weights, progress."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback


class Stopwatch(Callback):
    """Measures the time of a training over all its tries; checkpoints store it.

    Attributes:
        seconds: wall-clock seconds until the last start or stop.
        cpu_seconds: CPU seconds of this process until then.
    """

    def __init__(self) -> None:
        self.seconds, self.cpu_seconds = 0.0, 0.0

    def start(self) -> None:
        """Begins to measure."""
        self._since = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        """Adds the time since the start, and starts again."""
        since, cpu_since = self._since
        self.start()
        self.seconds += self._since[0] - since
        self.cpu_seconds += self._since[1] - cpu_since

    def state_dict(self) -> dict[str, Any]:
        """The time until now."""
        self.stop()
        return {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Adds the time stored in a checkpoint."""
        self.seconds += state_dict["seconds"]
        self.cpu_seconds += state_dict["cpu_seconds"]


Row = Mapping[str, Any]
"""A row of `curve.parquet`."""


class Curve(Callback):
    """Collects the logged metrics of each epoch as rows of `curve.parquet`; checkpoints store them.

    Args:
        follow: called with the rows of each epoch, and first with those of a checkpoint.
    """

    def __init__(self, follow: Callable[[Sequence[Row]], None] | None = None) -> None:
        self.rows: list[Row] = []
        self.follow = follow or (lambda rows: None)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tells the rows of a checkpoint."""
        self.follow(self.rows)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Adds a row for each metric."""
        before = len(self.rows)
        encoded = int(pl_module.examples_encoded)  # type: ignore[arg-type]  # a buffer of TrainedModule
        for name, value in sorted(trainer.callback_metrics.items()):
            part, _, metric = name.partition("/")
            row = {"step": trainer.global_step, "examples_encoded": encoded, "part": part, "metric": metric}
            self.rows.append({**row, "value": float(value)})
        self.follow(self.rows[before:])

    def state_dict(self) -> dict[str, Any]:
        """The rows."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The rows of a checkpoint."""
        self.rows = list(state_dict["rows"])


class BestWeights(Callback):
    """Keeps the weights with the best validation score, and restores them when training ends.

    Args:
        metric: the metric, as logged on validation.
        higher_is_better: its direction.
    """

    def __init__(self, metric: str, higher_is_better: bool) -> None:
        self.metric, self.sign = f"val/{metric}", 1 if higher_is_better else -1
        self.best = -float("inf")
        self.weights: dict[str, torch.Tensor] = {}

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Copies the weights if they are the best so far."""
        value = self.sign * float(trainer.callback_metrics[self.metric])
        if value > self.best:
            self.best = value
            self.weights = {name: tensor.detach().clone() for name, tensor in pl_module.state_dict().items()}

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restores the best weights, if any score was a number, but not the count of examples encoded."""
        last = pl_module.state_dict()
        pl_module.load_state_dict({**last, **self.weights, "examples_encoded": last["examples_encoded"]})

    def state_dict(self) -> dict[str, Any]:
        """The best so far."""
        return {"best": self.best, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The best of a checkpoint."""
        self.best, self.weights = state_dict["best"], state_dict["weights"]


class ProgressFile(Callback):
    """Writes the share of the training that is done into a file, for the progress display.

    Args:
        folder: the run's partial folder.
        seconds: time between two writes.
    """

    def __init__(self, folder: Path, seconds: float = 0.5) -> None:
        self.path, self.seconds = folder / "progress", seconds
        self.last = -math.inf

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        """Writes now and then."""
        if trainer.is_global_zero and time.monotonic() - self.last >= self.seconds:
            self.last = time.monotonic()
            self.path.write_text(f"{trainer.global_step / trainer.max_steps:.3f}", encoding="ascii")
