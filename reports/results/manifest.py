"""The manifest of a suite: the cells that it wants, whether they are finished or not."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from adaptbench.reports.errors import ReportError
from adaptbench.reports.json_fields import field, optional_field, read_object
from adaptbench.reports.results.settings import Setting


@dataclass(frozen=True)
class Cell:
    """One run that a suite wants, with the settings that it is tested at; every table of it carries its remarks."""

    run_id: str
    task: str
    protocol: str
    learner: str
    label: str
    family: str
    seed: int
    train_classes: int | None
    class_word: str
    settings: tuple[Setting, ...]
    metric: str
    higher_is_better: bool
    shots_word: str = "shot"
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suite:
    """What a suite wants.

    Args:
        name: Its name.
        version: Its version.
        description: One sentence.
        cells: Every run that it wants.
        unavailable: For a task the reason why its data are not there.
        command: The arguments that `adaptbench run` had: the suite, and learners that were added.
    """

    name: str
    version: int
    description: str
    cells: tuple[Cell, ...]
    unavailable: Mapping[str, str]
    command: tuple[str, ...] = ()

    @cached_property
    def learners(self) -> tuple[str, ...]:
        """Learner names in the order of the manifest."""
        return tuple(dict.fromkeys(cell.learner for cell in self.cells))

    @cached_property
    def families(self) -> tuple[str, ...]:
        """Family names in the order of the manifest."""
        return tuple(dict.fromkeys(cell.family for cell in self.cells))


def read_suite(runs: Path, name: str | None = None) -> Suite:
    """Reads the manifest of a suite from a runs folder.

    Args:
        runs: The folder that `adaptbench run` wrote.
        name: The suite; None for the only one there.

    Raises:
        ReportError: There is no such manifest, more than one to choose from, or it cannot be read.
    """
    names = sorted(path.stem for path in (runs / "suites").glob("*.json") if not path.name.startswith("."))
    if not names:
        raise ReportError(
            f"Expected {runs / 'suites'} to hold the manifest of a suite (*.json) but found none; "
            f"`adaptbench run SUITE --out {runs}` writes it."
        )
    return _parse_suite(runs / "suites" / f"{_choose(names, name)}.json")


def _choose(names: list[str], name: str | None) -> str:
    if name is None and len(names) == 1:
        return names[0]
    if name is None:
        raise ReportError(
            f"Expected argument `suite` to name one of the suites there, {', '.join(names)}, but got None."
        )
    if name not in names:
        nearest = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {nearest[0]}?" if nearest else ""
        raise ReportError(f"Expected argument `suite` to be one of {', '.join(names)} but got {name!r}.{hint}")
    return name


def _parse_suite(path: Path) -> Suite:
    data = read_object(path)
    unavailable = optional_field(data, "unavailable", dict, path.name) or {}
    suite = Suite(
        name=field(data, "suite", str, path.name),
        version=field(data, "version", int, path.name),
        description=optional_field(data, "description", str, path.name) or "",
        cells=tuple(_parse_cell(cell, path.name) for cell in field(data, "cells", list, path.name)),
        unavailable={str(task): str(reason) for task, reason in unavailable.items()},
        command=tuple(map(str, optional_field(data, "command", list, path.name) or ())),
    )
    _check_distinct(suite, path.name)
    return suite


def _parse_cell(data: object, file: str) -> Cell:
    train_classes = optional_field(data, "train_classes", int, file)
    words = field(data, "class_word", str, file), optional_field(data, "shots_word", str, file) or "shot"
    tests = field(data, "tests", list, file)
    settings = (
        Setting(train_classes, optional_field(test, "ways", int, file), field(test, "shots", int, file), *words)
        for test in tests
    )
    return Cell(
        run_id=_folder_name(field(data, "run_id", str, file)),
        task=field(data, "task", str, file),
        protocol=field(data, "protocol", str, file),
        learner=field(data, "learner", str, file),
        label=optional_field(data, "label", str, file) or field(data, "learner", str, file),
        family=field(data, "family", str, file),
        seed=field(data, "seed", int, file),
        train_classes=train_classes,
        class_word=field(data, "class_word", str, file),
        settings=tuple(settings),
        metric=field(data, "metric", str, file),
        higher_is_better=field(data, "higher_is_better", bool, file),
        shots_word=optional_field(data, "shots_word", str, file) or "shot",
        remarks=tuple(str(remark) for remark in optional_field(data, "remarks", list, file) or ()),
    )


def _folder_name(run_id: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", run_id):
        raise ReportError(f"Expected `run_id` to be letters, digits, - and _ but got {run_id!r}.")
    return run_id


def _check_distinct(suite: Suite, file: str) -> None:
    """Two runs for the same place in a table must not be averaged as if they were two seeds."""
    seen: dict[tuple[object, ...], str] = {}
    for cell in suite.cells:
        for setting in cell.settings:
            place = (cell.task, cell.protocol, cell.learner, setting, cell.seed)
            if seen.setdefault(place, cell.run_id) != cell.run_id:
                raise ReportError(
                    f"Expected {file} to name one run for {cell.learner} on {cell.task} with seed {cell.seed} "
                    f"but got {seen[place]} and {cell.run_id}; give the learners or protocols different names."
                )
