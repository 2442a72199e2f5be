"""The figure of learning curves."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.figures.canvas import label_first, learner_legend, panel_grid, score_axis, series
from adaptbench.reports.figures.styles import LineStyle, Styles
from adaptbench.reports.results.curves import LearningCurve


def draw_learning_curves(comparison: Comparison, named: Styles) -> Figure | None:
    """Validation score against examples encoded: a thin line for each seed and a thick one for their mean."""
    sizes = {setting.training: setting for setting in comparison.settings}
    rows = {
        (row[0].learner, size): [
            curve
            for run in {r.cell.run_id: r for e in row if e.setting.training == size for r in e.runs}.values()
            if (curve := run.curve) is not None and "val" in curve.values
        ]
        for row in comparison.entries
        for size in sizes
    }
    if not any(rows.values()):
        return None
    settings = list(sizes.values())
    shown = settings if len(settings) <= 4 else [settings[0], settings[len(settings) // 2], settings[-1]]
    figure, panels = panel_grid(len(shown))
    means: list[float] = []
    for panel, setting in zip(panels, shown, strict=True):
        for row in comparison.entries:
            curves_here = rows[row[0].learner, setting.training]
            means += _draw_curves(panel, curves_here, row[0], named[row[0].learner], comparison.metric.scale)
        panel.set_title(setting.training_label)
        panel.set_xlabel("examples encoded")
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:g}k" if value else "0"))
        panel.locator_params(axis="x", nbins=4)
    score_axis(panels, comparison.metric, np.array(means))
    label_first(panels, f"{comparison.metric.heading}\non validation")
    learner_legend(figure, comparison, named, note="Thick: means over seeds; thin: single seeds.")
    return figure


def _draw_curves(
    panel: Axes, curves: Sequence[LearningCurve], entry: Entry, style: LineStyle, unit: float
) -> list[float]:
    """Draws the curve of each seed and their mean, which is returned."""
    by_examples: dict[int, list[float]] = {}
    for curve in curves:
        values = np.array(curve.values["val"]) * unit
        panel.plot(
            curve.examples, values, color=style["color"], alpha=0.3, linewidth=0.7, gid=series(entry.label, "seed")
        )
        for examples, value in zip(curve.examples, curve.values["val"], strict=True):
            by_examples.setdefault(examples, []).append(value * unit)
    # Points that some seed lacks are left out, because the mean of the other seeds would jump.
    mean = [(x, float(np.mean(values))) for x, values in sorted(by_examples.items()) if len(values) == len(curves)]
    if mean:
        panel.plot(*zip(*mean, strict=True), zorder=3, gid=series(entry.label), **style)
    return [value for _, value in mean]
