"""Races: how many seconds of training ours and other learners need to reach a test accuracy."""

import functools
import importlib
import itertools
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from adaptbench.benchmarks.runs.callbacks import Curve
from adaptbench.benchmarks.runs.fitting import fit
from adaptbench.benchmarks.speed import peers
from adaptbench.benchmarks.speed.speed import Measurement
from adaptbench.benchmarks.speed.workloads import WAYS, descend, omniglot, task_and_module
from adaptbench.benchmarks.suites.spec import Budget, Component, Encoder, EpisodicSpec, TrainerOptions
from adaptbench.datamodules.base import EpisodicDataModule, EvalEpisodes, TrainEpisodes
from adaptbench.datamodules.class_task import ClassDataModule
from adaptbench.datamodules.episodes import EpisodeBatch
from adaptbench.lit_modules.optimization import Optimization
from adaptbench.lit_modules.prototypes import Prototypes
from adaptbench.lit_modules.training import encode_all

EPISODES, LOOK_IMAGES, MAML_LOOK_IMAGES = 1000, 12_800, 51_200
"""The number of test episodes, and of training images between two tests. A test of MAML is slow, so it has fewer."""
OWN_IMAGES = "attention, strided, each episode's own images"
PROTOTYPES = "learn2learn, prototypical network, pooled Conv-4"
MAML = "learn2learn, MAML, strided Conv-4"
ATTENTION, OURS_STRIDED, OURS_POOLED = "attention, strided", "prototypes, strided", "prototypes, Conv-4, 60 ways"
RACES = (
    (ATTENTION, OWN_IMAGES, 2.5),
    (ATTENTION, PROTOTYPES, None),
    (OURS_STRIDED, PROTOTYPES, 8.0),
    (OURS_POOLED, PROTOTYPES, None),
    (ATTENTION, MAML, 20.0),
)
"""Our learner, its peer, and the floor: how many times as fast ours is meant to be."""
OURS: Mapping[str, Mapping[str, Any]] = {
    ATTENTION: {"learner": Component(name="attention", init_args={"layers": 1})},
    OURS_STRIDED: {},
    OURS_POOLED: {
        "train": TrainEpisodes(ways=60, shots=(1,), queries=3, pool=480, episodes=8),
        "encoder": Encoder(name="conv4", init_args={"filters": 64}),
        "optimization": Optimization(lr=0.004),
    },
}
"""What our learners have, beside prototypes on a strided network; the last one has what the suite `best` has."""
SNELL_WAYS, SNELL_SHOTS, SNELL_QUERIES = 60, 1, 5
"""Training episodes as in Snell et al. 2017 (arXiv 1703.05175)."""
SNELL_HALVES = 2000
"""They halve Adam's learning rate every so many episodes."""
FINN_TASKS, FINN_RATE, FINN_STEPS, FINN_TEST_STEPS = 32, 0.4, 1, 3
"""Training and test of MAML on 5-way Omniglot as in Finn et al. 2017 (arXiv 1703.03400)."""


class Reached(Exception):
    """The race is over."""


Contender = Callable[[EpisodicSpec, EpisodicDataModule, Any, "Stopwatch"], None]
"""Trains, given a spec, its task, its module and a stopwatch, until the stopwatch ends the race."""


class Stopwatch:
    """Seconds of training since `start`; testing does not count.

    Args:
        task: provides the test episodes.
        accuracy: the test accuracy that ends the race.
        limit: seconds of training after which the race is lost.
    """

    def __init__(self, task: EpisodicDataModule, accuracy: float, limit: float) -> None:
        self.batch = task.eval_batch("test", task.test.sizes[0], task.test.episodes)
        self.accuracy, self.limit = accuracy, limit
        self.seconds, self._since = 0.0, math.nan

    def start(self) -> None:
        """Starts the clock; call it right before the first step."""
        self._since = time.perf_counter()

    def look(self, predict: Callable[[EpisodeBatch], Tensor]) -> None:
        """Stops the clock and tests.

        Raises:
            Reached: if the race is over. `seconds` is then infinite if the race is lost.
        """
        self.seconds += time.perf_counter() - self._since
        if self.seconds > self.limit:
            self.seconds = math.inf
            raise Reached
        right = predict(self.batch).argmax(dim=-1) == self.batch.query_y.argmax(dim=-1)
        if float(right.float().mean()) >= self.accuracy:
            raise Reached
        self.start()


