"""Figures beside the curves: computation, learning curves, ranks, training shots by test shots, fits."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from adaptbench.reports.comparison.comparison import Comparison
from adaptbench.reports.figures.canvas import learner_legend, log_ticks, new_figure
from adaptbench.reports.figures.styles import LineStyle, Styles
from adaptbench.reports.results.curves import LearningCurve
from adaptbench.reports.words.numbers import metric_name, scale


def draw_learning_curves(comparison: Comparison, named: Styles) -> Figure | None:
    """Validation score over examples encoded, a thin line a seed and a thick one for their mean."""
    sizes = list(dict.fromkeys(setting.train_classes for setting in comparison.settings))
    rows = {
        (row[0].learner, size): [
            curve
            for run in {r.cell.run_id: r for e in row if e.setting.train_classes == size for r in e.runs}.values()
            if (curve := run.curve) is not None and "val" in curve.values
        ]
        for row in comparison.entries
        for size in sizes
    }
    if not any(rows.values()):
        return None
    shown = sizes if len(sizes) <= 4 else [sizes[0], sizes[len(sizes) // 2], sizes[-1]]
    figure = new_figure(max(4.6, 2.6 * len(shown)), 3.1)
    panels: list[Axes] = list(figure.subplots(1, len(shown), sharey=True, squeeze=False).flat)
    for panel, size in zip(panels, shown, strict=True):
        for row in comparison.entries:
            _draw_curves(panel, rows[row[0].learner, size], named[row[0].learner], scale(comparison.metric))
        panel.set_title(f"{'unlimited' if size is None else size} training {comparison.class_word}", fontsize=9)
        panel.set_xlabel("examples encoded")
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:g}k" if value else "0"))
        panel.locator_params(axis="x", nbins=4)
    if comparison.metric != "accuracy":
        panels[0].set_yscale("log")
        log_ticks(panels[0].yaxis)
    panels[0].set_ylabel(f"{metric_name(comparison)} on validation", fontsize=8)
    learner_legend(figure, comparison, named)
    return figure


def _draw_curves(panel: Axes, curves: Sequence[LearningCurve], style: LineStyle, unit: float) -> None:
    by_examples: dict[int, list[float]] = {}
    for curve in curves:
        panel.plot(curve.examples, np.array(curve.values["val"]) * unit, color=style["color"], alpha=0.3, linewidth=0.7)
        for examples, value in zip(curve.examples, curve.values["val"], strict=True):
            by_examples.setdefault(examples, []).append(value * unit)
    # Where a seed is missing at a point, the mean of the others would step; so it is left out.
    mean = [(x, float(np.mean(values))) for x, values in sorted(by_examples.items()) if len(values) == len(curves)]
    if mean:
        panel.plot(*zip(*mean, strict=True), zorder=3, **{**style, "markersize": 4})
