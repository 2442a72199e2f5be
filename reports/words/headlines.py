"""The headline numbers of a comparison: the best learners where training data are largest."""

from dataclasses import dataclass

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.words.sentences import score_text


@dataclass(frozen=True)
class Headline:
    """One number to read first.

    Args:
        place: The metric, the task and the setting.
        winner: The best learner's name, or the reason why none is best.
        score: Its mean and interval with the unit; empty where none is best.
        others: The other learners with their scores, best first.
    """

    place: str
    winner: str
    score: str
    others: str


def headlines(comparison: Comparison) -> tuple[Headline, ...]:
    """The ranking for each ways and shots, at the largest number of training classes."""
    return tuple(_headline(comparison, column) for column in comparison.largest)


def _headline(comparison: Comparison, column: int) -> Headline:
    place = f"{comparison.metric.label} on {comparison.task_name}, {comparison.settings[column]}"
    ranked = comparison.best_first(column)
    if not ranked:
        return Headline(place, "No result yet", "", "")
    if not ranked[0].best:
        why = "Not ranked" if ranked[0].rank is None else "The best is no better than a guess"
        why = "One learner finished" if len(ranked) == 1 else why
        return Headline(place, why, "", _list(comparison, ranked))
    return Headline(place, _name(ranked[0]), score_text(comparison, ranked[0]), _list(comparison, ranked[1:]))


def _list(comparison: Comparison, entries: tuple[Entry, ...]) -> str:
    return ", ".join(f"{_name(entry)} {score_text(comparison, entry)}" for entry in entries)


def _name(entry: Entry) -> str:
    """The learner's name, with the number of its seeds if some are missing."""
    n_seeds, wanted = entry.interval.n_seeds if entry.interval else 0, entry.wanted_seeds
    return entry.label if n_seeds == wanted else f"{entry.label} ({n_seeds} of {wanted} seeds)"
