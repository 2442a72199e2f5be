"""The figure of scores against the width of the context vector, if a suite varies it."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.figures.canvas import add_legend, new_figure
from adaptbench.reports.figures.styles import LineStyle, Styles
from adaptbench.reports.results.metrics import Metric

FEWEST_WIDTHS = 2


def draw_widths(comparison: Comparison, named: Styles) -> Figure | None:
    """A panel for each setting with the most training classes; None if no learner has several widths."""
    families = _families(comparison)
    if not families:
        return None
    figure = new_figure(max(4.6, 3.3 * len(comparison.largest)), 3.1)
    panels: list[Axes] = list(figure.subplots(1, len(comparison.largest), sharey=True, squeeze=False).flat)
    styles = {name: named[next(iter(rows.values()))[0].learner] for name, rows in families.items()}
    for panel, column in zip(panels, comparison.largest, strict=True):
        for name, rows in families.items():
            _draw_line(panel, {width: row[column] for width, row in rows.items()}, styles[name], comparison.metric)
        panel.set_title(comparison.settings[column].episode_phrase, fontsize=9)
        panel.set_xlabel("width of the context vector")
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(FixedLocator(sorted({width for rows in families.values() for width in rows})))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.xaxis.set_minor_locator(NullLocator())
    panels[0].set_ylabel(comparison.metric.heading)
    add_legend(figure, [Line2D([], [], **style) for style in styles.values()], list(styles))
    return figure


def _families(comparison: Comparison) -> dict[str, dict[int, Sequence[Entry]]]:
    """The rows of learners that differ in their width only, by the component's name and then by width."""
    found: dict[str, dict[int, Sequence[Entry]]] = {}
    for row in comparison.entries:
        specs = (run.spec for entry in row for run in entry.runs)
        learner = next((spec.learner for spec in specs if spec is not None), None)
        if learner is not None and isinstance(width := learner.init_args.get("width"), int):
            others = [f"{key} {value}" for key, value in learner.init_args.items() if key != "width"]
            name = ", ".join([learner.name.replace("_", " ").capitalize(), *others])
            found.setdefault(name, {})[width] = row
    return {name: dict(sorted(rows.items())) for name, rows in found.items() if len(rows) >= FEWEST_WIDTHS}


def _draw_line(panel: Axes, entries: Mapping[int, Entry], style: LineStyle, metric: Metric) -> None:
    known = {width: entry.interval for width, entry in entries.items() if entry.interval is not None}
    means = [interval.mean * metric.scale for interval in known.values()]
    sides = [
        [(interval.mean - interval.lower) * metric.scale for interval in known.values()],
        [(interval.upper - interval.mean) * metric.scale for interval in known.values()],
    ]
    panel.errorbar(list(known), means, sides, capsize=2, elinewidth=0.9, ecolor=style["color"], **style)
