"""The work that `adaptbench speed` measures, done by this project and by its peers."""

import copy
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.utils.flop_counter import FlopCounterMode

from adaptbench.benchmarks.runs.build import TaskShape, build_module, build_task
from adaptbench.benchmarks.runs.callbacks import Curve
from adaptbench.benchmarks.runs.fitting import fit
from adaptbench.benchmarks.speed import peers
from adaptbench.benchmarks.speed.memory import eight_runs, most_memory
from adaptbench.benchmarks.suites.spec import Budget, Component, Encoder, EpisodicSpec, PretrainSpec
from adaptbench.datamodules.base import EpisodicDataModule, EvalEpisodes, TrainEpisodes
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize, first_episodes
from adaptbench.datamodules.omniglot_images import load_images
from adaptbench.lit_modules.episodic import EpisodicModule
from adaptbench.lit_modules.fine_tuning import FineTuning
from adaptbench.lit_modules.optimization import Optimization
from adaptbench.lit_modules.training import encode_all
from adaptbench.lit_modules.transfer import TransferModule

WAYS, QUERIES_IN_TASK = 5, 1
"""A dense task has one support image and one query image of each of five classes."""
TEST_EPISODES = 10_000
SOME_EPISODES = 200
"""Test episodes that are predicted one by one; each of the others would take as long."""
SOME_TASKS = 50
"""Tasks that a peer draws in a row."""
SEEDS, SEED_STEPS = 8, 40
FLOP_STEPS, PRODUCTS, SIDE = 10, 50, 1024
"""Training steps, and products of two square matrices of that size, in which operations are counted."""
OURS, ALONE, BARE, STACKED = "ours", "one episode at a time", "a bare PyTorch loop", "stacked by torch.func"
MATRICES = "a product of matrices"

Sample = Callable[[], float]


def omniglot(**changes: Any) -> EpisodicSpec:  # noqa: ANN401 - fields of a spec
    """Makes a cell on Omniglot's split `vinyals` with rotations in training: attention, 5-way 1-shot."""
    settings: dict[str, Any] = {
        "task": Component(name="omniglot", init_args={"split": "vinyals", "rotations": "train"}),
        "train": TrainEpisodes(ways=WAYS, shots=(1,), queries=QUERIES_IN_TASK, pool=256, episodes=64),
        "test": EvalEpisodes(ways=WAYS, shots=(1,), queries=5, episodes=TEST_EPISODES),
        "encoder": Encoder(name="strided"),
        "budget": Budget(examples=256 * 50, epochs=1, val_episodes=1),
        "learner": Component(name="attention"),
        "optimization": Optimization(),
        "seed": 0,
    }
    return EpisodicSpec(**settings | changes)


def _rate(count: int, work: Callable[[], object]) -> float:
    return count / seconds_of(work)


def _tasks() -> dict[str, Sample]:
    """Draws dense tasks: the images of support and query side by side, as floating-point numbers."""
    task = build_task(omniglot())
    size = EpisodeSize(WAYS, 1, QUERIES_IN_TASK)

    def ours() -> None:
        batch = task.eval_batch("test", size, TEST_EPISODES)
        pixels = batch.inputs.flatten(1)
        for support, _, query in batch.chunks(64):
            for rows in (support, query):
                pixels.index_select(0, rows.flatten()).float().div_(255).view(*rows.shape, *batch.inputs.shape[1:])

    images = torch.from_numpy(load_images().pixels.copy()).float().div(255).unsqueeze(2)  # [C, 20, 1, H, W]
    samples: dict[str, Sample] = {OURS: lambda: _rate(TEST_EPISODES, ours)}
    for name, make in peers.SAMPLERS.items():
        with suppress(ImportError):
            samples[name] = _some(make(peers.InMemory(images), WAYS, 1, QUERIES_IN_TASK))
    return samples


def _some(sampler: Callable[[], object]) -> Sample:
    return lambda: _rate(SOME_TASKS, lambda: [sampler() for _ in range(SOME_TASKS)])


