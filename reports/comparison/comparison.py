"""Compares the learners of a suite on one task under one protocol: an entry for each learner and setting."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata  # type: ignore[import-untyped]  # scipy ships no annotations

from adaptbench.reports.comparison.comparability import Conditions, conditions, differences
from adaptbench.reports.format import Score
from adaptbench.reports.results.metrics import Metric
from adaptbench.reports.results.names import place_name, task_name
from adaptbench.reports.results.runs import Outcome, Problem, Run
from adaptbench.reports.results.settings import Axis, Setting
from adaptbench.reports.statistics.best import AgainstBest, compare_with_best
from adaptbench.reports.statistics.collapsed import collapsed_seeds
from adaptbench.reports.statistics.intervals import Interval, interval


@dataclass(frozen=True)
class Entry:
    """One learner at one setting, over its seeds.

    Args:
        learner: The learner's name.
        label: The learner's name for readers.
        setting: The column.
        planned_seeds: The seeds that the suite wants; empty where it does not want this entry.
        problems: Why seeds are missing: one sentence for each kind of problem.
        interval: Mean and interval; None if no seed has scores, or if its seeds may not be averaged.
        refusal: Why seeds may not be averaged ("diverged" or "not comparable", with details), or empty.
        conditions: The conditions that must equal those of other learners before all are ranked.
        chance: The score of a guess; None where there is none.
        at_chance: Whether the score of some seed is at chance level.
        guesses: Whether the scores of all seeds are at chance level; such an entry is never marked.
        diverged: The seeds whose training or scores are not finite; they score a guess in every episode.
        collapsed: The seeds that collapsed among others that did not.
        rank: The rank of its mean in its column.
        best: Whether it has the best mean of its column.
        test: The comparison with the best of its column; None if it is the best or is not compared.
        alike: Whether it is not significantly different from the best.
        runs: The finished runs, sorted by seed.
        samples: The scores [E] of each seed; empty where seeds may not be averaged.
        departs_from: The name of the learner that it departs from; empty if there is none.
        source: Where its form was published; empty if it was not.
        most_seeds: The number of seeds of the entry that has most at this setting.
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
    guesses: bool = False
    diverged: tuple[int, ...] = ()
    collapsed: tuple[int, ...] = ()
    rank: float | None = None
    best: bool = False
    test: AgainstBest | None = None
    alike: bool = False
    runs: tuple[Run, ...] = field(default=(), compare=False, repr=False)
    samples: Mapping[int, NDArray[np.float64]] = field(default_factory=dict, compare=False, repr=False)
    departs_from: str = ""
    source: str = ""
    most_seeds: int = 0

    @property
    def status(self) -> str:
        """The state: finished, partial, missing, diverged, not comparable, or not planned."""
        if not self.planned_seeds:
            return "not planned"
        if self.refusal:
            return self.refusal.partition(":")[0]
        if self.interval is None:
            return "missing"
        return "finished" if self.interval.n_seeds == self.wanted_seeds else "partial"

    @property
    def wanted_seeds(self) -> int:
        """The number of seeds that the suite wants, or that another learner has."""
        return max(self.most_seeds, len(self.planned_seeds))


@dataclass(frozen=True)
class Comparison:
    """All learners on one task under one protocol.

    Args:
        task: The task's name.
        label: The task's label, if it has one.
        protocol: The protocol's name.
        metric: The metric that is compared.
        settings: The columns, sorted by training classes, budget, ways and shots.
        entries: A row for each learner, with an entry for each setting.
        warnings: Why entries of a column are not ranked.
        remarks: Facts about the protocol that its name does not say.
    """

    task: str
    label: str
    protocol: str
    metric: Metric
    settings: tuple[Setting, ...]
    entries: tuple[tuple[Entry, ...], ...]
    warnings: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    @property
    def called(self) -> str:
        """What readers know the task by: its label, or its name."""
        return self.label or self.task

    @property
    def group(self) -> tuple[str, str, str]:
        """What its runs share, as `ManifestCell.group`."""
        return self.task, self.label, self.protocol

    @property
    def task_name(self) -> str:
        """The label of the task, or its proper name, such as "Omniglot"."""
        return task_name(self.called)

    @property
    def place(self) -> str:
        """Task and protocol by their proper names, such as "Omniglot (Vinyals split, rotations in training)"."""
        return place_name(*self.group)

    @property
    def class_word(self) -> str:
        """The name of training classes, such as "characters"."""
        return self.settings[0].class_word

    @cached_property
    def largest(self) -> tuple[int, ...]:
        """The columns with the most training classes and the largest of the budgets that most learners have runs of."""
        finished = Counter[tuple[int | None, int | None]]()
        for entry in self.all_entries():
            if entry.setting.train_classes == self.settings[-1].train_classes:
                finished[entry.setting.training] += entry.interval is not None
        most = max(finished, key=lambda training: (finished[training], training[1] or 0))
        return tuple(index for index, setting in enumerate(self.settings) if setting.training == most)

    def best_first(self, column: int) -> tuple[Entry, ...]:
        """The entries of a column that have a mean, best first."""
        entries = [row[column] for row in self.entries]
        scored = [(-self.metric.sign * each.interval.mean, each) for each in entries if each.interval is not None]
        return tuple(entry for _, entry in sorted(scored, key=lambda pair: pair[0]))

    def all_entries(self) -> tuple[Entry, ...]:
        """Every entry, row by row."""
        return tuple(entry for row in self.entries for entry in row)


