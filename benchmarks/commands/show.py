"""The command `adaptbench show`: draws one episode of a task, or of a run with its answers."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from torch import Tensor

from adaptbench.benchmarks.evaluation.adapters import Tells, Told
from adaptbench.benchmarks.evaluation.evaluate import introduce
from adaptbench.benchmarks.runs.build import build_task, instantiate
from adaptbench.benchmarks.runs.trained import load_run
from adaptbench.benchmarks.suites.registry import load
from adaptbench.benchmarks.suites.spec import Component, read_spec
from adaptbench.datamodules.base import (
    EpisodicDataModule,
    EvalEpisodes,
    Part,
    Sampling,
    TrainEpisodes,
    require_positive,
)
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize, first_episodes
from adaptbench.lit_modules.likelihoods import LIKELIHOODS

PARTS: dict[str, Part] = {"train": "train", "val": "val", "test": "test"}
EPISODES = 100
"""Size of the evaluation batch; `seed` is the number of the episode in it."""
STEPS_IN_A_ROW = 10
"""Steps of a stream that are drawn side by side."""
QUERIES_SHOWN, VALUES_SHOWN = 3, 20
"""Queries of each class in the picture of a run's answers, and about as many queries in the terminal."""
GIVEN, ASKED = "#0072B2", "#D55E00"
"""Colours of the support set and of the queries."""

DEFAULTS: dict[str, EpisodeSize] = {
    "categorical": EpisodeSize(ways=5, shots=1, queries=2),
    "gaussian": EpisodeSize(ways=None, shots=5, queries=100),
}
STREAM = EpisodeSize(ways=5, shots=3, queries=1)


def show_episode(
    task: str | None,
    run: Path | None,
    out: Path | None,
    console: Console,
    *,
    ways: int | None,
    shots: int | None,
    seed: int,
    part: str,
    **others: Any,  # noqa: ANN401 - a number of queries, and a task's arguments
) -> Path:
    """Draws an episode of a task, or of a run with its answers; returns the picture's file.

    Args:
        task: the task; None with a run.
        run: the run's folder; None with a task.
        out: the picture's file; None for one named after the task or the run.
        console: where the answers of a run are printed.
        ways: number of classes; None for a default.
        shots: support examples (per class); None for a default.
        seed: number of the episode.
        part: "test" with a run.
        **others: what else `draw_episode` takes; nothing with a run.

    Raises:
        ValueError: if both or neither are given, or an argument is wrong.
    """
    if (task is None) == (run is None):
        raise ValueError("Expected either a task or `--run`, the folder of a run.")
    if run is None:
        picture = out or Path(f"show-{task}.png")
        return draw_episode(task or "", picture, ways=ways, shots=shots, seed=seed, part=part, **others)
    given = [name for name, value in others.items() if value is not None] + (["part"] if part != "test" else [])
    if given:
        raise ValueError(f"Expected `--{given[0]}` to be left out with `--run`, whose test decides it.")
    return draw_answers(run, out or Path(), console, ways=ways, shots=shots, seed=seed)