def _test() -> dict[str, Sample]:
    """Predicts test episodes with the attention learner. Predicted alone, an episode encodes its own images."""
    task, module = task_and_module(omniglot())
    batch = task.eval_batch("test", task.test.sizes[0], TEST_EPISODES)

    alone = [_episode(batch, row) for row in range(SOME_EPISODES)]
    return {
        OURS: lambda: _rate(TEST_EPISODES, lambda: module.predict(batch)),
        ALONE: lambda: _rate(SOME_EPISODES, lambda: [module.predict(one) for one in alone]),
    }


def _fine_tuning(
    moves: str, *, steps: int, episodes: int, measured: int, alone: int
) -> Callable[[], dict[str, Sample]]:
    """Seconds to fine-tune on 5-way 5-shot episodes.

    Args:
        moves: which layers are tuned.
        steps: steps of tuning in an episode.
        episodes: the number of episodes that the seconds are given for, in proportion.
        measured: episodes that are tuned together.
        alone: episodes that are tuned one by one.
    """

    def prepare() -> dict[str, Sample]:
        training = omniglot(test=EvalEpisodes(ways=WAYS, shots=(5,), queries=15, episodes=measured))
        pretraining = {name: getattr(training, name) for name in ("task", "train", "test", "encoder", "budget", "seed")}
        spec = PretrainSpec(**pretraining, optimization=training.optimization)
        task = build_task(spec)
        network = build_module(spec, TaskShape.of(task))
        if not isinstance(network, TransferModule):
            raise TypeError("Expected a pretraining to build a network for transfer.")
        batch = task.eval_batch("test", task.test.sizes[0], measured)
        if moves == "head":  # its input is encoded once, for all episodes together
            batch = batch._replace(inputs=encode_all(network.eval().encoder, batch.inputs))
            network = _on_features(network)
        adapter = FineTuning(network, WAYS, moves=moves, steps=steps, episodes_at_once=100 if moves == "head" else 10)
        few = [_episode(batch, row) for row in range(alone)]
        return {
            OURS: lambda: seconds_of(lambda: adapter.predict(batch)) * episodes / measured,
            ALONE: lambda: seconds_of(lambda: [adapter.predict(one) for one in few]) * episodes / alone,
        }

    return prepare


def _on_features(network: TransferModule) -> TransferModule:
    """Copies a network for examples that are features already."""
    features = copy.copy(network)
    features._modules = {**network._modules, "encoder": nn.Identity()}
    features.encoder.features = network.features  # type: ignore[assignment]  # nn.Module types every attribute as a tensor
    return features


def _episode(batch: EpisodeBatch, row: int) -> EpisodeBatch:
    """Takes one episode, with only its own images."""
    return first_episodes(batch.episodes(slice(row, row + 1)), 1)


def seconds_of(work: Callable[[], object]) -> float:
    """Measures the wall-clock seconds that work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class Ticks(Curve):
    """Records when the first and the last step of a training ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_train_batch_end(self, *_: object) -> None:
        """Reads the clock."""
        self.ends = [*self.ends[:1], time.perf_counter()]

    @property
    def seconds(self) -> float:
        """Seconds from the end of the first step to the end of the last."""
        return self.ends[-1] - self.ends[0]


def _training(spec: EpisodicSpec, examples: int) -> dict[str, Sample]:
    """Takes training steps under Lightning, and in a bare loop with the same network, batches and optimiser."""
    counted = examples * (spec.steps - 1) / spec.steps

    def ours() -> float:
        task, module = task_and_module(spec)
        ticks = Ticks()
        with tempfile.TemporaryDirectory() as folder:
            fit(module, spec, task, folder=Path(folder), curve=ticks)
        return counted / ticks.seconds

    def bare() -> float:
        task, module = task_and_module(spec)
        optimizer = spec.optimization.configure(module.parameters(), spec.steps)["optimizer"]
        ticks = Ticks()
        for index in range(spec.steps):
            descend(module, task.train_batch(index), optimizer, clip=spec.optimization.clip)
            ticks.on_train_batch_end()
        return counted / ticks.seconds

    return {OURS: ours, BARE: bare}


def _images() -> dict[str, Sample]:
    spec = omniglot(learner=Component(name="prototypes"))
    return _training(spec, spec.steps * spec.train.pool)


