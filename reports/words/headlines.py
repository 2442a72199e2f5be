"""The headline numbers of a comparison: who is best where training data are largest."""

from dataclasses import dataclass

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.results.settings import describe
from adaptbench.reports.words.numbers import METRIC_NAMES
from adaptbench.reports.words.sentences import score_text


@dataclass(frozen=True)
class Headline:
    """One number to read first.

    Args:
        place: Task and setting.
        winner: The best learner's name, or what there is to say where none is best.
        score: Its mean and half width with the unit; empty where none is best.
        others: The other learners with their scores, best first.
    """

    place: str
    winner: str
    score: str
    others: str


def headlines(comparison: Comparison) -> tuple[Headline, ...]:
    """For each ways and shots, the ranking at the largest number of training classes."""
    largest = comparison.settings[-1].train_classes
    columns = zip(*comparison.entries, strict=True)
    return tuple(_headline(comparison, column) for column in columns if column[0].setting.train_classes == largest)


def _headline(comparison: Comparison, column: tuple[Entry, ...]) -> Headline:
    metric = METRIC_NAMES.get(comparison.metric, comparison.metric)
    place = (
        f"{metric} on {comparison.task}, {describe(column[0].setting, comparison.class_word, comparison.shots_word)}"
    )
    sign = -1.0 if comparison.higher_is_better else 1.0
    scored = [(sign * entry.interval.mean, entry) for entry in column if entry.interval is not None]
    ranked = [entry for _, entry in sorted(scored, key=lambda pair: pair[0])]
    if not ranked:
        return Headline(place, "No result yet", "", "")
    if not ranked[0].best:
        why = "One learner finished" if len(ranked) == 1 else "Not ranked"
        return Headline(place, why, "", _list(comparison, ranked))
    return Headline(place, _name(ranked[0]), score_text(comparison, ranked[0]), _list(comparison, ranked[1:]))


def _list(comparison: Comparison, entries: list[Entry]) -> str:
    return ", ".join(f"{_name(entry)} {score_text(comparison, entry)}" for entry in entries)


def _name(entry: Entry) -> str:
    """The learner's name, with its seeds where some are missing."""
    n_seeds, n_planned = entry.interval.n_seeds if entry.interval else 0, len(entry.planned_seeds)
    return entry.label if n_seeds == n_planned else f"{entry.label} ({n_seeds} of {n_planned} seeds)"
