"""What the order of a support set does to each learner's predictions, as a table."""

from dataclasses import replace
from typing import Any

import pandas as pd

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.tables.layout import TableCell, TableLayout, lay_out
from adaptbench.reports.words.numbers import scale

METRIC = "order_sensitivity"
SHOWN_FROM = 1e-3
"""Below it the table would hold rounding only, and is left out."""


def sensitivity(entry: Entry) -> float | None:
    """Mean over the seeds of an entry; None where no run says it."""
    found = [score.value for run in entry.runs if (score := run.score(entry.setting, METRIC)) is not None]
    return sum(found) / len(found) if found else None


def order_layout(comparison: Comparison) -> TableLayout | None:
    """The table; None where no learner is sensitive to order, or nothing is known of it."""
    known = [value for entry in comparison.all_entries() if (value := sensitivity(entry)) is not None]
    if max(known, default=0.0) < SHOWN_FROM:
        return None
    share = "the share of queries, in %, whose predicted class changes"
    what = share if comparison.metric == "accuracy" else "the mean squared change of predictions"
    return replace(
        lay_out(comparison),
        title=f"Order of the support set: {comparison.task} ({comparison.protocol})",
        caption=(
            f"What another order of the support set does on {comparison.task}; protocol: {comparison.protocol}: {what} "
            "when the same support examples come shuffled; mean over seeds. Zero for learners of sets."
        ),
        rows=tuple(
            (row[0].label, tuple(_cell(sensitivity(entry), comparison.metric) for entry in row))
            for row in comparison.entries
        ),
        notes=(),
        warnings=(),
    )


def order_frame(comparison: Comparison) -> pd.DataFrame:
    """One row for each entry, values in their stored unit."""
    return pd.DataFrame([_record(entry) for entry in comparison.all_entries()])


def _cell(value: float | None, metric: str) -> TableCell:
    if value is None:
        return TableCell("—", False, (), missing=True)
    return TableCell(f"{value * scale(metric):.1f}" if metric == "accuracy" else f"{value:.3g}", False, ())


def _record(entry: Entry) -> dict[str, Any]:
    return {
        "learner": entry.learner,
        "train_classes": entry.setting.train_classes,
        "ways": entry.setting.ways,
        "shots": entry.setting.shots,
        METRIC: sensitivity(entry),
    }
