"""The base of all LightningModules here: optimisation, logging and the count of encoded examples."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from adaptbench.lit_modules.optimization import Optimization

ENCODE_AT_ONCE = 1024


class Encodings:
    """What modules made of tensors.

    Attributes:
        saved: seconds that were not spent, because something had been made before.
    """

    def __init__(self) -> None:
        self.saved = 0.0
        self._made: dict[tuple[int, ...], tuple[tuple[nn.Module, Tensor], Tensor, float]] = {}

    def once(self, maker: nn.Module, inputs: Tensor, make: Callable[[], Tensor]) -> Tensor:
        """Returns what `maker`, with the same weights and mode, made of the very same tensor before, or makes it."""
        weights = maker.state_dict(keep_vars=True).values()
        key = id(maker), id(inputs), maker.training, *(each._version for each in weights)
        if key in self._made:
            _, made, seconds = self._made[key]
            self.saved += seconds
            return made
        start = time.perf_counter()
        made = make()
        self._made[key] = (maker, inputs), made, time.perf_counter() - start  # both kept: an id is of a living object
        return made


_ENCODINGS: ContextVar[Encodings | None] = ContextVar("encodings", default=None)


@contextmanager
def encoding_once() -> Iterator[Encodings]:
    """Within it, a module encodes the same tensor of examples once, unless its weights change."""
    encodings = Encodings()
    token = _ENCODINGS.set(encodings)
    try:
        yield encodings
    finally:
        _ENCODINGS.reset(token)


def once(maker: nn.Module, inputs: Tensor, make: Callable[[], Tensor]) -> Tensor:
    """Returns `make()`, or what the same maker made of the same tensor within the same `encoding_once`."""
    encodings = _ENCODINGS.get()
    return make() if encodings is None else encodings.once(maker, inputs, make)


@torch.no_grad()
def encode_all(encoder: nn.Module, inputs: Tensor) -> Tensor:
    """Encodes [M, *x] into [M, D] without gradients, in chunks so that memory stays bounded."""
    return once(encoder, inputs, lambda: torch.cat([encoder(part) for part in inputs.split(ENCODE_AT_ONCE)]))


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Puts a module into evaluation mode, and restores its mode afterwards."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


class TrainedModule(pl.LightningModule):
    """A network with an encoder, trained with `Optimization`, that counts the examples encoded in its training.

    If several devices train it together, the count includes the examples of all devices.

    Args:
        encoder: from examples [M, *x] to features [M, D].
        optimization: settings of the optimiser.
    """

    examples_encoded: Tensor

    def __init__(self, encoder: nn.Module, optimization: Optimization) -> None:
        super().__init__()
        self.encoder, self.optimization = encoder, optimization
        self.register_buffer("examples_encoded", torch.zeros((), dtype=torch.int64))
        self._sums: dict[str, Tensor] = {}
        self._summed = 0
        self._validating = ExitStack()

    def on_validation_epoch_start(self) -> None:
        """Encodes the validation examples once for all sizes of episodes."""
        self._validating.enter_context(encoding_once())

    def on_validation_epoch_end(self) -> None:
        """Forgets them."""
        self._validating.close()

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's union of ten forms
        """Makes optimiser and schedule for the trainer's number of steps.

        Raises:
            ValueError: if the trainer has no limit of steps or epochs.
        """
        steps = self.trainer.estimated_stepping_batches
        if not math.isfinite(steps):
            raise ValueError("Expected the Trainer's `max_steps` or `max_epochs` to limit the training but got -1.")
        return self.optimization.configure(self.parameters(), int(steps))

    def encode_training(self, inputs: Tensor) -> Tensor:
        """Encodes [M, *x] into [M, D] with gradients, and counts the examples."""
        self.count_encoded(len(inputs))
        return self.encoder(inputs)

    def count_encoded(self, examples: int) -> None:
        """Adds examples that this device, and each other device that trains with it, has encoded."""
        devices = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
        self.examples_encoded += examples * devices

    def log_means(self, part: str, values: Mapping[str, Tensor], size: int) -> None:
        """Logs each value's mean over the epoch as `part/name`; with several devices, only those of the first one.

        In training, it sums the values itself and logs once per epoch, because a call of Lightning's `log` takes a
        tenth of the time of a small network's step.
        """
        means = {f"{part}/{name}": value.mean() for name, value in values.items()}
        if part == "train":
            self._sums = {name: mean * size + self._sums.get(name, 0.0) for name, mean in means.items()}
            self._summed += size
            if not (self.trainer.is_last_batch or self.trainer.global_step + 1 == self.trainer.max_steps):
                return
            means, size = {name: total / self._summed for name, total in self._sums.items()}, 1
            self._sums, self._summed = {}, 0
        self.log_dict(means, on_step=False, on_epoch=True, batch_size=size, add_dataloader_idx=False)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Saves the sums of an unfinished epoch."""
        checkpoint["epoch_sums"] = {name: total.cpu() for name, total in self._sums.items()}, self._summed

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the sums of an unfinished epoch."""
        sums, self._summed = checkpoint.get("epoch_sums", ({}, 0))
        self._sums = {name: total.to(self.device) for name, total in sums.items()}
