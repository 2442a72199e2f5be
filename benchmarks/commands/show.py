"""One episode of a task as a picture."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from adaptbench.benchmarks.runs.build import instantiate
from adaptbench.benchmarks.suites.registry import load
from adaptbench.benchmarks.suites.spec import Component
from adaptbench.datamodules.base import EpisodicDataModule, EvalEpisodes, Part, TrainEpisodes, require_positive
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize

PARTS: dict[str, Part] = {"train": "train", "val": "val", "test": "test"}
EPISODES = 100
"""Size of the evaluation batch that episodes are taken from; `seed` says which one."""

DEFAULTS: dict[str, EpisodeSize] = {
    "categorical": EpisodeSize(ways=5, shots=1, queries=2),
    "gaussian": EpisodeSize(ways=None, shots=5, queries=100),
}


def draw_episode(
    name: str,
    out: Path,
    *,
    ways: int | None = None,
    shots: int | None = None,
    queries: int | None = None,
    split: str = "test",
    scope: str | None = None,
    seed: int = 0,
) -> None:
    """Draws one episode: images with labels, or points of a function.

    Args:
        name: the task.
        out: the picture's file; its ending says which format.
        ways: classes; for regression none. What is left out gets a size that makes a good picture.
        shots: support examples (per class).
        queries: query examples (per class).
        split: the part, "train", "val" or "test"; or one of the task's splits, such as "lake"; or both, "lake/val".
        scope: "across" or "within", for tasks that have scopes.
        seed: which of the part's episodes: below 100 for validation and test.

    Raises:
        ValueError: if there is no such task, split, scope or episode, or the file's ending is no picture's.
    """
    kind = load("task", name)
    part, init_args = _place(name, split, scope)
    count = kind.fixed_test.episodes if kind.fixed_test else EPISODES
    if seed < 0 or (part != "train" and seed >= count):
        raise ValueError(f"Expected `--seed` to be from 0 to {count - 1}, the episode's number, but got {seed}.")
    default = kind.fixed_test.sizes[0] if kind.fixed_test else DEFAULTS[kind.likelihood]
    size = EpisodeSize(
        ways=default.ways if ways is None else ways,
        shots=default.shots if shots is None else shots,
        queries=default.queries if queries is None else queries,
    )
    task = _task(Component(name=name, init_args=init_args), size, count)
    if part == "train":
        batch, row = task.train_batch(seed), 0
    else:
        batch, row = task.eval_batch(part, size, count), seed
    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    (_draw_images if size.ways else _draw_points)(figure, batch, row=row, size=size)
    figure.suptitle(f"{name} ({kind.protocol(init_args)}), {part}, episode {seed}", fontsize=8, wrap=True)
    figure.savefig(out, dpi=150)


def _place(name: str, split: str, scope: str | None) -> tuple[Part, dict[str, Any]]:
    """Reads `--split` and `--scope` into the part and the task's arguments."""
    named, _, part = split.rpartition("/")
    if not named and split not in PARTS:
        named, part = split, "test"
    known = inspect.signature(load("task", name)).parameters
    if part not in PARTS or (named and "split" not in known):
        raise ValueError(
            "Expected `--split` to be `train`, `val` or `test`"
            f"{', or a split such as `lake` or `lake/val`,' if 'split' in known else ''} but got `{split}`."
        )
    if scope is not None and "scope" not in known:
        raise ValueError(f"Expected `--scope` to be left out for {name}, which has none, but got `{scope}`.")
    init_args = {"split": named} if named else {}
    return PARTS[part], init_args if scope is None else {**init_args, "scope": scope}


def _task(component: Component, size: EpisodeSize, episodes: int) -> EpisodicDataModule:
    require_positive(shots=size.shots, queries=size.queries)
    pool = (size.shots + size.queries) * (size.ways or 1)
    train = TrainEpisodes(
        ways=size.ways, shots=(size.shots,), queries=size.queries, pool=pool, episodes=1 if size.ways else None
    )
    test = EvalEpisodes(ways=size.ways, shots=(size.shots,), queries=size.queries, episodes=episodes)
    task: EpisodicDataModule = instantiate("task", component, train=train, test=test)
    return task


def _draw_images(figure: Figure, batch: EpisodeBatch, row: int, size: EpisodeSize) -> None:
    """One column a class, in the order of the labels: support images above the line, queries below."""
    ways, rows = size.ways or 1, size.shots + size.queries
    figure.set_size_inches(max(3.0, 0.9 * ways + 0.6), 0.9 * rows + 0.9)
    support = _by_class(batch.support[row], batch.support_y[row])
    query = _by_class(batch.query[row], batch.query_y[row])
    columns = np.concatenate([support, query], axis=1)
    grid = figure.subplots(rows, ways, squeeze=False)
    for (line, column), axes in np.ndenumerate(grid):
        image = batch.inputs[columns[column, line]].numpy()
        is_query = line >= size.shots
        _draw_image(axes, image, "#D55E00" if is_query else "#0072B2")
        if column == 0:
            axes.set_ylabel("query" if is_query else "support", fontsize=8)
        if line == 0:
            axes.set_title(f"label {column}", fontsize=9)


def _by_class(rows: Tensor, one_hot: Tensor) -> np.ndarray:
    """Sorts the rows of an episode into [ways, rows per class]."""
    order = one_hot.argmax(dim=-1).argsort(stable=True)
    return rows[order].reshape(one_hot.shape[-1], -1).numpy()


def _draw_image(axes: Axes, image: np.ndarray, frame: str) -> None:
    axes.imshow(image, cmap="gray_r", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(frame)


def _draw_points(figure: Figure, batch: EpisodeBatch, row: int, size: EpisodeSize) -> None:
    """Support points, and the queries, whose true values trace the function."""
    figure.set_size_inches(5.0, 3.2)
    axes = figure.subplots()
    x, y = _points(batch, batch.query[row], batch.query_y[row])
    axes.plot(x, y, "-", color="#D55E00", linewidth=0.8, alpha=0.5)
    axes.plot(x, y, ".", color="#D55E00", markersize=4, label=f"query ({size.queries})")
    x, y = _points(batch, batch.support[row], batch.support_y[row])
    axes.plot(x, y, "o", color="#0072B2", label=f"support ({size.shots})")
    axes.set(xlabel="x", ylabel="y")
    axes.legend(frameon=False, fontsize=8)


def _points(batch: EpisodeBatch, rows: Tensor, targets: Tensor) -> tuple[Any, Any]:
    """Returns x and y of an episode's rows, ordered by x."""
    x, y = batch.inputs[rows, 0].numpy(), targets[:, 0].numpy()
    order = x.argsort()
    return x[order], y[order]
