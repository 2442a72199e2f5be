"""The figure of scores against the numbers that a learner carries over, if a suite varies them."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from adaptbench.reports.comparison.comparison import Comparison, Entry, carried_over
from adaptbench.reports.figures.canvas import (
    INTERVALS,
    LONGEST_LABEL,
    Shown,
    add_legend,
    draw_entries,
    label_first,
    panel_grid,
    scaled,
    score_axis,
)
from adaptbench.reports.figures.styles import LineStyle, Styles
from adaptbench.reports.words.captions import shorten

Row = Sequence[Entry]


def draw_carried(comparison: Comparison, named: Styles) -> Figure | None:
    """A panel for each setting with the most training classes, a line for each kind of learner, a dot for each seed.

    Returns:
        The figure; None if no kind of learner carries over different numbers of values.
    """
    kinds = _kinds(comparison)
    if not any(_varies(rows, column) for rows in kinds.values() for column in comparison.largest):
        return None
    figure, panels = panel_grid(len(comparison.largest))
    styles = {name: named[rows[0][0].learner] for name, rows in kinds.items()}
    for panel, column in zip(panels, comparison.largest, strict=True):
        for name, rows in kinds.items():
            _draw_line(panel, [row[column] for row in rows], styles[name], scaled(comparison))
        panel.set_title(comparison.settings[column].episode_phrase)
        panel.set_xlabel("numbers carried over")
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator())
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        panel.xaxis.set_minor_locator(NullLocator())
    shown = (row[column].interval for rows in kinds.values() for row in rows for column in comparison.largest)
    means = np.array([each.mean for each in shown if each is not None]) * comparison.metric.scale
    score_axis(panels, comparison.metric, means)
    label_first(panels, f"{comparison.metric.heading}\n({comparison.metric.direction} is better)")
    add_legend(figure, [Line2D([], [], **style) for style in styles.values()], list(styles), INTERVALS)
    return figure


def _kinds(comparison: Comparison) -> dict[str, list[Row]]:
    """The rows with known numbers, by what they are: one component whose arguments differ in numbers alone."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in comparison.entries:
        if any(carried_over(row[column]) and row[column].interval for column in comparison.largest):
            part = next((run.component for entry in row for run in entry.runs if run.component), None)
            key = (row[0].learner, "") if part is None else (part.name, str(_words(part.init_args)))
            found.setdefault(key, []).append(row)
    return {_name(rows): rows for rows in found.values()}


def _words(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with their values, those that are numbers without."""
    return {
        key: value if isinstance(value, bool | str | list | dict) else "a number"
        for key, value in sorted(arguments.items())
    }


def _name(rows: Sequence[Row]) -> str:
    """The words that the labels of all rows begin with; the first label if that is nothing."""
    labels = [row[0].label for row in rows]
    words = zip(*(label.split() for label in labels), strict=False)
    shared = " ".join(word for word, *_ in takewhile(lambda each: len({*each}) == 1, words))
    if shared and shared != labels[0] and not shared.endswith(","):
        shared += " …"
    return shorten(shared.removesuffix(",") or labels[0], LONGEST_LABEL)


def _varies(rows: Sequence[Row], column: int) -> bool:
    return len({carried_over(row[column]) for row in rows if row[column].interval is not None}) > 1


def _draw_line(panel: Axes, entries: Sequence[Entry], style: LineStyle, shown: Shown) -> None:
    """Means with intervals, and the mean of each seed; learners that carry over nothing are not on the axis."""
    known = {index: carried_over(entry) for index, entry in enumerate(entries) if entry.interval is not None}
    places = sorted((numbers, index) for index, numbers in known.items() if numbers)
    draw_entries(panel, np.array([x for x, _ in places]), [entries[index] for _, index in places], style, shown)
