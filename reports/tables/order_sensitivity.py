"""The table of order sensitivity: how much predictions change when the support set is shuffled."""

from dataclasses import replace

from adaptbench.reports.comparison.comparison import Comparison, Entry, mean_of
from adaptbench.reports.tables.scores import score_table
from adaptbench.reports.tables.table import ABSENT, Column, Table, TableCell, frame_of, setting_columns

METRIC = "order_sensitivity"
SHOWN_FROM = 1e-3
"""A table whose values are all smaller is left out, because it would show rounding errors only."""


def sensitivity(entry: Entry) -> float | None:
    """The mean over the seeds of an entry; None if no run recorded it."""
    return mean_of(score.value for run in entry.runs if (score := run.score(entry.setting, METRIC)) is not None)


def order_sensitivity_table(comparison: Comparison, name: str) -> Table | None:
    """The table; None if no learner is sensitive to order, or if no run recorded it."""
    entries = comparison.all_entries()
    if max((value for entry in entries if (value := sensitivity(entry)) is not None), default=0.0) < SHOWN_FROM:
        return None
    regression = comparison.settings[0].ways is None
    what = (
        "the mean squared change of predictions"
        if regression
        else "the share of queries, in %, whose predicted class changes"
    )
    return replace(
        score_table(comparison),
        name=f"order-{name}",
        title=f"Order of the support set: {comparison.place}",
        caption=(
            f"Effect of the order of the support set on {comparison.place}: {what} "
            "when the same support examples are shuffled; mean over seeds. Zero for learners of sets."
        ),
        frame=frame_of(_COLUMNS, entries),
        rows=tuple(
            (row[0].label, tuple(_cell(sensitivity(entry), regression) for entry in row)) for row in comparison.entries
        ),
        notes=(),
        warnings=(),
    )


def _cell(value: float | None, regression: bool) -> TableCell:
    if value is None:
        return ABSENT
    return TableCell(f"{value:.3g}" if regression else f"{100 * value:.1f}")


_COLUMNS: tuple[Column[Entry], ...] = (
    Column("learner", lambda entry: entry.learner),
    *setting_columns(lambda entry: entry.setting),
    Column(METRIC, sensitivity),
)
