"""`adaptbench report --laboratory`: lets trained networks answer, for the laboratories of the page."""

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from adaptbench.benchmarks.laboratory.episodes import MOST_SUPPORT, Drawn, answers, draw
from adaptbench.benchmarks.laboratory.networks import NotExported, export, export_posterior
from adaptbench.benchmarks.runs.build import build_task
from adaptbench.benchmarks.runs.trained import load_run
from adaptbench.benchmarks.suites.spec import read_spec
from adaptbench.datamodules.base import EvalPart
from adaptbench.datamodules.class_task import ClassDataModule
from adaptbench.datamodules.episodes import EpisodeSize
from adaptbench.datamodules.sinusoid import SinusoidDataModule
from adaptbench.reports.laboratory_format import Answers, Episode, Explored, Functions, Laboratory, Network
from adaptbench.reports.results.manifest import Cell, read_suite
from adaptbench.reports.results.runs import Run, read_outcomes


def write_laboratory(runs: Path, suite: str | None) -> Path:
    """Lets the trained networks of a suite answer, and writes what they say beside its runs.

    Of each task and protocol, runs of one seed and of the most training classes are asked.

    Args:
        runs: the folder of the runs.
        suite: the suite; None for the only one there.

    Raises:
        ValueError: if the folder has no such suite, or the extra `laboratory` is not installed.
    """
    if not runs.is_dir():
        raise ValueError(f"Expected a folder of runs for `--laboratory`, as bundles hold no weights, but got {runs}.")
    wanted = read_suite(runs, suite)
    finished = [outcome for outcome in read_outcomes(runs, wanted) if isinstance(outcome, Run)]
    functions, explored = [], []
    for chosen in _alike(finished):
        spec = read_spec(chosen[0].folder)
        task = build_task(spec.training)
        if isinstance(task, SinusoidDataModule):
            functions.append(_functions(task, chosen))
        elif isinstance(task, ClassDataModule) and not task.stream and task.fixed_test is None:
            if found := _explored(task, chosen, ink="path" not in spec.training.task.init_args):
                explored.append(found)
    path = runs / f"laboratory-{wanted.name}.json"
    content = Laboratory(functions=tuple(functions), explored=tuple(explored)).model_dump_json(indent=1)
    path.write_text(content, encoding="utf-8")
    return path


def _alike(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs of each task and protocol that can be compared in one episode, a run for each learner."""
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault(run.cell.group, []).append(run)
    found = []
    for group in groups.values():
        counts = Counter(_training(run.cell) for run in group)
        most = max(counts, key=lambda key: (counts[key], key))
        found.append([run for run in group if _training(run.cell) == most])
    return found


def _training(cell: Cell) -> tuple[float, int, int]:
    """What runs must share: training classes, budget and seed, which is negative so that the largest is the first."""
    return cell.train_classes or float("inf"), cell.examples or 0, -cell.seed


def _functions(task: SinusoidDataModule, runs: Sequence[Run]) -> Functions:
    return Functions(
        task=runs[0].cell.called,
        protocol=runs[0].cell.protocol,
        noise=task.noise,
        bayes=_text(export_posterior(task)) if task.noise else None,
        networks=tuple(_network(run) for run in runs),
    )


def _network(run: Run) -> Network:
    try:
        return Network(run_id=run.cell.run_id, onnx=_text(export(load_run(run.folder).adapter)))
    except NotExported as error:
        return Network(run_id=run.cell.run_id, onnx=None, why_not=str(error))


def _explored(task: ClassDataModule, runs: Sequence[Run], *, ink: bool) -> Explored | None:
    """The episodes of a task; None if they are all too large for the page or for the data."""
    sizes = dict.fromkeys((test.ways or 1, test.shots) for run in runs for test in run.cell.tests)
    seen = "seen" in task.tested_on and runs[0].cell.train_classes is not None
    parts: tuple[EvalPart, ...] = ("test", "seen") if seen else ("test",)
    drawn = [
        each
        for ways, shots in sizes
        for part in parts
        if ways * shots <= MOST_SUPPORT
        for each in draw(task, EpisodeSize(ways, shots, 1), part)
    ]
    if not drawn:
        return None
    adapters = {run.cell.run_id: load_run(run.folder).adapter for run in runs}
    said = {run_id: [answers(adapter, each) for each in drawn] for run_id, adapter in adapters.items()}
    starts = np.cumsum([0, *(len(each.images) for each in drawn)])
    images = np.concatenate([each.images.numpy() for each in drawn])
    if images.ndim == 4:  # colours come first in a batch, and last in a picture
        images = np.moveaxis(images, 1, -1)
    return Explored(
        task=runs[0].cell.called,
        protocol=runs[0].cell.protocol,
        ink=ink,
        width=images.shape[2],
        height=images.shape[1],
        images=_text(_png(images.reshape(-1, *images.shape[2:]))),
        episodes=tuple(
            _episode(each, int(start), {run_id: own[number] for run_id, own in said.items()})
            for number, (each, start) in enumerate(zip(drawn, starts, strict=False))
        ),
    )


def _episode(drawn: Drawn, start: int, said: Mapping[str, Mapping[str, np.ndarray | None]]) -> Episode:
    return Episode(
        unseen=drawn.part == "test",
        ways=drawn.size.ways or 1,
        shots=drawn.size.shots,
        support=tuple((start + drawn.support).tolist()),
        labels=tuple(drawn.support_y.argmax(dim=-1).tolist()),
        others=tuple((start + drawn.others).tolist()),
        query=tuple((start + drawn.query).tolist()),
        query_labels=tuple(drawn.query_labels.tolist()),
        shuffled=tuple(drawn.shuffled.tolist()),
        answers=tuple(
            Answers(run_id=run_id, given={change: _bytes(likely) for change, likely in own.items()})
            for run_id, own in said.items()
        ),
    )


def _bytes(likely: np.ndarray | None) -> str | None:
    """Probabilities as bytes, 255 for 1."""
    return None if likely is None else _text(np.rint(likely * 255).astype(np.uint8).tobytes())


def _png(images: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(images).save(file, "PNG", optimize=True)
    return file.getvalue()


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
