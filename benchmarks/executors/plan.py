"""From a suite to the runs that it needs, each once, and what each must wait for."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from adaptbench.benchmarks.runs.build import TaskShape, build_adapter, build_module, build_task
from adaptbench.benchmarks.suites.registry import suggest
from adaptbench.benchmarks.suites.spec import Cell, Component, RunSpec
from adaptbench.benchmarks.suites.suite import Suite, SuiteCell
from adaptbench.datamodules.errors import DataUnavailable
from adaptbench.reports.format import Manifest

ONLY_ATTRIBUTES = ("task", "protocol", "learner", "family", "seed", "train_classes", "run_id")
ONLY_ARGUMENTS = ("split", "scope", "rotations", "images_per_class", "train_images", "train_functions", "noise")
"""Arguments of tasks that select cells too."""
ONLY_KEYS = (*ONLY_ATTRIBUTES, "ways", *ONLY_ARGUMENTS)


@dataclass(frozen=True)
class PlannedRun:
    """A run to make.

    Attributes:
        spec: what to run.
        name: how people call it.
        needs: ids of the runs that must be published before.
    """

    spec: RunSpec
    name: str
    needs: tuple[str, ...] = ()

    @cached_property
    def likenesses(self) -> list[tuple[str, ...]]:
        """What it has in common with other runs, from all to nothing; runs that are alike take about equally long."""
        spec, training = self.spec, self.spec.training
        own = spec.model_dump_json(include={"learner", "strategy", "pretraining"})
        all_ = (
            "adapts" if spec.candidates else "trains",
            training.task.name,
            spec.adapter,
            own + str(training.encoder),
        )
        return [all_[:shared] for shared in range(len(all_), -1, -1)]


@dataclass(frozen=True)
class Plan:
    """What a suite wants and what can be had.

    Attributes:
        suite: the suite.
        cells: its cells, after selection.
        unavailable: the reason why a task's data cannot be had, by task, also where another task stands in.
    """

    suite: Suite
    cells: Sequence[SuiteCell]
    unavailable: Mapping[str, str]

    def runs(self) -> list[PlannedRun]:
        """Lists every run whose data can be had, once, pretraining first because others wait for it."""
        runs: dict[str, PlannedRun] = {}
        for cell in self.cells:
            if cell.attributes.task not in self.unavailable:
                for run in _runs_of(cell):
                    runs.setdefault(run.spec.run_id, run)
        return sorted(runs.values(), key=lambda run: run.spec.kind != "pretrain")

    def manifest(self, command: Sequence[str]) -> Manifest:
        """What reports read to know what was wanted: the whole suite, also where only a part was selected.

        Args:
            command: the arguments of `adaptbench run` that decide the runs.
        """
        return Manifest(
            name=self.suite.suite,
            version=self.suite.version,
            description=self.suite.description,
            command=tuple(command),
            unavailable=dict(self.unavailable),
            cells=tuple(cell.attributes for cell in self.suite.cells()),
        )


def make_plan(suite: Suite, only: Mapping[str, str] | None = None) -> Plan:
    """Selects cells, sees which tasks' data can be had, and builds each task and network once to find what is wrong.

    Where a task's data cannot be had and the suite names another, the cells of that one take their place, under its
    name; `only` may then select them by either name.

    Args:
        suite: the suite.
        only: values that a cell's attributes must have.

    Raises:
        ValueError: if an argument of a task, encoder or learner is wrong, or `only` selects nothing.
    """
    either = {entry.otherwise.name for entry in suite.tasks if entry.otherwise is not None}
    cells = _select(suite, only or {}, either)
    unavailable = _unavailable(cells)
    if not unavailable and not any(cell.otherwise for cell in cells):
        return Plan(suite, cells, {})
    suite = suite.without(unavailable)
    cells = _select(suite, only or {}, unavailable)
    return Plan(suite, cells, {**unavailable, **_unavailable(cells)})


def add_learner(suite: Suite, name: str) -> tuple[Suite, dict[str, str]]:
    """Adds a learner to every task that it takes.

    Args:
        suite: the suite.
        name: a registered name, or the dotted path of a class.

    Returns:
        The suite with it, and why it was left out of some tasks, by task.

    Raises:
        ValueError: if it takes none of the tasks, is no learner, or is called like another; the message says why.
    """
    everywhere = suite.with_learner(name)
    key = list(everywhere.tasks[0].learners)[-1]
    tasks, refusals, build = [], {}, _Builder()
    for without, entry in zip(suite.tasks, everywhere.tasks, strict=True):
        try:
            task = next(entry.tasks())
            build(SuiteCell.make(entry, task, name=key, seed=suite.seeds[0]))
        except DataUnavailable:
            tasks.append(entry)
        except ValueError as error:
            refusals[entry.task.name] = str(error)
            tasks.append(without)
        else:
            tasks.append(entry)
    if tasks == suite.tasks:
        raise ValueError(next(iter(refusals.values())))
    return suite.with_tasks(tasks), refusals


def _select(suite: Suite, only: Mapping[str, str], names: Collection[str]) -> list[SuiteCell]:
    """Lists the cells that `only` wants; names of tasks that stand in for others, or gave way, are among `names`."""
    cells = [cell for cell in suite.cells() if all(_has(cell, *pair, names) for pair in only.items())]
    if not cells:
        raise ValueError(f"No cell of suite `{suite.suite}` has {' and '.join(f'{k}={v}' for k, v in only.items())}.")
    return cells


def _has(cell: SuiteCell, key: str, value: str, names: Collection[str]) -> bool:
    arguments = cell.spec.training.task.init_args
    found = [arguments[key]] if key in arguments else []
    if key in ONLY_ATTRIBUTES:
        found = [getattr(cell.attributes, key)]
    if key == "ways":
        found += [size.ways for size in cell.spec.test.sizes]
    if key == "task" and cell.otherwise in names:
        found.append(cell.otherwise)
    return value.lower() in [str(each).lower() for each in found]


def _unavailable(cells: Sequence[SuiteCell]) -> dict[str, str]:
    """Tries one of each kind of cell, and says why tasks' data cannot be had."""
    reasons: dict[str, str] = {}
    build = _Builder()
    for cell in cells:
        if cell.attributes.seed != cells[0].attributes.seed:
            continue  # it decides no shape
        try:
            build(cell)
        except DataUnavailable as error:
            reasons[cell.attributes.task] = str(error)
    return reasons


