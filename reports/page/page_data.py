"""The data of the page's script: charts and runs, packed so that ten thousand runs fit into one file."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from adaptbench.reports.comparison.comparison import Comparison, Entry, axis_words, milliseconds
from adaptbench.reports.figures.styles import LineStyle, line_styles
from adaptbench.reports.format import Score
from adaptbench.reports.results.curves import LearningCurve
from adaptbench.reports.results.manifest import Suite
from adaptbench.reports.results.metrics import Metric
from adaptbench.reports.results.names import place_name
from adaptbench.reports.results.runs import Run
from adaptbench.reports.results.settings import DOUBLED
from adaptbench.reports.words.commands import run_commands

MOST_CURVE_POINTS, FEWEST_CURVE_POINTS = 30, 5
MOST_POINTS = 80_000
"""Points of the curves of all runs: a page with many runs has fewer points of each."""
CURVE_DIGITS = 4
SYMBOLS: Mapping[str, str] = {
    "o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down", "P": "cross", "X": "x",
    "<": "triangle-left", ">": "triangle-right",
}  # fmt: skip
_DASHES = ("solid", "dash", "dashdot", "dot", "longdash")


def page_data(suite: Suite, runs: Sequence[Run], named: Mapping[str, Comparison]) -> dict[str, Any]:
    """Charts and runs as JSON values."""
    specs, environments = _Pool(), _Pool()
    styles = line_styles(suite)
    most = max(FEWEST_CURVE_POINTS, min(MOST_CURVE_POINTS, MOST_POINTS // max(1, len(runs))))
    families = {cell.learner: suite.families.index(cell.family) for cell in suite.cells}
    return {
        "charts": [_chart(name, comparison, styles, families) for name, comparison in named.items()],
        "runs": {run.cell.run_id: _run(suite, run, specs, environments, most) for run in runs},
        "specs": specs.values,
        "environments": environments.values,
    }


class _Pool:
    """Values that many runs share, each stored once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def place(self, value: object) -> int:
        """The index of a value; a new value is added."""
        key = json.dumps(value, sort_keys=True)
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(value)
        return self._places[key]


def _run(suite: Suite, run: Run, specs: _Pool, environments: _Pool, most_points: int) -> dict[str, Any]:
    cell, result = run.cell, run.result
    metric = Metric.named(cell.metric, higher_is_better=cell.higher_is_better)
    environment = None if run.environment is None else run.environment.model_dump(mode="json")
    times = environment.pop("times") if environment else {}
    times |= {"train_seconds": run.train_seconds, "train_cpu_seconds": run.train_cpu_seconds} if run.times else {}
    times = {**times, "predict_ms_per_episode": run.times and run.times.predict_ms_per_episode}
    return {
        "label": cell.label,
        "place": place_name(*cell.group),
        "size": cell.settings[0].size,
        "seed": cell.seed,
        "spec": specs.place(_without_seed({} if run.spec is None else run.spec.model_dump(exclude_unset=True))),
        "environment": environments.place(environment or {}),
        "times": [
            [name, _digits(value) if isinstance(value, float) else value]
            for name, value in times.items()
            if isinstance(value, str | float)
        ],
        "selection": result.selection,
        "examples": result.examples_encoded,
        "parameters": result.parameters,
        "pretrained": result.pretrained or "",
        "scores": [
            [each.ways, each.shots, _label(each), _digits(each.value)] for each in result.scores if each.on == "unseen"
        ],
        "metric": metric.heading,
        "log": metric.logarithmic,
        "curve": None if run.curve is None else _curve(run.curve, metric.scale, most_points),
        "command": run_commands(suite, run),
    }


def _label(score: Score) -> str:
    return Metric.named(score.metric, higher_is_better=score.higher_is_better).label


def _without_seed(value: object) -> object:
    """The part of a configuration that runs of several seeds share; JSON has no number that is not finite."""
    if isinstance(value, Mapping):
        return {name: _without_seed(each) for name, each in value.items() if name != "seed"}
    if isinstance(value, list | tuple):
        return [_without_seed(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _curve(curve: LearningCurve, unit: float, most: int) -> dict[str, Any]:
    every = -(-len(curve.examples) // most)
    kept = [index for index in range(len(curve.examples)) if (len(curve.examples) - 1 - index) % every == 0]
    return {
        "x": [curve.examples[index] for index in kept],
        **{
            part: [_digits(values[index] * unit, CURVE_DIGITS) for index in kept]
            for part, values in sorted(curve.values.items())
        },
    }


def _chart(
    name: str, comparison: Comparison, styles: Mapping[str, LineStyle], families: Mapping[str, int]
) -> dict[str, Any]:
    metric = comparison.metric
    chance = next((entry.chance for entry in comparison.all_entries() if entry.chance is not None), None)
    return {
        "name": name,
        "metric": metric.heading,
        "log": metric.logarithmic,
        "percent": metric.unit == "%",
        "words": axis_words(comparison),
        "chance": None if chance is None else _digits(chance * metric.scale),
        "traces": [
            {
                "label": row[0].label,
                "colour": styles[row[0].learner]["color"],
                "symbol": SYMBOLS.get(str(styles[row[0].learner]["marker"]), "circle"),
                "dash": _DASHES[families[row[0].learner] % len(_DASHES)],
                "points": [_point(entry, metric.scale) for entry in row if entry.interval is not None],
            }
            for row in comparison.entries
        ],
    }


def _point(entry: Entry, unit: float) -> dict[str, Any]:
    found, setting = entry.interval, entry.setting
    time = milliseconds(entry)
    return {
        "size": setting.train_classes,
        "shots": setting.shots,
        "examples": setting.examples,
        "fixed": {
            **{axis: setting.beside(axis) for axis in DOUBLED},
            "time": f"{setting.episode_phrase}, {setting.size_label}",
        },
        "mean": None if found is None else _digits(found.mean * unit),
        "lower": None if found is None else _digits(found.lower * unit),
        "upper": None if found is None else _digits(found.upper * unit),
        "episodes": None if found is None else _digits(found.episodes_half_width * unit),
        "ms": None if time is None else _digits(time),
        "runs": [run.cell.run_id for run in entry.runs],
        "values": [_digits(float(entry.samples[run.cell.seed].mean()) * unit) for run in entry.runs],
    }


def _digits(value: float, digits: int = 6) -> float | None:
    """Rounds to some digits; None for numbers that JSON lacks because they are not finite."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None
