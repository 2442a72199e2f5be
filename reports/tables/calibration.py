"""The table of calibration: how far the probabilities of classes are from the share of queries that are right."""

from dataclasses import replace

import numpy as np

from adaptbench.reports.comparison.calibration import calibrations
from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.tables.scores import score_table
from adaptbench.reports.tables.table import ABSENT, Column, Table, TableCell, frame_of, setting_columns


def calibration_table(comparison: Comparison, name: str) -> Table | None:
    """The table of expected calibration errors; None if no run has kept probabilities."""
    entries = comparison.all_entries()
    if not any(map(calibrations, entries)):
        return None
    return replace(
        score_table(comparison),
        name=f"calibration-{name}",
        title=f"Calibration: {comparison.place}",
        caption=(
            f"Expected calibration error in % (0 is best) on {comparison.place}: the "
            "mean distance between the probability of the predicted class and the share of queries that are right, in "
            "15 bins of equal width. Mean over seeds, with the lowest and the highest seed. A learner of perfect "
            "probabilities has a little more than 0 on a finite number of queries."
        ),
        frame=frame_of(_COLUMNS, entries),
        rows=tuple((row[0].label, tuple(map(_cell, row))) for row in comparison.entries),
        notes=(),
        warnings=(),
    )


def _errors(entry: Entry) -> list[float]:
    return [each.error for each in calibrations(entry).values()]


def _cell(entry: Entry) -> TableCell:
    errors = [100 * error for error in _errors(entry)]
    if not errors:
        return ABSENT
    ends = f"[{min(errors):.1f}, {max(errors):.1f}]" if len(errors) > 1 else ""
    return TableCell(f"{np.mean(errors):.1f}", ends=ends)


_COLUMNS: tuple[Column[Entry], ...] = (
    Column("learner", lambda entry: entry.learner),
    *setting_columns(lambda entry: entry.setting),
    Column("expected_calibration_error", lambda entry: float(np.mean(found)) if (found := _errors(entry)) else None),
    Column("lowest_seed", lambda entry: min(_errors(entry), default=None)),
    Column("highest_seed", lambda entry: max(_errors(entry), default=None)),
    Column("seeds", lambda entry: len(calibrations(entry))),
)
