"""Sources of a report: folders of runs and bundles, read together; what came from where stays known."""

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from adaptbench.reports.errors import ReportError
from adaptbench.reports.format import Result
from adaptbench.reports.plural import count_of
from adaptbench.reports.reading import Unreadable, read
from adaptbench.reports.results.manifest import Suite, listed_cells, read_suite, suite_names, values_of
from adaptbench.reports.results.runs import Outcome, Run, Source, read_outcomes
from adaptbench.reports.selection import Only, select
from adaptbench.reports.sources.bundles import built_in, bundle_file, unpack
from adaptbench.reports.sources.statements import verified

NAMED = 3
"""The most runs that a note names."""
SourceName = str | Path


@dataclass(frozen=True)
class Reading:
    """What sources hold of a suite.

    Args:
        suite: The suite; of several suites, all their cells.
        outcomes: The run of each cell, or why there is none.
        notes: Runs that are left out, each with its reason.
        published: For each suite with published numbers, its name and their CSV file, as it is.
    """

    suite: Suite
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()
    published: tuple[tuple[str, str], ...] = ()

    def only(self, wanted: Only) -> "Reading":
        """The part whose cells have one of the values of each key.

        Raises:
            ReportError: There is none.
        """
        where = f"suite `{self.suite.name}`"
        kept = tuple(select(self.outcomes, wanted, lambda each, key: values_of(each.cell, key), where))
        return self._part(kept, "by --only")

    def begun(self, asked: Collection[str] = (), why: str = "because nobody asked for them") -> "Reading":
        """The part that has been begun, or whose runs were asked for by their ids."""
        quiet = ("not finished", "data unavailable")
        kept = (e for e in self.outcomes if isinstance(e, Run) or e.kind not in quiet or e.cell.run_id in asked)
        return self._part(tuple(kept), why)

    def _part(self, kept: tuple[Outcome, ...], why: str) -> "Reading":
        left = len(self.outcomes) - len(kept)
        notes = [f"{left} of {count_of(len(self.outcomes), 'cell')} left out {why}."] if left else []
        return replace(self, suite=_with_cells(self.suite, kept), outcomes=kept, notes=(*self.notes, *notes))


@contextmanager
def opened(names: Sequence[SourceName]) -> Iterator[tuple[Source, ...]]:
    """Opens folders of runs and bundles; bundles are unpacked until the context ends.

    Args:
        names: Folders, files of bundles, or suites whose bundle ships with this package.

    Raises:
        ReportError: One is none of these, or a bundle is damaged.
    """
    with ExitStack() as stack:
        yield tuple(_open(name, stack) for name in names)


def read_sources(sources: Sequence[Source], suite: str | Sequence[str] | None = None) -> Reading:
    """Reads a suite, or several, from all sources; for a run that several have, the first counts.

    Of several sources, each gives the learners that it has a run of. Several suites of one source count as several
    sources. A later source may have runs of the suite as parts of another one, without the suite's manifest. Of bundles
    alone, cells without a run are left out: nobody is going to finish them there.

    Args:
        sources: The sources.
        suite: The suites; None for the only one that all have.

    Raises:
        ReportError: A manifest cannot be read, or there are several and no `suite`.
    """
    wanted: Sequence[str | None] = [suite] if isinstance(suite, str) else suite or [None]
    names = {source.name: suite_names(source.folder) for source in sources}
    single = {each[0] for each in names.values() if len(each) == 1}
    default = next(iter(single)) if len(single) == 1 else None
    suites: list[Suite] = []
    found: dict[str, Outcome] = {}
    notes: list[str] = []
    for source, each in itertools.product(sources, wanted):
        if len(wanted) > 1 and each not in names[source.name] and any(each in others for others in names.values()):
            continue  # another source has it
        elsewhere = None if each in names[source.name] else next((own for own in suites if own.name == each), None)
        if elsewhere and any((source.folder / cell.run_id).exists() for cell in elsewhere.cells):
            own = elsewhere  # a folder or bundle of another suite, which has some of the same runs
        else:
            own = read_suite(source.folder, each or (default if len(names[source.name]) != 1 else None))
        notes += [] if source.bundled or each != wanted[0] else _unlisted(source)
        suites.append(own)
        name = f"{source.name}, {own.name}" if len(wanted) > 1 else source.name
        several = len(sources) * len(wanted) > 1
        here = replace(source, name=name, command=own.command or (own.name,)) if several else source
        notes += _merge(found, _outcomes(here, own, marked=several), here)
    outcomes = _without_covered(found.values())
    name = "+".join(dict.fromkeys(each.name for each in suites))
    published = dict.fromkeys((each.name, each.published) for each in suites if each.published)
    merged = _with_cells(suites[0].model_copy(update={"name": name}), outcomes)
    reading = Reading(merged, tuple(outcomes), tuple(notes), tuple(published))
    bundles = all(source.bundled for source in sources)
    return reading.begun(why="because the bundle has no run of them") if bundles else reading


