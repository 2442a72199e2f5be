"""The style of each learner: the same in every figure of a suite, and distinct without colour."""

from collections.abc import Mapping
from typing import Any

from matplotlib import font_manager

from adaptbench.reports.errors import ReportError
from adaptbench.reports.results.manifest import Suite
from adaptbench.reports.selection import suggest

LineStyle = Mapping[str, Any]
"""Arguments of matplotlib's Line2D."""

# The palette of Okabe and Ito, ordered so that neighbours differ in lightness; yellow is last, because it is faint.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
_DASHES = ("-", (0, (5, 2)), (0, (5, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (8, 3)))

CHANCE_STYLE: LineStyle = {"color": "0.4", "linestyle": ":", "linewidth": 1.2}

SEED_STYLE: LineStyle = {"linestyle": "none", "marker": ".", "alpha": 0.55, "zorder": 2}
"""A single seed of a learner, in the learner's colour."""

WIDTH = 345 / 72.27
"""The width of the text of an article in inches; figures of one panel have 165 of its 345 points."""
STYLES: Mapping[str, float] = {"paper": 1.0, "talk": 2.0}
"""How large a figure and its letters are, against the printed width of an article."""


def parameters(style: str = "paper", font: str | None = None) -> dict[Any, Any]:
    """Matplotlib's parameters of a style; letters of a paper have 7 points and more.

    Args:
        style: One of `STYLES`.
        font: The family of the letters; None for matplotlib's own.

    Raises:
        ReportError: There is no such style, or matplotlib finds no such font.
    """
    if style not in STYLES:
        raise ReportError(f"Expected a style but got `{style}`. {suggest(style, STYLES)}")
    families = {*font_manager.get_font_names(), "serif", "sans-serif", "monospace"}
    if font is not None and font not in families:
        raise ReportError(f"Expected a font that matplotlib finds but got `{font}`. {suggest(font, families)}")
    scale = STYLES[style]
    sizes = {
        "axes.labelsize": 8, "axes.linewidth": 0.6, "axes.titlesize": 8, "figure.labelsize": 8, "font.size": 8,
        "grid.linewidth": 0.5, "legend.fontsize": 7, "legend.title_fontsize": 7, "lines.linewidth": 1.2,
        "lines.markersize": 4, "xtick.labelsize": 7, "xtick.major.size": 2.5, "ytick.labelsize": 7,
        "ytick.major.size": 2.5,
    }  # fmt: skip
    return {
        "axes.grid": True,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "figure.figsize": (WIDTH * scale, WIDTH * scale),
        "grid.alpha": 0.25,
        "pdf.fonttype": 42,  # Journals refuse the default, Type 3.
        "text.parse_math": False,  # A learner may have a dollar in its name.
        **{name: scale * size for name, size in sizes.items()},
        **({"font.family": font} if font else {}),
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
            "markeredgewidth": 0.4,
        }
        for index, learner in enumerate(suite.learners)
    }


Styles = Mapping[str, LineStyle]
