"""What the page's script needs: charts and runs, packed so that ten thousand runs fit into one file."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from adaptbench.reports.comparison.comparison import Comparison, Entry, milliseconds
from adaptbench.reports.figures.styles import LineStyle, line_styles
from adaptbench.reports.results.curves import LearningCurve
from adaptbench.reports.results.manifest import Suite
from adaptbench.reports.results.runs import Run
from adaptbench.reports.results.settings import shots_phrase
from adaptbench.reports.words.commands import run_command
from adaptbench.reports.words.numbers import METRIC_NAMES, scale

MOST_CURVE_POINTS = 30
_SYMBOLS: Mapping[str, str] = {
    "o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down", "P": "cross", "X": "x",
    "<": "triangle-left", ">": "triangle-right",
}  # fmt: skip
_DASHES = ("solid", "dash", "dashdot", "dot", "longdash")


def page_data(suite: Suite, runs: Sequence[Run], named: Mapping[str, Comparison]) -> dict[str, Any]:
    """Charts and runs as JSON values.

    Args:
        suite: The suite.
        runs: Its finished runs.
        named: Each comparison by its name in file names.
    """
    specs, environments = _Pool(), _Pool()
    styles = line_styles(suite)
    families = {cell.learner: suite.families.index(cell.family) for cell in suite.cells}
    return {
        "charts": [_chart(name, comparison, styles, families) for name, comparison in named.items()],
        "runs": {run.cell.run_id: _run(suite, run, specs, environments) for run in runs},
        "specs": specs.values,
        "environments": environments.values,
    }


class _Pool:
    """Values that many runs share, each kept once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def place(self, value: object) -> int:
        """The index of a value, which is added if it is new."""
        key = json.dumps(value, sort_keys=True)
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(value)
        return self._places[key]


def _run(suite: Suite, run: Run, specs: _Pool, environments: _Pool) -> dict[str, Any]:
    cell, result = run.cell, run.result
    environment = None if run.environment is None else run.environment.model_dump(mode="json")
    times = environment.pop("times") if environment else {}
    times = {**times, "predict_ms_per_episode": run.times and run.times.predict_ms_per_episode}
    return {
        "label": cell.label,
        "task": cell.task,
        "protocol": cell.protocol,
        "size": _size(cell.train_classes),
        "seed": cell.seed,
        "spec": specs.place(_without_seed({} if run.spec is None else run.spec.model_dump(exclude_unset=True))),
        "environment": environments.place(environment or {}),
        "times": [[name, value] for name, value in times.items() if isinstance(value, str | float)],
        "selection": result.selection,
        "examples": result.examples_encoded,
        "parameters": result.parameters,
        "pretrained": result.pretrained or "",
        "scores": [
            [
                score.ways,
                score.shots,
                METRIC_NAMES.get(score.metric, score.metric),
                _digits(score.value),
            ]
            for score in result.scores
        ],
        "metric": _metric(cell.metric),
        "log": cell.metric != "accuracy",
        "curve": None if run.curve is None else _curve(run.curve, scale(cell.metric)),
        "command": run_command(suite, run),
    }


def _without_seed(value: object) -> object:
    """A configuration that runs of several seeds share; JSON has no number that is not finite."""
    if isinstance(value, Mapping):
        return {name: _without_seed(each) for name, each in value.items() if name != "seed"}
    if isinstance(value, list | tuple):
        return [_without_seed(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _curve(curve: LearningCurve, unit: float) -> dict[str, Any]:
    every = -(-len(curve.examples) // MOST_CURVE_POINTS)
    kept = [index for index in range(len(curve.examples)) if (len(curve.examples) - 1 - index) % every == 0]
    return {
        "x": [curve.examples[index] for index in kept],
        **{part: [_digits(values[index] * unit) for index in kept] for part, values in sorted(curve.values.items())},
    }


def _chart(
    name: str, comparison: Comparison, styles: Mapping[str, LineStyle], families: Mapping[str, int]
) -> dict[str, Any]:
    unit = scale(comparison.metric)
    chance = next((entry.chance for entry in comparison.all_entries() if entry.chance is not None), None)
    return {
        "name": name,
        "metric": _metric(comparison.metric),
        "log": comparison.metric != "accuracy",
        "classWord": comparison.class_word,
        "shotsWord": comparison.shots_word,
        "chance": None if chance is None else _digits(chance * unit),
        "traces": [
            {
                "label": row[0].label,
                "colour": styles[row[0].learner]["color"],
                "symbol": _SYMBOLS.get(str(styles[row[0].learner]["marker"]), "circle"),
                "dash": _DASHES[families[row[0].learner] % len(_DASHES)],
                "points": [_point(entry, comparison.shots_word, unit) for entry in row if entry.interval is not None],
            }
            for row in comparison.entries
        ],
    }


def _point(entry: Entry, shots_word: str, unit: float) -> dict[str, Any]:
    found = entry.interval
    time = milliseconds(entry)
    return {
        "size": entry.setting.train_classes,
        "ways": entry.setting.ways,
        "shots": entry.setting.shots,
        "phrase": shots_phrase(entry.setting.shots, shots_word),
        "mean": None if found is None else _digits(found.mean * unit),
        "half": None if found is None else _digits(found.half_width * unit),
        "episodes": None if found is None else _digits(found.episodes_half_width * unit),
        "ms": None if time is None else _digits(time),
        "runs": [run.cell.run_id for run in entry.runs],
        "values": [_digits(float(run.episode_scores[entry.setting].mean()) * unit) for run in entry.runs],
    }


def _metric(metric: str) -> str:
    """The name of a metric with its unit."""
    return METRIC_NAMES.get(metric, metric) + (" in %" if scale(metric) == 100 else "")


def _size(train_classes: int | None) -> str:
    return "unlimited" if train_classes is None else str(train_classes)


def _digits(value: float) -> float | None:
    """Six digits, enough to draw and to read; JSON has no word for what is not finite."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
