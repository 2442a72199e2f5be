"""Figures of a comparison: score versus training classes, or versus shots, with one curve a learner."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from reports.comparison import Comparison, Entry
from reports.manifest import Setting
from reports.styles import CHANCE_STYLE, PARAMETERS, LineStyle
from reports.words import metric_name, scale, shorten

WIDE_AT_SEEDS = 2
"""With so few seeds intervals are so wide that bands would hide each other."""


def save_figure(comparison: Comparison, named: Mapping[str, LineStyle], base: Path) -> tuple[Path, Path]:
    """Draws a comparison and writes it as PNG and PDF, the same bytes for the same comparison.

    Args:
        comparison: What to draw.
        named: A style for each learner.
        base: The files' path without ending.

    Returns:
        The paths of the PNG and the PDF.
    """
    png, pdf = base.with_name(f"{base.name}.png"), base.with_name(f"{base.name}.pdf")
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # A box stands for it; tables have the name.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(PARAMETERS)
        figure = draw(comparison, named)
        figure.savefig(png, dpi=200, metadata={"Software": None})
        figure.savefig(pdf, metadata={"Creator": None, "Producer": None, "CreationDate": None})
    return png, pdf


def panel_columns(comparison: Comparison) -> dict[tuple[int | None, ...], list[int]]:
    """The columns that each panel shows: by (ways, shots) over training classes, or by ways over shots."""
    over_classes = _varies_classes(comparison)
    panels: dict[tuple[int | None, ...], list[int]] = {}
    for index, setting in enumerate(comparison.settings):
        panels.setdefault((setting.ways, setting.shots) if over_classes else (setting.ways,), []).append(index)
    return panels


def draw(comparison: Comparison, named: Mapping[str, LineStyle]) -> Figure:
    """One panel for each (ways, shots) over training classes; with one training size, for each ways over shots."""
    over_classes = _varies_classes(comparison)
    panels = panel_columns(comparison)
    n_columns = min(len(panels), 3)
    n_rows = -(-len(panels) // n_columns)
    figure = Figure(figsize=(max(4.6, 3.3 * n_columns), 2.6 * n_rows + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False)
    axes: list[Axes] = list(grid.flat)
    for panel, (key, columns) in zip(axes, panels.items(), strict=False):
        settings = [comparison.settings[column] for column in columns]
        _draw_panel(panel, comparison, columns, named)
        _label_x(panel, settings, comparison.class_word if over_classes else None)
        panel.set_title(_title(key, settings, comparison), fontsize=9)
    for unused in axes[len(panels) :]:
        unused.remove()
    _label_y(axes[: len(panels)], comparison, n_columns)
    _add_legend(figure, comparison, named)
    return figure


def _draw_panel(panel: Axes, comparison: Comparison, columns: Sequence[int], named: Mapping[str, LineStyle]) -> None:
    positions = _positions([comparison.settings[column] for column in columns])
    for index, row in enumerate(comparison.entries):
        # Learners are set side by side so that no interval hides another: it shows most where all stand at one place.
        step = 1.07 if len(positions) == 1 else 1.0 + 0.02 * np.log2(positions[-1] / positions[0])
        shift = step ** (index - (len(comparison.entries) - 1) / 2)
        _draw_curve(panel, positions * shift, [row[column] for column in columns], named, scale(comparison.metric))
    chances = [_chance(comparison, column) for column in columns]
    if not np.isnan(chances).all():
        edges = np.r_[positions[0] / 2, positions, positions[-1] * 2]
        panel.plot(edges, np.r_[chances[0], chances, chances[-1]] * scale(comparison.metric), zorder=1, **CHANCE_STYLE)
    if np.isnan(_means(comparison)[:, columns]).all():
        panel.text(0.5, 0.5, "no finished run", ha="center", va="center", transform=panel.transAxes, color="0.4")


def _draw_curve(
    panel: Axes, x: NDArray[np.float64], entries: Sequence[Entry], named: Mapping[str, LineStyle], unit: float
) -> None:
    """A line with an interval band; a missing entry interrupts it; error bars for lone points and few seeds."""
    style = named[entries[0].learner]
    mean, half_width = (
        np.array([getattr(entry.interval, name, np.nan) for entry in entries]) * unit for name in ("mean", "half_width")
    )
    panel.plot(x, mean, zorder=3, **style)
    there = np.r_[False, ~np.isnan(mean), False]
    barred = there[1:-1] & ~there[:-2] & ~there[2:]
    barred |= [entry.interval is not None and entry.interval.n_seeds <= WIDE_AT_SEEDS for entry in entries]
    banded = np.where(barred, np.nan, half_width)
    panel.fill_between(x, mean - banded, mean + banded, color=style["color"], alpha=0.13, linewidth=0)
    panel.errorbar(
        x[barred],
        mean[barred],
        half_width[barred],
        color=style["color"],
        fmt="none",
        capsize=2,
        linewidth=0.9,
        alpha=0.6,
    )


def _positions(settings: Sequence[Setting]) -> NDArray[np.float64]:
    """Where settings stand on the x axis: training classes if those differ, else shots; unlimited to the right."""
    sizes = [setting.train_classes for setting in settings]
    if len(settings) > 1 and len(set(sizes)) == 1:
        return np.array([setting.shots for setting in settings], dtype=np.float64)
    limited = [size for size in sizes if size is not None]
    beyond = 4 * max(limited, default=1)
    return np.array([beyond if size is None else size for size in sizes], dtype=np.float64)


def _label_x(panel: Axes, settings: Sequence[Setting], class_word: str | None) -> None:
    """Ticks at the values, on a log axis; `class_word` is None where the axis shows shots."""
    positions = _positions(settings)
    if class_word is None:
        labels = [str(setting.shots) for setting in settings]
        panel.set_xlabel("shots in the support set")
    else:
        labels = ["∞" if setting.train_classes is None else str(setting.train_classes) for setting in settings]
        panel.set_xlabel(f"training {class_word}")
    panel.set_xscale("log")
    panel.set_xlim(positions[0] / 1.35, positions[-1] * 1.35)
    panel.xaxis.set_major_locator(FixedLocator(list(positions)))
    panel.xaxis.set_major_formatter(FixedFormatter(labels))
    panel.xaxis.set_minor_locator(NullLocator())


def _label_y(panels: Sequence[Axes], comparison: Comparison, n_columns: int) -> None:
    """Limits that show every mean and the chance line; bands may run out of the panel."""
    unit = scale(comparison.metric)
    chances = [_chance(comparison, column) for column in range(len(comparison.settings))]
    shown = np.r_[_means(comparison).ravel(), chances] * unit
    shown = shown[~np.isnan(shown)]
    if comparison.metric == "accuracy":
        panels[0].set_ylim(max(0.0, min(shown, default=5.0) - 5), 101.0)
    elif not len(shown):
        panels[0].set_yticks([])
    elif shown.min() > 0:
        panels[0].set_yscale("log")
        panels[0].set_ylim(shown.min() / 2.5, shown.max() * 2.5)
        for panel in panels:
            panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            panel.yaxis.set_minor_formatter(NullFormatter())
    direction = "higher" if comparison.higher_is_better else "lower"
    for panel in panels[::n_columns]:
        panel.set_ylabel(f"{metric_name(comparison)} ({direction} is better)", fontsize=8)


def _add_legend(figure: Figure, comparison: Comparison, named: Mapping[str, LineStyle]) -> None:
    drawn = [row[0] for row in comparison.entries if any(entry.interval is not None for entry in row)]
    handles = [Line2D([], [], **named[entry.learner]) for entry in drawn]
    labels = [shorten(entry.label, 28) for entry in drawn]
    if any(entry.chance is not None for entry in comparison.all_entries()):
        handles.append(Line2D([], [], **CHANCE_STYLE))
        labels.append("chance" if comparison.metric == "accuracy" else "a guess")
    if not handles:
        return
    width = figure.get_figwidth()
    # Placeholders first: a legend silently drops labels that start with an underscore.
    legend = figure.legend(
        handles, ["x" * len(label) for label in labels], loc="outside lower center", frameon=False, fontsize=8.5,
        ncols=max(1, min(len(handles), int(width / (0.5 + 0.07 * max(map(len, labels)))))), handlelength=2.5,
        columnspacing=1.2,
    )  # fmt: skip
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_text(label)


def _title(key: tuple[int | None, ...], settings: Sequence[Setting], comparison: Comparison) -> str:
    parts = [] if key[0] is None else [f"{key[0]}-way"]
    if len(key) == 2:
        return " ".join([*parts, f"{key[1]}-shot"])
    size = settings[0].train_classes
    return ", ".join([*parts, f"{'unlimited' if size is None else size} training {comparison.class_word}"])


def _chance(comparison: Comparison, column: int) -> float:
    """The score of a guess in a column; NaN where there is none."""
    chances = [row[column].chance for row in comparison.entries]
    return next((chance for chance in chances if chance is not None), float("nan"))


def _means(comparison: Comparison) -> NDArray[np.float64]:
    """Means [learners, settings], NaN where missing, in the stored unit."""
    rows = [[entry.interval.mean if entry.interval else np.nan for entry in row] for row in comparison.entries]
    return np.array(rows, dtype=np.float64)


def _varies_classes(comparison: Comparison) -> bool:
    return len({setting.train_classes for setting in comparison.settings}) > 1
