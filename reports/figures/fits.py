"""The figure of predicted functions beside the true ones."""

from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from adaptbench.reports.comparison.comparison import Comparison
from adaptbench.reports.figures.canvas import LONGEST_LABEL, add_legend, label_first, panel_grid, series
from adaptbench.reports.figures.styles import Styles
from adaptbench.reports.words.captions import shorten


def draw_fits(comparison: Comparison, named: Styles) -> Figure | None:
    """The first test function at each number of shots: support set, true function, and each learner's prediction."""
    fits = _fits(comparison)
    if not fits:
        return None
    shots = sorted({int(shot) for table in fits.values() for shot in table["shots"]})[:4]
    figure, panels = panel_grid(len(shots))
    names = {row[0].learner: row[0].label for row in comparison.entries}
    for panel, shot in zip(panels, shots, strict=True):
        having = {learner: table[table["shots"] == shot] for learner, table in fits.items()}
        having = {learner: table for learner, table in having.items() if len(table)}
        for number, (learner, table) in enumerate(having.items()):
            one = table[table["function"] == table["function"].min()].sort_values("x")
            support, query = (one[one["role"] == role] for role in ("support", "query"))
            if number == 0:
                panel.plot(query["x"], query["y"], color="0.6", linewidth=3, zorder=1, gid=series("truth", "truth"))
                panel.plot(
                    support["x"], support["y"], "x", color="black", zorder=4, gid=series("support set", "support")
                )
            style = {**named[learner], "marker": "", "gid": series(names[learner], "prediction")}
            panel.plot(query["x"], query["prediction"], zorder=3, **style)
        panel.set_title(replace(comparison.settings[0], shots=shot).shots_phrase)
        panel.set_xlabel("x")
    label_first(panels, "y")
    handles = [Line2D([], [], color="0.6", linewidth=3), Line2D([], [], color="black", marker="x", linestyle="none")]
    handles += [Line2D([], [], **{**named[learner], "marker": ""}) for learner in fits]
    add_legend(figure, handles, ["truth", "support set", *(shorten(names[learner], LONGEST_LABEL) for learner in fits)])
    return figure


def _fits(comparison: Comparison) -> dict[str, pd.DataFrame]:
    """The fits of each learner: of its first run that kept them, at the most training classes."""
    found: dict[str, pd.DataFrame] = {}
    for row in comparison.entries:
        tables = (run.fits for entry in reversed(row) for run in entry.runs)
        if (table := next((table for table in tables if table is not None), None)) is not None:
            found[row[0].learner] = table
    return found
