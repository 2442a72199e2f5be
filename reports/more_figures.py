"""Figures beside the curves: computation, learning curves, ranks, training shots by test shots, fits."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray
from scipy.stats import rankdata  # type: ignore[import-untyped]  # scipy ships no annotations

from reports.canvas import add_legend, log_ticks, new_figure
from reports.comparison import Comparison, Entry
from reports.curves import LearningCurve
from reports.shot_matrix import ShotMatrix
from reports.shots import episode_phrase, shots_phrase
from reports.styles import LineStyle
from reports.words import metric_name, scale, shorten

Styles = Mapping[str, LineStyle]


def draw_trade_off(comparison: Comparison, named: Styles) -> Figure | None:
    """Score against adaptation time at the largest number of training classes; None without any time."""
    size = comparison.settings[-1].train_classes
    columns = [index for index, setting in enumerate(comparison.settings) if setting.train_classes == size]
    points = [
        [(row[column], milliseconds(row[column])) for row in comparison.entries if row[column].interval is not None]
        for column in columns
    ]
    if not any(time is not None for panel in points for _, time in panel):
        return None
    figure = new_figure(max(4.6, 3.3 * len(columns)), 3.1)
    panels: list[Axes] = list(figure.subplots(1, len(columns), sharey=True, squeeze=False).flat)
    for panel, column, found in zip(panels, columns, points, strict=True):
        for entry, time in found:
            if time is not None and entry.interval is not None:
                _draw_point(panel, entry, time, named, scale(comparison.metric))
        setting = comparison.settings[column]
        panel.set_title(episode_phrase(setting.ways, setting.shots, comparison.shots_word), fontsize=9)
        panel.set_xlabel("adaptation, ms an episode")
        panel.set_xscale("log")
        log_ticks(panel.xaxis)
    if comparison.metric != "accuracy":
        panels[0].set_yscale("log")
        log_ticks(panels[0].yaxis)
    panels[0].set_ylabel(metric_name(comparison))
    _legend(figure, comparison, named)
    return figure


def milliseconds(entry: Entry) -> float | None:
    """The mean time to adapt to a test episode and predict its queries, over the entry's runs."""
    times = [run.environment.get("predict_ms_per_episode") for run in entry.runs]
    known = [float(time) for time in times if isinstance(time, int | float)]
    return sum(known) / len(known) if known else None


def _draw_point(panel: Axes, entry: Entry, time: float, named: Styles, unit: float) -> None:
    if entry.interval is None:
        return
    style = {**named[entry.learner], "linestyle": "none"}
    mean = entry.interval.mean * unit
    width = entry.interval.episodes_half_width * unit
    panel.errorbar([time], [mean], [width], capsize=2, elinewidth=0.9, ecolor=style["color"], **style)


