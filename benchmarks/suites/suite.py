"""Suites: grids of cells in YAML, read strictly."""

import inspect
import itertools
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import Field, PositiveFloat, PrivateAttr, ValidationError, field_validator, model_validator

from adaptbench.benchmarks.suites.description import describe
from adaptbench.benchmarks.suites.plain_yaml import NotPlain, read_plain
from adaptbench.benchmarks.suites.registry import load, suggest, suite_files
from adaptbench.benchmarks.suites.spec import (
    CHECKPOINT_SECONDS,
    Budget,
    Cell,
    Component,
    EpisodicSpec,
    Frozen,
    Pretraining,
    PretrainSpec,
    TrainerOptions,
    TransferSpec,
)
from adaptbench.datamodules.base import EvalEpisodes, TrainEpisodes
from adaptbench.lit_modules.optimization import Optimization
from adaptbench.reports.format import ManifestCell

MOST_CELLS = 200_000


class SuiteError(ValueError):
    """A suite cannot be read; the message says where and why, in one line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))


class LearnerEntry(Frozen):
    """One learner of a suite: a black-box learner, or a pretraining and a strategy of transfer.

    Attributes:
        learner: the black-box learner.
        strategy: how a pretrained network adapts.
        label_smoothing: label smoothing of the pretraining; only with a `strategy`.
        pretraining: objective and head of the pretraining; only with a `strategy`.
        pretraining_lr: learning rates of the pretraining, chosen by validation score, each with the whole budget; if
            empty, the rate of `optimization`.
        optimization: how the network is trained.
        label: its name in tables; by default the component's label.
    """

    learner: Component | None = None
    strategy: Component | None = None
    label_smoothing: float = 0.0
    pretraining: Pretraining = Pretraining()
    pretraining_lr: tuple[PositiveFloat, ...] = ()
    optimization: Optimization = Optimization()
    label: str | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "LearnerEntry":
        if (self.learner is None) == (self.strategy is None):
            raise ValueError("expected either `learner` or `strategy`")
        for name in ("pretraining_lr", "pretraining", "label_smoothing"):
            if self.learner is not None and name in self.model_fields_set:
                raise ValueError(f"expected `{name}` only together with a `strategy`")
        return self


class TaskEntry(Frozen):
    """One task of a suite with its learners.

    Attributes:
        task: where episodes come from.
        over: arguments of the task with several values; the grid has every combination.
        otherwise: the task that replaces this one if its data is unavailable, with the same `over` but its own name.
        train: the training episodes.
        test: the test episodes.
        encoder: the encoder under every learner.
        budget: how long each network trains.
        trainer: number of devices that each network trains on.
        learners: the learners, by the names that `--only` uses.
    """

    task: Component
    over: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)
    otherwise: Component | None = None
    train: TrainEpisodes
    test: EvalEpisodes
    encoder: Component
    budget: Budget
    trainer: TrainerOptions = TrainerOptions()
    learners: dict[str, LearnerEntry] = Field(min_length=1)

    def tasks(self) -> Iterator[Component]:
        """Yields the task with every combination of the values in `over`, and a digest of data of the user's own."""
        task = load("task", self.task.name)
        for values in itertools.product(*self.over.values()):
            init_args = self.task.init_args | dict(zip(self.over, values, strict=True))
            yield Component(
                name=self.task.name, init_args=task.pinned(init_args) if hasattr(task, "pinned") else init_args
            )


