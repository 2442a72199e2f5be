"""Compares the learners of a suite on one task under one protocol: an entry for each learner and setting."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from adaptbench.reports.comparison.comparability import Conditions, conditions, differences
from adaptbench.reports.results.manifest import Cell
from adaptbench.reports.results.runs import Outcome, Problem, Run
from adaptbench.reports.results.settings import Setting, describe
from adaptbench.reports.statistics.intervals import Interval, interval
from adaptbench.reports.statistics.ranking import Pair, compare_pairs, shared_ranks


@dataclass(frozen=True)
class Entry:
    """One learner at one setting, over its seeds.

    Args:
        learner: The learner's name.
        label: The learner's name for readers.
        setting: The column.
        planned_seeds: The seeds that the suite wants; empty where it does not want this entry.
        problems: Why seeds are missing, one sentence each kind.
        interval: Mean and interval; None if nothing finished, or if what finished has no common mean.
        refusal: Why finished seeds have no mean ("diverged" or "not comparable", with details), or empty.
        conditions: What must equal other learners' before they are ranked.
        chance: The score of a guess, where there is one.
        at_chance: Whether some seed is no better than a guess.
        rank: Its place in a column whose entries can be compared, shared with whom it cannot be told apart from.
        best: Whether it is the best of such a column, or cannot be told apart from the best.
        runs: Its finished runs, by seed.
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
        """One word: finished, partial, missing, diverged, not comparable, or not planned."""
        if not self.planned_seeds:
            return "not planned"
        if self.refusal:
            return self.refusal.partition(":")[0]
        if self.interval is None:
            return "missing"
        return "finished" if self.interval.n_seeds == len(self.planned_seeds) else "partial"

    @property
    def samples(self) -> dict[int, NDArray[np.float64]]:
        """For each seed its scores [E]; empty where they have no common mean."""
        return {} if self.interval is None else {run.cell.seed: run.episode_scores[self.setting] for run in self.runs}


@dataclass(frozen=True)
class Comparison:
    """All learners on one task under one protocol.

    Args:
        task: The task's name.
        protocol: The protocol's name.
        metric: What is compared, "accuracy" or "mse".
        higher_is_better: The direction of the metric.
        class_word: What training classes are called: "characters", "functions".
        settings: The columns, sorted by training classes, ways and shots.
        entries: A row for each learner, with an entry for each setting.
        warnings: Why entries of a column cannot be ranked.
        pairs: For each setting, the tests between its learners, by their place in `entries`.
        shots_word: What shots are called.
        remarks: What a reader must know of the protocol besides its name.
    """

    task: str
    protocol: str
    metric: str
    higher_is_better: bool
    class_word: str
    settings: tuple[Setting, ...]
    entries: tuple[tuple[Entry, ...], ...]
    warnings: tuple[str, ...]
    pairs: tuple[tuple[Pair, ...], ...] = ()
    shots_word: str = "shot"
    remarks: tuple[str, ...] = ()

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
    settings = sorted({setting for outcome in outcomes for setting in outcome.cell.settings}, key=lambda s: s.order)
    learners = dict.fromkeys(outcome.cell.learner for outcome in outcomes)
    rows = [[_entry(learner, setting, outcomes) for setting in settings] for learner in learners]
    columns: list[list[Entry]] = []
    pairs: list[tuple[Pair, ...]] = []
    refusals: dict[str, list[Setting]] = {}
    for setting, column in zip(settings, zip(*rows, strict=True), strict=True):
        ranked, tests, refusal = _rank(column, higher_is_better=cell.higher_is_better)
        columns.append(ranked)
        pairs.append(tests)
        if refusal:
            refusals.setdefault(refusal, []).append(setting)
    return Comparison(
        task=cell.task,
        protocol=cell.protocol,
        metric=cell.metric,
        higher_is_better=cell.higher_is_better,
        class_word=cell.class_word,
        settings=tuple(settings),
        entries=tuple(zip(*columns, strict=True)),
        warnings=tuple(_warning(reason, places, cell) for reason, places in refusals.items()),
        pairs=tuple(pairs),
        shots_word=cell.shots_word,
        remarks=cell.remarks,
    )


def _entry(learner: str, setting: Setting, outcomes: Iterable[Outcome]) -> Entry:
    """Puts a learner's seeds at one setting together."""
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
    """Each kind of problem once, with the seeds that it befell if others escaped it."""
    seeds: dict[str, list[str]] = {}
    for problem in problems:
        seeds.setdefault(str(problem), []).append(str(problem.cell.seed))
    return tuple(
        reason if len(names) == n_planned else f"seed {', '.join(names)} {reason}" for reason, names in seeds.items()
    )


def _with_scores(entry: Entry, runs: Sequence[Run]) -> Entry:
    """Adds the mean of the finished seeds, unless they may not be averaged."""
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


def _rank(column: Sequence[Entry], *, higher_is_better: bool) -> tuple[list[Entry], tuple[Pair, ...], str]:
    """Ranks a column and tests every two of its entries, or says why its entries cannot be ranked."""
    ranked = {index: entry for index, entry in enumerate(column) if entry.interval is not None}
    found = {entry.label: entry.conditions for entry in ranked.values() if entry.conditions is not None}
    if different := differences(found):
        return list(column), (), "; ".join(different)
    if len(ranked) < 2:
        return list(column), (), ""
    pairs = compare_pairs({index: entry.samples for index, entry in ranked.items()})
    sign = 1.0 if higher_is_better else -1.0
    means = {index: sign * entry.interval.mean for index, entry in ranked.items() if entry.interval is not None}
    ranks = shared_ranks(means, pairs)
    top = min(ranks.values())
    entries = [
        replace(entry, rank=ranks.get(index), best=ranks.get(index) == top and not entry.at_chance)
        for index, entry in enumerate(column)
    ]
    return entries, pairs, ""


def _warning(reason: str, settings: Sequence[Setting], cell: Cell) -> str:
    """Says where no learner is marked as best, and why."""
    places = ", ".join(describe(setting, cell.class_word, cell.shots_word) for setting in settings)
    return f"No learner is marked as best at {places}, because {reason}."


def milliseconds(entry: Entry) -> float | None:
    """The mean time to adapt to a test episode of the entry's setting and predict its queries, over its runs."""
    known = [time for run in entry.runs if (time := run.milliseconds(entry.setting)) is not None]
    return sum(known) / len(known) if known else None


Axis = Literal["classes", "shots"]


def axes_of(comparison: Comparison) -> tuple[Axis, ...]:
    """What a comparison can be drawn over: what takes several values, training classes first."""
    varies: dict[Axis, bool] = {
        "classes": len({setting.train_classes for setting in comparison.settings}) > 1,
        "shots": len({setting.shots for setting in comparison.settings}) > 1,
    }
    return tuple(axis for axis in varies if varies[axis]) or ("shots",)


def main_axis(comparison: Comparison) -> Axis:
    """What the first figure is drawn over."""
    return axes_of(comparison)[0]