def compare(outcomes: Sequence[Outcome]) -> tuple[Comparison, ...]:
    """Groups outcomes by task, label and protocol, in the order of the manifest."""
    groups: dict[tuple[str, str, str], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.cell.group, []).append(outcome)
    return tuple(_compare_group(group) for group in groups.values())


def _compare_group(outcomes: Sequence[Outcome]) -> Comparison:
    cell = outcomes[0].cell
    metric = Metric.named(cell.metric, higher_is_better=cell.higher_is_better)
    settings = sorted({setting for outcome in outcomes for setting in outcome.cell.settings}, key=lambda s: s.order)
    learners = dict.fromkeys(outcome.cell.learner for outcome in outcomes)
    rows = [[_entry(learner, setting, outcomes, metric) for setting in settings] for learner in learners]
    columns, refusals = mark([_with_most_seeds(column) for column in zip(*rows, strict=True)], metric)
    places: dict[str, list[Setting]] = {}
    for refusal, setting in zip(refusals, settings, strict=True):
        if refusal:
            places.setdefault(refusal, []).append(setting)
    return Comparison(
        task=cell.task,
        label=cell.task_label,
        protocol=cell.protocol,
        metric=metric,
        settings=tuple(settings),
        entries=tuple(zip(*columns, strict=True)),
        warnings=tuple(_warning(reason, found) for reason, found in places.items()),
        remarks=cell.remarks,
    )


def _with_most_seeds(column: Sequence[Entry]) -> tuple[Entry, ...]:
    most = max((entry.interval.n_seeds for entry in column if entry.interval is not None), default=0)
    return tuple(replace(entry, most_seeds=most) for entry in column)


def _entry(learner: str, setting: Setting, outcomes: Sequence[Outcome], metric: Metric) -> Entry:
    """Collects the seeds of a learner at one setting."""
    group = [o for o in outcomes if o.cell.learner == learner]
    wanted = sorted((o for o in group if setting in o.cell.settings), key=lambda o: o.cell.seed)
    runs = [o for o in wanted if isinstance(o, Run)]
    scores = [score for run in runs if (score := run.score(setting)) is not None]
    guess = next(iter(scores), None) or _score_of_others(setting, outcomes)
    problems = [o for o in wanted if isinstance(o, Problem)]
    guessed = () if guess is None else tuple(problem.cell.seed for problem in problems if problem.diverged)
    entry = Entry(
        learner=learner,
        label=group[0].cell.label,
        setting=setting,
        planned_seeds=tuple(o.cell.seed for o in wanted),
        problems=_sentences([problem for problem in problems if problem.cell.seed not in guessed], len(wanted)),
        diverged=guessed,
        departs_from=group[0].cell.departs_from,
        source=group[0].cell.source,
    )
    return entry if guess is None or not (runs or guessed) else _with_scores(entry, runs, scores, guess, metric)


def _score_of_others(setting: Setting, outcomes: Sequence[Outcome]) -> Score | None:
    """The score of some run at a setting, which says what a guess scores there and on how many episodes."""
    runs = (o for o in outcomes if isinstance(o, Run) and setting in o.cell.settings)
    return next((score for run in runs if (score := run.score(setting)) is not None), None)


def _sentences(problems: Sequence[Problem], n_planned: int) -> tuple[str, ...]:
    """Lists each kind of problem once, with its seeds if other seeds do not have it."""
    seeds: dict[str, list[str]] = {}
    for problem in problems:
        seeds.setdefault(str(problem), []).append(str(problem.cell.seed))
    return tuple(
        reason if len(names) == n_planned else f"seed {', '.join(names)} {reason}" for reason, names in seeds.items()
    )


