"""The tables of differences: gains per doubling, and one learner against each of the others."""

import math
from collections.abc import Sequence
from itertools import groupby

from adaptbench.reports.comparison.comparison import Comparison, axis_words
from adaptbench.reports.comparison.gains import Gain
from adaptbench.reports.comparison.pairs import pairs
from adaptbench.reports.results.metrics import Metric
from adaptbench.reports.statistics.contrasts import Contrast
from adaptbench.reports.tables.table import ABSENT, Column, Table, TableCell, frame_of
from adaptbench.reports.words.sentences import gain_sentence


def gain_table(comparison: Comparison, found: Sequence[Gain], name: str) -> Table | None:
    """The table of gains per doubling; None if there are none."""
    if not found:
        return None
    columns = list(dict.fromkeys((gain.axis, _fixed(gain)) for gain in found))
    by_place = {(gain.learner, gain.axis, _fixed(gain)): gain for gain in found}
    labels = {gain.learner: gain.label for gain in found}
    words = axis_words(comparison)
    counts = {axis: sum(column[0] == axis for column in columns) for axis, _ in columns}
    unit = "factor of the error" if found[0].relative else "points"
    return Table(
        name=f"gains-{name}",
        title=f"Gain per doubling: {comparison.task} ({comparison.protocol})",
        caption=(
            f"Change of {comparison.metric.heading} with each doubling on {comparison.task}; "
            f"protocol: {comparison.protocol}: {unit} with the ends of the 95 % interval. "
            "Bold: significantly different from no change (5 %, uncorrected)."
        ),
        frame=frame_of(_columns(comparison), found),
        groups=tuple((f"doubling the {words[axis]}", count) for axis, count in counts.items()),
        columns=tuple(fixed for _, fixed in columns),
        rows=tuple(
            (label, tuple(_cell(by_place.get((learner, *column)), comparison) for column in columns))
            for learner, label in labels.items()
        ),
    )


def _fixed(gain: Gain) -> str:
    """The part of the setting that stays the same."""
    return gain.fixed.beside(gain.axis, gain.fixed.episode_label)


def _cell(gain: Gain | None, comparison: Comparison) -> TableCell:
    if gain is None:
        return ABSENT
    found = gain.per_doubling
    if found is None:
        return TableCell("not comparable", missing=True)
    return contrast_cell(found, comparison.metric)


def contrast_cell(found: Contrast, metric: Metric) -> TableCell:
    """A difference, or the ratio of errors, with the ends of its interval; bold if it is significant."""
    if metric.logarithmic:
        ends = f"[{_factor(found.lower)}, {_factor(found.upper)}]"
        return TableCell(_factor(found.estimate), found.significant, ends=ends)
    text, ends = metric.parts(found.estimate, found.lower, found.upper, "+")
    return TableCell(text, found.significant, ends=ends)


def _factor(logarithm: float) -> str:
    return f"{math.exp(min(logarithm, 100.0)):.2g}"


def _columns(comparison: Comparison) -> tuple[Column[Gain], ...]:
    return (
        Column("learner", lambda gain: gain.learner),
        Column("axis", lambda gain: gain.axis),
        Column("train_classes", lambda gain: None if gain.axis == "classes" else gain.fixed.train_classes),
        Column("ways", lambda gain: gain.fixed.ways),
        Column("shots", lambda gain: None if gain.axis == "shots" else gain.fixed.shots),
        Column("examples", lambda gain: None if gain.axis == "examples" else gain.fixed.examples),
        Column("values", lambda gain: " ".join(map(str, gain.values))),
        Column("scale", lambda gain: "log error" if gain.relative else comparison.metric.name),
        Column("per_doubling", lambda gain: gain.per_doubling and gain.per_doubling.estimate),
        Column("lower", lambda gain: gain.per_doubling and gain.per_doubling.lower),
        Column("upper", lambda gain: gain.per_doubling and gain.per_doubling.upper),
        Column("p_value", lambda gain: gain.per_doubling and gain.per_doubling.p_value),
        Column("seeds", lambda gain: gain.per_doubling and gain.per_doubling.n_seeds),
        Column("no_gain_shown_from", lambda gain: gain.ends_at),
        Column("sentence", lambda gain: gain_sentence(gain, comparison)),
    )


def pair_table(comparison: Comparison, learner: str, name: str) -> Table | None:
    """The paired differences of a learner from every other one; None if it can be compared with none.

    Args:
        comparison: The comparison.
        learner: The learner.
        name: The comparison's name in file names.
    """
    found = pairs(comparison, learner)
    if not found:
        return None
    labels = {row[0].learner: row[0].label for row in comparison.entries}
    settings = comparison.settings
    scale = "log error" if comparison.metric.logarithmic else comparison.metric.name
    unit = "factor of the error" if comparison.metric.logarithmic else "points"
    columns = (
        Column[tuple[str, int]]("learner", lambda _: learner),
        Column[tuple[str, int]]("other", lambda place: place[0]),
        Column[tuple[str, int]]("train_classes", lambda place: settings[place[1]].train_classes),
        Column[tuple[str, int]]("ways", lambda place: settings[place[1]].ways),
        Column[tuple[str, int]]("shots", lambda place: settings[place[1]].shots),
        Column[tuple[str, int]]("scale", lambda _: scale),
        Column[tuple[str, int]]("difference", lambda place: found[place].estimate),
        Column[tuple[str, int]]("lower", lambda place: found[place].lower),
        Column[tuple[str, int]]("upper", lambda place: found[place].upper),
        Column[tuple[str, int]]("p_value", lambda place: found[place].p_value),
        Column[tuple[str, int]]("seeds", lambda place: found[place].n_seeds),
    )
    return Table(
        name=f"pairs-{name}",
        title=f"{labels[learner]} against each other learner: {comparison.task} ({comparison.protocol})",
        caption=(
            f"{comparison.metric.heading} of {labels[learner]} compared with each other learner on {comparison.task}; "
            f"protocol: {comparison.protocol}: {unit} with the ends of the 95 % interval, paired by episode. "
            "Bold: significantly different (5 %; p-values and intervals corrected for the whole table)."
        ),
        frame=frame_of(columns, found),
        groups=tuple((label, len(list(run))) for label, run in groupby(setting.size_label for setting in settings)),
        columns=tuple(setting.episode_label for setting in settings),
        rows=tuple(
            (
                f"against {label}",
                tuple(
                    contrast_cell(found[other, column], comparison.metric) if (other, column) in found else ABSENT
                    for column in range(len(settings))
                ),
            )
            for other, label in labels.items()
            if any(place[0] == other for place in found)
        ),
    )
