"""The figure of scaling: cost against size, as measured by `adaptbench speed --growth`."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from adaptbench.reports.figures.canvas import log_ticks, panel_grid, series


def slopes(frame: pd.DataFrame) -> dict[str, float]:
    """The slope of each cost between its two largest sizes, in logarithms: 1 is linear, 2 is quadratic.

    Args:
        frame: The columns `against` (the name of the size), `size` and `cost`.
    """
    found = {}
    for against, rows in frame.groupby("against", sort=False):
        last = rows.sort_values("size").tail(2)
        rise, run = (np.diff(np.log(last[column].to_numpy(float)))[0] for column in ("cost", "size"))
        found[str(against)] = float(rise / run)
    return found


def draw_scaling(frame: pd.DataFrame) -> Figure:
    """One panel for each kind of size, on logarithmic axes, with a dotted line of linear growth.

    Args:
        frame: The columns of `slopes`, and `unit` (of the cost) and `others` (the sizes that stay the same).
    """
    steepness = slopes(frame)
    groups = list(frame.groupby("against", sort=False))
    figure, panels = panel_grid(len(groups), height=0.4, sharey=False)
    for panel, (against, rows) in zip(panels, groups, strict=True):
        sizes, costs = rows["size"].to_numpy(float), rows["cost"].to_numpy(float)
        panel.loglog(sizes, costs[-1] * sizes / sizes[-1], color="0.7", linestyle=":", linewidth=1)
        panel.loglog(sizes, costs, color="C0", marker="o", gid=series(str(against), "cost"))
        panel.set_ylim(min(costs) / 2, max(costs) * 2)
        log_ticks(panel.yaxis)
        panel.xaxis.set_major_locator(FixedLocator(sizes.tolist()))
        panel.xaxis.set_major_formatter(
            FixedFormatter([f"{size / 1000:.0f}k" if size % 1000 == 0 else f"{size:.0f}" for size in sizes])
        )
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set_xlabel(str(against))
        panel.set_ylabel(rows["unit"].iloc[0])
        panel.set_title(f"{rows['others'].iloc[0]}\nends at slope {steepness[str(against)]:.2f}")
    return figure
