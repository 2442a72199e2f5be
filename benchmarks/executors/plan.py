"""Plans the runs of a suite: each once, with the runs that it must wait for."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

from adaptbench.benchmarks.evaluation.guards import GuardFailed
from adaptbench.benchmarks.runs.build import TaskShape, build_adapter, build_module, build_task, source_guards
from adaptbench.benchmarks.runs.interfaces import Checked, check_cell
from adaptbench.benchmarks.store.redaction import without_secrets
from adaptbench.benchmarks.suites.description import called, source_in_words
from adaptbench.benchmarks.suites.registry import load, named
from adaptbench.benchmarks.suites.spec import CANONICAL, Cell, Component, RunSpec, TransferSpec
from adaptbench.benchmarks.suites.suite import Suite, SuiteCell, TaskEntry
from adaptbench.datamodules.errors import DataUnavailable
from adaptbench.reports.format import Manifest, ManifestCell
from adaptbench.reports.selection import Only, select

ONLY_ARGUMENTS = ("split", "scope", "rotations", "images_per_class", "train_images", "train_functions", "noise")
"""Arguments of tasks that select cells, too."""


@dataclass(frozen=True)
class PlannedRun:
    """A run to make.

    Attributes:
        spec: what to run.
        name: its name for readers.
        needs: ids of the runs that must be published first.
    """

    spec: RunSpec
    name: str
    needs: tuple[str, ...] = ()

    @cached_property
    def likenesses(self) -> list[tuple[str, ...]]:
        """Keys that it shares with similar runs, the most similar first; similar runs take about equally long."""
        spec, training = self.spec, self.spec.training
        own = CANONICAL.encode(spec.model_dump(mode="json", include={"learner", "strategy", "pretraining"}))
        encoder = CANONICAL.encode(training.encoder.model_dump(mode="json"))
        key = ("adapts" if spec.candidates else "trains", encoder, own, training.task.name)
        return [key[:shared] for shared in range(len(key), -1, -1)]


@dataclass(frozen=True)
class Plan:
    """The cells of a suite that were selected, and the tasks that lack data.

    Attributes:
        suite: the suite.
        cells: its cells, after selection.
        unavailable: why a task's data is unavailable, by what readers know it by, even if another task replaces it.
    """

    suite: Suite
    cells: Sequence[SuiteCell]
    unavailable: Mapping[str, str]

    def runs(self) -> list[PlannedRun]:
        """Lists every run with available data once, pretrainings first because others wait for them."""
        runs: dict[str, PlannedRun] = {}
        for cell in self.cells:
            if cell.attributes.called not in self.unavailable:
                for run in runs_of(cell.attributes, cell.spec):
                    runs.setdefault(run.spec.run_id, run)
        return sorted(runs.values(), key=lambda run: run.spec.kind != "pretrain")

    def beside(self, others: Collection[ManifestCell]) -> "Plan":
        """Returns the plan of those cells that stand beside other ones in tables.

        Raises:
            ValueError: if there are none.
        """
        taken, tasks = {place for about in others for place in _places(about)}, {about.called for about in others}
        cells = [cell for cell in self.cells if not taken.isdisjoint(_places(cell.attributes))]
        unavailable = {task: reason for task, reason in self.unavailable.items() if task in tasks}
        if not cells:
            why = "".join(f" {reason}" for reason in unavailable.values())
            raise ValueError(f"No cell of suite `{self.suite.suite}` stands beside those of the bundle.{why}")
        return replace(self, cells=cells, unavailable=unavailable)

    def manifest(self, command: Sequence[str]) -> Manifest:
        """Returns the manifest for reports: the whole suite, even if only a part was selected.

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
            published=self.suite.published_text,
        )


def make_plan(suite: Suite, only: Only | None = None) -> Plan:
    """Selects cells, and builds each task and network once to find wrong arguments and unavailable data.

    If a task's data is unavailable and the suite names another task, the cells of that task replace its cells. `only`
    may then select them by either name.

    Args:
        suite: the suite.
        only: values of which a cell must have one, by key.

    Raises:
        ValueError: if an argument of a task, encoder or learner is wrong, `only` selects nothing, or two runs would
            stand at the same place of a table.
    """
    _require_places(suite)
    either = {called(entry.otherwise) for entry in suite.tasks if entry.otherwise is not None}
    cells = select_cells(suite, only or {}, either)
    unavailable = _unavailable(cells)
    if not unavailable and not any(cell.otherwise for cell in cells):
        return Plan(suite, cells, {})
    suite = suite.without(unavailable)
    cells = select_cells(suite, only or {}, unavailable)
    return Plan(suite, cells, {**unavailable, **_unavailable(cells)})


