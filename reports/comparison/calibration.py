"""Calibration: whether the probabilities of classes are as high as the share of queries that are right."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adaptbench.reports.comparison.comparison import Entry
from adaptbench.reports.format_tables import CALIBRATION, CALIBRATION_BINS

LEAST_QUERIES = 20
"""Queries of a bin whose share is drawn."""
COUNTS = [column.name for column in CALIBRATION[3:]]


class Calibration(NamedTuple):
    """The calibration of one seed at one setting.

    Attributes:
        queries: [K] int64, the queries in each bin of the predicted class's probability; K bins of equal width.
        confidence: [K] the sums of these probabilities.
        correct: [K] the queries that are right.
    """

    queries: NDArray[np.float64]
    confidence: NDArray[np.float64]
    correct: NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error (Guo et al. 2017, arXiv 1706.04599): a share of one, 0 is best."""
        return float(np.abs(self.correct - self.confidence).sum() / self.queries.sum())

    @property
    def reliability(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean probability and share of right queries in each bin that has enough queries to tell."""
        filled = self.queries >= LEAST_QUERIES
        return self.confidence[filled] / self.queries[filled], self.correct[filled] / self.queries[filled]


def calibrations(entry: Entry) -> dict[int, Calibration]:
    """The calibration of each seed of an entry that has kept it; none where seeds may not be averaged."""
    if entry.interval is None:
        return {}
    found = {run.cell.seed: _at(run.calibration, entry) for run in entry.runs if run.calibration is not None}
    return {seed: each for seed, each in found.items() if each.queries.sum() > 0}


def pooled(found: Sequence[Calibration]) -> Calibration:
    """The calibration of the queries of all seeds together."""
    return Calibration(*(np.sum(parts, axis=0) for parts in zip(*found, strict=True)))


def _at(table: pd.DataFrame, entry: Entry) -> Calibration:
    here = table[(table["ways"] == entry.setting.ways) & (table["shots"] == entry.setting.shots)].astype(np.float64)
    bins = here.groupby("bin").sum().reindex(range(CALIBRATION_BINS), fill_value=0.0)
    return Calibration(*(bins[name].to_numpy() for name in COUNTS))
