"""The canvas of figures: one look, one kind of interval, and the same bytes for the same runs."""

import io
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, Locator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.figures.styles import SEED_STYLE, LineStyle, Styles, parameters
from adaptbench.reports.results.metrics import Metric
from adaptbench.reports.words.captions import shorten
from adaptbench.reports.words.csv_text import to_csv

Shown = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Takes what is drawn from stored scores."""
SINGLE = 165 / 345
"""The width of a figure of one panel, as a share of the printed width."""
AXIS_INCHES = 0.75
"""What the labels of the y axis and the gaps between panels take of a figure's width, roughly."""
LONGEST_LABEL = 34
"""Characters of a learner in a legend, which fits into a figure of one panel."""
INTERVALS = "Bars and bands: 95 % intervals; dots: single seeds."
WIDE_AT_SEEDS = 2
"""Up to this number of seeds intervals are so wide that bands would hide each other."""
ACCURACIES = (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 99, 99.5, 99.8, 99.9)
"""Ticks of an axis of accuracies in per cent."""
MOST_ACCURACIES = 11
"""The numbers that have room above each other on such an axis."""
LOGIT_FROM = 80.0
"""From this mean on, accuracies are drawn on a logit axis, so that curves near 100 % stay apart."""


def scaled(comparison: Comparison) -> Shown:
    """Takes scores in their shown unit from stored ones."""
    return lambda scores: scores * comparison.metric.scale


def save(draw: Callable[[], Figure | None], base: Path, look: Mapping[Any, Any] | None = None) -> tuple[Path, ...]:
    """Draws a figure and writes it as PNG and PDF, and the data behind it as CSV.

    Args:
        draw: Makes the figure, or returns None if there is nothing to draw.
        base: The path of the files without its ending.
        look: Matplotlib's parameters; by default those of a paper.

    Returns:
        The paths of the PNG, the PDF and the CSV; none if nothing was drawn, in which case older files of that name are
        removed.
    """
    png, pdf, csv = (base.with_name(f"{base.name}{ending}") for ending in (".png", ".pdf", "-data.csv"))
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # A box replaces it; tables have the name.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(look or parameters())
        figure = draw()
        if figure is None:
            for path in (png, pdf, csv):
                path.unlink(missing_ok=True)
            return ()
        _wrap_titles(figure)
        # In memory first, because on a full disk matplotlib fails in many ways, and writing bytes in one.
        picture, page = io.BytesIO(), io.BytesIO()
        figure.savefig(picture, format="png", dpi=300, metadata={"Software": None})
        figure.set_layout_engine("none")  # The layout takes most of the time, so it is computed once.
        figure.savefig(page, format="pdf", metadata={"Creator": None, "Producer": None, "CreationDate": None})
    png.write_bytes(picture.getvalue())
    pdf.write_bytes(page.getvalue())
    data = data_of(figure)
    if data.empty:
        return png, pdf
    csv.write_text(to_csv(data), encoding="utf-8", newline="\n")
    return png, pdf, csv


def data_of(figure: Figure) -> pd.DataFrame:
    """What a figure shows: the columns panel, series, shown (such as "mean" or "seed"), x and y in drawn units."""
    rows = [
        (" ".join(panel.get_title().split()), *str(line.get_gid()).split("\t"), x, y)
        for panel in figure.axes
        for line in panel.get_lines()
        if line.get_gid() is not None
        for x, y in zip(np.asarray(line.get_xdata()), np.asarray(line.get_ydata()), strict=True)
    ]
    frame = pd.DataFrame(rows, columns=["panel", "series", "shown", "x", "y"])
    return frame[frame["y"].notna()]


def _wrap_titles(figure: Figure) -> None:
    """Breaks titles that are wider than their panel."""
    for panel in figure.axes:
        if spec := panel.get_subplotspec():
            width = (figure.get_figwidth() - AXIS_INCHES) / spec.get_gridspec().ncols
            letters = int(width / (0.55 * float(panel.title.get_fontsize()) / 72))
            panel.set_title("\n".join(textwrap.fill(line, letters) for line in panel.get_title().split("\n")))


def series(name: str, shown: str = "mean") -> str:
    """Marks a line as data of a series, for `data_of`."""
    return f"{' '.join(name.split())}\t{shown}"


