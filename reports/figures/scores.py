"""The figures of errors against training classes, and of scores against budget or shots: a curve for each learner."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from numpy.typing import NDArray

from adaptbench.reports.comparison.comparison import Comparison, Entry, axis_words, main_axis
from adaptbench.reports.comparison.places import Place
from adaptbench.reports.figures.canvas import learner_legend, log_ticks, new_figure
from adaptbench.reports.figures.styles import CHANCE_STYLE, SEED_STYLE, Styles
from adaptbench.reports.results.settings import Axis, Setting
from adaptbench.reports.statistics.power_law import PowerLaw

Floats = NDArray[np.float64]
Laws = Mapping[tuple[str, tuple[int, ...]], PowerLaw]
"""Power laws by the learner and by everything but the classes of their settings."""

ENDS = ("lower", "upper")
WIDE_AT_SEEDS = 2
"""Up to this number of seeds intervals are so wide that bands would hide each other."""
MOST_TICKS = 8
NEAREST_TICKS = 0.08
"""The least distance between labelled ticks, as a share of the axis."""


def panel_columns(comparison: Comparison, axis: Axis | None = None) -> dict[tuple[int, ...], list[int]]:
    """The columns of each panel, by everything but the x axis: by (ways, shots) for training classes."""
    panels: dict[tuple[int, ...], list[int]] = {}
    for index, setting in enumerate(comparison.settings):
        panels.setdefault(setting.others(axis or main_axis(comparison)), []).append(index)
    return panels


def draw(comparison: Comparison, named: Styles, axis: Axis | None = None, laws: Laws | None = None) -> Figure:
    """Scores against budget or shots, or errors against training classes, with a panel for each value of the others.

    Args:
        comparison: The comparison to draw.
        named: A style for each learner.
        axis: The x axis; by default the first along which settings vary.
        laws: The power laws that are drawn in place of lines from mean to mean.
    """
    axis = axis or main_axis(comparison)
    panels = panel_columns(comparison, axis)
    n_columns = min(len(panels), 3)
    n_rows = -(-len(panels) // n_columns)
    figure = new_figure(max(4.6, 3.3 * n_columns), 2.6 * n_rows + 0.5)
    grid = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False)
    axes: list[Axes] = list(grid.flat)
    for panel, columns in zip(axes, panels.values(), strict=False):
        settings = [comparison.settings[column] for column in columns]
        draw_panel(panel, comparison, columns, named, axis, laws)
        label_x(panel, settings, comparison, axis)
        panel.set_title(settings[0].beside(axis), fontsize=9)
    for unused in axes[len(panels) :]:
        unused.remove()
    label_y(axes[: len(panels)], comparison, n_columns, axis)
    has_chance = any(entry.chance is not None for entry in comparison.all_entries())
    learner_legend(figure, comparison, named, {"chance": CHANCE_STYLE} if has_chance else {})
    return figure


def draw_places(comparison: Comparison, named: Styles, found: Sequence[Place]) -> Figure | None:
    """Places between the best memory (0) and the best generalisation (1) against training classes; None without any."""
    panels = {key: columns for key, columns in panel_columns(comparison, "classes").items() if len(columns) > 1}
    if not found or not panels:
        return None
    figure = new_figure(max(4.6, 3.3 * len(panels)), 3.1)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for panel, columns in zip(axes, panels.values(), strict=True):
        settings = [comparison.settings[column] for column in columns]
        for learner in dict.fromkeys(place.learner for place in found):
            own = {place.setting: place for place in found if place.learner == learner and place.setting in settings}
            x = [place.setting.train_classes for place in own.values()]
            value, lower, upper = (np.array([getattr(p, end) for p in own.values()]) for end in ("value", *ENDS))
            panel.plot(x, value, zorder=3, **named[learner])
            panel.fill_between(x, lower, upper, color=named[learner]["color"], alpha=0.13, linewidth=0)
        label_x(panel, settings, comparison, "classes")
        panel.axhline(0.0, **CHANCE_STYLE)
        panel.axhline(1.0, **CHANCE_STYLE)
        panel.set_ylim(-0.6, 1.3)
        panel.set_title(settings[0].beside("classes"), fontsize=9)
    axes[0].set_ylabel("0: memory, 1: generalisation", fontsize=8)
    learner_legend(figure, comparison, named)
    return figure


def draw_panel(
    panel: Axes, comparison: Comparison, columns: Sequence[int], named: Styles, axis: Axis, laws: Laws | None = None
) -> None:
    """Draws the curve of every learner over some columns, and the chance level."""
    settings = [comparison.settings[column] for column in columns]
    positions, shown = _positions(settings, axis), _shown(comparison, axis)
    for index, row in enumerate(comparison.entries):
        # Learners are shifted sideways so that no interval hides another; most where there is one position only.
        step = 1.07
        if len(positions) > 1:
            nearest = np.diff(np.log(positions)).min()
            usual = 1.0 + 0.02 * np.log2(positions[-1] / positions[0])
            step = min(usual, np.exp(nearest / (2 * len(comparison.entries))))
        shift = step ** (index - (len(comparison.entries) - 1) / 2)
        law = (laws or {}).get((row[0].learner, settings[0].others(axis)))
        _draw_curve(panel, positions * shift, [row[column] for column in columns], named, shown, line=law is None)
        if law is not None:
            sizes = np.geomspace(*law.sizes, 60)
            scale = comparison.metric.scale
            panel.plot(sizes * shift, law.at(sizes) * scale, zorder=3, **{**named[row[0].learner], "marker": ""})
    chances = np.array([_chance(comparison, column) for column in columns])
    if not np.isnan(chances).all():
        edges = np.r_[positions[0] / 2, positions, positions[-1] * 2]
        panel.plot(edges, shown(np.r_[chances[0], chances, chances[-1]]), zorder=1, **CHANCE_STYLE)
    if np.isnan(_means(comparison)[:, columns]).all():
        panel.text(0.5, 0.5, "no finished run", ha="center", va="center", transform=panel.transAxes, color="0.4")


def _draw_curve(
    panel: Axes,
    x: Floats,
    entries: Sequence[Entry],
    named: Styles,
    shown: Callable[[Floats], Floats],
    *,
    line: bool,
) -> None:
    """A line with an interval band, or bars for single points and few seeds; small dots are single seeds."""
    style = named[entries[0].learner]
    mean, lower, upper = (
        shown(np.array([getattr(entry.interval, name, np.nan) for entry in entries]))
        for name in ("mean", "lower", "upper")
    )
    lower, upper = np.minimum(lower, upper), np.maximum(lower, upper)
    panel.plot(x, mean, zorder=3, **(style if line else {**style, "linestyle": "none"}))
    there = np.r_[False, ~np.isnan(mean), False]
    barred = there[1:-1] & ~there[:-2] & ~there[2:]
    barred |= [entry.interval is not None and entry.interval.n_seeds <= WIDE_AT_SEEDS for entry in entries]
    panel.fill_between(x, lower, upper, where=~barred, color=style["color"], alpha=0.13, linewidth=0)
    bars = {"color": style["color"], "fmt": "none", "capsize": 2, "linewidth": 0.9, "alpha": 0.6}
    panel.errorbar(x[barred], mean[barred], np.stack([mean - lower, upper - mean])[:, barred], **bars)
    for place, entry in zip(x, entries, strict=True):
        seeds = shown(np.array([row.mean() for row in entry.samples.values()]))
        if len(seeds) > 1:
            panel.plot([place] * len(seeds), seeds, **{**SEED_STYLE, "color": style["color"]})


def _shown(comparison: Comparison, axis: Axis) -> Callable[[Floats], Floats]:
    """What is drawn in place of stored scores: errors against classes, if there are any, otherwise scores."""
    metric = comparison.metric
    if _errors(comparison, axis):
        return lambda scores: metric.error(scores) * metric.scale
    return lambda scores: scores * metric.scale


def _errors(comparison: Comparison, axis: Axis) -> bool:
    return axis == "classes" and comparison.metric.perfect is not None


def _positions(settings: Sequence[Setting], axis: Axis) -> Floats:
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
    room = NEAREST_TICKS * np.log(positions[-1] / positions[0])
    kept = np.inf
    for index in reversed(range(len(labels))):
        labels[index] = labels[index] if np.log(kept / positions[index]) > room else ""
        kept = positions[index] if labels[index] else kept
    panel.set_xscale("log")
    panel.set_xlim(positions[0] / 1.35, positions[-1] * 1.35)
    panel.xaxis.set_major_locator(FixedLocator(list(positions)))
    panel.xaxis.set_major_formatter(FixedFormatter(labels))
    panel.xaxis.set_minor_locator(NullLocator())


def label_y(panels: Sequence[Axes], comparison: Comparison, n_columns: int, axis: Axis) -> None:
    """Limits that show every mean and the chance level; bands may extend beyond the panel."""
    metric, errors = comparison.metric, _errors(comparison, axis)
    chances = [_chance(comparison, column) for column in range(len(comparison.settings))]
    shown = _shown(comparison, axis)(np.r_[_means(comparison).ravel(), chances])
    shown = shown[~np.isnan(shown)]
    if not len(shown):
        panels[0].set_yticks([])
    elif (errors or metric.logarithmic) and (shown > 0).any():
        panels[0].set_yscale("log")
        panels[0].set_ylim(shown[shown > 0].min() / 1.6, shown.max() * 1.6)
        for panel in panels:
            log_ticks(panel.yaxis)
    elif metric.unit == "%":
        panels[0].set_ylim(max(0.0, min(shown) - 5), 101.0)
    heading, direction = (metric.error_heading, "lower") if errors else (metric.heading, metric.direction)
    for panel in panels[::n_columns]:
        panel.set_ylabel(f"{heading} ({direction} is better)", fontsize=8)


def _chance(comparison: Comparison, column: int) -> float:
    """The chance level of a column; NaN where there is none."""
    chances = [row[column].chance for row in comparison.entries]
    return next((chance for chance in chances if chance is not None), float("nan"))


def _means(comparison: Comparison) -> Floats:
    """Means [learners, settings], NaN where missing, in the stored unit."""
    rows = [[entry.interval.mean if entry.interval else np.nan for entry in row] for row in comparison.entries]
    return np.array(rows, dtype=np.float64)
