"""The table of forms: what each form of a learner changes, what that costs, and from which budget on it learns."""

from collections.abc import Sequence

from adaptbench.reports.comparison.comparison import Comparison
from adaptbench.reports.comparison.forms import form_groups, learns_from
from adaptbench.reports.results.metrics import Metric
from adaptbench.reports.tables.differences.against_first import (
    COMPARED_COLUMNS,
    Compared,
    against_first,
    compared_cells,
)
from adaptbench.reports.tables.table import ABSENT, Column, Table, TableCell, frame_of, setting_columns


def forms_table(comparison: Comparison, name: str) -> Table | None:
    """A row for each form, below the one that it departs from; None if the suite names no departures."""
    rows = [row for group in form_groups(comparison) for row in against_first(group, comparison.largest)]
    if not rows:
        return None
    settings = [comparison.settings[column] for column in comparison.largest]
    compared = "ratio" if comparison.metric.logarithmic else "difference"
    return Table(
        name=f"forms-{name}",
        title=f"Forms: {comparison.place}",
        caption=(
            f"Forms of each learner on {comparison.place}, {settings[0].size_label}: "
            f"{comparison.metric.heading}, and the {compared} against the form that each departs from, with the ends "
            "of 95 % intervals. Bold: significantly different from it (paired tests, Holm-corrected over the forms of "
            "a learner, 5 %). Learns from: the smallest budget, in examples, from which on every seed is better than "
            "chance."
        ),
        frame=frame_of(_COLUMNS, (form for row in rows for form in row)),
        groups=(("", 2), *((setting.episode_label, 3) for setting in settings)),
        columns=("what it changes", "published by", *(["mean", compared, "learns from"] * len(settings))),
        rows=tuple((row[0].entry.label, _cells(row, comparison.metric)) for row in rows),
        corner="Form",
        text_columns=(0, 1),
    )


def _cells(row: Sequence[Compared], metric: Metric) -> tuple[TableCell, ...]:
    first = row[0].entry
    cells = [TableCell(row[0].rule if first.departs_from else "—"), TableCell(first.source or "—")]
    for form in row:
        learns = ABSENT if form.entry.interval is None else TableCell(_learns_from(form))
        cells += [*compared_cells(form, metric), learns]
    return tuple(cells)


def _learns_from(form: Compared) -> str:
    return learns_from(form.row, form.column)


_COLUMNS: tuple[Column[Compared], ...] = (
    Column("learner", lambda form: form.entry.learner),
    Column("label", lambda form: form.entry.label),
    Column("departs_from", lambda form: form.entry.departs_from),
    Column("change", lambda form: form.rule),
    Column("source", lambda form: form.entry.source),
    *setting_columns(lambda form: form.entry.setting),
    *COMPARED_COLUMNS,
    Column("learns_from", _learns_from),
    Column("seeds", lambda form: form.entry.interval.n_seeds if form.entry.interval else 0),
)
