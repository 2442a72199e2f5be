"""What `adaptbench speed` measures: this project against plain PyTorch and other libraries, on the same work."""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from rich import box
from rich.table import Table

from benchmarks import peers
from benchmarks.build import TaskShape, build_module, build_task
from benchmarks.callbacks import Curve
from benchmarks.checkpoints import Checkpoints
from benchmarks.environment import describe_environment
from benchmarks.fitting import fit
from benchmarks.spec import Budget, Component, EpisodicSpec
from datamodules.base import EpisodicDataModule, EvalEpisodes, TrainEpisodes
from datamodules.episodes import EpisodeBatch, EpisodeSize, first_episodes
from datamodules.omniglot_images import load_images
from lit_modules.episodic import EpisodicModule
from lit_modules.optimization import Optimization

WAYS, QUERIES_IN_TASK = 5, 1
"""Of the dense tasks: one support and one query image of each of five classes."""
TEST_EPISODES = 10_000
SOME_EPISODES = 200
"""Of the test episodes, how many are predicted one by one; the others would take as long each."""
ALONE, BARE = "one episode at a time", "a bare PyTorch loop"


@dataclass(frozen=True)
class Measurement:
    """One row of the table.

    Attributes:
        what: the work.
        unit: of the numbers; one "a second" is a rate, of which more is better, and any other a cost.
        ours: median of this project.
        peer: what it is compared with; None where there is nothing to compare with.
        theirs: median of the peer.
        floor: what the ratio has to reach, or, where there is no peer, the most that the number may be.
    """

    what: str
    unit: str
    ours: float
    peer: str | None = None
    theirs: float | None = None
    floor: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times as fast as the peer this project is."""
        if self.theirs is None:
            return None
        return self.ours / self.theirs if self.unit.endswith("/s") else self.theirs / self.ours


OURS = "ours"
Sample = Callable[[], float]


def measure(repeats: int, only: str | None = None) -> Iterator[Measurement]:
    """Measures everything, or the rows with a word in their name; peers that are not installed are left out.

    Ours and the peers' take turns, and all are medians over the turns. Torch uses one thread.

    Args:
        repeats: turns.
        only: a part of the rows' names.

    Raises:
        ValueError: if no row has it.
    """
    if only is not None and not any(only in what for what, *_ in ROWS):
        names = ", ".join(f"`{what}`" for what, *_ in ROWS)
        raise ValueError(f"Expected a part of {names} but got `{only}`.")
    torch.set_num_threads(1)
    for what, unit, floors, prepare in ROWS:
        if only is not None and only not in what:
            continue
        samples = prepare()
        turns = [{name: sample() for name, sample in samples.items()} for _ in range(repeats)]
        medians: dict[str | None, float] = {name: statistics.median(turn[name] for turn in turns) for name in samples}
        ours = medians.pop(OURS)
        for peer in medians or [None]:
            yield Measurement(what, unit, ours, peer, medians.get(peer), floors.get(peer))


def as_table(measurements: Iterable[Measurement]) -> Table:
    """Lays the rows out for a terminal; a ratio that misses its floor is red."""
    table = Table("what", "peer", box=box.MARKDOWN)
    for column in ("adaptbench", "peer's", "ratio", "floor"):
        table.add_column(column, justify="right")
    for row in measurements:
        reached = row.floor is None or (row.ours <= row.floor if row.ratio is None else row.ratio >= row.floor)
        color = "green" if reached else "red"
        table.add_row(
            f"{row.what}, {row.unit}",
            row.peer or "",
            f"{row.ours:,.4g}" if row.ratio else f"[{color}]{row.ours:.3g}[/]",
            "" if row.theirs is None else f"{row.theirs:,.4g}",
            "" if row.ratio is None else f"[{color}]{row.ratio:.3g}[/]",
            "" if row.floor is None else f"{row.floor:g}",
        )
    return table


def record(measurements: list[Measurement], out: Path) -> None:
    """Writes the table with the machine, the commit and the date."""
    rows = [{**asdict(each), "ratio": each.ratio} for each in measurements]
    made = {**describe_environment("cpu"), "cores": os.cpu_count(), "date": datetime.now(UTC).date().isoformat()}
    out.write_text(json.dumps({"rows": rows, "made": made}, indent=1) + "\n", encoding="utf-8")


def _omniglot(**changes: Any) -> EpisodicSpec:  # noqa: ANN401 - of a spec
    settings: dict[str, Any] = {
        "task": Component(name="omniglot", init_args={"split": "vinyals", "rotations": "train"}),
        "train": TrainEpisodes(ways=WAYS, shots=(1,), queries=QUERIES_IN_TASK, pool=256, episodes=64),
        "test": EvalEpisodes(ways=WAYS, shots=(1,), queries=5, episodes=TEST_EPISODES),
        "encoder": Component(name="strided"),
        "budget": Budget(examples=256 * 24, epochs=1, val_episodes=1),
        "learner": Component(name="attention"),
        "optimization": Optimization(),
        "seed": 0,
    }
    return EpisodicSpec(**settings | changes)


def _rate(count: int, work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def _tasks() -> dict[str, Sample]:
    """Dense tasks: images of support and query side by side, as floating point numbers."""
    task = build_task(_omniglot())
    size = EpisodeSize(WAYS, 1, QUERIES_IN_TASK)

    def ours() -> None:
        batch = task.eval_batch("test", size, TEST_EPISODES)
        pixels = batch.inputs.flatten(1)
        for support, _, query in batch.parts(64):
            for rows in (support, query):
                pixels.index_select(0, rows.flatten()).float().div_(255).view(*rows.shape, *batch.inputs.shape[1:])

    images = torch.from_numpy(load_images().pixels.copy()).float().div(255).unsqueeze(2)  # [C, 20, 1, H, W]
    samples: dict[str, Sample] = {OURS: lambda: _rate(TEST_EPISODES, ours)}
    for name, sampler in peers.samplers(images, WAYS, 1, QUERIES_IN_TASK).items():
        samples[name] = lambda sampler=sampler: _rate(50, lambda: [sampler() for _ in range(50)])  # type: ignore[misc]
    return samples


def _test() -> dict[str, Sample]:
    """Test episodes with the attention learner; alone, each encodes its own images."""
    task, module = _task_and_module(_omniglot())
    batch = task.eval_batch("test", task.test.sizes[0], TEST_EPISODES)

    rows = (slice(row, row + 1) for row in range(SOME_EPISODES))
    alone = [first_episodes(EpisodeBatch(batch.inputs, *(field[row] for field in batch[1:])), 1) for row in rows]

    return {
        OURS: lambda: _rate(TEST_EPISODES, lambda: module.predict(batch)),
        ALONE: lambda: _rate(SOME_EPISODES, lambda: [module.predict(one) for one in alone]),
    }


def _training(spec: EpisodicSpec, examples: int) -> dict[str, Sample]:
    """Training under Lightning, against a loop that has the same network, batches and optimiser, and nothing else."""

    def ours() -> float:
        task, module = _task_and_module(spec)
        with tempfile.TemporaryDirectory() as folder:
            environment = LightningEnvironment()
            times = fit(module, spec, task, Path(folder), "cpu", environment, Curve(), Checkpoints())
        return examples / times["train_seconds"]

    def bare() -> float:
        task, module = _task_and_module(spec)
        optimizer = spec.optimization.configure(module.parameters(), spec.steps)["optimizer"]
        start = time.perf_counter()
        for index in range(spec.steps):
            batch = task.train_batch(index)
            prediction = module.answer(module.encoder(batch.inputs), batch.support, batch.support_y, batch.query)
            loss = module.likelihood.nll(prediction, batch.query_y).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
        return examples / (time.perf_counter() - start)

    return {OURS: ours, BARE: bare}


def _images() -> dict[str, Sample]:
    spec = _omniglot(learner=Component(name="prototypes"))
    return _training(spec, spec.steps * spec.train.pool)


def _steps() -> dict[str, Sample]:
    spec = _omniglot(
        task=Component(name="sinusoid"),
        train=TrainEpisodes(shots=(5,), queries=10, pool=375),
        test=EvalEpisodes(shots=(5,), queries=10, episodes=10),
        encoder=Component(name="mlp"),
        budget=Budget(examples=375 * 500, epochs=1, val_episodes=1),
        learner=Component(name="deep_sets", init_args={"slots": 1}),
    )
    return _training(spec, spec.steps)


def _task_and_module(spec: EpisodicSpec) -> tuple[EpisodicDataModule, EpisodicModule]:
    task = build_task(spec)
    module = build_module(spec, TaskShape.of(task))
    if not isinstance(module, EpisodicModule):
        raise TypeError(f"Expected a black-box learner but got {spec.learner.name}.")
    return task, module


def _start(*arguments: str) -> Callable[[], dict[str, Sample]]:
    """Seconds that a command takes from its start to its end."""
    command = [sys.executable, "-c", "from benchmarks.cli import app; app()", *arguments]
    return lambda: {OURS: lambda: 1 / _rate(1, lambda: subprocess.run(command, check=True, capture_output=True))}


def _second_start() -> dict[str, Sample]:
    """Omniglot's images in a process of its own, once they are in the cache; torch's import does not count."""
    load_images()
    script = (
        "import time, torch; from datamodules.omniglot_images import load_images; start = time.perf_counter(); "
        "load_images().pixels.shape; print(time.perf_counter() - start)"
    )
    return {OURS: lambda: float(subprocess.check_output([sys.executable, "-c", script], text=True))}


def _memory() -> dict[str, Sample]:
    """The most memory that a process has that trains and tests on Omniglot."""

    def ours() -> float:
        with tempfile.TemporaryDirectory() as folder:
            spec = _omniglot(test=EvalEpisodes(ways=WAYS, shots=(1,), queries=15, episodes=1000))
            script = (
                "import sys; from pathlib import Path; from benchmarks.run import execute; "
                "from benchmarks.spec import RUN_SPEC; from benchmarks.store import Store; "
                "execute(RUN_SPEC.validate_json(sys.argv[1]), Store(Path(sys.argv[2])))"
            )
            command = [sys.executable, "-c", script, spec.model_dump_json(), folder]
            subprocess.run(command, check=True, capture_output=True)
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2

    return {OURS: ours}


ROWS: tuple[tuple[str, str, Mapping[str | None, float], Callable[[], dict[str, Sample]]], ...] = (
    ("dense 5-way 1-shot tasks of Omniglot", "tasks/s", peers.SAMPLER_FLOORS, _tasks),
    ("test episodes, attention, 5-way 1-shot", "episodes/s", {ALONE: 50}, _test),
    ("images encoded in training", "images/s", {BARE: 0.85}, _images),
    ("training steps on sinusoids", "steps/s", {BARE: 0.85}, _steps),
    ("adaptbench --help", "s", {None: 0.5}, _start("--help")),
    ("adaptbench list learners", "s", {None: 0.5}, _start("list", "learners")),
    ("second start of Omniglot's images", "s", {None: 0.2}, _second_start),
    ("most memory of an Omniglot run", "GiB", {None: 1.2}, _memory),
)
"""What is measured, its unit, what each peer's ratio (or where there is no peer, the number) has to reach, and how."""
