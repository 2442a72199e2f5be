"""The tasks that a suite names: what readers know them by, and a digest of data of the user's own."""

from adaptbench.benchmarks.suites.registry import load, own_label
from adaptbench.benchmarks.suites.spec import Component


def called(task: Component) -> str:
    """Returns what readers know a task by, if the suite gives it no label."""
    return own_label(task.name, task.init_args) or task.name


def pinned(task: Component) -> Component:
    """Gives a task that reads data of the user's own a digest of them."""
    kind = load("task", task.name)
    return task.model_copy(update={"init_args": kind.pinned(task.init_args)}) if hasattr(kind, "pinned") else task
