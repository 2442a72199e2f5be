"""The figure of mean ranks."""

from collections.abc import Sequence
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.figures.canvas import letter_size, new_figure, series
from adaptbench.reports.words.captions import shorten


def draw_ranks(comparison: Comparison) -> Figure | None:
    """Mean ranks over settings, and at how many settings each learner is significantly worse than the best.

    A critical-difference diagram would join learners by Nemenyi's test, which needs independent data sets; the settings
    of a suite are not. The counts come from the same comparisons with the best as the marks of the table.
    """
    ranked = [index for index, column in enumerate(zip(*comparison.entries, strict=True)) if _is_ranked(column)]
    full = [row for row in comparison.entries if ranked and all(row[column].rank is not None for column in ranked)]
    if len(full) < 2:
        return None
    means = np.array([np.mean([row[column].rank for column in ranked]) for row in full], dtype=np.float64)
    order = [int(index) for index in np.argsort(means, kind="stable")]
    names = [wrap(shorten(row[0].label, 50), 26) for row in full]
    lines = 1 + max(map(len, names))
    half = -(-len(order) // 2)
    figure = new_figure(0.16 + 0.04 * lines * half)
    panel = figure.subplots()
    _draw_rank_axis(panel, len(full), len(ranked))
    step = 0.275 * lines
    panel.set_ylim(-step * (half + 1), 1.4)
    for place, index in enumerate(order):
        left = place < half
        height = -step * (1 + (place if left else len(order) - 1 - place))
        edge = 0.8 if left else len(full) + 0.2
        panel.plot([means[index], means[index], edge], [0, height, height], color="0.25", linewidth=0.8)
        panel.plot(means[index], 0, linestyle="none", gid=series(full[index][0].label, "mean rank"))
        tests = [test for column in ranked if (test := full[index][column].test) is not None]
        worse = sum(test.significant for test in tests)
        label = "\n".join([*names[index], f"{means[index]:.2f} (worse at {worse})"])
        panel.text(
            edge + (-0.1 if left else 0.1),
            height,
            label,
            ha="right" if left else "left",
            va="center",
            fontsize=letter_size(),
        )
    return figure


LABEL = 0.3
"""The share of the width that the labels of a side have."""
MOST_NUMBERS = 12
"""So many ranks have room for their numbers."""


def _is_ranked(column: Sequence[Entry]) -> bool:
    return any(entry.rank is not None for entry in column)


def _draw_rank_axis(panel: Axes, count: int, settings: int) -> None:
    panel.set_axis_off()
    margin = LABEL * (count - 0.6) / (1 - 2 * LABEL)
    panel.set_xlim(0.8 - margin, count + 0.2 + margin)
    panel.plot([1, count], [0, 0], color="black", linewidth=1.0)
    for rank in range(1, count + 1):
        panel.plot([rank, rank], [0, 0.18], color="black", linewidth=1.0)
        if count <= MOST_NUMBERS or rank % 5 == 0 or rank == 1:
            panel.text(rank, 0.26, str(rank), ha="center", va="bottom", fontsize=letter_size())
    panel.text(
        (1 + count) / 2,
        0.85,
        f"mean rank over {settings} settings (1 is best), and at how many\nsignificantly worse than the best",
        ha="center",
        va="bottom",
        fontsize=letter_size(),
    )
