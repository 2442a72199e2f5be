"""Races: seconds of training until a test accuracy, against the same learner without pools and learn2learn's own."""

import importlib
import itertools
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from torch import Tensor
from torch.nn import functional as F

from benchmarks import peers
from benchmarks.callbacks import Curve
from benchmarks.checkpoints import Checkpoints
from benchmarks.fitting import fit
from benchmarks.spec import Budget, Component, EpisodicSpec
from benchmarks.speed import Measurement
from benchmarks.workloads import WAYS, descend, omniglot, task_and_module
from datamodules.base import EpisodicDataModule, EvalEpisodes, TrainEpisodes
from datamodules.class_task import ClassDataModule
from datamodules.episodes import EpisodeBatch
from lit_modules.optimization import Optimization
from lit_modules.prototypes import Prototypes
from lit_modules.training import encode_all

EPISODES, LOOK_IMAGES = 1000, 12_800
"""Test episodes, and images encoded in training between two tests."""
OWN_IMAGES = "attention, strided, each episode's own images"
PROTOTYPES = "learn2learn, prototypical network, pooled Conv-4"
FLOORS = {OWN_IMAGES: 2.5, PROTOTYPES: 20.0}
SNELL_WAYS, SNELL_SHOTS, SNELL_QUERIES = 60, 1, 5
"""The training episodes of Snell et al. 2017 (arXiv 1703.05175), who halve Adam's rate every 2000 episodes."""
SNELL_HALVES = 2000


class Reached(Exception):
    """The race is over."""


class Stopwatch:
    """Seconds of training since `start`; testing does not count.

    Args:
        task: whose test episodes are predicted.
        accuracy: the race ends with it.
        limit: seconds after which the race is lost.
    """

    def __init__(self, task: EpisodicDataModule, accuracy: float, limit: float) -> None:
        self.batch = task.eval_batch("test", task.test.sizes[0], task.test.episodes)
        self.accuracy, self.limit = accuracy, limit
        self.seconds, self._since = 0.0, math.nan

    def start(self) -> None:
        """Starts the clock, when everything is there and the first step comes next."""
        self._since = time.perf_counter()

    def look(self, predict: Callable[[EpisodeBatch], Tensor]) -> None:
        """Stops the clock and tests.

        Raises:
            Reached: if the race is over; `seconds` is infinite if it is lost.
        """
        self.seconds += time.perf_counter() - self._since
        if self.seconds > self.limit:
            self.seconds = math.inf
            raise Reached
        right = predict(self.batch).argmax(dim=-1) == self.batch.query_y.argmax(dim=-1)
        if float(right.float().mean()) >= self.accuracy:
            raise Reached
        self.start()


