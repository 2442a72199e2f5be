"""The figures of errors against training classes, and of scores against budget or shots: a curve for each learner."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from numpy.typing import NDArray

from adaptbench.reports.comparison.comparison import Comparison, axis_words
from adaptbench.reports.comparison.places import Place
from adaptbench.reports.figures.canvas import (
    Shown,
    draw_entries,
    label_first,
    learner_legend,
    log_ticks,
    panel_grid,
    scaled,
    score_axis,
    series,
)
from adaptbench.reports.figures.styles import CHANCE_STYLE, Styles
from adaptbench.reports.results.settings import Axis, Setting
from adaptbench.reports.statistics.power_law import PowerLaw

Floats = NDArray[np.float64]
Laws = Mapping[tuple[str, tuple[int, ...]], PowerLaw]
"""Power laws by the learner and by everything but the classes of their settings."""

ENDS = ("lower", "upper")
MOST_LETTERS, MARGIN = 30, 1.35
"""Letters of tick labels that fit below a panel, and the factor from the outer points to its sides."""
PLACES_SHOWN = (-0.6, 1.3)


def panel_columns(comparison: Comparison, axis: Axis) -> dict[tuple[int, ...], list[int]]:
    """The columns of each panel, by everything but the x axis: by (ways, shots) for training classes.

    Over ways, only panels of several columns, because few settings of a suite are tested at other ways.
    """
    panels: dict[tuple[int, ...], list[int]] = {}
    for index, setting in enumerate(comparison.settings):
        panels.setdefault(setting.others(axis), []).append(index)
    several = {key: columns for key, columns in panels.items() if len(columns) > 1}
    return several if axis == "ways" else panels


def draw(comparison: Comparison, named: Styles, axis: Axis, laws: Laws | None = None) -> Figure:
    """Scores against budget or shots, or errors against training classes, with a panel for each value of the others.

    Args:
        comparison: The comparison to draw.
        named: A style for each learner.
        axis: The x axis.
        laws: The power laws that are drawn in place of lines from mean to mean.
    """
    panels = panel_columns(comparison, axis)
    figure, axes = panel_grid(len(panels))
    for panel, columns in zip(axes, panels.values(), strict=True):
        settings = [comparison.settings[column] for column in columns]
        draw_panel(panel, comparison, columns, named, axis, laws)
        label_x(panel, settings, comparison, axis)
        panel.set_title(settings[0].beside(axis))
    label_y(axes, comparison, axis)
    learner_legend(figure, comparison, named, {"chance": CHANCE_STYLE} if _near_chance(comparison) else {})
    return figure


def draw_places(comparison: Comparison, named: Styles, found: Sequence[Place]) -> Figure | None:
    """Places between the best memory (0) and the best generalisation (1) against training classes; None without any.

    A place whose interval is wider than the panel is high says nothing, and is left out.
    """
    found = [place for place in found if place.upper - place.lower < np.ptp(PLACES_SHOWN)]
    panels = {key: columns for key, columns in panel_columns(comparison, "classes").items() if len(columns) > 1}
    if not found or not panels:
        return None
    figure, axes = panel_grid(len(panels))
    for panel, columns in zip(axes, panels.values(), strict=True):
        settings = [comparison.settings[column] for column in columns]
        for learner in dict.fromkeys(place.learner for place in found):
            own = {place.setting: place for place in found if place.learner == learner and place.setting in settings}
            x = np.array([place.setting.train_classes for place in own.values()], dtype=np.float64)
            value, lower, upper = (np.array([getattr(p, end) for p in own.values()]) for end in ("value", *ENDS))
            for shown, y in zip(("mean", *ENDS), (value, lower, upper), strict=True):
                style = named[learner] if shown == "mean" else {"linestyle": "none"}
                panel.plot(x, y, gid=series(learner, shown), **style)
            panel.fill_between(x, lower, upper, color=named[learner]["color"], alpha=0.13, linewidth=0)
        label_x(panel, settings, comparison, "classes")
        panel.axhline(0.0, **CHANCE_STYLE)
        panel.axhline(1.0, **CHANCE_STYLE)
        panel.set_ylim(*PLACES_SHOWN)
        panel.set_title(settings[0].beside("classes"))
    label_first(axes, "0: memory,\n1: generalisation")
    learners = {place.learner for place in found}
    comparison = replace(comparison, entries=tuple(row for row in comparison.entries if row[0].learner in learners))
    learner_legend(figure, comparison, named, note="Bands: 95 % intervals; wider ones than the panel are left out.")
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
            usual = 1.0 + 0.008 * np.log2(positions[-1] / positions[0])
            step = min(usual, np.exp(nearest / (2 * len(comparison.entries))))
        shift = step ** (index - (len(comparison.entries) - 1) / 2)
        law = (laws or {}).get((row[0].learner, settings[0].others(axis)))
        style = named[row[0].learner] if law is None else {**named[row[0].learner], "linestyle": "none"}
        entries = [row[column] for column in columns]
        draw_entries(panel, positions * shift, entries, style, shown, bands=True)
        if law is not None:
            sizes = np.geomspace(law.sizes[0], law.sizes[-1], 60)
            line = {**named[row[0].learner], "marker": "", "gid": series(row[0].label, "power law")}
            panel.plot(sizes * shift, law.at(sizes) * comparison.metric.scale, zorder=3, **line)
    chances = np.array([_chance(comparison, column) for column in columns])
    if _near_chance(comparison) and not np.isnan(chances).all():
        edges = np.r_[positions[0] / 2, positions, positions[-1] * 2]
        panel.plot(edges, shown(np.r_[chances[0], chances, chances[-1]]), zorder=1, **CHANCE_STYLE)
    if np.isnan(_means(comparison)[:, columns]).all():
        panel.text(0.5, 0.5, "no finished run", ha="center", va="center", transform=panel.transAxes, color="0.4")


def _shown(comparison: Comparison, axis: Axis) -> Shown:
    """What is drawn in place of stored scores: errors against classes, if there are any, otherwise scores."""
    metric = comparison.metric
    if _errors(comparison, axis):
        return lambda scores: metric.error(scores) * metric.scale
    return scaled(comparison)


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
    thousands = 1 if axis == "examples" else 10_000
    labels = ["∞" if v is None else f"{v / 1000:g}k" if v >= thousands and v % 100 == 0 else str(v) for v in values]
    word = axis_words(comparison)[axis]
    panel.set_xlabel(f"{word} in the support set" if word == "shots" else word)
    letter, kept = np.log(MARGIN**2 * positions[-1] / positions[0]) / MOST_LETTERS, [len(labels) - 1]
    for index in reversed(range(len(labels) - 1)):  # labels that would touch the next one are left out
        room = letter * (1 + (len(labels[index]) + len(labels[kept[-1]])) / 2)
        kept += [index] if np.log(positions[kept[-1]] / positions[index]) >= room else []
    labels = [label if index in kept else "" for index, label in enumerate(labels)]
    panel.set_xscale("log")
    panel.set_xlim(positions[0] / MARGIN, positions[-1] * MARGIN)
    panel.xaxis.set_major_locator(FixedLocator(list(positions)))
    panel.xaxis.set_major_formatter(FixedFormatter(labels))
    panel.xaxis.set_minor_locator(NullLocator())


def label_y(panels: Sequence[Axes], comparison: Comparison, axis: Axis) -> None:
    """Names what is drawn; limits show every mean, and chance where a learner is near it."""
    metric, errors = comparison.metric, _errors(comparison, axis)
    chances = [_chance(comparison, column) for column in range(len(comparison.settings))]
    shown = _shown(comparison, axis)(np.r_[_means(comparison).ravel(), chances if _near_chance(comparison) else []])
    if errors and (shown > 0).any():
        positive = shown[shown > 0]
        panels[0].set_yscale("log")
        panels[0].set_ylim(positive.min() / 1.6, positive.max() * 1.6)
        for panel in panels:
            log_ticks(panel.yaxis)
    else:
        score_axis(panels, metric, shown)
    heading, direction = (metric.error_heading, "lower") if errors else (metric.heading, metric.direction)
    label_first(panels, f"{heading}\n({direction} is better)")


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


def _means(comparison: Comparison) -> Floats:
    """Means [learners, settings], NaN where missing, in the stored unit."""
    rows = [[entry.interval.mean if entry.interval else np.nan for entry in row] for row in comparison.entries]
    return np.array(rows, dtype=np.float64)
