"""The figures of score against adaptation time and against the CPU time of training."""

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adaptbench.reports.comparison.comparison import Comparison, Entry, mean_of, milliseconds
from adaptbench.reports.figures.canvas import (
    draw_entries,
    label_first,
    learner_legend,
    log_ticks,
    panel_grid,
    scaled,
    score_axis,
)
from adaptbench.reports.figures.styles import Styles


def draw_trade_off(comparison: Comparison, named: Styles) -> Figure | None:
    """Score against adaptation time at the largest number of training classes; None without any time."""
    columns = comparison.largest
    points = [
        [(row[column], milliseconds(row[column])) for row in comparison.entries if row[column].interval is not None]
        for column in columns
    ]
    if not any(time is not None for panel in points for _, time in panel):
        return None
    figure, panels = panel_grid(len(columns))
    for panel, column, found in zip(panels, columns, points, strict=True):
        for entry, time in found:
            if time is not None:
                style = {**named[entry.learner], "linestyle": "none"}
                draw_entries(panel, np.array([time]), [entry], style, scaled(comparison))
        panel.set_title(comparison.settings[column].episode_phrase)
        panel.set_xlabel("adaptation, ms per episode")
    _finish(figure, panels, comparison, named, columns)
    return figure


def draw_costs(comparison: Comparison, named: Styles) -> Figure | None:
    """Score against the CPU time of training, a curve over the budgets for each learner; None for one budget."""
    if len({setting.examples for setting in comparison.settings}) < 2:
        return None
    figure, panels = panel_grid(len(comparison.largest))
    for panel, column in zip(panels, comparison.largest, strict=True):
        same = comparison.settings[column].others("examples")
        for row in comparison.entries:
            entries = [entry for entry in row if entry.setting.others("examples") == same]
            found = [(seconds, entry) for entry in entries if entry.interval and (seconds := cost(entry)) is not None]
            places, known = np.array([seconds for seconds, _ in found]), [entry for _, entry in found]
            if known:
                draw_entries(panel, places, known, named[row[0].learner], scaled(comparison))
        panel.set_title(comparison.settings[column].beside("examples"))
        panel.set_xlabel("training, CPU seconds")
    _finish(figure, panels, comparison, named, range(len(comparison.settings)))
    return figure


def _finish(
    figure: Figure, panels: Sequence[Axes], comparison: Comparison, named: Styles, columns: Iterable[int]
) -> None:
    """Sets the scales, the name of the score and the legend."""
    for panel in panels:
        panel.set_xscale("log")
        log_ticks(panel.xaxis)
    intervals = (row[column].interval for row in comparison.entries for column in columns)
    means = np.array([each.mean for each in intervals if each is not None]) * comparison.metric.scale
    score_axis(panels, comparison.metric, means)
    label_first(panels, comparison.metric.heading)
    learner_legend(figure, comparison, named)


def cost(entry: Entry) -> float | None:
    """The mean CPU seconds of training over the runs of an entry."""
    return mean_of(run.train_cpu_seconds or None for run in entry.runs)