def draw_episode(
    name: str,
    out: Path,
    *,
    ways: int | None = None,
    shots: int | None = None,
    queries: int | None = None,
    part: str = "test",
    seed: int = 0,
    **arguments: str | None,
) -> Path:
    """Draws one episode: images with labels, the steps of a stream, or points of a function.

    Args:
        name: the task.
        out: the picture's file; its ending decides the format, PNG by default. In a folder, it is show-TASK.png.
        ways: number of classes; None for regression, or for a default.
        shots: support examples (per class), or presentations of each class in a stream; None as for `ways`.
        queries: query examples (per class); None as for `ways`, and for streams, in which every step is a query.
        part: "train", "val" or "test".
        seed: number of the episode in its part: below 100 for validation and test.
        **arguments: arguments of the task, such as its `split`; None for the task's default.

    Returns:
        The picture's file.

    Raises:
        ValueError: if the task, part, split, scope, episode or picture format does not exist.
    """
    kind: type[EpisodicDataModule] = load("task", name)
    if part not in PARTS:
        raise ValueError(f"Expected `--part` to be `train`, `val` or `test` but got `{part}`.")
    init_args = _arguments(name, arguments)
    count = kind.fixed_test.episodes if kind.fixed_test else EPISODES
    if seed < 0 or (part != "train" and seed >= count):
        raise ValueError(f"Expected `--seed` to be from 0 to {count - 1}, the episode's number, but got {seed}.")
    if kind.stream and queries is not None:
        raise ValueError(f"Expected `--queries` to be left out for {name}, whose steps are queries, but got {queries}.")
    default = _default_size(kind)
    size = EpisodeSize(
        ways=default.ways if ways is None else ways,
        shots=default.shots if shots is None else shots,
        queries=default.queries if queries is None else queries,
    )
    batch, row = _episode(_task(Component(name=name, init_args=init_args), size, count), PARTS[part], size, seed)
    out = _picture(out, name)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # not the user's settings
        figure = Figure(layout="constrained")
        FigureCanvasAgg(figure)
        if kind.stream:
            _draw_stream(figure, batch, row)
        elif size.ways:
            _draw_images(figure, batch, row, size, colours="gray" if "path" in init_args else "gray_r")  # photographs
        else:
            _draw_points(figure, batch, row, size)
        figure.suptitle(f"{name} ({kind.protocol(init_args)}), {part}, episode {seed}", fontsize=8, wrap=True)
        figure.savefig(out, dpi=150)
    return out


def draw_answers(
    run: Path, out: Path, console: Console, *, ways: int | None = None, shots: int | None = None, seed: int = 0
) -> Path:
    """Draws an episode of a run's test with what the run answers, and prints its answers.

    Args:
        run: the run's folder.
        out: the picture's file; in a folder, it is show-RUN.png.
        console: where answers are printed.
        ways: number of classes of the test; None for the first one that it has.
        shots: support examples of the test; None as for `ways`.
        seed: number of the episode in the test.

    Raises:
        ValueError: if the folder is no finished run that predicts episodes, or its test has no such episode.
    """
    if not run.exists():
        raise ValueError(f"Expected `--run` to be the folder of a finished run but {run} does not exist.")
    trained = load_run(run)
    spec = read_spec(run)
    task = build_task(spec.training)
    if task.stream:
        raise ValueError(f"Expected `--run` to be tested on episodes, but {run} is tested on streams.")
    fitting = [each for each in spec.test.sizes if ways in (None, each.ways) and shots in (None, each.shots)]
    if not fitting:
        tested = ", ".join(each.title for each in spec.test.sizes)
        raise ValueError(f"Expected `--ways` and `--shots` to be of the run's test ({tested}).")
    size, count = fitting[0], spec.test.episodes
    if not 0 <= seed < count:
        raise ValueError(f"Expected `--seed` to be from 0 to {count - 1}, the episode's number, but got {seed}.")
    batch = task.eval_batch("test", size, count)
    introduce(trained.adapter, task)
    if isinstance(trained.adapter, Told) and isinstance(task, Tells):
        trained.adapter.functions = task.eval_functions("test", size, count)[seed : seed + 1]
    batch = first_episodes(batch.episodes(slice(seed, seed + 1)), 1)
    prediction = trained.adapter.predict(batch.without_targets())[0]
    said = LIKELIHOODS[task.likelihood].point(prediction[:, : size.ways] if size.ways else prediction)
    out = _picture(out, run.name)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        figure = Figure(layout="constrained")
        FigureCanvasAgg(figure)
        if size.ways:
            _print_labels(batch, said, console)
            colours = "gray" if "path" in spec.training.task.init_args else "gray_r"
            shown = size._replace(queries=min(size.queries, QUERIES_SHOWN))
            _draw_images(figure, batch, 0, shown, colours=colours, said=said)
        else:
            _print_values(batch, said[:, 0], console)
            _draw_points(figure, batch, 0, size, said=said[:, 0])
        figure.suptitle(
            f"{spec.training.task.name}, {size.title}, test episode {seed}, run {run.name}", fontsize=8, wrap=True
        )
        figure.savefig(out, dpi=150)
    return out


