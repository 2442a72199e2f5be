"""Reads learning curves, calibration, and the functions that regression runs predicted."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from adaptbench.reports.format_tables import CURVE, TABLES
from adaptbench.reports.results.tables import read_table


@dataclass(frozen=True)
class LearningCurve:
    """The metric of a run during training.

    Args:
        examples: Examples encoded, for each point.
        values: For each part, "train" and "val", the metric at each point; NaN if it was not measured there.
    """

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
    return LearningCurve(examples, found)


def read_whole(path: Path) -> pd.DataFrame | None:
    """Reads `fits.parquet` or `calibration.parquet` of a run with all columns of the format; None if it has none.

    Raises:
        Unreadable: The file is not such a table.
    """
    if not path.exists():
        return None
    found: pd.DataFrame = read_table(path, [column.name for column in TABLES[path.name]]).to_pandas()
    return found
