"""The reliability figure: how often predictions are right, by the probability that they give."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from adaptbench.reports.comparison.calibration import LEAST_QUERIES, calibrations, pooled
from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.figures.canvas import add_legend, label_first, panel_grid, series
from adaptbench.reports.figures.styles import CHANCE_STYLE, LineStyle, Styles
from adaptbench.reports.words.captions import shorten

MOST_HEIGHT, WHOLE_HEIGHT = 0.31, 1.45
"""The height of a panel, and that of all rows on a page, as shares of the printed width."""
MOST_LINES = 4
LINES: tuple[LineStyle, ...] = tuple(
    {"linestyle": line, "marker": marker} for line, marker in (("-", "o"), ("--", "s"), ("-.", "^"), (":", "D"))
)


def draw_reliability(comparison: Comparison, named: Styles) -> Figure | None:
    """A panel for each learner at the most training classes: a line for each size of episode, seeds together.

    A line below the diagonal is too sure of itself. Returns None if no run has kept probabilities.
    """
    columns = comparison.largest[:MOST_LINES]
    rows = [row for row in comparison.entries if any(calibrations(row[column]) for column in columns)]
    if not rows:
        return None
    in_a_row = 3 if len(rows) <= 12 else 4
    height = min(MOST_HEIGHT, WHOLE_HEIGHT / -(-len(rows) // in_a_row))
    figure, panels = panel_grid(len(rows), height=height, most=in_a_row, sharex=True)
    for panel, row in zip(panels, rows, strict=True):
        panel.plot([0, 1], [0, 1], **CHANCE_STYLE)
        for column, line in zip(columns, LINES, strict=False):
            _draw_line(panel, row[column], {**line, "color": named[row[0].learner]["color"]})
        panel.set_title(shorten(row[0].label, 40))
    for panel in panels[-in_a_row:]:
        panel.set_xlabel("probability")
    label_first(panels, "share right")
    labels = [comparison.settings[column].episode_phrase for column in columns]
    handles = [Line2D([], [], color="0.2", **line) for line, _ in zip(LINES, labels, strict=False)]
    add_legend(
        figure,
        handles,
        labels,
        "Share of queries that are right, by the probability of the predicted class; all seeds together. "
        f"Bins of fewer than {LEAST_QUERIES} queries are left out.",
    )
    return figure


def _draw_line(panel: Axes, entry: Entry, style: LineStyle) -> None:
    if found := calibrations(entry):
        name = f"{entry.label}, {entry.setting.episode_phrase}"
        panel.plot(*pooled(list(found.values())).reliability, gid=series(name), **style)
