"""Scores by shots in training and shots in testing, for learners that were trained with several."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.results.runs import Run


@dataclass(frozen=True)
class ShotMatrix:
    """The scores of one learner at one number of training classes, budget and ways.

    Args:
        label: The component, its encoder and arguments if the component has several, and the ways.
        train: The shots in training, as text: "5", or "1, 5" if both were drawn.
        test: The shots in testing.
        means: Mean scores [train, test] in the stored unit; None where missing.
    """

    label: str
    train: tuple[str, ...]
    test: tuple[int, ...]
    means: tuple[tuple[float | None, ...], ...]


def shot_matrices(comparison: Comparison) -> tuple[ShotMatrix, ...]:
    """A matrix for each learner and number of ways that a comparison holds with several numbers of training shots."""
    rows: dict[_Kind, dict[tuple[int, ...], list[Entry]]] = {}
    for row in comparison.entries:
        found = {(kind, run.train_shots) for entry in row for run in entry.runs if (kind := _kind(run))}
        if len(found) == 1:
            kind, shots = found.pop()
            rows.setdefault(kind, {}).setdefault(shots, []).extend(row)
    training = comparison.settings[comparison.largest[0]].training
    several = [kind for kind, by_shots in rows.items() if len(by_shots) > 1]
    names = Counter(kind.name for kind in several)
    matrices = (
        _matrix(kind.name if names[kind.name] == 1 else kind.words, rows[kind], ways, training)
        for kind in several
        for ways in dict.fromkeys(setting.ways for setting in comparison.settings)
    )
    return tuple(matrix for matrix in matrices if len(matrix.train) > 1)


class _Kind(NamedTuple):
    """What tells learners apart that differ in the shots of their training alone.

    Attributes:
        name: its component.
        words: the component, its encoder and its arguments.
        whole: all of these, and how its network is pretrained, as JSON.
    """

    name: str
    words: str
    whole: str


def _kind(run: Run) -> _Kind | None:
    if run.component is None or run.training is None or not run.train_shots:
        return None
    component, encoder = run.component, run.training.encoder
    terms = [component.name, *([encoder.name] if encoder else [])]
    terms += [f"{key} {json.dumps(value)}" for key, value in component.init_args.items()]
    parts = [component.model_dump(), encoder and encoder.model_dump(), run.training.pretraining]
    return _Kind(component.name, ", ".join(terms), json.dumps(parts, sort_keys=True))


def _matrix(
    label: str, by_shots: dict[tuple[int, ...], list[Entry]], ways: int | None, training: tuple[int | None, int | None]
) -> ShotMatrix:
    places = {shots: found for shots, row in sorted(by_shots.items()) if (found := _at(row, ways, training))}
    test = tuple(sorted({shots for found in places.values() for shots in found}))
    return ShotMatrix(
        label=label if ways is None else f"{label}, {ways}-way",
        train=tuple(", ".join(map(str, shots)) for shots in places),
        test=test,
        means=tuple(tuple(found.get(shots) for shots in test) for found in places.values()),
    )


def _at(row: Sequence[Entry], ways: int | None, training: tuple[int | None, int | None]) -> dict[int, float]:
    return {
        entry.setting.shots: entry.interval.mean
        for entry in row
        if entry.interval is not None and (entry.setting.ways, entry.setting.training) == (ways, training)
    }
