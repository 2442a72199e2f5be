"""The figure of score against adaptation time."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adaptbench.reports.comparison.comparison import Comparison, Entry, milliseconds
from adaptbench.reports.figures.canvas import learner_legend, log_ticks, new_figure
from adaptbench.reports.figures.styles import Styles


def draw_trade_off(comparison: Comparison, named: Styles) -> Figure | None:
    """Score against adaptation time at the largest number of training classes; None without any time."""
    size = comparison.settings[-1].train_classes
    columns = [index for index, setting in enumerate(comparison.settings) if setting.train_classes == size]
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
        panel.set_xscale("log")
        log_ticks(panel.xaxis)
    if comparison.metric.logarithmic:
        panels[0].set_yscale("log")
        log_ticks(panels[0].yaxis)
    panels[0].set_ylabel(comparison.metric.heading)
    learner_legend(figure, comparison, named)
    return figure


def _draw_point(panel: Axes, entry: Entry, time: float, named: Styles, unit: float) -> None:
    if entry.interval is None:
        return
    style = {**named[entry.learner], "linestyle": "none"}
    mean = entry.interval.mean * unit
    sides = [[mean - entry.interval.lower * unit], [entry.interval.upper * unit - mean]]
    panel.errorbar([time], [mean], sides, capsize=2, elinewidth=0.9, ecolor=style["color"], **style)