class Suite(Frozen):
    """A named, versioned grid of cells.

    Attributes:
        suite: its name.
        version: raised when its definition changes.
        description: one sentence.
        seeds: seeds of every cell.
        tasks: the tasks.
        checkpoint_seconds: time between two checkpoints within an epoch; it changes no result.
    """

    suite: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    version: int
    description: str
    seeds: list[Annotated[int, Field(ge=-(2**63), lt=2**63)]] = Field(min_length=1)
    tasks: list[TaskEntry] = Field(min_length=1)
    checkpoint_seconds: float = Field(default=CHECKPOINT_SECONDS, ge=0)

    _cells: list["SuiteCell"] | None = PrivateAttr(default=None)

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"expected distinct seeds but got {', '.join(map(str, seeds))}")
        return seeds

    @model_validator(mode="after")
    def _can_be_expanded(self) -> "Suite":
        cells = sum(math.prod(map(len, entry.over.values())) * len(entry.learners) for entry in self.tasks)
        if cells * len(self.seeds) > MOST_CELLS:
            raise ValueError(f"expected at most {MOST_CELLS:,} cells but the grid has {cells * len(self.seeds):,}")
        return self

    def cells(self) -> list["SuiteCell"]:
        """Expands the grid, once: every task, learner and seed."""
        if self._cells is None:
            self._cells = [
                SuiteCell.make(entry, task, name=name, seed=seed)
                for entry in self.tasks
                for task in entry.tasks()
                for name in entry.learners
                for seed in self.seeds
            ]
        return list(self._cells)

    def without(self, unavailable: Collection[str]) -> "Suite":
        """Returns this suite with each unavailable task swapped with its `otherwise`, if it has one."""
        if not unavailable:
            return self
        tasks = [
            entry.model_copy(update={"task": entry.otherwise, "otherwise": entry.task})
            if entry.otherwise is not None and entry.task.name in unavailable
            else entry
            for entry in self.tasks
        ]
        return self.with_tasks(tasks)

    def with_learner(self, name: str) -> "Suite":
        """Returns this suite with one more learner on every task, given by its dotted path.

        Raises:
            ValueError: if the suite already has a learner of that name.
        """
        entry, key = LearnerEntry(learner=Component(name=name)), name.rpartition(".")[2]
        if any(key in task.learners for task in self.tasks):
            raise ValueError(f"Expected another name for the learner: suite `{self.suite}` already has a `{key}`.")
        tasks = [task.model_copy(update={"learners": {**task.learners, key: entry}}) for task in self.tasks]
        return self.with_tasks(tasks)

    def with_seeds(self, number: int) -> "Suite":
        """Returns this suite with the seeds 0 to `number` - 1."""
        suite = self.model_copy(update={"seeds": list(range(number))})
        suite._cells = None
        return suite

    def with_tasks(self, tasks: list[TaskEntry]) -> "Suite":
        """Returns this suite with other tasks."""
        suite = self.model_copy(update={"tasks": tasks})
        suite._cells = None
        return suite


@dataclass(frozen=True)
class SuiteCell:
    """A cell of a suite.

    Attributes:
        spec: what is run.
        attributes: its description for reports.
        otherwise: the task that would replace its task, or that its task replaces.
    """

    spec: Cell
    attributes: ManifestCell
    otherwise: str | None = None

    @classmethod
    def make(cls, entry: TaskEntry, task: Component, *, name: str, seed: int) -> "SuiteCell":
        """Makes the cell of one learner on one task with one seed."""
        learner = entry.learners[name]
        training = {name: getattr(entry, name) for name in ("train", "test", "encoder", "budget", "trainer")}
        training |= {"task": task, "seed": seed}
        spec: Cell
        if learner.strategy is None:
            spec = EpisodicSpec(**training | {"optimization": learner.optimization, "learner": learner.learner})
        else:
            training |= {"label_smoothing": learner.label_smoothing, "pretraining": learner.pretraining}
            rates = dict.fromkeys(learner.pretraining_lr or (learner.optimization.lr,))
            first, *rivals = (
                PretrainSpec(**training, optimization=replace(learner.optimization, lr=rate)) for rate in rates
            )
            spec = TransferSpec(pretrained=first, rivals=tuple(rivals), strategy=learner.strategy, test=entry.test)
        return cls(spec, describe(spec, name, learner.label), entry.otherwise.name if entry.otherwise else None)


def load_suite(name: str) -> Suite:
    """Reads a built-in suite, or a YAML file.

    Raises:
        SuiteError: if it does not exist or is malformed; the message names file and field.
    """
    path = suite_files().get(name, Path(name))
    if not path.is_file():
        raise SuiteError(f"Expected a suite or a YAML file but got `{name}`. {suggest(name, suite_files())}")
    try:
        suite = Suite.model_validate(read_plain(path.read_bytes()))
        suite.cells()
    except NotPlain as error:
        raise SuiteError(f"{path} is not valid YAML: {error}") from error
    except ValidationError as error:
        raise SuiteError(f"{path}: {_explain(error)}") from error
    except ValueError as error:
        raise SuiteError(f"{path}: {error}") from error
    except (TypeError, AttributeError, ArithmeticError, LookupError) as error:  # a task that reads wrong arguments
        raise SuiteError(f"{path}: its cells cannot be made: {type(error).__name__}: {error}.") from error
    return suite


def _explain(error: ValidationError) -> str:
    """Makes a sentence of pydantic's first complaint; it names the field."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown key `{where}`. {suggest(str(first['loc'][-1]), _fields_at(first['loc'][:-1]))}"
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    return f"`{where}`: {message}." if where else f"{message}."


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    """Returns the keys that are allowed at a location in a suite."""
    kind: Any = Suite
    for part in location:
        kind = get_args(kind)[-1] if get_origin(kind) in (list, dict) else get_type_hints(kind)[str(part)]
        kind = get_args(kind)[0] if get_origin(kind) is UnionType else kind
    return list(inspect.signature(kind).parameters)