def _require_places(suite: Suite) -> None:
    """Checks that each run has a place of its own in the tables; two tasks of one name may need labels for that."""
    seen: dict[tuple[object, ...], str] = {}
    for about in (cell.attributes for cell in suite.cells()):
        for place in ((about.learner, each) for each in _places(about)):
            if seen.setdefault(place, about.run_id) != about.run_id:
                where = f"{about.called} ({about.protocol}) with seed {about.seed} in suite `{suite.suite}`"
                raise ValueError(f"Expected one run of {about.learner} on {where} but got two; give a task a `label`.")


def _places(about: ManifestCell) -> list[tuple[object, ...]]:
    """Where a run stands in the tables, in the row of its learner, for each size of test episodes."""
    return [(about.group, about.train_classes, about.examples, size, about.seed) for size in about.tests]


def add_learner(suite: Suite, name: str, rates: Sequence[float] = ()) -> tuple[Suite, dict[str, str]]:
    """Adds a learner to every task that it can learn, where tasks are the same but for their training to the first.

    Args:
        suite: the suite.
        name: a registered name, or the dotted path of a class.
        rates: learning rates, of which validation chooses; the default one if empty.

    Returns:
        The suite with the learner, and why it was left out of some tasks, by task.

    Raises:
        ValueError: if it can learn none of the tasks, is not a learner, or has the name of another one.
    """
    everywhere = suite.with_learner(name, rates)
    key = list(everywhere.tasks[0].learners)[-1]
    tasks, refusals, taken, build = [], {}, set[tuple[object, ...]](), Builder()
    for without, entry in zip(suite.tasks, everywhere.tasks, strict=True):
        cells = [SuiteCell.make(task, name=key, seed=suite.seeds[0]) for task in entry.tasks()]
        places = {place for cell in cells for place in _places(cell.attributes)}
        if places <= taken:
            tasks.append(without)
            continue
        try:
            with suppress(DataUnavailable):  # which the plan says of each task
                build(cells[0])
        except ValueError as error:
            refusals[entry.task.name] = without_secrets(str(error))
            tasks.append(without)
        else:
            tasks.append(entry)
            taken |= places
    if tasks == suite.tasks:
        raise ValueError(next(iter(refusals.values())))
    return suite.with_tasks(tasks), refusals


def with_encoder(suite: Suite, name: str) -> tuple[Suite, dict[str, str]]:
    """Puts an encoder under every learner of those tasks that it can encode.

    Args:
        suite: the suite.
        name: a registered name, or the dotted path of a class.

    Returns:
        The suite with the encoder, and why tasks were left out of it, by task.

    Raises:
        ValueError: if no learner of any task can be built on it.
    """
    tasks, refusals, build = list[TaskEntry](), dict[str, str](), Builder()
    for entry in suite.with_encoder(name).tasks:
        first, reasons = next(entry.tasks()), list[str]()
        for learner in entry.learners:
            try:
                with suppress(DataUnavailable):  # which the plan says of each task
                    build(SuiteCell.make(first, name=learner, seed=suite.seeds[0]))
            except ValueError as error:
                reasons.append(without_secrets(str(error)))
            else:
                tasks.append(entry)
                break
        else:
            refusals[called(entry.task)] = reasons[0]
    if not tasks:
        raise ValueError(next(iter(refusals.values())))
    return suite.with_tasks(tasks), refusals


def select_cells(suite: Suite, only: Only, names: Collection[str] = ()) -> list[SuiteCell]:
    """Lists the cells that `only` selects; `names` has the tasks that a cell's `otherwise` may be selected by."""

    def values(cell: SuiteCell, key: str) -> list[object]:
        if key in ONLY_ARGUMENTS:
            arguments = cell.spec.training.task.init_args
            return [arguments[key]] if key in arguments else []
        if key == "ways":
            return [size.ways for size in cell.spec.test.sizes]
        if key == "examples":
            return [cell.spec.training.budget.examples]
        if key == "task":
            otherwise = [cell.otherwise] if cell.otherwise in names else []
            return [cell.attributes.task, cell.attributes.called, *otherwise]
        return [getattr(cell.attributes, key)]

    return select(suite.cells(), only, values, f"suite `{suite.suite}`")


