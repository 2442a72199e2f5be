"""The manifest of a suite: the cells that it wants, finished or not."""

from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from adaptbench.reports.errors import ReportError
from adaptbench.reports.format import Manifest, ManifestCell
from adaptbench.reports.reading import read
from adaptbench.reports.results.settings import Setting
from adaptbench.reports.selection import suggest


class Cell(ManifestCell):
    """One run that a suite wants, with the settings of its tests."""

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """The settings of its tests."""
        words = {"class_word": self.class_word, "shots_word": self.shots_word}
        return tuple(Setting(self.train_classes, test.ways, test.shots, self.examples, **words) for test in self.tests)


class Suite(Manifest):
    """What a suite wants."""

    cells: tuple[Cell, ...]

    @cached_property
    def learners(self) -> tuple[str, ...]:
        """Learner names in the order of the manifest."""
        return tuple(dict.fromkeys(cell.learner for cell in self.cells))

    @cached_property
    def families(self) -> tuple[str, ...]:
        """Family names in the order of the manifest."""
        return tuple(dict.fromkeys(cell.family for cell in self.cells))


def suite_names(runs: Path) -> list[str]:
    """The suites of a runs folder."""
    return sorted(path.stem for path in (runs / "suites").glob("*.json") if not path.name.startswith("."))


def read_suite(runs: Path, name: str | None = None) -> Suite:
    """Reads the manifest of a suite from a runs folder.

    Args:
        runs: The folder that `adaptbench run` wrote.
        name: The suite; None for the only one.

    Raises:
        ReportError: There is no such manifest, or several and no name, or it cannot be read.
    """
    names = suite_names(runs)
    if not names:
        raise ReportError(
            f"Expected the manifest of a suite (*.json) in {runs / 'suites'} but found none; "
            f"`adaptbench run SUITE --out {runs}` writes it."
        )
    path = runs / "suites" / f"{_choose(names, name, runs)}.json"
    suite = read(path, Suite)
    _check_distinct(suite, path.name)
    return suite


def listed_cells(runs: Path) -> Iterator[Cell]:
    """Yields the cells of every suite of a runs folder; a manifest that cannot be read lists none."""
    for name in suite_names(runs):
        with suppress(ReportError):
            yield from read_suite(runs, name).cells


def _choose(names: list[str], name: str | None, runs: Path) -> str:
    if name is None and len(names) == 1:
        return names[0]
    if name is None:
        raise ReportError(f"Expected one suite to be named, because {runs} has several suites: {', '.join(names)}.")
    if name not in names:
        raise ReportError(f"Expected a suite that {runs} has but got `{name}`. {suggest(name, names)}")
    return name


def values_of(cell: Cell, key: str) -> list[object]:
    """The values by which a cell is selected; the key is one of `selection.KEYS`."""
    if key == "task":
        return [cell.task, cell.called]
    return [test.ways for test in cell.tests] if key == "ways" else [getattr(cell, key)]


def _check_distinct(suite: Suite, file: str) -> None:
    """Refuses two runs for the same place in a table, which would be averaged as two seeds."""
    seen: dict[tuple[object, ...], str] = {}
    for cell in suite.cells:
        for setting in cell.settings:
            place = (cell.group, cell.learner, setting, cell.seed)
            if seen.setdefault(place, cell.run_id) != cell.run_id:
                raise ReportError(
                    f"Expected {file} to name one run for {cell.learner} on {cell.called} with seed {cell.seed} "
                    f"but got {seen[place]} and {cell.run_id}; give the tasks labels, or the learners different names."
                )