def draw_learning_curves(comparison: Comparison, curves: Mapping[str, LearningCurve], named: Styles) -> Figure | None:
    """Validation score over examples encoded, a thin line a seed and a thick one for their mean."""
    sizes = list(dict.fromkeys(setting.train_classes for setting in comparison.settings))
    rows = {
        (row[0].learner, size): [
            curve
            for run in {r.cell.run_id: r for e in row if e.setting.train_classes == size for r in e.runs}.values()
            if (curve := curves.get(run.cell.run_id)) is not None and "val" in curve.values
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
    _legend(figure, comparison, named)
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


def draw_ranks(comparison: Comparison) -> Figure | None:
    """A critical-difference diagram: mean rank over settings; bars join learners that no setting tells apart.

    The bars come from our paired tests at every setting; the settings of a suite are no independent data sets, so that
    Nemenyi's test, with which such diagrams are usually drawn, would not do.
    """
    ranked = [index for index, pairs in enumerate(comparison.pairs) if pairs]
    full = [row for row in comparison.entries if ranked and all(row[column].rank is not None for column in ranked)]
    if len(full) < 2:
        return None
    places = {comparison.entries.index(row): index for index, row in enumerate(full)}
    means = _mean_ranks(full, ranked, higher_is_better=comparison.higher_is_better)
    apart = {
        frozenset((places[pair.first], places[pair.second]))
        for column in ranked
        for pair in comparison.pairs[column]
        if pair.told_apart and {pair.first, pair.second} <= set(places)
    }
    order = [int(index) for index in np.argsort(means, kind="stable")]
    cliques = _cliques(order, apart)
    figure = new_figure(5.6, 1.0 + 0.26 * (-(-len(full) // 2)) + 0.14 * len(cliques))
    panel = figure.subplots()
    _draw_rank_axis(panel, len(full))
    _draw_cliques(panel, [(means[clique[0]], means[clique[-1]]) for clique in cliques])
    half = -(-len(order) // 2)
    panel.set_ylim(-0.25 * len(cliques) - 0.55 * (half + 1), 1.4)
    for place, index in enumerate(order):
        left = place < half
        height = -0.25 * len(cliques) - 0.55 * (1 + (place if left else len(order) - 1 - place))
        edge = 0.8 if left else len(full) + 0.2
        panel.plot([means[index], means[index], edge], [0, height, height], color="0.25", linewidth=0.8)
        label = f"{shorten(full[index][0].label, 24)}  {means[index]:.2f}"
        panel.text(edge, height, f" {label} ", ha="right" if left else "left", va="center", fontsize=8.5)
    return figure


def _mean_ranks(
    rows: Sequence[Sequence[Entry]], columns: Sequence[int], *, higher_is_better: bool
) -> NDArray[np.float64]:
    """The mean over columns of each row's place by its mean score, ties sharing theirs."""
    sign = -1.0 if higher_is_better else 1.0
    scores = np.array(
        [[entry.interval.mean if entry.interval else np.nan for entry in (row[c] for c in columns)] for row in rows]
    )
    ranks: NDArray[np.float64] = rankdata(sign * scores, axis=0).mean(axis=1)
    return ranks


def _draw_rank_axis(panel: Axes, count: int) -> None:
    panel.set_axis_off()
    panel.set_xlim(-0.15 * count, 1.15 * count + 1)
    panel.plot([1, count], [0, 0], color="black", linewidth=1.0)
    for rank in range(1, count + 1):
        panel.plot([rank, rank], [0, 0.18], color="black", linewidth=1.0)
        panel.text(rank, 0.26, str(rank), ha="center", va="bottom", fontsize=8)
    panel.text((1 + count) / 2, 0.85, "mean rank over settings (1 is best)", ha="center", va="bottom", fontsize=8)


def _draw_cliques(panel: Axes, ends: Sequence[tuple[float, float]]) -> None:
    for index, (first, last) in enumerate(ends):
        height = -0.25 * (index + 1)
        panel.plot([first - 0.04, last + 0.04], [height, height], color="black", linewidth=3, solid_capstyle="butt")


def _cliques(order: Sequence[int], apart: set[frozenset[int]]) -> list[list[int]]:
    """Longest runs of neighbours, of two or more, in which no two are told apart."""
    found: list[list[int]] = []
    for start in range(len(order)):
        clique = [order[start]]
        for index in order[start + 1 :]:
            if any(frozenset((index, other)) in apart for other in clique):
                break
            clique.append(index)
        if len(clique) > 1 and not (found and set(clique) <= set(found[-1])):
            found.append(clique)
    return found


def draw_shot_matrix(matrix: ShotMatrix, comparison: Comparison) -> Figure:
    """Scores by shots in training (rows) and in testing (columns)."""
    unit = scale(comparison.metric)
    figure = new_figure(1.8 + 0.75 * len(matrix.test), 1.3 + 0.5 * len(matrix.train))
    panel = figure.subplots()
    values = np.array(matrix.means, dtype=np.float64) * unit
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
    panel.set_title(f"{matrix.label}: {metric_name(comparison)}", fontsize=9)
    figure.colorbar(image, ax=panel, shrink=0.8)
    return figure


def draw_fits(fits: Mapping[str, pd.DataFrame], comparison: Comparison, named: Styles) -> Figure | None:
    """The first test function at each number of shots: support set, truth, and what each learner predicts.

    Args:
        fits: By learner, the fits of one of its runs.
        comparison: Where labels come from.
        named: A style for each learner.
    """
    if not fits:
        return None
    shots = sorted({int(shot) for table in fits.values() for shot in table["shots"]})[:4]
    figure = new_figure(max(4.6, 3.6 * len(shots)), 3.1)
    panels: list[Axes] = list(figure.subplots(1, len(shots), sharey=True, squeeze=False).flat)
    for panel, shot in zip(panels, shots, strict=True):
        for number, (learner, table) in enumerate(fits.items()):
            one = table[(table["shots"] == shot) & (table["function"] == table["function"].min())].sort_values("x")
            support, query = (one[one["role"] == role] for role in ("support", "query"))
            if number == 0:
                panel.plot(query["x"], query["y"], color="0.6", linewidth=3, zorder=1)
                panel.plot(support["x"], support["y"], "x", color="black", markersize=7, zorder=4)
            panel.plot(query["x"], query["prediction"], zorder=3, **{**named[learner], "marker": ""})
        panel.set_title(shots_phrase(shot, comparison.shots_word), fontsize=9)
        panel.set_xlabel("x")
    panels[0].set_ylabel("y")
    handles = [Line2D([], [], color="0.6", linewidth=3), Line2D([], [], color="black", marker="x", linestyle="none")]
    labels = {row[0].learner: row[0].label for row in comparison.entries}
    handles += [Line2D([], [], **{**named[learner], "marker": ""}) for learner in fits]
    add_legend(figure, handles, ["truth", "support set", *(shorten(labels[learner], 28) for learner in fits)])
    return figure


def _legend(figure: Figure, comparison: Comparison, named: Styles) -> None:
    drawn = [row[0] for row in comparison.entries if any(entry.interval is not None for entry in row)]
    handles = [Line2D([], [], **named[entry.learner]) for entry in drawn]
    add_legend(figure, handles, [shorten(entry.label, 28) for entry in drawn])
