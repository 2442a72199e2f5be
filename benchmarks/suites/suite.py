"""Suites: grids of cells in YAML, read strictly."""

import functools
import inspect
import itertools
import math
import re
import reprlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import Field, PositiveFloat, PrivateAttr, ValidationError, field_validator, model_validator

from adaptbench.benchmarks.suites.description import called, describe, pinned
from adaptbench.benchmarks.suites.own_code import own_code
from adaptbench.benchmarks.suites.plain_yaml import NotPlain, read_plain
from adaptbench.benchmarks.suites.registry import is_name_of_another, suite_files
from adaptbench.benchmarks.suites.spec import (
    CHECKPOINT_SECONDS,
    Budget,
    Cell,
    Component,
    Encoder,
    EpisodicSpec,
    Frozen,
    Pretraining,
    PretrainSpec,
    S,
    TrainerOptions,
    TransferSpec,
)
from adaptbench.benchmarks.suites.weights import with_digest
from adaptbench.datamodules.base import EvalEpisodes, TrainEpisodes
from adaptbench.lit_modules.optimization import Optimization
from adaptbench.reports.format import ManifestCell
from adaptbench.reports.selection import suggest

MOST_CELLS = 200_000
CodeOf = Callable[..., str]


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
        optimization_lr: the same for a black-box learner.
        pretraining_sources: other tasks to pretrain on besides the entry's own, each with every rate and the whole
            budget; the pretraining with the best score on the entry's own validation episodes is adapted.
        optimization: how the network is trained.
        label: its name in tables; by default the component's label.
        departs_from: another learner of the task; a table and a figure of the report show them side by side.
    """

    learner: Component | None = None
    strategy: Component | None = None
    label_smoothing: float = 0.0
    pretraining: Pretraining = Pretraining()
    pretraining_lr: tuple[PositiveFloat, ...] = ()
    optimization_lr: tuple[PositiveFloat, ...] = ()
    pretraining_sources: tuple[Component, ...] = ()
    optimization: Optimization = Optimization()
    label: str | None = None
    departs_from: str | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "LearnerEntry":
        if (self.learner is None) == (self.strategy is None):
            raise ValueError("expected either `learner` or `strategy`")
        for name in ("pretraining_lr", "pretraining_sources", "pretraining", "label_smoothing"):
            if self.learner is not None and name in self.model_fields_set:
                raise ValueError(f"expected `{name}` only together with a `strategy`")
        if self.strategy is not None and "optimization_lr" in self.model_fields_set:
            raise ValueError("expected `optimization_lr` only together with a `learner`; see `pretraining_lr`")
        return self

    def optimizations(self) -> list[Optimization]:
        """Returns the settings of the optimiser for each learning rate."""
        rates = self.optimization_lr or self.pretraining_lr or (self.optimization.lr,)
        return [replace(self.optimization, lr=rate) for rate in dict.fromkeys(rates)]


class TaskEntry(Frozen):
    """One task of a suite with its learners.

    Attributes:
        task: where episodes come from.
        over: arguments of the task, and `examples` of the budget, with several values; the grid has every combination.
        otherwise: the task that replaces this one if its data is unavailable, with the same `over` but its own name.
        train: the training episodes.
        test: the test episodes.
        encoder: the encoder under every learner.
        budget: how long each network trains.
        trainer: number of devices that each network trains on.
        label: its name in tables, figures and file names; by default that of the task, or of a folder of images.
        learners: the learners, by the names that `--only` uses.
    """

    task: Component
    over: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)
    otherwise: Component | None = None
    train: TrainEpisodes
    test: EvalEpisodes
    encoder: Encoder
    budget: Budget
    trainer: TrainerOptions = TrainerOptions()
    label: Annotated[str, Field(pattern=r"^\S.*$")] | None = None
    learners: dict[str, LearnerEntry] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_consistent(self) -> "TaskEntry":
        if self.test.episodes < 2:
            raise ValueError(f"expected at least 2 test `episodes`, for an interval, but got {self.test.episodes}")
        least = self.train.pool * self.trainer.devices * self.budget.epochs
        fewest = min(self.over.get("examples", [self.budget.examples]))
        if fewest < least:
            text = "expected a budget of at least {:,} `examples`, a pool for each device in each epoch, but got {:,}"
            raise ValueError(text.format(least, fewest))
        if self.label and (self.otherwise or is_name_of_another(self.label, self.task.name)):
            raise ValueError(f"expected a `label` for this task alone but `{self.label}` names another one too")
        for name, each in self.learners.items():
            others = [key for key, other in self.learners.items() if other.departs_from is None and key != name]
            if each.departs_from is not None and each.departs_from not in others:
                raise ValueError(
                    f"expected `departs_from` of `{name}` to name a learner that departs from none "
                    f"but got `{each.departs_from}`. {suggest(each.departs_from, others)}"
                )
        return self

    @model_validator(mode="before")
    @classmethod
    def _budgets_are_given_once(cls, entry: Any) -> Any:  # noqa: ANN401 - what pydantic was given
        """Takes the examples of the budget from `over`, if they stand there."""
        over, budget = (entry.get(name) for name in ("over", "budget")) if isinstance(entry, dict) else (None, None)
        if not (isinstance(over, dict) and isinstance(over.get("examples"), list) and isinstance(budget, dict)):
            return entry
        if "examples" in budget:
            raise ValueError("expected `examples` in `over` or in `budget`, but got both")
        return {**entry, "budget": {**budget, "examples": next(iter(over["examples"]), None)}}

    def tasks(self) -> Iterator["TaskEntry"]:
        """Yields this entry with a task and a budget for every combination of the values in `over`.

        A task that reads data of the user's own is given their digest; so are weights from elsewhere.
        """
        encoder = with_digest(self.encoder)
        for values in itertools.product(*self.over.values()):
            given = dict(zip(self.over, values, strict=True))
            examples = given.pop("examples", self.budget.examples)
            own = pinned(Component(name=self.task.name, init_args=self.task.init_args | given))
            budget = Budget(**self.budget.model_dump() | {"examples": examples})
            yield self.model_copy(update={"task": own, "budget": budget, "encoder": encoder})


class Suite(Frozen):
    """A named, versioned grid of cells.

    Attributes:
        suite: its name.
        version: raised when its definition changes.
        description: one sentence.
        seeds: seeds of every cell.
        tasks: the tasks.
        checkpoint_seconds: time between two checkpoints within an epoch; it changes no result.
        published: a CSV file of published numbers that stands beside the suite's file (docs/own.md); reports show them.
    """

    suite: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    version: int
    description: str
    seeds: list[Annotated[int, Field(ge=-(2**63), lt=2**63)]] = Field(min_length=1)
    tasks: list[TaskEntry] = Field(min_length=1)
    checkpoint_seconds: float = Field(default=CHECKPOINT_SECONDS, ge=0)
    published: str = ""

    _published_text: str = PrivateAttr(default="")
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

    @property
    def published_text(self) -> str:
        """The content of the file of published numbers; empty if there is none."""
        return self._published_text

    def cells(self) -> list["SuiteCell"]:
        """Expands the grid, once: every task, learner and seed."""
        if self._cells is None:
            code_of = functools.cache(own_code)
            self._cells = [
                cell
                for each in self.tasks
                for entry in each.tasks()
                for name in entry.learners
                for cell in SuiteCell.of_seeds(entry, name=name, seeds=self.seeds, code_of=code_of)
            ]
        return list(self._cells)

    def without(self, unavailable: Collection[str]) -> "Suite":
        """Returns this suite with each unavailable task swapped with its `otherwise`, if it has one."""
        if not unavailable:
            return self
        tasks = [
            entry.model_copy(update={"task": entry.otherwise, "otherwise": entry.task})
            if entry.otherwise is not None and called(entry.task) in unavailable
            else entry
            for entry in self.tasks
        ]
        return self.with_tasks(tasks)

    def with_learner(self, name: str, rates: Sequence[float] = ()) -> "Suite":
        """Returns this suite with one more learner on every task, by its dotted path; validation chooses of its rates.

        Raises:
            ValueError: if the suite already has a learner of that name.
        """
        entry, key = LearnerEntry(learner=Component(name=name), optimization_lr=tuple(rates)), name.rpartition(".")[2]
        if any(key in task.learners for task in self.tasks):
            raise ValueError(f"Expected another name for the learner: suite `{self.suite}` already has a `{key}`.")
        tasks = [task.model_copy(update={"learners": {**task.learners, key: entry}}) for task in self.tasks]
        return self.with_tasks(tasks)

    def with_encoder(self, name: str) -> "Suite":
        """Returns this suite with another encoder under every learner."""
        return self.with_tasks([task.model_copy(update={"encoder": Encoder(name=name)}) for task in self.tasks])

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
    def make(cls, entry: TaskEntry, *, name: str, seed: int) -> "SuiteCell":
        """Makes the cell of one learner with one seed, of an entry with one task and one budget."""
        (cell,) = cls.of_seeds(entry, name=name, seeds=[seed])
        return cell

    @classmethod
    def of_seeds(
        cls, entry: TaskEntry, *, name: str, seeds: Sequence[int], code_of: CodeOf = own_code
    ) -> list["SuiteCell"]:
        """Makes the cells of one learner with each seed; their descriptions differ in seed and run id only."""
        learner = entry.learners[name]
        specs = [cls._spec(entry, learner, seed, code_of) for seed in seeds]
        described = describe(specs[0], name, learner.label, entry.label).model_copy(
            update={
                "examples": entry.budget.examples if "examples" in entry.over else None,
                "departs_from": learner.departs_from or "",
            }
        )
        otherwise = called(entry.otherwise) if entry.otherwise else None
        return [
            cls(spec, described.model_copy(update={"run_id": spec.run_id, "seed": seed}), otherwise)
            for spec, seed in zip(specs, seeds, strict=True)
        ]

    @staticmethod
    def _spec(entry: TaskEntry, learner: LearnerEntry, seed: int, code_of: CodeOf) -> Cell:
        def coded(spec: S) -> S:
            code = code_of(**spec.components)
            return spec.model_copy(update={"code": code}) if code else spec

        training = {name: getattr(entry, name) for name in ("task", "train", "test", "encoder", "budget", "trainer")}
        training |= {"seed": seed}
        if learner.strategy is None:
            training |= {"learner": learner.learner}
            spec, *others = (coded(EpisodicSpec(**training, optimization=each)) for each in learner.optimizations())
            return spec.model_copy(update={"rivals": tuple(others)}) if others else spec
        training |= {"label_smoothing": learner.label_smoothing, "pretraining": learner.pretraining}
        candidates = (
            coded(PretrainSpec(**training | {"task": source}, optimization=each))
            for source in (entry.task, *map(pinned, learner.pretraining_sources))
            for each in learner.optimizations()
        )
        first, *rivals = {each.run_id: each for each in candidates}.values()
        transfer = TransferSpec(pretrained=first, rivals=tuple(rivals), strategy=learner.strategy, test=entry.test)
        return coded(transfer)


def load_suite(name: str) -> Suite:
    """Reads a built-in suite, or a YAML file.

    Raises:
        SuiteError: if it does not exist or is malformed; the message names file and field.
    """
    path = suite_files().get(name, Path(name))
    if not path.is_file():
        raise SuiteError(f"Expected a suite or a YAML file but got `{name}`. {suggest(name, suite_files())}")
    try:
        content = read_plain(path.read_bytes())
        if not isinstance(content, dict):
            keys = ", ".join(f"`{key}`" for key in Suite.model_fields)
            raise SuiteError(f"Expected {path} to hold a suite, with the keys {keys}, but it is {_kind_of(content)}.")
        suite = Suite.model_validate(content)
        if suite.published:
            suite._published_text = _text_of(path.parent / suite.published)
        suite.cells()
    except SuiteError:
        raise
    except NotPlain as error:
        raise SuiteError(f"{path} is not valid YAML: {error}") from error
    except ValidationError as error:
        raise SuiteError(f"{path}: {_explain(error)}") from error
    except ValueError as error:
        raise SuiteError(f"{path}: {error}") from error
    except (TypeError, AttributeError, ArithmeticError, LookupError) as error:  # a task that reads wrong arguments
        raise SuiteError(f"{path}: its cells cannot be made: {type(error).__name__}: {error}.") from error
    return suite


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # spreadsheets begin a file with a mark
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"Expected `published` to name a CSV file but {path} cannot be read: {error}.") from error


def _kind_of(content: object) -> str:
    return "empty" if content is None else f"a {'list' if isinstance(content, list) else type(content).__name__}"


def _explain(error: ValidationError) -> str:
    """Makes a sentence of pydantic's first complaint; it names the field."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown key `{where}`. {suggest(str(first['loc'][-1]), _fields_at(first['loc'][:-1]))}"
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    message = re.sub(r"^Input should be a valid dictionary or .*", "Input should be a mapping", message)
    if message.startswith("Input should be "):
        message = f"expected {message.removeprefix('Input should be ')} but got {reprlib.repr(first['input'])}"
    return f"`{where}`: {message}." if where else f"{message}."


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    """Returns the keys that are allowed at a location in a suite."""
    kind: Any = Suite
    for part in location:
        if (of := get_origin(kind)) in (list, dict, tuple):
            kind = get_args(kind)[0 if of is tuple else -1]
        else:
            kind = get_type_hints(kind)[str(part)]
        kind = get_args(kind)[0] if get_origin(kind) is UnionType else kind
    return list(inspect.signature(kind).parameters)
