"""Describes tasks and runs for manifests, results, tables and W&B."""

from adaptbench.benchmarks.suites.registry import find, load, own_label
from adaptbench.benchmarks.suites.spec import Component, RunSpec, TrainingSpec
from adaptbench.datamodules.base import EpisodicDataModule
from adaptbench.reports.format import ManifestCell, Size


def source_in_words(spec: TrainingSpec) -> str:
    """Describes the task that a network is pretrained on: its label, training classes and protocol."""
    task = load("task", spec.task.name)
    classes = task.training_classes(spec.task.init_args)
    size = "" if classes is None else f", {classes} {task.class_word}"
    return f"{find('task', spec.task.name).label}{size} ({task.protocol(spec.task.init_args)})"


def called(task: Component) -> str:
    """Returns what readers know a task by, if the suite gives it no label."""
    return own_label(task.name, task.init_args) or task.name


def pinned(task: Component) -> Component:
    """Gives a task that reads data of the user's own a digest of them."""
    kind = load("task", task.name)
    return task.model_copy(update={"init_args": kind.pinned(task.init_args)}) if hasattr(kind, "pinned") else task


def describe(
    spec: RunSpec, name: str | None = None, label: str | None = None, task_label: str | None = None
) -> ManifestCell:
    """Describes a run.

    Args:
        spec: what determines the run.
        name: the learner's name in the suite; by default the component's name.
        label: its name in tables; by default the label of the component with its arguments.
        task_label: the task's name in tables; by default what the task itself says.

    Raises:
        ValueError: if its task is not a task.
    """
    training = spec.training
    task = load("task", training.task.name)
    if not (isinstance(task, type) and issubclass(task, EpisodicDataModule)):
        raise ValueError(f"Expected a task but `{training.task.name}` is not a subclass of EpisodicDataModule.")
    adapter = find(spec.adapter_kind, spec.adapter)
    component = None if spec.kind == "pretrain" else spec.learner if spec.kind == "episodic" else spec.strategy
    own = component.init_args if component else {}
    form, departures = adapter.nearest_form(own)
    arguments = training.task.init_args
    categorical = task.likelihood == "categorical"
    rounded = ", trained in bfloat16" if training.trainer.precision == "bf16" else ""
    return ManifestCell(
        run_id=spec.run_id,
        task=training.task.name,
        protocol=task.protocol(arguments) + rounded,
        learner=name or spec.adapter,
        family=adapter.family,
        seed=training.seed,
        train_classes=task.training_classes(arguments),
        class_word=task.class_word,
        shots_word=task.shots_word,
        label=label or ", ".join([form.label, *departures]),
        task_label=task_label or own_label(training.task.name, arguments),
        metric="accuracy" if categorical else "mse",
        higher_is_better=categorical,
        tests=tuple(Size(ways=size.ways, shots=size.shots) for size in spec.test.sizes),
        remarks=tuple(task.remarks(arguments)),
        source="" if departures else form.source,
    )


def name_of(spec: RunSpec) -> str:
    """Names a run for readers: learner, task, protocol, training classes and seed.

    Raises:
        ValueError: if its task or learner is not known.
    """
    cell = describe(spec)
    size = "" if cell.train_classes is None else f", {cell.train_classes} {cell.class_word}"
    return f"{cell.learner} on {cell.called} ({cell.protocol}{size}) seed {cell.seed}"
