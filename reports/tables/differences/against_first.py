"""Rows of a table beside its first one: means, and paired differences from the first row or ratios to it."""

from collections.abc import Sequence
from typing import NamedTuple

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.results.metrics import Metric
from adaptbench.reports.statistics.contrasts import Contrast, compare_with_first
from adaptbench.reports.tables.table import ABSENT, Column, TableCell
from adaptbench.reports.words.arguments import rule_of
from adaptbench.reports.words.sentences import factor_text


class Compared(NamedTuple):
    """A row at one column.

    Attributes:
        row: the entries of the row.
        column: the column of the entry.
        rule: how the row's arguments differ from those of the first row, in words.
        test: the test against the first row, where the two can be compared.
    """

    row: Sequence[Entry]
    column: int
    rule: str
    test: Contrast | None

    @property
    def entry(self) -> Entry:
        """The entry of the row in the column."""
        return self.row[self.column]


def against_first(found: Comparison, columns: Sequence[int]) -> list[list[Compared]]:
    """Every row at some columns, compared with the first row; p-values are corrected over these columns."""
    samples = [
        {index: row[column].samples for index, row in enumerate(found.entries) if row[column].rank is not None}
        for column in columns
    ]
    tests = compare_with_first(samples, relative=found.metric.logarithmic)
    first = found.entries[0]
    return [
        [Compared(row, column, rule_of(row, first), own.get(index)) for column, own in zip(columns, tests, strict=True)]
        for index, row in enumerate(found.entries)
    ]


def compared_cells(each: Compared, metric: Metric) -> tuple[TableCell, TableCell]:
    """The mean, and the difference from the first row or the ratio to it."""
    own = each.entry.interval
    if own is None:
        return TableCell(each.entry.status, missing=True), ABSENT
    text, ends = metric.parts(own.mean, own.lower, own.upper)
    return TableCell(text, ends=ends), ABSENT if each.test is None else contrast_cell(each.test, metric)


def contrast_cell(found: Contrast, metric: Metric) -> TableCell:
    """A difference, or the ratio of errors, with the ends of its interval; bold if it is significant."""
    if metric.logarithmic:
        factor, lower, upper = (factor_text(each) for each in (found.estimate, found.lower, found.upper))
        return TableCell(factor, found.significant, ends=f"[{lower}, {upper}]")
    text, ends = metric.parts(found.estimate, found.lower, found.upper, "+")
    return TableCell(text, found.significant, ends=ends)


COMPARED_COLUMNS: tuple[Column[Compared], ...] = (
    Column("mean", lambda each: each.entry.interval and each.entry.interval.mean),
    Column("lower", lambda each: each.entry.interval and each.entry.interval.lower),
    Column("upper", lambda each: each.entry.interval and each.entry.interval.upper),
    Column("difference", lambda each: each.test and each.test.estimate),
    Column("difference_lower", lambda each: each.test and each.test.lower),
    Column("difference_upper", lambda each: each.test and each.test.upper),
    Column("p_holm", lambda each: each.test and each.test.p_value),
)
