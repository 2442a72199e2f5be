"""The commands for what is one's own: `adaptbench check` tries a class, `adaptbench new suite` writes a suite."""

import inspect
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from torch import nn

from adaptbench.benchmarks.executors.plan import Builder
from adaptbench.benchmarks.store.redaction import without_secrets
from adaptbench.benchmarks.suites.registry import load
from adaptbench.benchmarks.suites.suite import SuiteCell, TaskEntry
from adaptbench.datamodules.base import EpisodicDataModule, EvalEpisodes, Sampling, TrainEpisodes
from adaptbench.datamodules.image_files import class_sizes
from adaptbench.datamodules.image_folder import ImageFolderDataModule
from adaptbench.lit_modules.embedding import EmbeddingLearner
from adaptbench.lit_modules.training import TrainedModule

CLASSES: dict[str, Any] = {"train": {"ways": 5, "shots": [1, 5], "queries": 3, "pool": 80, "episodes": 8},
                           "test": {"ways": 5, "shots": [1, 5], "queries": 3, "episodes": 20}}  # fmt: skip
FUNCTIONS: dict[str, Any] = {"train": {"shots": [5, 10], "queries": 10, "pool": 160},
                             "test": {"shots": [5, 10], "queries": 10, "episodes": 20}}  # fmt: skip
TASKS = {
    "glyphs": {
        "task": {"name": "glyphs", "init_args": {"train_classes": 20}},
        "encoder": {"name": "strided", "init_args": {"filters": 8}},
        **CLASSES,
    },
    "sinusoid": {"task": {"name": "sinusoid"}, **FUNCTIONS, "encoder": {"name": "mlp"}},
}
"""What a class is tried on: images and functions, both without data."""
SIZES = [(ways, shots, queries) for shots, queries in (([1, 5], 5), ([1, 5], 1), ([1], 1)) for ways in (5, 4, 3, 2)]
"""Ways, shots and queries that a new suite may have; the first that fit into the folder are taken."""
NAMED = 5
"""Classes that a new suite leaves out and that the command names."""
SUITE = """\
# `adaptbench run {file}` trains and tests this; with --dry-run it only says how long that would take.
suite: {name}
version: 1          # to be raised when a change below changes numbers
description: {description}
seeds: [0, 1, 2]    # at least three, for an interval over seeds
tasks:
  - task:           # docs/own_images.md describes its arguments
      name: image_folder
      init_args: {{path: {path}, image_size: 28, colour: true, min_images: {images}}}
    label: {label}    # its name in tables, figures and file names
    # Episodes have `ways` classes, with `shots` labelled images and `queries` others of each. A training step encodes
    # `pool` images, as many of each class, and draws `episodes` episodes from them.
    train: {{ways: {ways}, shots: {shots}, queries: {queries}, pool: {pool}, episodes: 32}}
    test: {{ways: {ways}, shots: {shots}, queries: {queries}, episodes: 600}}
    encoder: {{name: strided, init_args: {{filters: 32}}}}    # or my_package.MyEncoder (docs/own.md)
    budget: {{examples: 51200}}    # images encoded in training
    learners:       # `adaptbench list learners` names more; or my_package.MyLearner (docs/own.md)
      prototypes: {{learner: {{name: prototypes}}, optimization: {{lr: 0.002}}}}
      attention: {{learner: {{name: attention}}, optimization: {{lr: 0.002}}}}
      fine_tuning:
        strategy: {{name: fine_tuning, init_args: {{moves: head, steps: 100, lr: 0.01, head_start: class_means}}}}
        optimization: {{lr: 0.01}}
"""


def check_class(name: str, console: Console) -> None:
    """Tries a learner, an encoder, a strategy or a task as its run would, and says what was found.

    Args:
        name: the dotted path of the class.
        console: gets a line for each task that it was tried on.

    Raises:
        ValueError: if it can be used on none.
    """
    if "." not in name:
        raise ValueError(f"Expected the dotted path of a class, package.Class, but got `{name}`.")
    kind = _kind_of(load("task", name), name)
    console.print(f"{name} is checked as {'an' if kind == 'encoder' else 'a'} {kind}.", highlight=False)
    refusals: dict[str, str] = {}
    entries = _entries(kind, name)
    for task, entry in entries.items():
        build = Builder()
        try:
            build(SuiteCell.make(entry, name="tried", seed=0))
        except ValueError as error:
            refusals[task] = without_secrets(str(error))
            continue
        for found in build.checked:
            text = (
                f"examples {list(found.examples)}, features {list(found.features)}, predictions "
                f"{list(found.prediction)}; a gradient reaches {found.weights - len(found.without_gradient)} of "
                f"{found.weights} weights; guards passed"
            )
            console.print(f"[green]works[/] on {task}: {text}", highlight=False, soft_wrap=True)
            if found.without_gradient:
                unreached = ", ".join(found.without_gradient)
                console.print(f"  no gradient reaches {escape(unreached)}", highlight=False, soft_wrap=True)
    if len(refusals) == len(entries) and len({*refusals.values()}) == 1:
        raise ValueError(next(iter(refusals.values())))
    for task, reason in refusals.items():
        console.print(f"[yellow]refused[/] on {task}: {escape(reason)}", highlight=False, soft_wrap=True)
    if len(refusals) == len(entries):
        raise ValueError(f"Expected `{name}` to work on {' or '.join(refusals)} but both refuse it.")


