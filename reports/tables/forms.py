"""The table of forms: what each form of a learner changes, what that costs, and from which budget on it learns."""

from typing import NamedTuple

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.comparison.forms import form_groups, learns_from
from adaptbench.reports.statistics.contrasts import Contrast, compare_with_first
from adaptbench.reports.tables.differences.gains import contrast_cell
from adaptbench.reports.tables.table import ABSENT, Column, Table, TableCell, frame_of, setting_columns
from adaptbench.reports.words.arguments import rule_of


class _Form(NamedTuple):
    """A form at one setting of the largest budget.

    Attributes:
        entry: its entry.
        change: what it changes, in words.
        learns_from: the smallest budget from which on it is better than chance, in words.
        test: the test against the form that it departs from.
    """

    entry: Entry
    change: str
    learns_from: str
    test: Contrast | None


def forms_table(comparison: Comparison, name: str) -> Table | None:
    """A row for each form, below the one that it departs from; None if the suite names no departures.

    Args:
        comparison: The comparison.
        name: Its name in file names.
    """
    rows = [row for group in form_groups(comparison) for row in _compared(group)]
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
        rows=tuple((row[0].entry.label, _cells(row, comparison)) for row in rows),
        corner="Form",
        text_columns=(0, 1),
    )


def _compared(group: Comparison) -> list[list[_Form]]:
    """The rows of one learner's forms, compared with the first one."""
    columns = [
        {index: row[column].samples for index, row in enumerate(group.entries) if row[column].rank is not None}
        for column in group.largest
    ]
    tests = compare_with_first(columns, relative=group.metric.logarithmic)
    first = group.entries[0]
    return [
        [
            _Form(row[column], rule_of(row, first), learns_from(row, column), found.get(index))
            for column, found in zip(group.largest, tests, strict=True)
        ]
        for index, row in enumerate(group.entries)
    ]


def _cells(row: list[_Form], comparison: Comparison) -> tuple[TableCell, ...]:
    changes = TableCell(row[0].change if row[0].entry.departs_from else "—")
    cells = [changes, TableCell(row[0].entry.source or "—")]
    for form in row:
        found, metric = form.entry.interval, comparison.metric
        if found is None:
            cells += [TableCell(form.entry.status, missing=True), ABSENT, ABSENT]
            continue
        text, ends = metric.parts(found.mean, found.lower, found.upper)
        difference = ABSENT if form.test is None else contrast_cell(form.test, metric)
        cells += [TableCell(text, ends=ends), difference, TableCell(form.learns_from)]
    return tuple(cells)


_COLUMNS: tuple[Column[_Form], ...] = (
    Column("learner", lambda form: form.entry.learner),
    Column("label", lambda form: form.entry.label),
    Column("departs_from", lambda form: form.entry.departs_from),
    Column("change", lambda form: form.change),
    Column("source", lambda form: form.entry.source),
    *setting_columns(lambda form: form.entry.setting),
    Column("mean", lambda form: form.entry.interval and form.entry.interval.mean),
    Column("lower", lambda form: form.entry.interval and form.entry.interval.lower),
    Column("upper", lambda form: form.entry.interval and form.entry.interval.upper),
    Column("difference", lambda form: form.test and form.test.estimate),
    Column("difference_lower", lambda form: form.test and form.test.lower),
    Column("difference_upper", lambda form: form.test and form.test.upper),
    Column("p_holm", lambda form: form.test and form.test.p_value),
    Column("learns_from", lambda form: form.learns_from),
    Column("seeds", lambda form: form.entry.interval.n_seeds if form.entry.interval else 0),
)
