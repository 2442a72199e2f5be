"""The table of growth: the power law of each learner's error against the number of training classes."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from adaptbench.reports.comparison.comparison import Comparison
from adaptbench.reports.comparison.gains import Gain
from adaptbench.reports.results.metrics import Metric
from adaptbench.reports.statistics.power_law import Estimate, PowerLaw
from adaptbench.reports.tables.table import Column, Table, TableCell, frame_of
from adaptbench.reports.words.sentences import about, growth_sentence


class _Growth(NamedTuple):
    gain: Gain
    law: PowerLaw


def growth_table(comparison: Comparison, found: Sequence[Gain], name: str) -> Table | None:
    """The table, by setting and then by learner; None if no learner has a power law."""
    rows = [_Growth(gain, gain.law) for gain in found if gain.law]
    if not rows:
        return None
    rows.sort(key=lambda row: row.gain.fixed.others("classes"))
    metric, word = comparison.metric, comparison.class_word
    unit = "points" if metric.unit else metric.label
    return Table(
        name=f"growth-{name}",
        title=f"Growth with {word}: {comparison.place}",
        caption=(
            f"{metric.error_heading} on {comparison.place} as a N^-b + c of N training {word}, with the ends of 95 % "
            f"intervals (bootstrap of seeds and test episodes). A doubling takes {unit} off: the first one, and the "
            "last one up to the largest N. Beyond the bend c is most of the "
            'error. "None shown from" is the first N from which the gain to the largest N is not significant.'
        ),
        frame=frame_of(_columns(comparison), rows),
        columns=("b", "c", "bend", "first doubling", "last doubling", "none shown from"),
        rows=tuple((f"{row.gain.label}, {row.gain.fixed.beside('classes')}", _cells(row, metric)) for row in rows),
        notes=_notes(rows),
    )


def _notes(rows: Sequence[_Growth]) -> tuple[tuple[str, str], ...]:
    wrong, unknown = any(not row.law.holds for row in rows), any(not row.law.known for row in rows)
    return (
        *((("*", "its means differ significantly from any such law"),) if wrong else ()),
        *((("?", "the data do not tell the exponent"),) if unknown else ()),
    )


def _cells(row: _Growth, metric: Metric) -> tuple[TableCell, ...]:
    law = row.law
    marks = (*(("*",) if not law.holds else ()), *(("?",) if not law.known else ()))
    b, bend, end = law.exponent, law.bends_at, row.gain.ends_at
    return (
        TableCell(f"{b.value:.2f}", marks=marks, ends=f"[{b.lower:.2f}, {b.upper:.2f}]"),
        _cell(law.limit, metric),
        TableCell("—" if bend is None else about(bend), missing=bend is None),
        *(_cell(each, metric) for each in (law.first_doubling, law.last_doubling)),
        TableCell("—" if end is None else str(end), missing=end is None),
    )


def _cell(found: Estimate, metric: Metric) -> TableCell:
    text, ends = metric.parts(found.value, found.lower, found.upper)
    return TableCell(text, ends=ends)


def _columns(comparison: Comparison) -> tuple[Column[_Growth], ...]:
    return (
        Column("learner", lambda row: row.gain.learner),
        Column("label", lambda row: row.gain.label),
        Column("setting", lambda row: row.gain.fixed.beside("classes")),
        Column("ways", lambda row: row.gain.fixed.ways),
        Column("shots", lambda row: row.gain.fixed.shots),
        Column("examples", lambda row: row.gain.fixed.examples),
        Column("values", lambda row: " ".join(map(str, row.gain.values))),
        Column("metric", lambda row: comparison.metric.name),
        Column("factor", lambda row: row.law.factor),
        *_estimate_columns("exponent", lambda law: law.exponent),
        *_estimate_columns("limit", lambda law: law.limit),
        *_estimate_columns("first_doubling", lambda law: law.first_doubling),
        *_estimate_columns("last_doubling", lambda law: law.last_doubling),
        Column("bends_at", lambda row: row.law.bends_at),
        Column("misfit_p_value", lambda row: row.law.misfit),
        Column("no_gain_shown_from", lambda row: row.gain.ends_at),
        Column("sentence", lambda row: growth_sentence(row.gain, row.law, comparison)),
    )


def _estimate_columns(name: str, of: Callable[[PowerLaw], Estimate]) -> tuple[Column[_Growth], ...]:
    return (
        Column(name, lambda row: of(row.law).value),
        Column(f"{name}_lower", lambda row: of(row.law).lower),
        Column(f"{name}_upper", lambda row: of(row.law).upper),
    )