def parse_only(pairs: Iterable[str]) -> dict[str, str]:
    """Reads `KEY=VALUE` pairs.

    Raises:
        ValueError: if one has no `=` or an unknown key.
    """
    only = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"Expected `--only` to be KEY=VALUE but got `{pair}`.")
        if key not in ONLY_KEYS:
            raise ValueError(f"Expected a key of `--only` but got `{key}`. {suggest(key, ONLY_KEYS)}")
        only[key] = value
    return only


class _Builder:
    """Builds tasks and networks to see whether they can be built, each that differs from all before it once."""

    def __init__(self) -> None:
        self._shapes: dict[str, TaskShape] = {}
        self._networks: set[tuple[str, str, TaskShape]] = set()

    def __call__(self, cell: SuiteCell) -> None:
        """Builds the task and the network of a cell.

        Raises:
            ValueError: if they cannot be built.
            DataUnavailable: if the task's data cannot be had.
        """
        try:
            self._build(cell.spec)
        except (ValueError, DataUnavailable):
            raise
        except Exception as error:  # an argument of the wrong type can make a class raise anything
            what = f"{cell.attributes.learner} on {cell.attributes.task}"
            raise ValueError(f"Expected {what} to be built, but {type(error).__name__}: {error}.") from error

    def _build(self, spec: Cell) -> None:
        training = spec.training
        source = training.kind + training.model_dump_json(include={"task", "train", "test", "budget"})
        if source not in self._shapes:
            self._shapes[source] = TaskShape.of(build_task(training))
        shape = self._shapes[source]
        anywhere = training.model_copy(update={"seed": 0, "task": Component(name="")})
        network = anywhere.canonical_json(), str(spec.strategy) if spec.kind == "transfer" else "", shape
        if network not in self._networks:
            build_adapter(spec, build_module(training, shape), shape)
            self._networks.add(network)


def _runs_of(cell: SuiteCell) -> list[PlannedRun]:
    attributes = cell.attributes
    size = f" {attributes.train_classes}" if attributes.train_classes else ""
    where = f"{attributes.task}{size} seed {attributes.seed}"
    candidates = cell.spec.candidates
    rate = " lr {:g}" if len(candidates) > 1 else ""
    needed = [PlannedRun(each, f"pretraining {where}{rate.format(each.optimization.lr)}") for each in candidates]
    needs = tuple(each.run_id for each in candidates)
    return [*needed, PlannedRun(cell.spec, f"{attributes.learner} {where}", needs)]
