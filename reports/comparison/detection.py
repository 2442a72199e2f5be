"""How many seeds and episodes it takes to see a difference, from the scores of learners that have been run."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.results.runs import Run
from adaptbench.reports.statistics.intervals import stack_seeds
from adaptbench.reports.statistics.planning import VarianceParts, detectable_difference, variance_parts
from adaptbench.reports.statistics.scales import log_scores

SEEDS = (2, 3, 4, 5, 7, 10, 15, 20, 30)
"""The numbers of seeds that are considered."""
OPTIONS = ((1, True), (1, False), (2, False), (5, False))
"""The test episodes that are considered, as multiples of the suite's, and whether the scores at hand are used."""


@dataclass(frozen=True)
class Choice:
    """One way to see a difference with 80 % power in every column of a table.

    Args:
        episodes: Test episodes of each size.
        paired: Whether the learner is compared with the scores at hand; else all learners are run anew.
        seeds: Seeds of each learner that is run; None if even `SEEDS[-1]` are too few.
        smallest: The smallest difference that is found with these seeds, or with `SEEDS[-1]`, in the metric's unit, by
            the number of the column.
        cpu_minutes: CPU minutes of all runs of the choice.
    """

    episodes: int
    paired: bool
    seeds: int | None
    smallest: Mapping[int, float]
    cpu_minutes: float


def cpu_seconds(run: Run, factor: int = 1) -> float | None:
    """CPU seconds of training and seconds of testing of a run, if known; for a strategy, with its pretraining.

    Args:
        run: The run.
        factor: How many times as many test episodes it would have.
    """
    times = run.times
    return None if times is None else (run.train_cpu_seconds or 0.0) + factor * (times.test_seconds or 0.0)


def parts_of(entries: Sequence[Entry], relative: bool) -> VarianceParts | None:
    """The typical variance parts of the learners of a column: means over pairs; None if no two have two seeds."""
    scores = [stack_seeds(list(each.samples.values())) for each in entries if _usable(each)]
    scores = [log_scores(each) for each in scores] if relative else scores
    found = [variance_parts(*pair) for pair in combinations(scores, 2)]
    if not found:
        return None
    return VarianceParts(*(fmean(getattr(each, name) for each in found) for name in ("seeds", "episodes", "residual")))


def choices(comparison: Comparison, difference: float) -> tuple[Choice, ...]:
    """The choices by which one more learner's difference from the best is seen; none if nothing is known.

    Args:
        comparison: The learners that have been run.
        difference: In points of accuracy; where errors are compared, in per cent of the error.
    """
    metric = comparison.metric
    columns = list(zip(*comparison.entries, strict=True))
    parts = {index: parts_of(column, metric.logarithmic) for index, column in enumerate(columns)}
    known = {index: each for index, each in parts.items() if each is not None}
    runs = {run.cell.run_id: run for row in comparison.entries for entry in row for run in entry.runs}
    if not known:
        return ()
    wanted = math.log1p(difference / 100) if metric.logarithmic else difference / metric.scale
    usable = [entry for entry in comparison.all_entries() if _usable(entry)]
    seeds = min(len(entry.samples) for entry in usable)
    episodes = usable[0].interval.n_episodes if usable[0].interval else 0
    learners = max(sum(_usable(entry) for entry in column) for column in columns) + 1
    found = []
    for factor, paired in OPTIONS:
        smallest = {
            n: {
                column: detectable_difference(
                    each, n, factor * episodes, others=seeds if paired else n, learners=learners, columns=len(columns)
                )
                for column, each in known.items()
            }
            for n in SEEDS
        }
        enough = next((n for n in SEEDS if max(smallest[n].values()) <= wanted), None)
        found.append(
            Choice(
                factor * episodes,
                paired,
                enough,
                smallest[enough or SEEDS[-1]],
                _seconds_of_a_seed(runs.values(), factor) * (enough or SEEDS[-1]) * (1 if paired else learners) / 60,
            )
        )
    return tuple(found)


def shown(comparison: Comparison, difference: float) -> str:
    """A difference of `choices` in words, such as "0.5 points" or "5 % of the error"."""
    if comparison.metric.logarithmic:
        return f"{100 * math.expm1(min(difference, 50.0)):.3g} % of the error"
    return f"{difference * comparison.metric.scale:.2g}{' points' if comparison.metric.unit else ''}"


def _seconds_of_a_seed(runs: Iterable[Run], factor: int) -> float:
    """CPU seconds of one seed of a typical learner on every cell; testing grows with the episodes."""
    by_training: dict[tuple[int | None, int | None], list[float]] = {}
    for run in runs:
        if (seconds := cpu_seconds(run, factor)) is not None:
            by_training.setdefault(run.cell.settings[0].training, []).append(seconds)
    return sum(fmean(each) for each in by_training.values())


def _usable(entry: Entry) -> bool:
    return len(entry.samples) >= 2 and not entry.diverged and not entry.collapsed
