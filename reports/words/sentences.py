"""Findings in plain sentences with their intervals."""

import math
from collections.abc import Sequence

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.comparison.gains import Gain
from adaptbench.reports.comparison.places import Place
from adaptbench.reports.plural import list_of
from adaptbench.reports.statistics.power_law import Estimate, PowerLaw

NEXT_TO_NOTHING, LEAST_SHOWN = 1e-3, 1e-6
"""A share of an error that needs no estimate of its own, and the smallest number that is written out."""


def best_sentence(comparison: Comparison, column: int) -> str:
    """Names the best learner at a setting and those not significantly different; empty where none is marked."""
    ranked = [entry for entry in comparison.best_first(column) if entry.rank is not None]
    if not ranked or not ranked[0].best:
        return ""
    best = ranked[0]
    where = f"On {comparison.task_name}, {best.setting}"
    first = f"{where}, {best.label} has the best {comparison.metric.lower_label}: {score_text(comparison, best)}"
    return f"{first}; {_others(ranked)}."


def score_text(comparison: Comparison, entry: Entry) -> str:
    """Mean and interval with the unit; empty where there is no mean."""
    if entry.interval is None:
        return ""
    return f"{comparison.metric.interval(entry.interval)} {comparison.metric.unit}".rstrip()


def _others(ranked: list[Entry]) -> str:
    alike = [entry.label for entry in ranked[1:] if entry.alike]
    others = sum(not entry.guesses for entry in ranked) - 1
    if not others:
        return "no other learner is above chance"
    rivals = "other learner" if others == len(ranked) - 1 else "other learner above chance"
    if not alike:
        return f"it is significantly better than every {rivals}"
    if len(alike) == others:
        return f"it is not significantly different from any {rivals}"
    return f"it is not significantly different from {_listed(alike)}"


def _listed(labels: Sequence[str]) -> str:
    """Labels in a row; a label may have a comma itself, as "LSTM, bound"."""
    return ("; " if any("," in label for label in labels) else ", ").join(labels)


def gain_sentence(gain: Gain, comparison: Comparison) -> str:
    """States a gain with its interval in one sentence."""
    what, word, place = _words(gain)
    if gain.per_doubling is None:
        return f"{gain.label}{place}: no gain per doubling, because {gain.refusal}."
    over = f"each doubling of {what} from {gain.values[0]} to {gain.values[-1]}"
    amount = _amount(gain, comparison)
    if not gain.per_doubling.significant:
        return f"{gain.label}{place}: {over} {amount}, which is not significantly different from no change."
    helps = (gain.per_doubling.estimate > 0) != gain.relative
    if not helps or len(gain.values) < 3:
        return f"{gain.label}{place}: {over} {amount}."
    if gain.ends_at is None:
        return f"{gain.label}{place}: {over} {amount}; the last step is still a significant gain."
    return f"{gain.label}{place}: {over} {amount}; from {gain.ends_at} {word} on no further gain is significant."


def _words(gain: Gain) -> tuple[str, str, str]:
    """The doubled quantity, its plural, and the place."""
    fixed = gain.fixed
    if gain.axis == "classes":
        return f"the training {fixed.class_word}", fixed.class_word, f" at {fixed.beside('classes')}"
    if gain.axis == "examples":
        return "the examples in training", "examples", f" at {fixed.beside('examples')}"
    ways = "" if fixed.ways is None else f", {fixed.ways}-way"
    return f"the {fixed.shots_plural}", fixed.shots_plural, f" with {fixed.size_label}{ways}"


def _amount(gain: Gain, comparison: Comparison) -> str:
    """The size of a gain, such as "adds 1.2 [0.8, 1.6] points" or "multiplies the error by 0.80 [0.72, 0.89]"."""
    found = gain.per_doubling
    if found is None:
        return ""
    if not gain.relative:
        verb = "adds" if found.estimate >= 0 else "subtracts"
        size = abs(found.estimate)
        number = " ".join(comparison.metric.parts(size, size - found.half_width, size + found.half_width))
        return f"{verb} {number}{' points' if comparison.metric.unit else ''}"
    factor, lower, upper = (factor_text(each) for each in (found.estimate, found.lower, found.upper))
    return f"multiplies the error by {factor} [{lower}, {upper}]"


def factor_text(logarithm: float) -> str:
    """A ratio of errors near 1 with two decimals, so that no end of an interval is rounded to 1; else two digits."""
    factor = math.exp(min(logarithm, 100.0))
    if 0.1 <= factor < 10:
        return f"{factor:.2f}"
    return f"{float(f'{factor:.2g}'):.0f}" if 10 <= factor < 1e6 else f"{factor:.2g}"


