"""The table of gains per doubling."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from adaptbench.reports.comparison.comparison import Comparison
from adaptbench.reports.comparison.gains import Gain
from adaptbench.reports.results.settings import plural, shots_label, size_label
from adaptbench.reports.tables.layout import Sheet, TableCell, TableLayout
from adaptbench.reports.words.numbers import metric_name, number_text
from adaptbench.reports.words.sentences import gain_sentence


def gain_sheet(comparison: Comparison, found: Sequence[Gain], name: str) -> Sheet:
    """The table of gains per doubling."""
    columns = list(dict.fromkeys((gain.axis, _held(gain, comparison)) for gain in found))
    by_place = {(gain.learner, gain.axis, _held(gain, comparison)): gain for gain in found}
    labels = {gain.learner: gain.label for gain in found}
    words = {"classes": f"training {comparison.class_word}", "shots": plural(comparison.shots_word, 2)}
    counts = {axis: sum(column[0] == axis for column in columns) for axis, _ in columns}
    unit = "factor of the error" if found[0].relative else "points"
    layout = TableLayout(
        title=f"Gain per doubling: {comparison.task} ({comparison.protocol})",
        caption=(
            f"What each doubling does to {metric_name(comparison)} on {comparison.task}; "
            f"protocol: {comparison.protocol}: {unit} with the half width (or ends) of the 95 % interval. "
            "Bold: can be told from no change (5 %, uncorrected)."
        ),
        groups=tuple((f"doubling the {words[axis]}", count) for axis, count in counts.items()),
        columns=tuple(held for _, held in columns),
        rows=tuple(
            (label, tuple(_gain_cell(by_place.get((learner, *column))) for column in columns))
            for learner, label in labels.items()
        ),
        notes=(),
    )
    return Sheet(f"gains-{name}", layout, pd.DataFrame([_gain_record(gain, comparison) for gain in found]))


def _held(gain: Gain, comparison: Comparison) -> str:
    if gain.axis == "classes":
        return shots_label(gain.fixed, with_ways=True, word=comparison.shots_word)
    ways = "" if gain.fixed.ways is None else f"{gain.fixed.ways}-way, "
    return f"{ways}{size_label(gain.fixed, comparison.class_word)}"


def _gain_cell(gain: Gain | None) -> TableCell:
    if gain is None or gain.per_doubling is None:
        return TableCell("—" if gain is None else "not comparable", False, (), missing=True)
    found = gain.per_doubling
    if gain.relative:
        low, high = (_factor(found.estimate + sign * found.half_width) for sign in (-1, 1))
        return TableCell(f"{_factor(found.estimate)} ({low} to {high})", found.significant, ())
    sign = "+" if found.estimate >= 0 else ""
    return TableCell(sign + number_text(found.estimate, found.half_width, "accuracy"), found.significant, ())


def _factor(logarithm: float) -> str:
    return f"{math.exp(min(logarithm, 100.0)):.2g}"


def _gain_record(gain: Gain, comparison: Comparison) -> dict[str, Any]:
    found = gain.per_doubling
    return {
        "learner": gain.learner,
        "axis": gain.axis,
        "train_classes": None if gain.axis == "classes" else gain.fixed.train_classes,
        "ways": gain.fixed.ways,
        "shots": None if gain.axis == "shots" else gain.fixed.shots,
        "values": " ".join(map(str, gain.values)),
        "scale": "log error" if gain.relative else comparison.metric,
        "per_doubling": found and found.estimate,
        "half_width": found and found.half_width,
        "p_value": found and found.p_value,
        "seeds": found and found.n_seeds,
        "no_gain_shown_from": gain.ends_at,
        "sentence": gain_sentence(gain, comparison),
    }
