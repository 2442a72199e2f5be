"""The figure of forms: score against budget, a panel for each learner with the forms that depart from it."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.comparison.forms import form_groups
from adaptbench.reports.figures.canvas import new_figure
from adaptbench.reports.figures.scores import draw_panel, label_x, label_y
from adaptbench.reports.figures.styles import COLOURS, MARKERS, LineStyle
from adaptbench.reports.results.settings import Setting
from adaptbench.reports.words.captions import shorten

MOST_COLUMNS = 4


def draw_forms(comparison: Comparison, setting: Setting) -> Figure | None:
    """A panel for each learner from which others depart; None if there are none or the budget does not vary.

    Args:
        comparison: The comparison.
        setting: Training classes, ways and shots; the budget varies.
    """
    groups = form_groups(comparison)
    same = setting.others("examples")
    columns = [index for index, each in enumerate(comparison.settings) if each.others("examples") == same]
    if not groups or len(columns) < 2:
        return None
    n_columns = min(len(groups), MOST_COLUMNS)
    n_rows = -(-len(groups) // n_columns)
    figure = new_figure(max(4.6, 2.6 * n_columns), 3.1 * n_rows)
    grid = list(figure.subplots(n_rows, n_columns, sharey=True, squeeze=False).flat)
    panels: list[Axes] = grid[: len(groups)]
    for panel, group in zip(panels, groups, strict=True):
        styles = form_styles(group)
        draw_panel(panel, group, columns, styles, "examples")
        label_x(panel, [comparison.settings[column] for column in columns], comparison, "examples")
        panel.set_title(setting.beside("examples"), fontsize=8)
        lines = [Line2D([], [], **styles[row[0].learner]) for row in group.entries]
        panel.legend(
            lines, [shorten(row[0].label, 30) for row in group.entries], fontsize=6.5, loc="lower center",
            bbox_to_anchor=(0.5, 1.08), frameon=False, handlelength=2.5,
        )  # fmt: skip
    for unused in grid[len(groups) :]:
        unused.remove()
    label_y(panels, comparison, n_columns, "examples")
    return figure


def form_styles(group: Comparison) -> dict[str, LineStyle]:
    """Our form is drawn through, published ones are dashed, and changes of one thing are dotted."""
    return {row[0].learner: _style(row[0], index) for index, row in enumerate(group.entries)}


def _style(form: Entry, index: int) -> LineStyle:
    line = "-" if not form.departs_from else (0, (5, 2)) if form.source else (0, (1, 1.5))
    own = {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)], "linestyle": line}
    return {**own, "markeredgecolor": "white", "markeredgewidth": 0.6}
