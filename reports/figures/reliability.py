"""The reliability figure: how often predictions are right, by the probability that they give."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from adaptbench.reports.comparison.calibration import calibrations, pooled
from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.figures.canvas import add_legend, new_figure
from adaptbench.reports.figures.styles import CHANCE_STYLE, LineStyle, Styles
from adaptbench.reports.words.captions import shorten

PANELS_IN_A_ROW = 4
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
    wide = min(len(rows), PANELS_IN_A_ROW)
    high = -(-len(rows) // wide)
    figure = new_figure(max(4.6, 2.1 * wide), 0.7 + 2.0 * high)
    panels: list[Axes] = list(figure.subplots(high, wide, sharex=True, sharey=True, squeeze=False).flat)
    for panel, row in zip(panels, rows, strict=False):
        panel.plot([0, 1], [0, 1], **CHANCE_STYLE)
        for column, line in zip(columns, LINES, strict=False):
            _draw_line(panel, row[column], {**line, "color": named[row[0].learner]["color"], "markersize": 3.0})
        panel.set_title(shorten(row[0].label, 28), fontsize=9)
    for panel in panels[len(rows) :]:
        panel.set_visible(False)
    figure.supxlabel("probability of the predicted class", fontsize=9)
    figure.supylabel("share right", fontsize=9)
    labels = [comparison.settings[column].episode_phrase for column in columns]
    handles = [Line2D([], [], color="0.2", markersize=3.0, **line) for line, _ in zip(LINES, labels, strict=False)]
    add_legend(figure, handles, labels)
    return figure


def _draw_line(panel: Axes, entry: Entry, style: LineStyle) -> None:
    if found := calibrations(entry):
        panel.plot(*pooled(list(found.values())).reliability, linewidth=1.2, **style)