def growth_sentence(gain: Gain, law: PowerLaw, comparison: Comparison) -> str:
    """Says what a doubling of the training classes brings at first and at last, by which law, and where it ends.

    Doublings by a law whose exponent is not known would say more than the data, so then it has the mean gain instead.
    """
    if not law.known:
        any_b = f"any b from {law.exponent.lower:.2f} to {law.exponent.upper:.2f} would do"
        return f"{gain_sentence(gain, comparison)} The data do not tell the exponent of a power law: {any_b}."
    word, place, (least, *_, most) = gain.fixed.class_word, gain.fixed.beside("classes"), law.sizes
    what = f"{'points' if comparison.metric.unit else comparison.metric.label}"
    first, last = (_doubling(each, law.limit, comparison) for each in (law.first_doubling, law.last_doubling))
    b = f"b = {law.exponent.value:.2f} [{law.exponent.lower:.2f}, {law.exponent.upper:.2f}]"
    end = "the last step is still a significant gain"
    if gain.ends_at is not None:
        end = f"from {gain.ends_at} {word} on no further gain is significant"
    return (
        f"{gain.label}, {place}: a doubling takes {first} {what} off the error at {least} {word} and {last} before "
        f"{most}; {end}. {_law_words(law, b, _bracketed(law.limit, comparison), word)}"
    )


def _doubling(found: Estimate, limit: Estimate, comparison: Comparison) -> str:
    """What a doubling brings; the upper end alone if it is next to nothing beside the error that stays."""
    if found.value >= NEXT_TO_NOTHING * limit.value:
        return _bracketed(found, comparison)
    most = float(f"{max(found.upper * comparison.metric.scale, LEAST_SHOWN):.2g}")
    return f"at most {most:f}".rstrip("0").rstrip(".")


def about(value: float) -> str:
    """A number of classes to two digits, such as "1,200"."""
    return f"{float(f'{value:.2g}'):,.0f}"


def _law_words(law: PowerLaw, b: str, limit: str, word: str) -> str:
    if not law.holds:
        return f"The means differ significantly from a power law ({b}), most at {law.worst_size} {word}."
    allowed = f"A power law through {len(law.sizes)} sizes is not contradicted"
    if law.bends_at is None:
        return f"{allowed}, {b}; a limit is not shown (c = {limit})."
    if law.bends_at < law.sizes[0]:
        return f"{allowed}, {b}, with a limit of {limit}; it bends before the smallest size."
    return f"{allowed}, {b}, and bends towards a limit of {limit} at about {about(law.bends_at)} {word}."


def place_sentence(place: Place, found: Sequence[Place]) -> str:
    """Says with how many training classes a learner is nearer to the best generalisation than to the best memory."""
    others = place.setting.others("classes")
    own = [each for each in found if each.learner == place.learner and each.setting.others("classes") == others]
    near = [each.setting.train_classes for each in own if each.lower > 0.5]
    behind = [each.setting.train_classes for each in own if each.upper < 0]
    word = place.setting.class_word
    start = f"{place.label}, {place.setting.beside('classes')}: "
    end = f"; with {list_of(behind)} its error is larger than that of both." if behind else "."
    if not near:
        return f"{start}it is nowhere shown to be nearer to Bayes over all {word}{end}"
    nearer = f"nearer to Bayes over all {word} than to Bayes over those of training"
    return f"{start}it is {nearer} with {list_of(near)} {word}{end}"


def _bracketed(found: Estimate, comparison: Comparison) -> str:
    return " ".join(comparison.metric.parts(found.value, found.lower, found.upper))


def standing_sentence(comparison: Comparison, column: int, learner: str) -> str:
    """Says where a learner stands at a setting, and from whom it is not significantly different; may be empty."""
    ranked = [entry for entry in comparison.best_first(column) if entry.rank is not None]
    own = next((entry for entry in ranked if entry.learner == learner), None)
    if own is None or len(ranked) < 2:
        return ""
    best = ranked[0]
    if own is best and own.best:
        return best_sentence(comparison, column)
    start = (
        f"On {comparison.task_name}, {own.setting}, {own.label} is number {own.rank:g} of {len(ranked)}: "
        f"{score_text(comparison, own)}"
    )
    if own.guesses or not best.best or own.test is None:
        return f"{start}; it is no better than a guess." if own.guesses else f"{start}."
    verdict = "not significantly different from" if own.alike else "significantly worse than"
    return f"{start}; it is {verdict} the best, {best.label}: {score_text(comparison, best)}."
