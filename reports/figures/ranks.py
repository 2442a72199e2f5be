"""The figure of ranks: a critical-difference diagram."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import rankdata  # type: ignore[import-untyped]  # scipy ships no annotations

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.figures.canvas import new_figure
from adaptbench.reports.results.metrics import Metric
from adaptbench.reports.words.captions import shorten


def draw_ranks(comparison: Comparison) -> Figure | None:
    """A critical-difference diagram: mean ranks over settings, with bars that join learners.

    Joined learners are not significantly different at any setting. The bars come from our paired tests at each setting.
    Such diagrams usually show Nemenyi's test, which needs independent data sets; the settings of a suite are not.
    """
    ranked = [index for index, pairs in enumerate(comparison.pairs) if pairs]
    full = [row for row in comparison.entries if ranked and all(row[column].rank is not None for column in ranked)]
    if len(full) < 2:
        return None
    places = {comparison.entries.index(row): index for index, row in enumerate(full)}
    means = _mean_ranks(full, ranked, comparison.metric)
    different = {
        frozenset((places[pair.first], places[pair.second]))
        for column in ranked
        for pair in comparison.pairs[column]
        if pair.significant and {pair.first, pair.second} <= set(places)
    }
    order = [int(index) for index in np.argsort(means, kind="stable")]
    cliques = _cliques(order, different)
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


def _mean_ranks(rows: Sequence[Sequence[Entry]], columns: Sequence[int], metric: Metric) -> NDArray[np.float64]:
    """The mean over columns of each row's rank by its mean score; ties share a rank."""
    scores = np.array(
        [[entry.interval.mean if entry.interval else np.nan for entry in (row[c] for c in columns)] for row in rows]
    )
    ranks: NDArray[np.float64] = rankdata(-metric.sign * scores, axis=0).mean(axis=1)
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


def _cliques(order: Sequence[int], different: set[frozenset[int]]) -> list[list[int]]:
    """The longest runs of two or more neighbours of which no two are significantly different."""
    found: list[list[int]] = []
    for start in range(len(order)):
        clique = [order[start]]
        for index in order[start + 1 :]:
            if any(frozenset((index, other)) in different for other in clique):
                break
            clique.append(index)
        if len(clique) > 1 and not (found and set(clique) <= set(found[-1])):
            found.append(clique)
    return found
