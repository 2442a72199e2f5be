"""The figure of scores by shots in training and shots in testing."""

import numpy as np
from matplotlib.figure import Figure

from adaptbench.reports.comparison.comparison import Comparison
from adaptbench.reports.comparison.shot_matrix import ShotMatrix
from adaptbench.reports.figures.canvas import new_figure


def draw_shot_matrix(matrix: ShotMatrix, comparison: Comparison) -> Figure:
    """Scores by shots in training (rows) and shots in testing (columns)."""
    figure = new_figure(1.8 + 0.75 * len(matrix.test), 1.3 + 0.5 * len(matrix.train))
    panel = figure.subplots()
    values = np.array(matrix.means, dtype=np.float64) * comparison.metric.scale
    image = panel.imshow(values, cmap="cividis", aspect="auto")
    panel.set_xticks(range(len(matrix.test)), [str(shots) for shots in matrix.test])
    panel.set_yticks(range(len(matrix.train)), list(matrix.train))
    panel.set_xlabel("shots in testing")
    panel.set_ylabel("shots in training")
    panel.grid(visible=False)
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "white" if value < middle else "black"
            panel.text(column, row, f"{value:.3g}", ha="center", va="center", color=colour, fontsize=8.5)
    panel.set_title(f"{matrix.label}: {comparison.metric.heading}", fontsize=9)
    figure.colorbar(image, ax=panel, shrink=0.8)
    return figure