def _sinusoid(steps: int) -> EpisodicSpec:
    return omniglot(
        task=Component(name="sinusoid"),
        train=TrainEpisodes(shots=(5,), queries=10, pool=375),
        test=EvalEpisodes(shots=(5,), queries=10, episodes=10),
        encoder=Encoder(name="mlp"),
        budget=Budget(examples=375 * steps, epochs=1, val_episodes=1),
        learner=Component(name="deep_sets", init_args={"slots": 1}),
    )


def _steps() -> dict[str, Sample]:
    spec = _sinusoid(500)
    return _training(spec, spec.steps)


def _operations(learner: str) -> Callable[[], dict[str, Sample]]:
    """Counts the floating-point operations of training steps of the suite `reference`, forward and backward."""

    def prepare() -> dict[str, Sample]:
        train = TrainEpisodes(ways=WAYS, shots=(5,), queries=3, pool=256, episodes=64)
        encoder = Encoder(name="strided", init_args={"filters": [32, 32, 64, 128]})
        spec = omniglot(train=train, encoder=encoder, learner=Component(name=learner))
        task, module = task_and_module(spec)
        optimizer = spec.optimization.configure(module.parameters(), spec.steps)["optimizer"]
        batch, (one, other) = task.train_batch(0), torch.randn(2, SIDE, SIDE)
        with FlopCounterMode(display=False) as counter:
            descend(module, batch, optimizer)
        of_steps, of_products = FLOP_STEPS * counter.get_total_flops(), PRODUCTS * 2 * SIDE**3
        step = partial(descend, module, batch, optimizer)
        return {
            OURS: lambda: _rate(of_steps, lambda: [step() for _ in range(FLOP_STEPS)]) / 1e9,
            MATRICES: lambda: _rate(of_products, lambda: [one @ other for _ in range(PRODUCTS)]) / 1e9,
        }

    return prepare


def _seeds() -> dict[str, Sample]:
    """Trains networks of several seeds one after the other, and stacked into one; drawing batches does not count."""
    task, first = task_and_module(_sinusoid(SEED_STEPS))
    networks = [Answering(first), *(Answering(task_and_module(_sinusoid(SEED_STEPS))[1]) for _ in range(SEEDS - 1))]
    batches = [task.train_batch(index) for index in range(SEED_STEPS)]

    def train(parameters: list[nn.Parameter] | list[Tensor], answer: Callable[[EpisodeBatch], Tensor]) -> None:
        optimizer = torch.optim.AdamW(parameters, fused=True)
        for batch in batches:
            prediction = answer(batch)
            loss = first.likelihood.nll(prediction, batch.query_y.expand(*prediction.shape[:-1], -1)).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def one_by_one() -> None:
        for network in networks:
            train(list(network.parameters()), lambda batch, network=network: network(*batch[:4]))  # type: ignore[misc]

    weights, buffers = stack_module_state(networks)
    each = vmap(
        lambda weights, buffers, batch: functional_call(networks[0], (weights, buffers), batch),
        in_dims=(0, 0, None),
        randomness="error",
    )

    def together() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about operators that vmap applies one by one
            train(list(weights.values()), lambda batch: each(weights, buffers, tuple(batch[:4])))

    total = SEEDS * SEED_STEPS
    return {OURS: lambda: _rate(total, one_by_one), STACKED: lambda: _rate(total, together)}


class Answering(nn.Module):
    """The network of a module as a function of a batch.

    Args:
        module: has the encoder and the learner.
    """

    def __init__(self, module: EpisodicModule) -> None:
        super().__init__()
        self.encoder, self.learner = module.encoder, module.learner

    def forward(self, inputs: Tensor, support: Tensor, support_y: Tensor, query: Tensor) -> Tensor:
        """Predicts the queries, [B, Q, P]."""
        features = self.encoder(inputs)
        return self.learner(features[support], support_y, features[query])


def task_and_module(spec: EpisodicSpec) -> tuple[EpisodicDataModule, EpisodicModule]:
    """Builds the task and the module of a cell with a black-box learner."""
    task = build_task(spec)
    module = build_module(spec, TaskShape.of(task))
    if not isinstance(module, EpisodicModule):
        raise TypeError(f"Expected a black-box learner but got {spec.learner.name}.")
    return task, module