def _picture(out: Path, name: str) -> Path:
    return out / f"show-{name}.png" if out.is_dir() else out if out.suffix else out.with_name(f"{out.name}.png")


def _print_labels(batch: EpisodeBatch, said: Tensor, console: Console) -> None:
    labels, found = batch.query_y[0].argmax(dim=-1), said.argmax(dim=-1)
    table = Table("query", "label", "answer", *(f"p({label})" for label in range(said.shape[1])), box=SIMPLE_HEAD)
    for query, likely in enumerate(said[:VALUES_SHOWN].tolist()):
        right = labels[query] == found[query]
        answer = f"[{'green' if right else 'red'}]{found[query]} {'right' if right else 'wrong'}[/]"
        table.add_row(str(query + 1), str(int(labels[query])), answer, *(f"{100 * each:.0f} %" for each in likely))
    console.print(table)
    rest = f"The first {VALUES_SHOWN} queries are shown. " if len(labels) > VALUES_SHOWN else ""
    console.print(f"{rest}{int((labels == found).sum())} of {len(labels)} queries are right.")


def _print_values(batch: EpisodeBatch, said: Tensor, console: Console) -> None:
    table = Table("x", "true y", "answer", box=SIMPLE_HEAD)
    x, y = batch.inputs[batch.query[0], 0], batch.query_y[0, :, 0]
    order = x.argsort()
    for row in order[:: max(1, len(order) // VALUES_SHOWN)].tolist():
        table.add_row(*(f"{float(each[row]):.2f}" for each in (x, y, said)))
    console.print(table)
    console.print(f"Mean squared error of {len(x)} queries: {float((said - y).square().mean()):.3g}.")


def _arguments(name: str, arguments: Mapping[str, str | None]) -> dict[str, Any]:
    """Returns the arguments that were given; the task must have them."""
    given = {argument: value for argument, value in arguments.items() if value is not None}
    for argument in given.keys() - inspect.signature(load("task", name)).parameters.keys():
        text = f"Expected `--{argument}` to be left out for {name}, which has none, but got `{given[argument]}`."
        raise ValueError(text)
    return given


def _default_size(kind: type[EpisodicDataModule]) -> EpisodeSize:
    if kind.fixed_test:
        return kind.fixed_test.sizes[0]
    return STREAM if kind.stream else DEFAULTS[kind.likelihood]


def _episode(task: EpisodicDataModule, part: Part, size: EpisodeSize, seed: int) -> tuple[EpisodeBatch, int]:
    """Returns the batch that has the episode, and the episode's number in it."""
    if part == "train":
        return task.train_batch(seed), 0
    return task.eval_batch(part, size, task.test.episodes), seed


def _task(component: Component, size: EpisodeSize, episodes: int) -> EpisodicDataModule:
    require_positive(shots=size.shots, queries=size.queries)
    pool = (size.shots + size.queries) * (size.ways or 1)
    train = TrainEpisodes(
        ways=size.ways, shots=(size.shots,), queries=size.queries, pool=pool, episodes=1 if size.ways else None
    )
    test = EvalEpisodes(ways=size.ways, shots=(size.shots,), queries=size.queries, episodes=episodes)
    task: EpisodicDataModule = instantiate("task", component, Sampling(train=train, test=test))
    return task


def _draw_images(
    figure: Figure,
    batch: EpisodeBatch,
    row: int,
    size: EpisodeSize,
    colours: str = "gray_r",
    said: Tensor | None = None,
) -> None:
    """Draws a column per class in the order of the labels, support images above queries; answers [Q, N] below them."""
    ways = size.ways or 1
    support = _by_class(batch.support[row], batch.support_y[row])
    query = _by_class(batch.query[row], batch.query_y[row])
    shots = max(len(each) for each in support)  # they may differ between classes
    rows = shots + min(size.queries, len(query[0]))
    figure.set_size_inches(max(3.0, 0.9 * ways + 0.6), 0.9 * rows + 0.9)
    asked = batch.query[row].tolist()
    grid = figure.subplots(rows, ways, squeeze=False)
    for (line, column), axes in np.ndenumerate(grid):
        is_query = line >= shots
        shown = query[column][line - shots :] if is_query else support[column][line:]
        if not shown:
            axes.set_axis_off()
            continue
        _draw_image(axes, batch.inputs[shown[0]].numpy(), ASKED if is_query else GIVEN, colours)
        if is_query and said is not None:
            likely = said[asked.index(shown[0])]
            found = int(likely.argmax())
            color = GIVEN if found == column else ASKED
            axes.set_xlabel(f"{found} ({100 * float(likely[found]):.0f} %)", fontsize=8, color=color)
        if column == 0:
            axes.set_ylabel("query" if is_query else "support", fontsize=8)
        if line == 0:
            axes.set_title(f"label {column}", fontsize=9)


def _draw_stream(figure: Figure, batch: EpisodeBatch, row: int) -> None:
    """Draws the images of a stream in order, each below the label given with it and above the label to predict."""
    labels = batch.support_y[row].argmax(dim=-1).tolist()
    columns = min(STEPS_IN_A_ROW, len(labels))
    rows = -(-len(labels) // columns)
    figure.set_size_inches(max(4.0, 0.9 * columns + 0.9), 1.4 * rows + 0.8)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(labels) :]:
        axes.set_axis_off()
    for step, (axes, label) in enumerate(zip(grid.flat, labels, strict=False)):
        _draw_image(axes, batch.inputs[batch.support[row, step]].numpy(), ASKED)
        axes.set_title(f"given: {labels[step - 1]}" if step else "given: none", fontsize=8, color=GIVEN)
        axes.set_xlabel(f"predict: {label}", fontsize=8, color=ASKED)
        if step % columns == 0:
            axes.set_ylabel(f"step {step + 1}", fontsize=8)


def _by_class(rows: Tensor, one_hot: Tensor) -> list[list[int]]:
    """Lists the rows of an episode for each label."""
    labels = one_hot.argmax(dim=-1)
    return [rows[labels == label].tolist() for label in range(one_hot.shape[-1])]


def _draw_image(axes: Axes, image: np.ndarray, frame: str, colours: str = "gray_r") -> None:
    axes.imshow(image.transpose(1, 2, 0) if image.ndim == 3 else image, cmap=colours, vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(frame)


def _draw_points(figure: Figure, batch: EpisodeBatch, row: int, size: EpisodeSize, said: Tensor | None = None) -> None:
    """Draws support points, queries and answers [Q] over the first number of x; queries of a single one trace it."""
    figure.set_size_inches(5.0, 3.2)
    axes = figure.subplots()
    x, y = _points(batch, batch.query[row], batch.query_y[row])
    if batch.inputs.shape[1] == 1:
        axes.plot(x, y, "-", color=ASKED, linewidth=0.8, alpha=0.5)
    axes.plot(x, y, ".", color=ASKED, markersize=4, label=f"query ({size.queries})")
    if said is not None:
        axes.plot(*_points(batch, batch.query[row], said[:, None]), "-", color="black", label="answer")
    x, y = _points(batch, batch.support[row], batch.support_y[row])
    axes.plot(x, y, "o", color=GIVEN, label=f"support ({size.shots})")
    axes.set(xlabel="x", ylabel="y")
    axes.legend(frameon=False, fontsize=8)


def _points(batch: EpisodeBatch, rows: Tensor, targets: Tensor) -> tuple[Any, Any]:
    """Returns x and y of an episode's rows, ordered by x."""
    x, y = batch.inputs[rows, 0].numpy(), targets[:, 0].numpy()
    order = x.argsort()
    return x[order], y[order]
