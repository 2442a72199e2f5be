"""The style of each learner: the same in every figure of a suite, and distinct without colour."""

from collections.abc import Mapping
from typing import Any

from adaptbench.reports.results.manifest import Suite

LineStyle = Mapping[str, Any]
"""Arguments of matplotlib's Line2D."""

# The palette of Okabe and Ito, ordered so that neighbours differ in lightness; yellow is last, because it is faint.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
_DASHES = ("-", (0, (5, 2)), (0, (5, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (8, 3)))

CHANCE_STYLE: LineStyle = {"color": "0.4", "linestyle": ":", "linewidth": 1.2}

SEED_STYLE: LineStyle = {"linestyle": "none", "marker": ".", "markersize": 4.0, "alpha": 0.55, "zorder": 2}
"""A single seed of a learner, in the learner's colour."""

PARAMETERS: Mapping[Any, Any] = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9.0,
    "grid.alpha": 0.25,
    "lines.linewidth": 1.5,
    "lines.markersize": 5.5,
    "pdf.fonttype": 42,  # Journals refuse the default, Type 3.
    "text.parse_math": False,  # A learner may have a dollar in its name.
}


def line_styles(suite: Suite) -> dict[str, LineStyle]:
    """A style for each learner: a colour and marker of its own, and the line of its family."""
    families = {cell.learner: suite.families.index(cell.family) for cell in suite.cells}
    return {
        learner: {
            "color": COLOURS[index % len(COLOURS)],
            "marker": MARKERS[index % len(MARKERS)],
            "linestyle": _DASHES[families[learner] % len(_DASHES)],
            "markeredgecolor": "white",
            "markeredgewidth": 0.6,
        }
        for index, learner in enumerate(suite.learners)
    }


Styles = Mapping[str, LineStyle]
