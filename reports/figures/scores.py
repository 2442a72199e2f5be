"""The figures of scores against training classes, budget or shots, with one curve for each learner."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from numpy.typing import NDArray

from adaptbench.reports.comparison.comparison import Comparison, axis_words, main_axis
from adaptbench.reports.figures.canvas import draw_entries, label_first, learner_legend, panel_grid, score_axis
from adaptbench.reports.figures.styles import CHANCE_STYLE, Styles
from adaptbench.reports.results.settings import Axis, Setting

MOST_TICKS = 8


def panel_columns(comparison: Comparison, axis: Axis | None = None) -> dict[tuple[int, ...], list[int]]:
    """The columns of each panel, by everything but the x axis: by (ways, shots) for training classes."""
    panels: dict[tuple[int, ...], list[int]] = {}
    for index, setting in enumerate(comparison.settings):
        panels.setdefault(setting.others(axis or main_axis(comparison)), []).append(index)
    return panels


def draw(comparison: Comparison, named: Styles, axis: Axis | None = None) -> Figure:
    """Scores against training classes, budget or shots, with a panel for each value of the others.

    Args:
        comparison: The comparison to draw.
        named: A style for each learner.
        axis: The x axis; by default the first along which settings vary.
    """
    axis = axis or main_axis(comparison)
    panels = panel_columns(comparison, axis)
    figure, axes = panel_grid(len(panels))
    for panel, columns in zip(axes, panels.values(), strict=True):
        settings = [comparison.settings[column] for column in columns]
        draw_panel(panel, comparison, columns, named, axis)
        label_x(panel, settings, comparison, axis)
        panel.set_title(settings[0].beside(axis))
    label_y(axes, comparison)
    learner_legend(figure, comparison, named, {"chance": CHANCE_STYLE} if _near_chance(comparison) else {})
    return figure


def draw_panel(panel: Axes, comparison: Comparison, columns: Sequence[int], named: Styles, axis: Axis) -> None:
    """Draws the curve of every learner over some columns, and the chance level."""
    positions = _positions([comparison.settings[column] for column in columns], axis)
    for index, row in enumerate(comparison.entries):
        # Learners are shifted sideways so that no interval hides another; most where there is one position only.
        step = 1.07 if len(positions) == 1 else 1.0 + 0.02 * np.log2(positions[-1] / positions[0])
        shift = step ** (index - (len(comparison.entries) - 1) / 2)
        entries = [row[column] for column in columns]
        draw_entries(panel, positions * shift, entries, named[row[0].learner], comparison.metric.scale, bands=True)
    chances = [_chance(comparison, column) for column in columns]
    if _near_chance(comparison) and not np.isnan(chances).all():
        edges = np.r_[positions[0] / 2, positions, positions[-1] * 2]
        panel.plot(edges, np.r_[chances[0], chances, chances[-1]] * comparison.metric.scale, zorder=1, **CHANCE_STYLE)
    if np.isnan(_means(comparison)[:, columns]).all():
        panel.text(0.5, 0.5, "no finished run", ha="center", va="center", transform=panel.transAxes, color="0.4")


def _positions(settings: Sequence[Setting], axis: Axis) -> NDArray[np.float64]:
    """The positions of settings on the x axis; unlimited classes are rightmost."""
    sizes = [setting.value(axis) for setting in settings]
    beyond = 4 * max([size for size in sizes if size is not None], default=1)
    return np.array([beyond if size is None else size for size in sizes], dtype=np.float64)


def label_x(panel: Axes, settings: Sequence[Setting], comparison: Comparison, axis: Axis) -> None:
    """Ticks at the values on a logarithmic axis; at some of them if they are many."""
    positions = _positions(settings, axis)
    values = [setting.value(axis) for setting in settings]
    labels = ["∞" if value is None else f"{value / 1000:g}k" if axis == "examples" else str(value) for value in values]
    word = axis_words(comparison)[axis]
    panel.set_xlabel(f"{word} in the support set" if word == "shots" else word)
    every = -(-len(labels) // MOST_TICKS)
    labels = ["" if index % every else label for index, label in enumerate(labels)]
    panel.set_xscale("log")
    panel.set_xlim(positions[0] / 1.35, positions[-1] * 1.35)
    panel.xaxis.set_major_locator(FixedLocator(list(positions)))
    panel.xaxis.set_major_formatter(FixedFormatter(labels))
    panel.xaxis.set_minor_locator(NullLocator())


def label_y(panels: Sequence[Axes], comparison: Comparison) -> None:
    """Names the scores; limits show every mean, and chance where a learner is near it."""
    metric = comparison.metric
    chances = [_chance(comparison, column) for column in range(len(comparison.settings))]
    shown = np.r_[_means(comparison).ravel(), chances if _near_chance(comparison) else []] * metric.scale
    score_axis(panels, metric, shown)
    label_first(panels, f"{metric.heading}\n({metric.direction} is better)")


def _near_chance(comparison: Comparison) -> bool:
    """Whether some mean is so near chance that its level belongs into the figure."""
    gaps = [
        abs(entry.interval.mean - entry.chance) / abs(entry.chance)
        for entry in comparison.all_entries()
        if entry.interval is not None and entry.chance
    ]
    return min(gaps, default=2.0) < 1.0 or not any(entry.interval for entry in comparison.all_entries())


def _chance(comparison: Comparison, column: int) -> float:
    """The chance level of a column; NaN where there is none."""
    chances = [row[column].chance for row in comparison.entries]
    return next((chance for chance in chances if chance is not None), float("nan"))


def _means(comparison: Comparison) -> NDArray[np.float64]:
    """Means [learners, settings], NaN where missing, in the stored unit."""
    rows = [[entry.interval.mean if entry.interval else np.nan for entry in row] for row in comparison.entries]
    return np.array(rows, dtype=np.float64)
