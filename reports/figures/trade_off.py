"""The figures of score against adaptation time and against the CPU time of training."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adaptbench.reports.comparison.comparison import Comparison, Entry, milliseconds
from adaptbench.reports.figures.canvas import learner_legend, log_ticks, new_figure
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
    figure = new_figure(max(4.6, 3.3 * len(columns)), 3.1)
    panels: list[Axes] = list(figure.subplots(1, len(columns), sharey=True, squeeze=False).flat)
    for panel, column, found in zip(panels, columns, points, strict=True):
        for entry, time in found:
            if time is not None and entry.interval is not None:
                _draw_point(panel, entry, time, named, comparison.metric.scale)
        setting = comparison.settings[column]
        panel.set_title(setting.episode_phrase, fontsize=9)
        panel.set_xlabel("adaptation, ms per episode")
    _finish(figure, panels, comparison, named)
    return figure


def draw_costs(comparison: Comparison, named: Styles) -> Figure | None:
    """Score against the CPU time of training, a curve over the budgets for each learner; None for one budget."""
    if len({setting.examples for setting in comparison.settings}) < 2:
        return None
    figure = new_figure(max(4.6, 3.3 * len(comparison.largest)), 3.1)
    panels: list[Axes] = list(figure.subplots(1, len(comparison.largest), sharey=True, squeeze=False).flat)
    for panel, column in zip(panels, comparison.largest, strict=True):
        same = comparison.settings[column].others("examples")
        for row in comparison.entries:
            entries = [entry for entry in row if entry.setting.others("examples") == same]
            found = [(cost(entry), entry.interval.mean) for entry in entries if entry.interval is not None]
            points = [(seconds, mean * comparison.metric.scale) for seconds, mean in found if seconds is not None]
            panel.plot(*np.array(points).reshape(-1, 2).T, **named[row[0].learner])
        panel.set_title(comparison.settings[column].beside("examples"), fontsize=9)
        panel.set_xlabel("training, CPU seconds")
    _finish(figure, panels, comparison, named)
    return figure


def _finish(figure: Figure, panels: list[Axes], comparison: Comparison, named: Styles) -> None:
    """Sets the scales, the name of the score and the legend."""
    for panel in panels:
        panel.set_xscale("log")
        log_ticks(panel.xaxis)
    if comparison.metric.logarithmic:
        panels[0].set_yscale("log")
        log_ticks(panels[0].yaxis)
    panels[0].set_ylabel(comparison.metric.heading)
    learner_legend(figure, comparison, named)


def cost(entry: Entry) -> float | None:
    """The mean CPU seconds of training over the runs of an entry."""
    known = [run.times.train_cpu_seconds for run in entry.runs if run.times and run.times.train_cpu_seconds]
    return sum(known) / len(known) if known else None


def _draw_point(panel: Axes, entry: Entry, time: float, named: Styles, unit: float) -> None:
    if entry.interval is None:
        return
    style = {**named[entry.learner], "linestyle": "none"}
    mean = entry.interval.mean * unit
    sides = [[mean - entry.interval.lower * unit], [entry.interval.upper * unit - mean]]
    panel.errorbar([time], [mean], sides, capsize=2, elinewidth=0.9, ecolor=style["color"], **style)