def new_suite(images: Path, out: Path | None, console: Console) -> None:
    """Writes a suite for a folder of images, with comments; it never overwrites one.

    Args:
        images: the folder, with a folder for each class.
        out: the file; None for the folder's name with `.yaml`.
        console: says what to do next.

    Raises:
        ValueError: if there is such a file, or too few classes or images.
        DataUnavailable: if there are no images.
    """
    title = images.resolve().name
    path = out or Path(f"{title}.yaml")
    if path.exists():
        raise ValueError(f"Expected `--out` to be a new file but {path} exists.")
    ways, shots, queries, pool = _fitting(images)
    text = SUITE.format(
        file=shlex.quote(str(path)),
        name=json.dumps(re.sub(r"[^A-Za-z0-9_.-]", "", title).lstrip("_.-") or "images"),
        description=json.dumps(f"Few-shot classification of the images in {title}.", ensure_ascii=False),
        path=json.dumps(str(images), ensure_ascii=False), label=json.dumps(title, ensure_ascii=False),
        images=max(shots) + queries, ways=ways, shots=shots, queries=queries, pool=pool,
    )  # fmt: skip
    path.write_text(text, encoding="utf-8")
    small = {name: size for name, size in class_sizes(images).items() if size < max(shots) + queries}
    left = f" Classes with fewer than {max(shots) + queries} images are left out: {_few(small)}." if small else ""
    said = f"{path}: {ways}-way episodes.{left} Next: adaptbench run {shlex.quote(str(path))}"
    console.print(said, markup=False, highlight=False, soft_wrap=True)


def _few(sizes: Mapping[str, int]) -> str:
    """Names a few classes with their numbers of images."""
    named = [f"{name} ({size})" for name, size in sizes.items()]
    return ", ".join([*named[:NAMED], *([f"and {len(named) - NAMED} more"] if len(named) > NAMED else [])])


def _fitting(images: Path) -> tuple[int, list[int], int, int]:
    """Returns the first ways, shots and queries that fit into a folder's parts, and the largest pool that fits."""
    refusal = ""
    for ways, shots, queries in SIZES:
        train = TrainEpisodes(ways=ways, shots=tuple(shots), queries=queries, pool=256, episodes=32)
        test = EvalEpisodes(ways=ways, shots=tuple(shots), queries=queries, episodes=600)
        try:
            task = ImageFolderDataModule(
                Sampling(train=train, test=test), path=str(images), colour=True, min_images=max(shots) + queries
            )
        except ValueError as error:
            refusal = str(error)
        else:
            return ways, shots, queries, _largest_pool(task, [each + queries for each in shots])
    raise ValueError(f"Expected enough classes in {images} for 2-way episodes in each part, but: {refusal}")


def _largest_pool(task: ImageFolderDataModule, needs: Sequence[int]) -> int:
    """Returns the largest pool, of up to 256 images, that every training step fills.

    Learners then encode as many images in training as a pretraining does, and can be ranked with it.

    Args:
        task: has the training classes and their images.
        needs: the images of a class that episodes of each size take.
    """
    classes, images = task.class_count("train"), task.drawing_count("train")

    def filled(pool: int, need: int) -> bool:
        drawn = min(pool // need, classes)
        return drawn > 0 and drawn * min(pool // drawn, images) == pool

    return next(pool for pool in range(256, 0, -1) if all(filled(pool, need) for need in needs))


def _kind_of(cls: object, name: str) -> str:
    if not isinstance(cls, type):
        raise ValueError(f"Expected `{name}` to be a class but it is {cls!r}.")
    if issubclass(cls, EpisodicDataModule):
        return "task"
    if issubclass(cls, TrainedModule | EmbeddingLearner):
        return "learner"
    if callable(getattr(cls, "predict", None)):
        return "strategy"
    if not issubclass(cls, nn.Module) or cls.forward is nn.Module.forward:
        raise ValueError(
            f"Expected `{name}` to have `forward`, as a torch.nn.Module that learns or encodes, or `predict`, as a "
            "strategy, or to derive from EpisodicDataModule, as a task; docs/own.md says what each must have."
        )
    return "learner" if len(inspect.signature(cls.forward).parameters) > 2 else "encoder"


def _entries(kind: str, name: str) -> dict[str, TaskEntry]:
    """Makes small cells that hold the class."""
    ours: dict[str, Any] = {"learner": {"name": "deep_sets"}}
    learners: dict[str, Any] = {"tried": {kind: {"name": name}} if kind in ("learner", "strategy") else ours}
    bases: dict[str, dict[str, Any]] = TASKS
    if kind == "task":
        regression = load("task", name).likelihood == "gaussian"
        bases = {name: {**TASKS["sinusoid" if regression else "glyphs"], "task": {"name": name}}}
    rest = {"budget": {"examples": 1600, "val_episodes": 20}, "learners": learners}
    encoder = {"encoder": {"name": name}} if kind == "encoder" else {}
    return {task: TaskEntry.model_validate({**entry, **rest, **encoder}) for task, entry in bases.items()}
