"""The figure of scores by shots in training and shots in testing."""

import numpy as np
from matplotlib.figure import Figure

from adaptbench.reports.comparison.comparison import Comparison
from adaptbench.reports.comparison.shot_matrix import ShotMatrix
from adaptbench.reports.figures.canvas import letter_size, new_figure, series


def draw_shot_matrix(matrix: ShotMatrix, comparison: Comparison) -> Figure:
    """Scores by shots in training (rows) and shots in testing (columns)."""
    figure = new_figure(0.2 + 0.09 * len(matrix.train), min(1.0, 0.3 + 0.12 * len(matrix.test)))
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
            name = series(f"trained with {matrix.train[row]} shots")
            panel.plot(matrix.test[column], value, linestyle="none", gid=name, transform=figure.transFigure)
            panel.text(column, row, f"{value:.3g}", ha="center", va="center", color=colour, fontsize=letter_size())
    panel.set_title(f"{matrix.label}: {comparison.metric.heading}")
    figure.colorbar(image, ax=panel, shrink=0.8)
    return figure
