"""The command `adaptbench compare`: trains one learner and ranks it among the learners of a bundle."""

import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from rich.console import Console
from rich.markup import escape

from adaptbench.benchmarks.commands.run import INTERRUPTED, Standing, run_suite
from adaptbench.benchmarks.commands.run_options import RunOptions
from adaptbench.benchmarks.executors.plan import Plan
from adaptbench.benchmarks.suites.registry import suite_files
from adaptbench.benchmarks.suites.suite import load_suite
from adaptbench.reports.comparison.comparison import Comparison, compare
from adaptbench.reports.comparison.detection import SEEDS, choices, cpu_seconds, shown
from adaptbench.reports.comparison.fidelity import fidelities
from adaptbench.reports.format import ManifestCell
from adaptbench.reports.plural import count_of
from adaptbench.reports.report import About
from adaptbench.reports.results.runs import Run
from adaptbench.reports.selection import Only, parse_only
from adaptbench.reports.sources.bundles import built_in
from adaptbench.reports.sources.sources import Reading, opened, read_sources
from adaptbench.reports.terminal import print_indented, show_report

LARGE = ("reference", "classes")
"""The suites whose ranks a smaller one should have."""


def compare_learner(bundle: str, options: RunOptions, detect: float | None, console: Console) -> int:
    """Trains a learner on the suite of a bundle, and reports it beside the bundle's learners; returns the exit code.

    Args:
        bundle: a suite whose bundle ships, or the file of a bundle.
        options: the options of the runs; their one learner is compared.
        detect: a difference for which to say how many seeds and episodes it takes.
        console: where to print.

    Raises:
        ValueError: if the bundle or an option is wrong; then nothing is run.
    """
    only = parse_only(options.only)
    if "learner" in only or "family" in only:
        raise ValueError("Expected `--only` without a learner, because one learner is compared with all others.")
    if not Path(bundle).is_file() and bundle not in built_in():
        known = ", ".join(built_in()) or "none yet"
        cure = f"; `adaptbench run {bundle}` and `adaptbench submit runs` make one" if bundle in suite_files() else ""
        raise ValueError(
            f"Expected `--suite` to be the file of a bundle, or a suite whose bundle ships ({known}), but got "
            f"`{bundle}`{cure}."
        )
    (name,) = options.learners
    key = name.rpartition(".")[2]
    part = [argument for value in options.only for argument in ("--only", value)]
    again = shlex.join(["adaptbench", "compare", name, "--suite", bundle, *part, *options.settings])
    with _read(bundle, only) as reading:
        suite = reading.suite.command[0] if reading.suite.command else reading.suite.name
        if suite not in suite_files():
            raise ValueError(f"Expected the bundle of a suite that ships but got that of `{suite}`.")
        beside = [
            each.cell.model_copy(update={"seed": seed})
            for each in reading.outcomes
            if isinstance(each, Run)
            for seed in ([each.cell.seed] if options.seeds is None else range(options.seeds))
        ]
        options = replace(options, only=[f"learner={key}"])
    if any(key in task.learners for task in load_suite(suite).tasks):
        if name == key and not options.encoder:
            raise ValueError(
                f"Expected `--encoder` with `{key}`, whose results in suite `{suite}` are there, or a learner of your "
                "own, package.Class."
            )
        options = replace(options, learners=[]) if name == key else options  # one of ours, on another encoder

    asked: set[str] = set()

    def introduce(plan: Plan, standing: Standing) -> None:
        asked.update(cell.spec.run_id for cell in plan.cells)
        with _read(bundle, only) as reading:
            if standing.left:
                _say_time(reading, plan, options, console)
            _say_fidelity(reading, console)
            if detect is not None:
                groups = {cell.attributes.group for cell in plan.cells}
                own = [each for each in compare(reading.outcomes) if each.group in groups]
                _say_choices(own, detect, console)

    code = run_suite(suite, replace(options, report=False), console, introduce, beside)
    if options.dry_run or code == INTERRUPTED:
        return code
    out, suite, about = options.out / f"compare-{key}", reading.suite.name, About(key, again)
    show_report([options.out, bundle], out, suite, console, only=only, about=about, asked=asked)
    return code


@contextmanager
def _read(bundle: str, only: Only) -> Iterator[Reading]:
    """Opens a bundle, and reads the part of it that is compared."""
    with opened([bundle]) as sources:
        reading = read_sources(sources)
        yield reading.only(only) if only else reading


def _say_time(reading: Reading, plan: Plan, options: RunOptions, console: Console) -> None:
    """Estimates CPU minutes from what the bundle's learners took at the same places."""
    known: dict[tuple[object, ...], dict[str, list[float]]] = {}
    for run in (each for each in reading.outcomes if isinstance(each, Run)):
        if (seconds := cpu_seconds(run)) is not None:
            known.setdefault(_place(run.cell), {}).setdefault(run.cell.learner, []).append(seconds)
    cells = [cell.attributes for cell in plan.cells if cell.attributes.called not in plan.unavailable]
    taken = [known.get(_place(cell)) for cell in cells]
    if None in taken:
        cost = "of unknown length, because the bundle does not say how long as many took"
    else:
        means = [[fmean(found) for found in by_learner.values()] for by_learner in taken if by_learner]
        rates = len(options.rates) or 1
        least, mean, most = (f"{rates * sum(map(of, means)) / 60:.1f}" for of in (min, fmean, max))
        cost = f"about {mean} CPU minutes in all"
        cost += f" (the bundle's cheapest learners took {least}, the dearest {most})" if least != most else ""
    console.print(f"{count_of(len(plan.runs()), 'run')}, {cost}.", highlight=False)


def _place(cell: ManifestCell) -> tuple[object, ...]:
    return cell.group, cell.train_classes, cell.examples, cell.tests


def _say_fidelity(reading: Reading, console: Console) -> None:
    """Says how far the bundle ranks learners as larger suites do, whose results ship."""
    if reading.suite.name in LARGE:
        return
    small = compare(reading.outcomes)
    for large in (name for name in LARGE if name in built_in()):
        with opened([large]) as sources:
            found = list(fidelities(small, compare(read_sources(sources).outcomes)))
        if found:
            what = f"Agreement of the ranks in {reading.suite.name} with those in {large}"
            console.print(f"{what} (Kendall's tau, 95 % interval):", highlight=False)
        for each in found:
            print_indented(str(each), console)


def _say_choices(comparisons: Iterable[Comparison], detect: float, console: Console) -> None:
    """Prints by which numbers of seeds and episodes a difference is seen in every column, with 80 % power."""
    for comparison in comparisons:
        unit = "% of the error" if comparison.metric.logarithmic else "points"
        title = f"{comparison.called} ({comparison.protocol}): to see a difference of {detect:g} {unit} from the best"
        console.print(escape(title), highlight=False)
        found = choices(comparison, detect)
        if not found:
            console.print("  unknown, because the bundle has no two learners with two seeds")
        for choice in found:
            who = "yours against the bundle's runs" if choice.paired else "all learners run anew"
            if choice.seeds is None:
                ends = sorted(choice.smallest, key=lambda column: choice.smallest[column])
                edges = (
                    f"{shown(comparison, choice.smallest[column])} ({comparison.settings[column]})"
                    for column in dict.fromkeys((ends[0], ends[-1]))
                )
                text = f"{SEEDS[-1]} seeds are too few, for they show {' to '.join(edges)}"
            else:
                text = f"{count_of(choice.seeds, 'seed')}, about {choice.cpu_minutes:.1f} CPU minutes"
            print_indented(f"{choice.episodes} test episodes, {who}: {text}", console)