def new_figure(height: float, width: float = 1.0) -> Figure:
    """An empty figure; its size is given in shares of the printed width."""
    whole = matplotlib.rcParams["figure.figsize"][0]
    figure = Figure(figsize=(width * whole, height * whole), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def panel_grid(
    count: int, *, height: float = 0.36, most: int = 2, sharex: bool = False, sharey: bool = True
) -> tuple[Figure, list[Axes]]:
    """A figure with panels in rows.

    Args:
        count: The number of panels.
        height: The height of a panel as a share of the printed width.
        most: The most panels in a row.
        sharex: Whether panels share their x axis.
        sharey: Whether panels share their y axis.
    """
    columns = min(count, most)
    rows = -(-count // columns)
    figure = new_figure(height * rows, 1.0 if columns > 1 else SINGLE)
    panels: list[Axes] = list(figure.subplots(rows, columns, sharex=sharex, sharey=sharey, squeeze=False).flat)
    for unused in panels[count:]:
        unused.remove()
    return figure, panels[:count]


def label_first(panels: Sequence[Axes], text: str) -> None:
    """Names the y axis of the panels that begin a row."""
    for panel in panels:
        spec = panel.get_subplotspec()
        if spec is None or spec.is_first_col():
            panel.set_ylabel(text)


def score_axis(panels: Sequence[Axes], metric: Metric, shown: NDArray[np.float64]) -> None:
    """Sets the y axis of panels that share it: logarithmic for errors, logit for accuracies near 100 %.

    Args:
        panels: The panels.
        metric: The metric.
        shown: The drawn values that must be on the axis, in drawn units; NaN is ignored.
    """
    shown = shown[np.isfinite(shown)]
    first = panels[0]
    if not len(shown):
        first.set_yticks([])
    elif metric.unit == "%" and shown.max() < LOGIT_FROM:
        first.set_ylim(max(0.0, shown.min() - 5), shown.max() + 5)
    elif metric.unit == "%":
        first.set_yscale("function", functions=(_logit, _expit))
        low, high = (float(_expit(_logit(end) + step)) for end, step in ((shown.min(), -0.4), (shown.max(), 0.4)))
        first.set_ylim(low, high)
        first.yaxis.set_major_locator(FixedLocator(accuracy_ticks(low, high)))
        first.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    elif metric.logarithmic and shown.min() > 0:
        first.set_yscale("log")
        first.set_ylim(shown.min() / 1.6, shown.max() * 1.6)
        for panel in panels:
            log_ticks(panel.yaxis)


def accuracy_ticks(low: float, high: float) -> list[float]:
    """The ticks between two accuracies in per cent, best first, without those too near to the last one kept."""
    kept: list[float] = []
    for tick in (each for each in reversed(ACCURACIES) if low <= each <= high):
        if not kept or _logit(kept[-1]) - _logit(tick) >= (_logit(high) - _logit(low)) / MOST_ACCURACIES:
            kept.append(tick)
    return kept


def _logit(percent: Any) -> Any:  # noqa: ANN401 - arrays of any shape, as matplotlib gives them
    share = np.clip(np.asarray(percent, dtype=np.float64) / 100, 1e-4, 1 - 1e-4)
    return np.log(share / (1 - share))


def _expit(value: Any) -> Any:  # noqa: ANN401
    return 100 / (1 + np.exp(-np.asarray(value, dtype=np.float64)))


class _LogTicks(Locator):
    """Three ticks or more on a logarithmic axis, with as few digits as that takes."""

    def __call__(self) -> list[float]:
        """The ticks in the current limits."""
        return self.tick_values(*sorted(self.axis.get_view_interval()))  # type: ignore[union-attr]

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """The ticks between two values."""
        powers = range(int(np.floor(np.log10(vmin))), int(np.ceil(np.log10(vmax))) + 1)
        for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
            ticks = [digit * 10.0**power for power in powers for digit in digits]
            inside = [tick for tick in ticks if vmin <= tick * (1 + 1e-9) and tick <= vmax * (1 + 1e-9)]
            if len(inside) >= 3:
                return inside
        return [tick for tick in MaxNLocator(3).tick_values(vmin, vmax) if vmin <= tick <= vmax]


def log_ticks(axis: Axis) -> None:
    """Plain numbers at three places or more of a logarithmic axis."""
    axis.set_major_locator(_LogTicks())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}" if value < 10_000 else f"{value:,.0f}"))
    axis.set_minor_locator(NullLocator())


def draw_entries(
    panel: Axes,
    x: NDArray[np.float64],
    entries: Sequence[Entry],
    style: LineStyle,
    shown: Shown,
    *,
    bands: bool = False,
) -> None:
    """A line of means with 95 % intervals, and a dot for each seed; no dots where there is one seed only.

    Args:
        panel: Where to draw.
        x: [N] the place of each entry.
        entries: The entries of a learner; those without scores leave a gap.
        style: The style of the line.
        shown: Takes drawn values from stored ones.
        bands: Whether intervals beside each other are a band instead of bars.
    """
    name = entries[0].label
    mean, lower, upper = (
        shown(np.array([getattr(entry.interval, end, np.nan) for entry in entries], dtype=np.float64))
        for end in ("mean", "lower", "upper")
    )
    lower, upper = np.minimum(lower, upper), np.maximum(lower, upper)  # an error falls where a score rises
    panel.plot(x, mean, gid=series(name), **{"zorder": 3, **style})
    for end, values in (("lower", lower), ("upper", upper)):  # invisible: the data behind bars and bands
        panel.plot(x, values, linestyle="none", gid=series(name, end))
    there = np.r_[False, ~np.isnan(mean), False]
    few = np.array([each.interval is not None and each.interval.n_seeds <= WIDE_AT_SEEDS for each in entries])
    barred = there[1:-1] & (few | ~(there[:-2] | there[2:])) if bands else there[1:-1]
    panel.fill_between(x, lower, upper, where=~barred, color=style["color"], alpha=0.13, linewidth=0)
    bars = {"color": style["color"], "fmt": "none", "capsize": 2, "linewidth": 0.8, "alpha": 0.6}
    panel.errorbar(x[barred], mean[barred], np.stack([mean - lower, upper - mean])[:, barred], **bars)
    size = 0.8 * matplotlib.rcParams["lines.markersize"]
    for place, entry in zip(x, entries, strict=True):
        seeds = shown(np.array([row.mean() for row in entry.samples.values()]))
        if len(seeds) > 1:
            dots = {**SEED_STYLE, "color": style["color"], "markersize": size, "gid": series(name, "seed")}
            panel.plot([place] * len(seeds), seeds, **dots)


def letter_size() -> float:
    """The size of the smallest letters of a figure, in points."""
    return float(FontProperties(size=matplotlib.rcParams["legend.fontsize"]).get_size_in_points())


def add_legend(figure: Figure, handles: list[Line2D], labels: list[str], note: str = "") -> None:
    """A legend below the panels, which keep their height; the note stands above its entries."""
    if not handles:
        return
    letter = letter_size() / 72  # an em in inches
    width = figure.get_figwidth()
    widest = (5 + 0.56 * max(map(len, labels))) * letter
    columns = max(1, min(len(handles), int(width / widest)))
    note = textwrap.fill(note, int(width / (0.5 * letter)))
    rows = -(-len(handles) // columns) + (note.count("\n") + 1 if note else 0)
    figure.set_figheight(figure.get_figheight() + 1.6 * letter * rows)
    # Placeholders come first, because a legend drops labels that start with an underscore.
    legend = figure.legend(
        handles, ["x" * len(label) for label in labels], loc="outside lower center", frameon=False,
        ncols=columns, handlelength=2.5, columnspacing=1.2, title=note or None,
    )  # fmt: skip
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_text(label)


def learner_legend(
    figure: Figure, comparison: Comparison, named: Styles, others: Styles | None = None, note: str = INTERVALS
) -> None:
    """A legend of the learners of a comparison, and of other lines by their labels."""
    drawn = [row[0] for row in comparison.entries if any(entry.interval is not None for entry in row)]
    lines = [(shorten(entry.label, LONGEST_LABEL), named[entry.learner]) for entry in drawn] + [*(others or {}).items()]
    add_legend(figure, [Line2D([], [], **style) for _, style in lines], [label for label, _ in lines], note)