def descend(
    module: EpisodicModule, batch: EpisodeBatch, optimizer: torch.optim.Optimizer, clip: float | None = None
) -> None:
    """Takes a training step without Lightning; `clip` is the largest norm of the gradient, None for no limit."""
    prediction = module.answer(module.embed(module.encoder(batch.inputs)), batch.support, batch.support_y, batch.query)
    optimizer.zero_grad()
    module.likelihood.nll(prediction, batch.query_y).mean().backward()
    if clip is not None:
        nn.utils.clip_grad_norm_(module.parameters(), clip)
    optimizer.step()


def _start(*arguments: str) -> Callable[[], dict[str, Sample]]:
    """Measures the seconds that a command takes from its start to its end."""
    command = [sys.executable, "-m", "adaptbench", *arguments]
    return lambda: {OURS: lambda: seconds_of(lambda: subprocess.run(command, check=True, capture_output=True))}


def _second_start() -> dict[str, Sample]:
    """Loads Omniglot's images from the cache in a new process; the import of torch does not count."""
    load_images()
    script = (
        "import time, torch; from adaptbench.datamodules.omniglot_images import load_images; "
        "start = time.perf_counter(); "
        "load_images().pixels.shape; print(time.perf_counter() - start)"
    )
    return {OURS: lambda: float(subprocess.check_output([sys.executable, "-c", script], text=True))}


def _memory() -> dict[str, Sample]:
    """Measures the peak memory of a process that trains and tests on Omniglot."""

    def ours() -> float:
        with tempfile.TemporaryDirectory() as folder:
            spec = omniglot(test=EvalEpisodes(ways=WAYS, shots=(1,), queries=15, episodes=1000))
            script = (
                "import sys; from pathlib import Path; from adaptbench.benchmarks.runs.run import execute; "
                "from adaptbench.benchmarks.suites.spec import RUN_SPEC; "
                "from adaptbench.benchmarks.store.store import Store; "
                "execute(RUN_SPEC.validate_json(sys.argv[1]), Store(Path(sys.argv[2])))"
            )
            return most_memory(script, spec.model_dump_json(), folder)

    return {OURS: ours}


ROWS: tuple[tuple[str, str, Mapping[str | None, float], Callable[[], dict[str, Sample]]], ...] = (
    ("dense 5-way 1-shot tasks of Omniglot", "tasks/s", peers.SAMPLER_FLOORS, _tasks),
    ("test episodes, attention, 5-way 1-shot", "episodes/s", {ALONE: 12}, _test),
    (
        "head tuned on 1,000 episodes, 100 steps",
        "s",
        {},
        _fine_tuning("head", steps=100, episodes=1000, measured=1000, alone=20),
    ),
    (
        "all layers tuned on 200 episodes, 20 steps",
        "s",
        {},
        _fine_tuning("all", steps=20, episodes=200, measured=20, alone=5),
    ),
    ("images encoded in training", "images/s", {BARE: 0.85}, _images),
    ("training steps on sinusoids", "steps/s", {BARE: 0.85}, _steps),
    ("operations of a training step, deep sets", "GFLOP/s", {MATRICES: 0.5}, _operations("deep_sets")),
    ("operations of a training step, attention", "GFLOP/s", {MATRICES: 0.5}, _operations("attention")),
    ("steps of 8 networks on sinusoids", "steps/s", {}, _seeds),
    ("adaptbench --help", "s", {None: 0.5}, _start("--help")),
    ("adaptbench list learners", "s", {None: 0.5}, _start("list", "learners")),
    ("second start of Omniglot's images", "s", {None: 0.2}, _second_start),
    ("most memory of an Omniglot run", "GiB", {None: 1.2}, _memory),
    ("most memory of eight Omniglot runs at a time", "GiB", {None: 4}, lambda: {OURS: eight_runs}),
)
"""For each row: its name, its unit, the floors, and the function that prepares the measurement.

A floor is the least ratio to a peer; without a peer (None), it is the largest allowed number.
"""
