"""How cost grows: measured seconds and memory against sizes that a user may choose."""

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from adaptbench.benchmarks.executors.plan import Plan
from adaptbench.benchmarks.runs.build import build_task
from adaptbench.benchmarks.runs.run import execute
from adaptbench.benchmarks.speed.memory import most_memory
from adaptbench.benchmarks.speed.workloads import Sample, descend, omniglot, seconds_of, task_and_module
from adaptbench.benchmarks.store.store import Store
from adaptbench.benchmarks.suites.spec import Budget, Component, Encoder
from adaptbench.benchmarks.suites.suite import Suite
from adaptbench.datamodules.base import EvalEpisodes, TrainEpisodes
from adaptbench.datamodules.class_episodes import episodes_over_pool
from adaptbench.datamodules.episodes import EpisodeSize
from adaptbench.reports.report import write_report

STEPS, EPISODES = 3, 16


@dataclass(frozen=True)
class Scaling:
    """One cost against one size.

    Attributes:
        against: name of the size.
        unit: unit of the cost.
        sizes: the sizes at which the cost is measured.
        prepare: makes the function that measures the cost once, from a size and a folder for files.
        others: the settings that stay the same, for the figure.
    """

    against: str
    unit: str
    sizes: Sequence[int]
    prepare: Callable[[int, Path], Sample]
    others: str


def measure_costs(repeats: int) -> Iterator[pd.DataFrame]:
    """Measures each cost at each size; torch uses one thread.

    Args:
        repeats: measurements at each size; the median counts.

    Yields:
        A table for each cost with the columns `against`, `unit`, `others`, `size` and `cost`.
    """
    torch.set_num_threads(1)
    for each in SCALINGS:
        with tempfile.TemporaryDirectory() as folder:
            samples = {size: each.prepare(size, Path(folder)) for size in each.sizes}
            turns = [{size: sample() for size, sample in samples.items()} for _ in range(repeats)]
        rows = [(size, statistics.median(turn[size] for turn in turns)) for size in samples]
        frame = pd.DataFrame(rows, columns=["size", "cost"])
        yield frame.assign(against=each.against, unit=each.unit, others=each.others)


def _step(ways: int = 5, shots: int = 1, pool: int = 512) -> Sample:
    """Measures the seconds of a training step of attention on images of noise; drawing the batch does not count."""
    train = TrainEpisodes(ways=ways, shots=(1,), queries=1, pool=pool, episodes=EPISODES)
    test = EvalEpisodes(ways=ways, shots=(1,), queries=1, episodes=1)
    encoder = Encoder(name="strided", init_args={"filters": 16})
    _, module = task_and_module(omniglot(train=train, test=test, encoder=encoder))
    rng, classes = np.random.default_rng(0), pool // (shots + 1)
    images = torch.from_numpy(rng.integers(256, size=(classes * (shots + 1), 28, 28), dtype=np.uint8))
    batch = episodes_over_pool(rng, images, classes, EpisodeSize(ways, shots, 1), EPISODES)
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)

    def take(steps: int = STEPS) -> None:
        for _ in range(steps):
            descend(module, batch, optimizer)

    take(1)  # warms up
    return lambda: seconds_of(take) / STEPS


def _test(episodes: int, _: Path) -> Sample:
    """Measures the seconds to draw test episodes, images included, and to predict them."""
    task, module = task_and_module(omniglot())
    return lambda: seconds_of(lambda: module.predict(task.eval_batch("test", task.test.sizes[0], episodes)))


def _report(runs: int, folder: Path) -> Sample:
    """Measures the seconds of a report on many real runs, each as short as possible."""
    tiny = {
        "task": {"name": "sinusoid"},
        "train": {"shots": [5], "queries": 5, "pool": 40},
        "test": {"shots": [5], "queries": 5, "episodes": 20},
        "encoder": {"name": "mlp", "init_args": {"width": 8, "depth": 1}},
        "budget": Budget(examples=80, epochs=1, val_episodes=4),
        "learners": {"deep_sets": {"learner": {"name": "deep_sets", "init_args": {"width": 8, "slots": 1}}}},
    }
    suite = Suite(suite="growth", version=1, description="Tiny runs.", seeds=list(range(runs)), tasks=[tiny])  # type: ignore[list-item]
    store = Store(folder / str(runs))
    for cell in suite.cells():
        execute(cell.spec, store)
    store.write_manifest(Plan(suite, suite.cells(), {}).manifest([suite.suite]))
    return lambda: seconds_of(lambda: write_report(store.root, store.root / "report", "growth"))


def _memory(classes: int, _: Path) -> Sample:
    """Measures the peak memory of a process that draws a training batch from `classes` classes of glyphs."""
    script = "import sys; from adaptbench.benchmarks.speed.scaling import draw_batch; draw_batch(int(sys.argv[1]))"
    return lambda: most_memory(script, str(classes))


def draw_batch(classes: int) -> None:
    """Draws a training batch from `classes` classes of glyphs."""
    build_task(omniglot(task=Component(name="glyphs", init_args={"train_classes": classes}))).train_batch(0)


SCALINGS = (
    Scaling("ways", "s a training step", sizes=(5, 10, 20, 50, 100), prepare=lambda ways, _: _step(ways=ways),
            others="1 shot, pool 512, 16 episodes"),
    Scaling("shots", "s a training step", sizes=(1, 5, 10, 20, 50), prepare=lambda shots, _: _step(shots=shots),
            others="5 ways, pool 512, 16 episodes"),
    Scaling("pool", "s a training step", sizes=(64, 128, 256, 512, 1024), prepare=lambda pool, _: _step(pool=pool),
            others="5 ways, 1 shot, 16 episodes"),
    Scaling("test episodes", "s a test", sizes=(10, 100, 1000, 10_000), prepare=_test,
            others="attention, Omniglot, 5 ways, 1 shot"),
    Scaling("runs", "s a report", sizes=(10, 30, 100, 300), prepare=_report,
            others="sinusoids, one learner, many seeds"),
    Scaling("classes of glyphs", "GiB", sizes=(100, 1000, 10_000, 100_000), prepare=_memory,
            others="one training batch, pool 256"),
)  # fmt: skip
"""The costs that `adaptbench speed --growth` measures."""