def _with_scores(entry: Entry, runs: Sequence[Run], scores: Sequence[Score], guess: Score, metric: Metric) -> Entry:
    """Adds the mean of the seeds if they may be averaged.

    Args:
        entry: The entry, with the seeds whose training diverged.
        runs: The finished runs.
        scores: Their scores.
        guess: A score that says what a guess scores, and on how many episodes.
        metric: The metric.
    """
    found = {f"seed {run.cell.seed}": conditions(run, score) for run, score in zip(runs, scores, strict=True)}
    rows = {run.cell.seed: run.episode_scores[entry.setting] for run in runs}
    not_finite = {seed for seed, row in rows.items() if not np.isfinite(row).all()}
    diverged = tuple(sorted({*entry.diverged, *not_finite}))
    guesses = [score.at_chance for score in scores]
    entry = replace(
        entry,
        conditions=next(iter(found.values()), None),
        chance=guess.chance,
        at_chance=any(guesses) or bool(diverged),
        guesses=all(found for run, found in zip(runs, guesses, strict=True) if run.cell.seed not in not_finite),
        diverged=diverged,
        runs=tuple(runs),
    )
    if different := differences(found):
        return replace(entry, refusal=f"not comparable: over seeds, {'; '.join(different)}")
    if diverged and guess.chance is None:
        names = ", ".join(map(str, diverged))
        return replace(entry, refusal=f"diverged: seed {names} has scores that are not finite")
    means = {seed: float(row.mean()) for seed, row in rows.items() if seed not in diverged}
    filled = {seed: np.full(guess.n_episodes, guess.chance) for seed in diverged}
    samples = dict(sorted({**rows, **filled}.items()))
    return replace(
        entry,
        interval=interval(list(samples.values()), metric.scores_are),
        collapsed=_collapsed(means, guess.chance, metric.perfect),
        samples=samples,
    )


def _collapsed(means: Mapping[int, float], chance: float | None, perfect: float | None) -> tuple[int, ...]:
    return () if chance is None or perfect is None else collapsed_seeds(means, chance, perfect)


def mark(columns: Sequence[Sequence[Entry]], metric: Metric) -> tuple[list[tuple[Entry, ...]], list[str]]:
    """Ranks the entries of a table and compares them with the best of their column, in one family of tests.

    Args:
        columns: The entries of each column.
        metric: The metric.

    Returns:
        The columns, and for each the reason why its entries cannot be compared, or an empty text.
    """
    refusals = [_why_not_compared(column, metric) for column in columns]
    scored = [
        {} if refusal else {index: entry.samples for index, entry in enumerate(column) if entry.interval is not None}
        for column, refusal in zip(columns, refusals, strict=True)
    ]
    tests = compare_with_best(scored, higher_is_better=metric.higher_is_better, relative=metric.logarithmic)
    return [_mark_column(column, own, metric) for column, own in zip(columns, tests, strict=True)], refusals


def _why_not_compared(column: Sequence[Entry], metric: Metric) -> str:
    """Why the entries of a column cannot be compared, or an empty text."""
    scored = {entry.label: entry for entry in column if entry.interval is not None}
    if different := differences({label: each.conditions for label, each in scored.items() if each.conditions}):
        return "; ".join(different)
    doubtful = [label for label, each in scored.items() if each.interval and each.interval.unreliable]
    if metric.scores_are == "real" and doubtful:
        return f"a few episodes carry the mean of {', '.join(doubtful)}"
    return ""


def _mark_column(column: Sequence[Entry], tests: Sequence[AgainstBest], metric: Metric) -> tuple[Entry, ...]:
    """Adds ranks, the best mark and the comparisons with the best; there are none if fewer than two have scores."""
    if not tests:
        return tuple(column)
    best, others = tests[0].best, {test.learner: test for test in tests}
    means = {i: each.interval.mean for i, each in enumerate(column) if each.interval is not None}
    ranks = dict(zip(means, rankdata([-metric.sign * mean for mean in means.values()]).tolist(), strict=True))
    marked = not column[best].guesses
    return tuple(
        replace(
            entry,
            rank=ranks.get(index),
            best=marked and index == best,
            test=(test := others.get(index)),
            alike=marked and test is not None and not test.significant and not entry.guesses,
        )
        for index, entry in enumerate(column)
    )


def _warning(reason: str, settings: Sequence[Setting]) -> str:
    """Says at which settings no learner is marked as best, and why."""
    return f"No learner is marked as best at {', '.join(map(str, settings))}, because {reason}."


def mean_of(values: Iterable[float | None]) -> float | None:
    """The mean of the numbers that are known; None if none is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def milliseconds(entry: Entry) -> float | None:
    """The mean time to adapt to a test episode of the entry's setting and predict its queries, over its runs."""
    return mean_of(run.milliseconds(entry.setting) for run in entry.runs)


def carried_over(entry: Entry) -> float | None:
    """The mean of the numbers that its runs carry over from a support set; None if no run says so."""
    scores = (run.score(entry.setting) for run in entry.runs)
    return mean_of(score.carried for score in scores if score)


def axes_of(comparison: Comparison) -> tuple[Axis, ...]:
    """The axes along which the settings vary, training classes first; shots if none does."""
    axes: tuple[Axis, ...] = get_args(Axis)
    return tuple(axis for axis in axes if len({each.value(axis) for each in comparison.settings}) > 1) or ("shots",)


def axis_words(comparison: Comparison) -> dict[Axis, str]:
    """What varies along each axis."""
    return {
        "classes": f"training {comparison.class_word}",
        "examples": "examples in training",
        "shots": comparison.settings[0].shots_plural,
        "ways": "ways in the test",
    }