def every(images: int) -> int:
    """Steps of so many images between two tests."""
    return max(1, LOOK_IMAGES // images)


class Watched(Curve):
    """Lets a stopwatch look at a training under Lightning.

    Args:
        watch: the stopwatch.
        steps: between two looks.
    """

    def __init__(self, watch: Stopwatch, steps: int) -> None:
        super().__init__()
        self.watch, self.steps = watch, steps

    def on_train_start(self, *_: object) -> None:
        """Starts the clock."""
        self.watch.start()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        """Looks now and then."""
        if trainer.global_step % self.steps == 0 or trainer.global_step == trainer.max_steps:
            self.watch.look(pl_module.predict)  # type: ignore[arg-type]  # an EpisodicModule


def race(accuracy: float, threads: int, limit: float, examples: int, only: str | None = None) -> Iterator[Measurement]:
    """Trains attention, on 5-way 1-shot episodes of the split `vinyals` with rotations, until a test accuracy.

    Whoever is first above it in any of many tests has won: a stopwatch, and no estimate of anybody's accuracy.

    Args:
        accuracy: the test accuracy.
        threads: of torch.
        limit: seconds of training after which a race is lost.
        examples: the budget that the learning rate's schedule is made for.
        only: a part of the peers' names.

    Raises:
        ValueError: if no peer has it, or none that has it can be imported.
    """
    chosen = [peer for peer in PEERS if only is None or only in peer]
    if not chosen:
        raise ValueError(f"Expected a part of {' or '.join(f'`{peer}`' for peer in PEERS)} but got `{only}`.")
    missing = peers.missing()
    there = [peer for peer in chosen if peer.partition(",")[0] not in missing]
    if not there:
        raise ValueError(f"{chosen[0].partition(',')[0]} cannot be imported, and there is nobody else to race against.")
    torch.set_num_threads(threads)
    spec = _spec(examples)
    ours = _seconds(_ours, spec, accuracy, limit)
    what = f"attention, strided, until {100 * accuracy:g} %"
    for peer in there:
        yield Measurement(what, "s", ours, peer, _seconds(PEERS[peer], spec, accuracy, limit), FLOORS[peer])


def _spec(examples: int) -> EpisodicSpec:
    return omniglot(
        train=TrainEpisodes(ways=WAYS, shots=(1,), queries=3, pool=128, episodes=32),
        test=EvalEpisodes(ways=WAYS, shots=(1,), queries=15, episodes=EPISODES),
        encoder=Component(name="strided", init_args={"filters": [32, 32, 64, 128]}),
        learner=Component(name="attention", init_args={"layers": 1}),
        budget=Budget(examples=examples, epochs=1, val_episodes=1),
        optimization=Optimization(lr=0.002),
    )


def _seconds(
    contender: Callable[[EpisodicSpec, EpisodicDataModule, Any, Stopwatch], None],
    spec: EpisodicSpec,
    accuracy: float,
    limit: float,
) -> float:
    task, module = task_and_module(spec)
    watch = Stopwatch(task, accuracy, limit)
    try:
        contender(spec, task, module, watch)
    except Reached:
        return watch.seconds
    return math.inf


def _ours(spec: EpisodicSpec, task: EpisodicDataModule, module: Any, watch: Stopwatch) -> None:  # noqa: ANN401
    with tempfile.TemporaryDirectory() as folder:
        watched = Watched(watch, every(spec.train.pool))
        fit(module, spec, task, Path(folder), "cpu", LightningEnvironment(), watched, Checkpoints())


def _own_images(spec: EpisodicSpec, task: EpisodicDataModule, module: Any, watch: Stopwatch) -> None:  # noqa: ANN401
    """The same learner and schedule in a plain loop, on as many episodes a step that share no image."""
    settings = spec.optimization.configure(module.parameters(), spec.steps)
    episodes, pool = spec.train.episodes or 1, WAYS * (1 + spec.train.queries)
    source, _ = task_and_module(omniglot(train=replace(spec.train, pool=pool, episodes=1)))
    watch.start()
    for step in range(1, spec.steps + 1):
        batch = side_by_side([source.train_batch(step * episodes + episode) for episode in range(episodes)])
        descend(module, batch, settings["optimizer"], spec.optimization.clip)
        settings["lr_scheduler"]["scheduler"].step()
        if step % every(episodes * pool) == 0 or step == spec.steps:
            watch.look(module.predict)


def side_by_side(batches: list[EpisodeBatch]) -> EpisodeBatch:
    """One batch of the episodes of several, each with its own examples."""
    offsets = np.cumsum([0, *(len(batch.inputs) for batch in batches[:-1])]).tolist()
    moved = [
        batch._replace(support=batch.support + offset, query=batch.query + offset)
        for batch, offset in zip(batches, offsets, strict=True)
    ]
    return EpisodeBatch(*(torch.cat(parts) for parts in zip(*moved, strict=True)))


def _learn2learn(_: EpisodicSpec, task: EpisodicDataModule, module: Any, watch: Stopwatch) -> None:  # noqa: ANN401
    """Its prototypical network in the plain loop of its examples, on the same training classes, and no others."""
    backbone = importlib.import_module("learn2learn.vision.models.cnn4").ConvBase
    classifier = importlib.import_module("learn2learn.nn").PrototypicalClassifier
    if not isinstance(task, ClassDataModule):
        raise TypeError("Expected a task of classes.")
    drawings = task.drawing_count("train")
    rows = np.arange(task.class_count("train") * drawings)
    images = task.gather("train", rows // drawings, rows % drawings)
    images = images.float().div_(255).view(-1, drawings, 1, *images.shape[1:])
    sample = peers.SAMPLERS[peers.IN_MEMORY](peers.InMemory(images), SNELL_WAYS, SNELL_SHOTS, SNELL_QUERIES)
    network = torch.nn.Sequential(backbone(hidden=64, channels=1, max_pool=True), torch.nn.Flatten())
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    halving = torch.optim.lr_scheduler.StepLR(optimizer, SNELL_HALVES, 0.5)

    def predict(batch: EpisodeBatch) -> Tensor:
        network.eval()
        features = encode_all(network, batch.inputs.float().div(255).unsqueeze(1))
        network.train()
        return Prototypes(0, WAYS, WAYS)(features[batch.support], batch.support_y, features[batch.query])

    watch.start()
    for step in itertools.count(1):
        x, y = cast("tuple[Tensor, Tensor]", sample())
        order = y.argsort(stable=True).view(SNELL_WAYS, -1)
        features = network(x)
        support, query = order[:, :SNELL_SHOTS].flatten(), order[:, SNELL_SHOTS:].flatten()
        logits = classifier(features[support], y[support], distance="euclidean")(features[query])
        loss = F.cross_entropy(logits, y[query])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        halving.step()
        if step % every(len(x)) == 0:
            watch.look(predict)


PEERS = {OWN_IMAGES: _own_images, PROTOTYPES: _learn2learn}
