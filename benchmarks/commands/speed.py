"""What `adaptbench speed` does: measurements into a table and a JSON file, each as soon as it is there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape

from adaptbench.benchmarks.runs.process import quiet
from adaptbench.benchmarks.speed import scaling
from adaptbench.benchmarks.speed.peers import missing
from adaptbench.benchmarks.speed.races import race
from adaptbench.benchmarks.speed.speed import Measurement, as_records, as_table, measure, record
from adaptbench.reports.figures.canvas import save
from adaptbench.reports.figures.scaling import draw_scaling, slopes


def measure_speed(
    repeats: int, only: str | None, racing: Mapping[str, Any] | None, out: Path, console: Console, progress: Console
) -> None:
    """Measures, or races to an accuracy.

    Args:
        repeats: how often, for medians.
        only: part of the name of what is measured, or of the peer; None for all.
        racing: the arguments of a race; None to measure.
        out: the JSON file.
        console: where the table is printed.
        progress: where each measurement is named.
    """
    quiet()
    for library, reason in missing().items():
        progress.print(f"{library} cannot be imported, and is not measured: {escape(reason)}", highlight=False)
    measurements: list[Measurement] = []
    rows = measure(repeats, only) if racing is None else race(**racing, only=only, repeats=repeats)
    try:
        for measurement in rows:
            measurements.append(measurement)
            record(as_records(measurements), out)
            progress.print(f"measured: {measurement.what}", highlight=False)
    finally:
        if measurements:
            console.print(as_table(measurements))


def measure_growth(repeats: int, out: Path, console: Console, progress: Console) -> None:
    """Measures how cost grows with ways, shots and sizes, and draws it.

    Args:
        repeats: how often, for medians.
        out: the JSON file; the figure's files stand beside it.
        console: where slopes and files are printed.
        progress: where each measurement is named.
    """
    quiet()
    frames = []
    for frame in scaling.measure_growth(repeats):
        frames.append(frame)
        progress.print(f"measured: {frame['against'].iloc[0]}", highlight=False)
    found = pd.concat(frames, ignore_index=True)
    record(found.to_dict(orient="records"), out)
    figures = save(lambda: draw_scaling(found), out.with_suffix(""))
    for against, slope in slopes(found).items():
        console.print(f"{against}: ends at slope {slope:.2f} of 1 for in proportion", highlight=False)
    console.print(*(f"Figure: {figure}" for figure in figures), sep="\n", highlight=False)
