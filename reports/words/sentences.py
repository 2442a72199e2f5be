"""What the numbers say, in plain sentences with their intervals."""

import math

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.comparison.gains import Gain
from adaptbench.reports.results.settings import describe, episode_phrase, plural
from adaptbench.reports.words.numbers import METRIC_NAMES, number, number_text


def best_sentence(comparison: Comparison, column: int) -> str:
    """Who is best at a setting, and who cannot be told apart from it; empty where nobody can be ranked."""
    entries = [row[column] for row in comparison.entries if row[column].rank is not None]
    scored = [(entry.interval.mean, entry) for entry in entries if entry.interval is not None]
    if not scored:
        return ""
    sign = -1.0 if comparison.higher_is_better else 1.0
    top = min(scored, key=lambda pair: sign * pair[0])[1]
    if not top.best:
        return ""
    metric = METRIC_NAMES.get(comparison.metric, comparison.metric)
    where = f"On {comparison.task}, {describe(top.setting, comparison.class_word, comparison.shots_word)}"
    first = f"{where}, {top.label} has the best {_lower(metric)}: {score_text(comparison, top)}"
    return f"{first}; {_others(top, entries)}."


def score_text(comparison: Comparison, entry: Entry) -> str:
    """Mean and half width with the unit; empty where there is none."""
    if entry.interval is None:
        return ""
    return number(entry.interval, comparison.metric) + (" %" if comparison.metric == "accuracy" else "")


def _others(top: Entry, entries: list[Entry]) -> str:
    alike = [entry.label for entry in entries if entry.best and entry is not top]
    others = sum(not entry.at_chance for entry in entries) - 1
    rivals = "other learner" if others == len(entries) - 1 else "other learner that is better than a guess"
    if not alike:
        return f"the tests tell it apart from every {rivals}"
    if len(alike) == others:
        return f"the tests cannot tell any {rivals} apart from it"
    return f"the tests cannot tell {', '.join(alike)} apart from it"


def _lower(metric: str) -> str:
    return metric if metric.isupper() else metric.lower()


def gain_sentence(gain: Gain, comparison: Comparison) -> str:
    """What a gain says, in one plain sentence with its interval."""
    what, word, place = _words(gain, comparison)
    if gain.per_doubling is None:
        return f"{gain.label}{place}: no gain per doubling, because {gain.refusal}."
    over = f"each doubling of {what} from {gain.values[0]} to {gain.values[-1]}"
    amount = _amount(gain)
    if not gain.per_doubling.significant:
        return f"{gain.label}{place}: {over} {amount}, which cannot be told from no change."
    helps = (gain.per_doubling.estimate > 0) != gain.relative
    if not helps or len(gain.values) < 3:
        return f"{gain.label}{place}: {over} {amount}."
    if gain.ends_at is None:
        return f"{gain.label}{place}: {over} {amount}; the last step still gains."
    return f"{gain.label}{place}: {over} {amount}; from {gain.ends_at} {word} on no further gain can be shown."


def _words(gain: Gain, comparison: Comparison) -> tuple[str, str, str]:
    """What is doubled, its plural, and where."""
    if gain.axis == "classes":
        word = comparison.class_word
        where = episode_phrase(gain.fixed.ways, gain.fixed.shots, comparison.shots_word)
        return f"the training {word}", word, f" at {where}"
    size = "unlimited" if gain.fixed.train_classes is None else str(gain.fixed.train_classes)
    word = plural(comparison.shots_word, 2)
    ways = "" if gain.fixed.ways is None else f", {gain.fixed.ways}-way"
    return f"the {word}", word, f" with {size} {comparison.class_word}{ways}"


def _amount(gain: Gain) -> str:
    """How much, such as "adds 1.2 ± 0.4 points", or "multiplies the error by 0.80 (0.72 to 0.89)"."""
    found = gain.per_doubling
    if found is None:
        return ""
    if not gain.relative:
        verb = "adds" if found.estimate >= 0 else "takes away"
        return f"{verb} {number_text(abs(found.estimate), found.half_width, 'accuracy')} points"
    factor, low, high = (
        math.exp(min(value, 50.0))
        for value in (found.estimate, found.estimate - found.half_width, found.estimate + found.half_width)
    )
    return f"multiplies the error by {factor:.2f} ({low:.2g} to {high:.2g})"
