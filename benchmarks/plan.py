"""From a suite to the runs that it needs, each once, and what each must wait for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.build import TaskShape, build_module, build_task, instantiate
from benchmarks.registry import suggest
from benchmarks.spec import EpisodicSpec, PretrainSpec, TransferSpec
from benchmarks.suite import Suite, SuiteCell
from datamodules.errors import DataUnavailable

ONLY_KEYS = ("task", "learner", "family", "seed", "train_classes", "run_id")


@dataclass(frozen=True)
class PlannedRun:
    """A run to make.

    Attributes:
        spec: what to run.
        name: how people call it.
        group: runs of one group take about equally long.
        needs: id of the run that must be published before; None for none.
    """

    spec: EpisodicSpec | PretrainSpec | TransferSpec
    name: str
    group: str
    needs: str | None = None


@dataclass(frozen=True)
class Plan:
    """What a suite wants and what can be had.

    Attributes:
        suite: the suite.
        cells: its cells, after selection.
        unavailable: the reason why a task's data cannot be had, by task.
    """

    suite: Suite
    cells: Sequence[SuiteCell]
    unavailable: Mapping[str, str]

    def runs(self) -> list[PlannedRun]:
        """Lists every run whose data can be had, once, pretraining first because others wait for it."""
        runs: dict[str, PlannedRun] = {}
        for cell in self.cells:
            if cell.attributes["task"] not in self.unavailable:
                for run in _runs_of(cell):
                    runs.setdefault(run.spec.run_id, run)
        return sorted(runs.values(), key=lambda run: not isinstance(run.spec, PretrainSpec))

    def manifest(self) -> dict[str, Any]:
        """What reports read to know what was wanted: the whole suite, also where only a part was selected."""
        return {
            "suite": self.suite.suite,
            "version": self.suite.version,
            "description": self.suite.description,
            "cells": [cell.attributes for cell in self.suite.cells()],
            "unavailable": dict(self.unavailable),
        }


def make_plan(suite: Suite, only: Mapping[str, str] | None = None) -> Plan:
    """Selects cells, sees which tasks' data can be had, and builds each task and network once to find what is wrong.

    Args:
        suite: the suite.
        only: values that a cell's attributes must have.

    Raises:
        ValueError: if an argument of a task, encoder or learner is wrong, or `only` selects nothing.
    """
    cells = [cell for cell in suite.cells() if _selected(cell.attributes, only or {})]
    if not cells:
        raise ValueError(
            f"No cell of suite `{suite.suite}` has {' and '.join(f'{k}={v}' for k, v in (only or {}).items())}."
        )
    unavailable: dict[str, str] = {}
    for cell in _one_of_each(cells):
        try:
            _try(cell)
        except DataUnavailable as error:
            unavailable[cell.attributes["task"]] = str(error)
    return Plan(suite, cells, unavailable)


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


def _selected(attributes: Mapping[str, Any], only: Mapping[str, str]) -> bool:
    return all(str(attributes[key]).lower() == value.lower() for key, value in only.items())


def _one_of_each(cells: Sequence[SuiteCell]) -> list[SuiteCell]:
    """Leaves one seed of every cell: the seed decides no shape."""
    seen: dict[tuple[Any, ...], SuiteCell] = {}
    for cell in cells:
        seen.setdefault(
            tuple(str(cell.attributes[key]) for key in ("task", "protocol", "learner", "train_classes")), cell
        )
    return list(seen.values())


def _try(cell: SuiteCell) -> None:
    training = cell.spec.pretrained if isinstance(cell.spec, TransferSpec) else cell.spec
    task = build_task(training)
    module = build_module(training, TaskShape.of(task))
    if isinstance(cell.spec, TransferSpec):
        instantiate("strategy", cell.spec.strategy, module, task.targets)


def _runs_of(cell: SuiteCell) -> list[PlannedRun]:
    attributes = cell.attributes
    size = f" {attributes['train_classes']}" if attributes["train_classes"] else ""
    where = f"{attributes['task']}{size} seed {attributes['seed']}"
    run = PlannedRun(cell.spec, f"{attributes['learner']} {where}", f"{attributes['task']} {attributes['learner']}")
    if isinstance(cell.spec, EpisodicSpec):
        return [run]
    pretrained = cell.spec.pretrained
    needed = PlannedRun(pretrained, f"pretraining {where}", f"{attributes['task']} pretraining")
    return [needed, PlannedRun(run.spec, run.name, run.group, needs=pretrained.run_id)]