def _unavailable(cells: Sequence[SuiteCell]) -> dict[str, str]:
    """Builds one of each kind of cell; returns why tasks' data is unavailable, by what readers know a task by."""
    reasons: dict[str, str] = {}
    build = Builder()
    for cell in cells:
        if cell.attributes.seed != cells[0].attributes.seed:
            continue  # the seed changes no shape
        try:
            build(cell)
        except DataUnavailable as error:
            reasons[cell.attributes.called] = without_secrets(str(error))
    return reasons


class Builder:
    """Builds tasks and networks to find errors, each different one once, and checks a user's own classes.

    Attributes:
        checked: what was found about cells with own classes.
    """

    def __init__(self) -> None:
        self._shapes: dict[str, TaskShape] = {}
        self._networks: set[tuple[str, tuple[bool, bool, str], TaskShape]] = set()
        self._sources: set[str] = set()
        self.checked: list[Checked] = []

    def __call__(self, cell: SuiteCell) -> None:
        """Builds the task and the network of a cell.

        Raises:
            ValueError: if they cannot be built.
            DataUnavailable: if the task's data is unavailable.
        """
        try:
            self._build(cell.spec)
        except (ValueError, DataUnavailable):
            raise
        except GuardFailed as error:
            raise ValueError(f"{cell.attributes.learner} on {cell.attributes.called} is refused: {error}") from error
        except Exception as error:  # an argument of the wrong type can make a class raise anything
            what = f"{cell.attributes.learner} on {cell.attributes.called}"
            raise ValueError(f"{what} cannot be built: {named(error)}.") from error

    def _build(self, spec: Cell) -> None:
        training = spec.training
        source = training.kind + training.model_dump_json(include={"task", "train", "test", "budget"})
        if source not in self._shapes:
            self._shapes[source] = TaskShape.of(build_task(training))
        shape = self._shapes[source]
        anywhere = training.model_copy(update={"seed": 0, "task": Component(name="")})
        validates = load("task", training.task.name).validates(training.task.init_args)
        chooses = validates, bool(spec.rivals), str(spec.strategy) if spec.kind == "transfer" else ""
        network = anywhere.canonical_json(), chooses, shape
        if network not in self._networks:
            module = build_module(training, shape)
            adapter = build_adapter(spec, module, shape)
            if spec.code or training.code:
                self.checked.append(check_cell(spec, build_task(training), module, adapter))
            self._networks.add(network)
        if spec.kind == "transfer":
            self._check_sources(spec)

    def _check_sources(self, spec: TransferSpec) -> None:
        """Refuses a source of pretraining before anything trains."""
        key = str([each.task for each in spec.candidates])
        if spec.sources and key not in self._sources:
            for source in spec.sources:
                build_module(source, TaskShape.of(build_task(source)))
            failed = [f for f in source_guards(spec, build_task(spec.training)) if f.status == "failed"]
            if failed:
                raise ValueError(f"A source of `pretraining_sources` is refused: {failed[0].found}")
            self._sources.add(key)


def runs_of(cell: ManifestCell, spec: RunSpec) -> list[PlannedRun]:
    """The runs of a cell with their names, those that it needs before its own."""
    size = f" {cell.train_classes}" if cell.train_classes else ""
    budget = f" {cell.examples} examples" if cell.examples else ""
    where = f"{cell.called}{size}{budget} seed {cell.seed}"
    candidates = spec.candidates
    rates = len({each.optimization.lr for each in candidates}) > 1
    what, own = "pretraining" if spec.kind == "transfer" else cell.learner, spec.training.task
    needed = [
        PlannedRun(
            each,
            f"{what} {where}{f' lr {each.optimization.lr:g}' if rates else ''}"
            f"{f' on {source_in_words(each)}' if each.task != own else ''}",
        )
        for each in candidates
    ]
    needs = tuple(each.run_id for each in candidates)
    return [*needed, PlannedRun(spec, f"{cell.learner} {where}", needs)]
