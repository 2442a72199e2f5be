"""The canvas of figures: one look, and the same bytes for the same runs."""

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from adaptbench.reports.comparison.comparison import Comparison
from adaptbench.reports.figures.styles import PARAMETERS, Styles
from adaptbench.reports.words.captions import shorten

USUAL_ROWS, ROW_INCHES = 2, 0.19
"""The rows of a legend that every figure has room for, and the height that each further row adds."""


def save(draw: Callable[[], Figure | None], base: Path) -> tuple[Path, ...]:
    """Draws a figure and writes it as PNG and PDF.

    Args:
        draw: Makes the figure, or returns None if there is nothing to draw.
        base: The path of the files without its ending.

    Returns:
        The paths of the PNG and the PDF; none if nothing was drawn, in which case older files of that name are removed.
    """
    png, pdf = base.with_name(f"{base.name}.png"), base.with_name(f"{base.name}.pdf")
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # A box replaces it; tables have the name.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(PARAMETERS)
        figure = draw()
        if figure is None:
            png.unlink(missing_ok=True)
            pdf.unlink(missing_ok=True)
            return ()
        # In memory first, because on a full disk matplotlib fails in many ways, and writing bytes in one.
        picture, page = io.BytesIO(), io.BytesIO()
        figure.savefig(picture, format="png", dpi=200, metadata={"Software": None})
        figure.set_layout_engine("none")  # The layout takes most of the time, so it is computed once.
        figure.savefig(page, format="pdf", metadata={"Creator": None, "Producer": None, "CreationDate": None})
    png.write_bytes(picture.getvalue())
    pdf.write_bytes(page.getvalue())
    return png, pdf


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def log_ticks(axis: Axis) -> None:
    """Plain numbers at 1, 2 and 5 on a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def add_legend(figure: Figure, handles: list[Line2D], labels: list[str]) -> None:
    """A legend below the panels."""
    if not handles:
        return
    width = figure.get_figwidth()
    columns = max(1, min(len(handles), int(width / (0.5 + 0.07 * max(map(len, labels))))))
    more_rows = max(0, -(-len(handles) // columns) - USUAL_ROWS)
    figure.set_figheight(figure.get_figheight() + ROW_INCHES * more_rows)  # keeps the height of the panels
    # Placeholders come first, because a legend drops labels that start with an underscore.
    legend = figure.legend(
        handles, ["x" * len(label) for label in labels], loc="outside lower center", frameon=False, fontsize=8.5,
        ncols=columns, handlelength=2.5, columnspacing=1.2,
    )  # fmt: skip
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_text(label)


def learner_legend(figure: Figure, comparison: Comparison, named: Styles, others: Styles | None = None) -> None:
    """A legend of the learners of a comparison, and of other lines by their labels."""
    drawn = [row[0] for row in comparison.entries if any(entry.interval is not None for entry in row)]
    lines = [(shorten(entry.label, 28), named[entry.learner]) for entry in drawn] + [*(others or {}).items()]
    add_legend(figure, [Line2D([], [], **style) for _, style in lines], [label for label, _ in lines])
