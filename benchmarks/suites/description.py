"""The attributes of a cell that manifests, results and tables carry."""

from typing import Any

from adaptbench.benchmarks.suites.registry import find, load
from adaptbench.benchmarks.suites.spec import Cell, Component
from adaptbench.datamodules.base import EpisodicDataModule, EvalEpisodes


def describe(spec: Cell) -> dict[str, Any]:
    """Returns the attributes of a cell that records and tables carry."""
    return {**describe_task(spec.training.task, spec.test), **identity(spec)}


def identity(spec: Cell) -> dict[str, Any]:
    """Returns the attributes that tell a cell from the others of its task."""
    return {
        "run_id": spec.run_id,
        "learner": spec.adapter,
        "family": find(spec.adapter_kind, spec.adapter).family,
        "seed": spec.training.seed,
    }


def describe_task(component: Component, test: EvalEpisodes) -> dict[str, Any]:
    """Returns the attributes that all cells of one task have in common."""
    task = load("task", component.name)
    if not (isinstance(task, type) and issubclass(task, EpisodicDataModule)):
        raise ValueError(f"Expected a task but `{component.name}` is no subclass of EpisodicDataModule.")
    categorical = task.likelihood == "categorical"
    return {
        "task": component.name,
        "protocol": task.protocol(component.init_args),
        "train_classes": task.training_classes(component.init_args),
        "class_word": task.class_word,
        "remarks": list(task.remarks(component.init_args)),
        "shots_word": task.shots_word,
        "tests": [{"ways": size.ways, "shots": size.shots} for size in test.sizes],
        "metric": "accuracy" if categorical else "mse",
        "higher_is_better": categorical,
    }