def every(images: int, look: int = LOOK_IMAGES) -> int:
    """The number of steps between two tests, if a step trains on `images` images."""
    return max(1, look // images)


class Watched(Curve):
    """Tests a training under Lightning with a stopwatch.

    Args:
        watch: the stopwatch.
        steps: steps between two tests.
    """

    def __init__(self, watch: Stopwatch, steps: int) -> None:
        super().__init__()
        self.watch, self.steps = watch, steps

    def on_train_start(self, *_: object) -> None:
        """Starts the clock."""
        self.watch.start()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        """Tests every `steps` steps, and after the last."""
        if trainer.global_step % self.steps == 0 or trainer.global_step == trainer.max_steps:
            self.watch.look(pl_module.predict)  # type: ignore[arg-type]  # an EpisodicModule


def race(
    accuracy: float,
    threads: int,
    limit: float,
    examples: int,
    augment: bool = False,
    snell: bool = False,
    precision: Literal["float32", "bf16"] = "float32",
    only: str | None = None,
    repeats: int = 1,
) -> Iterator[Measurement]:
    """Trains learners on 5-way 1-shot episodes of the split `vinyals` with rotations until they reach a test accuracy.

    A learner is tested many times, and one test that reaches the accuracy ends its race. So the seconds measure speed;
    the accuracy itself is overestimated.

    Args:
        accuracy: the test accuracy.
        threads: threads of torch.
        limit: seconds of training after which a race is lost.
        examples: the training budget that sets the length of our learning-rate schedule.
        augment: whether our training images are augmented.
        snell: whether test characters are rotated, too, and all train on the characters of validation besides, as in
            Snell et al. 2017 (arXiv 1703.05175).
        precision: that of our training steps.
        only: a part of the name of ours or of a peer; None for all.
        repeats: races of each learner, each with its own weights and training episodes; the median time counts.

    Raises:
        ValueError: if nobody has `only` in its name, or no such peer can be imported.
    """
    chosen = [each for each in RACES if only is None or only in each[0] or only in each[1]]
    if not chosen:
        raise ValueError(f"Expected a part of {' or '.join(f'`{name}`' for name in (*OURS, *PEERS))} but got `{only}`.")
    missing = peers.missing()
    there = [each for each in chosen if library_of(each[1]) not in missing]
    if not there:
        raise ValueError(f"{library_of(chosen[0][1])} cannot be imported, and there is no other peer to race against.")
    torch.set_num_threads(threads)

    @functools.cache
    def seconds(contender: Contender, name: str) -> float:
        init_args: dict[str, Any] = {"split": "vinyals", "rotations": "train", "augment": augment}
        if snell:
            init_args |= {"rotations": "all", "learn_from": "train_and_val"}
        task, trainer = Component(name="omniglot", init_args=init_args), TrainerOptions(precision=precision)
        specs = (_spec(name, examples, seed, task=task, trainer=trainer) for seed in range(repeats))
        return statistics.median(_seconds(contender, spec, accuracy=accuracy, limit=limit) for spec in specs)

    for name, peer, floor in there:
        what = f"{name}, until {100 * accuracy:g} %"
        ours, theirs = seconds(_ours, name), seconds(PEERS[peer], ATTENTION)
        yield Measurement(what, "s", ours=ours, peer=peer, theirs=theirs, floor=floor)


def library_of(peer: str) -> str:
    """The library of a peer: the first part of its name."""
    return peer.partition(",")[0]


def _spec(name: str, examples: int, seed: int, **changes: Any) -> EpisodicSpec:  # noqa: ANN401 - fields of a spec
    settings: dict[str, Any] = {
        "train": TrainEpisodes(ways=WAYS, shots=(1,), queries=3, pool=128, episodes=32),
        "test": EvalEpisodes(ways=WAYS, shots=(1,), queries=15, episodes=EPISODES),
        "encoder": Encoder(name="strided", init_args={"filters": [32, 32, 64, 128]}),
        "learner": Component(name="prototypes"),
        "budget": Budget(examples=examples, epochs=1, val_episodes=1),
        "optimization": Optimization(lr=0.002),
        "seed": seed,
    }
    return omniglot(**settings | dict(OURS[name]) | changes)


def _seconds(contender: Contender, spec: EpisodicSpec, accuracy: float, limit: float) -> float:
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
        fit(module, spec, task, folder=Path(folder), curve=watched)


def _own_images(spec: EpisodicSpec, task: EpisodicDataModule, module: Any, watch: Stopwatch) -> None:  # noqa: ANN401
    """Trains the same learner in a plain loop with the same schedule; the episodes of a step share no image."""
    settings = spec.optimization.configure(module.parameters(), spec.steps)
    episodes, pool = spec.train.episodes or 1, WAYS * (1 + spec.train.queries)
    source, _ = task_and_module(omniglot(task=spec.task, train=replace(spec.train, pool=pool, episodes=1)))
    watch.start()
    for step in range(1, spec.steps + 1):
        batch = side_by_side([source.train_batch(step * episodes + episode) for episode in range(episodes)])
        descend(module, batch, settings["optimizer"], clip=spec.optimization.clip)
        settings["lr_scheduler"]["scheduler"].step()
        if step % every(episodes * pool) == 0 or step == spec.steps:
            watch.look(module.predict)


def side_by_side(batches: list[EpisodeBatch]) -> EpisodeBatch:
    """Joins batches into one, in which every episode keeps its own examples."""
    offsets = np.cumsum([0, *(len(batch.inputs) for batch in batches[:-1])]).tolist()
    moved = [
        batch._replace(support=batch.support + offset, query=batch.query + offset)
        for batch, offset in zip(batches, offsets, strict=True)
    ]
    return EpisodeBatch(*(torch.cat(parts) for parts in zip(*moved, strict=True)))


def _tasks(task: EpisodicDataModule, ways: int, shots: int, queries: int) -> Callable[[], tuple[Tensor, ...]]:
    """Makes a function that draws tasks from the same training classes with learn2learn's fastest transforms.

    Returns:
        The function. Each call returns support images, their labels, query images and their labels.
    """
    if not isinstance(task, ClassDataModule):
        raise TypeError("Expected a task of classes.")
    drawings = task.drawing_count("train")
    rows = np.arange(task.class_count("train") * drawings)
    images = task.gather("train", rows // drawings, rows % drawings)
    images = images.float().div_(255).view(-1, drawings, 1, *images.shape[1:])
    sample = peers.SAMPLERS[peers.IN_MEMORY](peers.InMemory(images), ways, shots, queries)

    def draw() -> tuple[Tensor, ...]:
        x, y = cast("tuple[Tensor, Tensor]", sample())
        order = y.argsort(stable=True).view(ways, -1)
        support, query = order[:, :shots].flatten(), order[:, shots:].flatten()
        return x[support], y[support], x[query], y[query]

    return draw


def _prototypes(_: EpisodicSpec, task: EpisodicDataModule, module: Any, watch: Stopwatch) -> None:  # noqa: ANN401
    """Trains learn2learn's prototypical network in the plain loop of learn2learn's examples."""
    backbone = importlib.import_module("learn2learn.vision.models.cnn4").ConvBase
    classifier = importlib.import_module("learn2learn.nn").PrototypicalClassifier
    draw = _tasks(task, ways=SNELL_WAYS, shots=SNELL_SHOTS, queries=SNELL_QUERIES)
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
        support_x, support_y, query_x, query_y = draw()
        features, asked = network(torch.cat([support_x, query_x])).split([len(support_x), len(query_x)])
        loss = F.cross_entropy(classifier(features, support_y, distance="euclidean")(asked), query_y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        halving.step()
        if step % every(len(support_x) + len(query_x)) == 0:
            watch.look(predict)


def _maml(_: EpisodicSpec, task: EpisodicDataModule, module: Any, watch: Stopwatch) -> None:  # noqa: ANN401
    """Trains learn2learn's MAML in the plain loop of its examples.

    As in those examples, batch norm sees the queries of an episode together.
    """
    network = importlib.import_module("learn2learn.vision.models").OmniglotCNN(WAYS)
    maml = importlib.import_module("learn2learn.algorithms").MAML(network, lr=FINN_RATE)
    draw, optimizer = _tasks(task, ways=WAYS, shots=1, queries=1), torch.optim.Adam(maml.parameters(), lr=0.001)

    def adapted(x: Tensor, y: Tensor, steps: int, *, first_order: bool) -> Any:  # noqa: ANN401
        learner = maml.clone(first_order=first_order)
        for _ in range(steps):
            learner.adapt(F.cross_entropy(learner(x), y))
        return learner

    def predict(batch: EpisodeBatch) -> Tensor:
        x, labels = batch.inputs.float().div(255).unsqueeze(1), batch.support_y.argmax(dim=-1)
        return torch.stack([
            adapted(x[support], y, FINN_TEST_STEPS, first_order=True)(x[query]).detach()
            for support, y, query in zip(batch.support, labels, batch.query, strict=True)
        ])  # fmt: skip

    watch.start()
    for step in itertools.count(1):
        optimizer.zero_grad()
        for _drawn in range(FINN_TASKS):
            support_x, support_y, query_x, query_y = draw()
            learner = adapted(support_x, support_y, FINN_STEPS, first_order=False)
            (F.cross_entropy(learner(query_x), query_y) / FINN_TASKS).backward()
        optimizer.step()
        if step % every(FINN_TASKS * 2 * WAYS, MAML_LOOK_IMAGES) == 0:
            watch.look(predict)


PEERS = {OWN_IMAGES: _own_images, PROTOTYPES: _prototypes, MAML: _maml}
