"""Compares the learners of a suite on one task under one protocol: an entry for each learner and setting."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from adaptbench.reports.comparison.comparability import Conditions, conditions, differences
from adaptbench.reports.results.metrics import Metric
from adaptbench.reports.results.runs import Outcome, Problem, Run
from adaptbench.reports.results.settings import Setting
from adaptbench.reports.statistics.intervals import Interval, interval
from adaptbench.reports.statistics.ranking import Pair, compare_pairs, shared_ranks

Axis = Literal["classes", "shots"]


@dataclass(frozen=True)
class Entry:
    """One learner at one setting, over its seeds.

    Args:
        learner: The learner's name.
        label: The learner's name for readers.
        setting: The column.
        planned_seeds: The seeds that the suite wants; empty where it does not want this entry.
        problems: Why seeds are missing: one sentence for each kind of problem.
        interval: Mean and interval; None if no seed finished, or if the finished seeds may not be averaged.
        refusal: Why finished seeds may not be averaged ("diverged" or "not comparable", with details), or empty.
        conditions: The conditions that must equal those of other learners before all are ranked.
        chance: The score of a guess; None where there is none.
        at_chance: Whether the score of some seed is at chance level.
        rank: The rank in its column; learners that are not significantly different share one.
        best: Whether it is the best of its column, or not significantly different from the best.
        runs: The finished runs, sorted by seed.
    """

    learner: str
    label: str
    setting: Setting
    planned_seeds: tuple[int, ...] = ()
    problems: tuple[str, ...] = ()
    interval: Interval | None = None
    refusal: str = ""
    conditions: Conditions | None = None
    chance: float | None = None
    at_chance: bool = False
    rank: float | None = None
    best: bool = False
    runs: tuple[Run, ...] = field(default=(), compare=False, repr=False)

    @property
    def status(self) -> str:
        """The state: finished, partial, missing, diverged, not comparable, or not planned."""
        if not self.planned_seeds:
            return "not planned"
        if self.refusal:
            return self.refusal.partition(":")[0]
        if self.interval is None:
            return "missing"
        return "finished" if self.interval.n_seeds == len(self.planned_seeds) else "partial"

    @property
    def samples(self) -> dict[int, NDArray[np.float64]]:
        """The scores [E] of each seed; empty where seeds may not be averaged."""
        return {} if self.interval is None else {run.cell.seed: run.episode_scores[self.setting] for run in self.runs}


@dataclass(frozen=True)
class Comparison:
    """All learners on one task under one protocol.

    Args:
        task: The task's name.
        protocol: The protocol's name.
        metric: The metric that is compared.
        settings: The columns, sorted by training classes, ways and shots.
        entries: A row for each learner, with an entry for each setting.
        warnings: Why entries of a column are not ranked.
        pairs: For each setting, the tests between its learners, by their place in `entries`.
        remarks: Facts about the protocol that its name does not say.
    """

    task: str
    protocol: str
    metric: Metric
    settings: tuple[Setting, ...]
    entries: tuple[tuple[Entry, ...], ...]
    warnings: tuple[str, ...]
    pairs: tuple[tuple[Pair, ...], ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def class_word(self) -> str:
        """The name of training classes, such as "characters"."""
        return self.settings[0].class_word

    @property
    def shots_plural(self) -> str:
        """The name of shots, such as "shots"."""
        return self.settings[0].shots_plural

    @property
    def largest(self) -> tuple[int, ...]:
        """The columns with the most training classes."""
        most = self.settings[-1].train_classes
        return tuple(index for index, setting in enumerate(self.settings) if setting.train_classes == most)

    def best_first(self, column: int) -> tuple[Entry, ...]:
        """The entries of a column that have a mean, best first."""
        entries = [row[column] for row in self.entries]
        scored = [(-self.metric.sign * each.interval.mean, each) for each in entries if each.interval is not None]
        return tuple(entry for _, entry in sorted(scored, key=lambda pair: pair[0]))

    def all_entries(self) -> tuple[Entry, ...]:
        """Every entry, row by row."""
        return tuple(entry for row in self.entries for entry in row)


def compare(outcomes: Sequence[Outcome]) -> tuple[Comparison, ...]:
    """Groups outcomes by task and protocol, in the order of the manifest."""
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.cell.task, outcome.cell.protocol), []).append(outcome)
    return tuple(_compare_group(group) for group in groups.values())


def _compare_group(outcomes: Sequence[Outcome]) -> Comparison:
    cell = outcomes[0].cell
    metric = Metric.named(cell.metric, higher_is_better=cell.higher_is_better)
    settings = sorted({setting for outcome in outcomes for setting in outcome.cell.settings}, key=lambda s: s.order)
    learners = dict.fromkeys(outcome.cell.learner for outcome in outcomes)
    rows = [[_entry(learner, setting, outcomes) for setting in settings] for learner in learners]
    columns: list[list[Entry]] = []
    pairs: list[tuple[Pair, ...]] = []
    refusals: dict[str, list[Setting]] = {}
    for setting, column in zip(settings, zip(*rows, strict=True), strict=True):
        ranked, tests, refusal = _rank(column, metric)
        columns.append(ranked)
        pairs.append(tests)
        if refusal:
            refusals.setdefault(refusal, []).append(setting)
    return Comparison(
        task=cell.task,
        protocol=cell.protocol,
        metric=metric,
        settings=tuple(settings),
        entries=tuple(zip(*columns, strict=True)),
        warnings=tuple(_warning(reason, places) for reason, places in refusals.items()),
        pairs=tuple(pairs),
        remarks=cell.remarks,
    )


def _entry(learner: str, setting: Setting, outcomes: Iterable[Outcome]) -> Entry:
    """Collects the seeds of a learner at one setting."""
    group = [o for o in outcomes if o.cell.learner == learner]
    wanted = sorted((o for o in group if setting in o.cell.settings), key=lambda o: o.cell.seed)
    entry = Entry(
        learner=learner,
        label=group[0].cell.label,
        setting=setting,
        planned_seeds=tuple(o.cell.seed for o in wanted),
        problems=_sentences([o for o in wanted if isinstance(o, Problem)], len(wanted)),
    )
    runs = [o for o in wanted if isinstance(o, Run)]
    return _with_scores(entry, runs) if runs else entry


def _sentences(problems: Sequence[Problem], n_planned: int) -> tuple[str, ...]:
    """Lists each kind of problem once, with its seeds if other seeds do not have it."""
    seeds: dict[str, list[str]] = {}
    for problem in problems:
        seeds.setdefault(str(problem), []).append(str(problem.cell.seed))
    return tuple(
        reason if len(names) == n_planned else f"seed {', '.join(names)} {reason}" for reason, names in seeds.items()
    )


def _with_scores(entry: Entry, runs: Sequence[Run]) -> Entry:
    """Adds the mean of the finished seeds if they may be averaged."""
    scores = [score for run in runs if (score := run.score(entry.setting)) is not None]
    found = {f"seed {run.cell.seed}": conditions(run, score) for run, score in zip(runs, scores, strict=True)}
    first = scores[0]
    entry = replace(
        entry,
        conditions=next(iter(found.values())),
        chance=first.chance,
        at_chance=any(score.at_chance for score in scores),
        runs=tuple(runs),
    )
    if different := differences(found):
        return replace(entry, refusal=f"not comparable: over seeds, {'; '.join(different)}")
    rows = [run.episode_scores[entry.setting] for run in runs]
    diverged = [str(run.cell.seed) for run, row in zip(runs, rows, strict=True) if not np.isfinite(row).all()]
    if diverged:
        return replace(entry, refusal=f"diverged: seed {', '.join(diverged)} has scores that are not finite")
    return replace(entry, interval=interval(rows))


def _rank(column: Sequence[Entry], metric: Metric) -> tuple[list[Entry], tuple[Pair, ...], str]:
    """Ranks a column and tests every pair of its entries, or says why its entries cannot be ranked."""
    ranked = {index: entry for index, entry in enumerate(column) if entry.interval is not None}
    found = {entry.label: entry.conditions for entry in ranked.values() if entry.conditions is not None}
    if different := differences(found):
        return list(column), (), "; ".join(different)
    if len(ranked) < 2:
        return list(column), (), ""
    pairs = compare_pairs({index: entry.samples for index, entry in ranked.items()})
    means = {index: metric.sign * entry.interval.mean for index, entry in ranked.items() if entry.interval is not None}
    ranks = shared_ranks(means, pairs)
    top = min(ranks.values())
    entries = [
        replace(entry, rank=ranks.get(index), best=ranks.get(index) == top and not entry.at_chance)
        for index, entry in enumerate(column)
    ]
    return entries, pairs, ""


def _warning(reason: str, settings: Sequence[Setting]) -> str:
    """Says at which settings no learner is marked as best, and why."""
    return f"No learner is marked as best at {', '.join(map(str, settings))}, because {reason}."


def milliseconds(entry: Entry) -> float | None:
    """The mean time to adapt to a test episode of the entry's setting and predict its queries, over its runs."""
    known = [time for run in entry.runs if (time := run.milliseconds(entry.setting)) is not None]
    return sum(known) / len(known) if known else None


def axes_of(comparison: Comparison) -> tuple[Axis, ...]:
    """The axes along which the settings vary, training classes first; shots if none does."""
    varies: dict[Axis, bool] = {
        "classes": len({setting.train_classes for setting in comparison.settings}) > 1,
        "shots": len({setting.shots for setting in comparison.settings}) > 1,
    }
    return tuple(axis for axis in varies if varies[axis]) or ("shots",)


def main_axis(comparison: Comparison) -> Axis:
    """The axis of the first figure."""
    return axes_of(comparison)[0]
