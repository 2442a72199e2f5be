"""Reads learning curves, calibration, and the functions that regression runs predicted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from adaptbench.reports.format_tables import CALIBRATION, CURVE, FITS, Column
from adaptbench.reports.results.tables import read_table


@dataclass(frozen=True)
class LearningCurve:
    """The metric of a run during training.

    Args:
        run_id: The run that trained; for a fine-tuned network, its pretraining.
        examples: Examples encoded, for each point.
        values: For each part, "train" and "val", the metric at each point; NaN if it was not measured there.
    """

    run_id: str
    examples: tuple[int, ...]
    values: Mapping[str, tuple[float, ...]]


def read_curve(folder: Path, metric: str) -> LearningCurve | None:
    """Reads the learning curve of a run; None if it has none.

    Args:
        folder: The run's folder.
        metric: The metric.

    Raises:
        Unreadable: The file is not such a table.
    """
    path = folder / "curve.parquet"
    if not path.exists():
        return None
    columns = read_table(path, [column.name for column in CURVE[1:]]).to_pydict()
    values: dict[str, dict[int, float]] = {}
    nan = float("nan")
    rows = zip(columns["examples_encoded"], columns["part"], columns["metric"], columns["value"], strict=True)
    for examples, part, name, value in rows:
        if name == metric and part is not None:
            values.setdefault(part, {})[examples] = nan if value is None else value
    examples = tuple(sorted({each for points in values.values() for each in points}))
    if not examples:
        return None
    found = {part: tuple(points.get(x, nan) for x in examples) for part, points in values.items()}
    return LearningCurve(folder.name, examples, found)


def read_fits(folder: Path) -> pd.DataFrame | None:
    """Reads the functions that a regression run predicted, with the columns `FITS`; None if there are none."""
    return _read_whole(folder / "fits.parquet", FITS)


def read_calibration(folder: Path) -> pd.DataFrame | None:
    """Reads the queries of a run by probability, with the columns `CALIBRATION`; None if there are none."""
    return _read_whole(folder / "calibration.parquet", CALIBRATION)


def _read_whole(path: Path, columns: Sequence[Column]) -> pd.DataFrame | None:
    if not path.exists():
        return None
    found: pd.DataFrame = read_table(path, [column.name for column in columns]).to_pandas()
    return found