def _open(name: SourceName, stack: ExitStack) -> Source:
    if Path(name).is_dir():
        return Source(str(name), Path(name))
    file, shipped = bundle_file(name), built_in()
    if not file.is_file():
        known = f"; bundles that ship: {', '.join(shipped)}" if shipped else ""
        cure = "" if file.suffix == ".zip" else f"; `adaptbench run SUITE --out {name}` makes runs"
        raise ReportError(f"Expected a folder of runs or a bundle but {name} is neither{cure}{known}.")
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="adaptbench-bundle-"))) / "runs"
    index = unpack(file, folder)
    facts = [f"version {index.suite.version}", f"{index.made:%Y-%m-%d}", verified(file)]
    return Source(str(name), folder, bundled=True, made=", ".join(fact for fact in facts if fact))


def _outcomes(source: Source, suite: Suite, *, marked: bool) -> list[Outcome]:
    found = read_outcomes(source.folder, suite)
    if not marked:
        return list(found)
    started = {each.cell.learner for each in found if isinstance(each, Run) or each.kind == "failed"}
    return [
        replace(each, source=source) if isinstance(each, Run) else each
        for each in found
        if each.cell.learner in started
    ]


def _merge(found: dict[str, Outcome], outcomes: Sequence[Outcome], source: Source) -> list[str]:
    """Adds the outcomes of a source; a learner that means something else than an earlier one gets another name."""
    notes = []
    places = {place: each.cell.run_id for each in found.values() if isinstance(each, Run) for place in _places(each)}
    clashing = {
        each.cell.learner
        for each in outcomes
        if isinstance(each, Run)
        and any(places.get(place, each.cell.run_id) != each.cell.run_id for place in _places(each))
    }
    for each in outcomes:
        here = found.get(each.cell.run_id)
        if isinstance(here, Run) and isinstance(each, Run) and here.result.scores != each.result.scores:
            notes.append(f"Run {each.cell.run_id} of {source.name} has other scores; that of {_name(here)} counts.")
        if isinstance(here, Run) or (here is not None and not isinstance(each, Run)):
            continue
        if each.cell.learner in clashing:
            names = {"learner": f"{each.cell.learner} ({source.name})", "label": f"{each.cell.label} ({source.name})"}
            each = replace(each, cell=each.cell.model_copy(update=names))
        found[each.cell.run_id] = each
    notes += [
        f"{name} of {source.name} differs from that of an earlier source, and has a row." for name in sorted(clashing)
    ]
    return notes


def _without_covered(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Leaves out cells without a run where another source has a run for the same place of the table."""
    found = list(outcomes)
    covered = {place for each in found if isinstance(each, Run) for place in _places(each)}
    return [each for each in found if isinstance(each, Run) or not covered.intersection(_places(each))]


def _places(outcome: Outcome) -> set[tuple[object, ...]]:
    cell = outcome.cell
    return {(cell.group, cell.learner, setting, cell.seed) for setting in cell.settings}


def _unlisted(source: Source) -> list[str]:
    """Counts the finished runs of a folder that none of its suites has, nor a run of theirs tried."""
    listed = {cell.run_id for cell in listed_cells(source.folder)}
    paths = {path.parent.name: path for path in sorted(source.folder.glob("[!.]*/result.json"))}
    unlisted = _readable(paths[run_id] for run_id in paths if run_id not in listed)
    others = [each for each in unlisted if each.kind != "pretrain"]
    if not others:
        return []
    asked = _readable(paths[run_id] for run_id in paths if run_id in listed)
    tried = {each.run_id for result in asked for each in result.pretrainings}
    found = [
        f"{each.learner} on {each.task}, seed {each.seed} (run {each.run_id})"
        for each in others
        if each.run_id not in tried
    ]
    where = f"{source.name} lists in no suite, so that the report leaves out"
    more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return [f"{where}, {count_of(len(found), 'run')}: {'; '.join(found[:NAMED])}{more}."] if found else []


def _readable(paths: Iterable[Path]) -> Iterator[Result]:
    for path in paths:
        with suppress(Unreadable):
            yield read(path, Result)


def _with_cells(suite: Suite, outcomes: Sequence[Outcome]) -> Suite:
    changed = suite.model_copy(update={"cells": tuple(each.cell for each in outcomes)})
    for name in ("learners", "families"):
        changed.__dict__.pop(name, None)
    return changed


def _name(run: Run) -> str:
    return run.source.name if run.source else "another source"
