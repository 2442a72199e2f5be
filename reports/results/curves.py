"""Learning curves of runs, and the fits of regression runs, as far as their files can be read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # pyarrow ships no annotations

from adaptbench.reports.results.runs import Run

FIT_COLUMNS = ("shots", "function", "role", "x", "y", "prediction")


@dataclass(frozen=True)
class LearningCurve:
    """How a run's own metric grew in training.

    Args:
        run_id: The run that trained; of a fine-tuned network its pretraining.
        examples: Examples encoded, for each point.
        values: For each split, "train" and "val", the metric at each point; NaN where it was not measured.
    """

    run_id: str
    examples: tuple[int, ...]
    values: Mapping[str, tuple[float, ...]]


def read_curves(runs: Path, found: Sequence[Run]) -> dict[str, LearningCurve]:
    """The learning curve of each run that has one, by run id; a file is read once, however many runs share it."""
    seen: dict[tuple[str, str], LearningCurve | None] = {}
    curves: dict[str, LearningCurve] = {}
    for run in found:
        trained = run.pretrained or run.cell.run_id
        key = (trained, run.cell.metric)
        if key not in seen:
            seen[key] = _read_curve(runs / trained / "curve.parquet", trained, run.cell.metric)
        if (curve := seen[key]) is not None:
            curves[run.cell.run_id] = curve
    return curves


def _read_curve(path: Path, run_id: str, metric: str) -> LearningCurve | None:
    try:
        columns = pq.read_table(
            path, columns=["examples_encoded", "split", "metric", "value"], use_threads=False
        ).to_pydict()
    except Exception:  # A damaged file can make a parquet reader raise almost anything; a run without a curve counts.
        return None
    values: dict[str, dict[int, float]] = {}
    rows = zip(columns["examples_encoded"], columns["split"], columns["metric"], columns["value"], strict=True)
    for examples, split, name, value in rows:
        if name == metric:
            values.setdefault(split, {})[examples] = value
    examples = tuple(sorted({each for points in values.values() for each in points}))
    if not examples:
        return None
    nan = float("nan")
    return LearningCurve(
        run_id, examples, {split: tuple(points.get(x, nan) for x in examples) for split, points in values.items()}
    )


def read_fits(runs: Path, run: Run) -> pd.DataFrame | None:
    """What a regression run predicted of some functions, with the columns FIT_COLUMNS; None if not kept."""
    path = runs / run.cell.run_id / "fits.parquet"
    try:
        return pd.read_parquet(path, columns=list(FIT_COLUMNS)) if path.is_file() else None
    except Exception:  # As above: a fit that cannot be read is a figure less.
        return None
