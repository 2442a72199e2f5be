"""The command `adaptbench speed`: measures, prints a table, and writes each number to a JSON file at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape

from adaptbench.benchmarks.runs.process import keep_memory, quiet
from adaptbench.benchmarks.speed import scaling
from adaptbench.benchmarks.speed.peers import missing
from adaptbench.benchmarks.speed.races import race
from adaptbench.benchmarks.speed.speed import Measurement, as_records, as_table, measure, record
from adaptbench.reports.figures.canvas import save
from adaptbench.reports.figures.scaling import draw_scaling, slopes


def measure_speed(
    repeats: int, only: str | None, racing: Mapping[str, Any] | None, out: Path, console: Console, progress: Console
) -> None:
    """Measures speed, or races to a test accuracy.

    Args:
        repeats: number of measurements; medians are reported.
        only: part of a row's name, or of a learner's name in a race; None for all.
        racing: arguments of `race`; None to measure the rows instead.
        out: the JSON file.
        console: gets the table.
        progress: gets a line after each measurement.
    """
    keep_memory()
    quiet()
    for library, reason in missing().items():
        text = f"{library} is not measured, because it cannot be imported: {escape(reason)}"
        progress.print(text, highlight=False, soft_wrap=True)
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


def measure_scaling(repeats: int, out: Path, console: Console, progress: Console) -> None:
    """Measures how cost grows with ways, shots and sizes, and draws a figure.

    Args:
        repeats: number of measurements; medians are reported.
        out: the JSON file; the files of the figure get the same name with their own endings.
        console: gets the slopes and the names of the files.
        progress: gets a line after each measurement.
    """
    keep_memory()
    quiet()
    frames = []
    for frame in scaling.measure_costs(repeats):
        frames.append(frame)
        progress.print(f"measured: {frame['against'].iloc[0]}", highlight=False)
    found = pd.concat(frames, ignore_index=True)
    record(found.to_dict(orient="records"), out)
    figures = save(lambda: draw_scaling(found), out.with_suffix(""))
    for against, slope in slopes(found).items():
        console.print(f"{against}: last slope {slope:.2f} (1 means proportional)", highlight=False)
    console.print(*(f"Figure: {figure}" for figure in figures), sep="\n", markup=False, highlight=False)
