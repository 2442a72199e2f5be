"""The table of gains per doubling."""

from collections.abc import Sequence

from adaptbench.reports.comparison.comparison import Comparison, axis_words
from adaptbench.reports.comparison.gains import Gain
from adaptbench.reports.tables.differences.against_first import contrast_cell
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
        title=f"Gain per doubling: {comparison.place}",
        caption=(
            f"Change of {comparison.metric.heading} with each doubling on {comparison.place}"
            f": {unit} with the ends of the 95 % interval. "
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
