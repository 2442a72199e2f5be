"""Scores by shots in training and shots in testing, for components that were trained with several."""

from collections.abc import Sequence
from dataclasses import dataclass

from adaptbench.reports.comparison.comparison import Comparison, Entry


@dataclass(frozen=True)
class ShotMatrix:
    """The scores of one component at one number of training classes and ways.

    Args:
        label: The component, and the ways.
        train: The shots in training, as text: "5", or "1, 5" if both were drawn.
        test: The shots in testing.
        means: Mean scores [train, test] in the stored unit; None where missing.
    """

    label: str
    train: tuple[str, ...]
    test: tuple[int, ...]
    means: tuple[tuple[float | None, ...], ...]


def shot_matrices(comparison: Comparison) -> tuple[ShotMatrix, ...]:
    """A matrix for each component and number of ways that a comparison holds with several numbers of training shots."""
    rows: dict[str, dict[tuple[int, ...], list[Entry]]] = {}
    for row in comparison.entries:
        runs = [run for entry in row for run in entry.runs]
        kinds = {(run.component.name, run.train_shots) for run in runs if run.component and run.train_shots}
        if len(kinds) == 1:
            component, shots = kinds.pop()
            rows.setdefault(component, {}).setdefault(shots, []).extend(row)
    largest = comparison.settings[-1].train_classes if comparison.settings else None
    matrices = (
        _matrix(component, by_shots, ways, largest)
        for component, by_shots in rows.items()
        for ways in dict.fromkeys(setting.ways for setting in comparison.settings)
    )
    return tuple(matrix for matrix in matrices if len(matrix.train) > 1)


def _matrix(
    component: str, by_shots: dict[tuple[int, ...], list[Entry]], ways: int | None, size: int | None
) -> ShotMatrix:
    places = {shots: found for shots, row in sorted(by_shots.items()) if (found := _at(row, ways, size))}
    test = tuple(sorted({shots for found in places.values() for shots in found}))
    return ShotMatrix(
        label=component if ways is None else f"{component}, {ways}-way",
        train=tuple(", ".join(map(str, shots)) for shots in places),
        test=test,
        means=tuple(tuple(found.get(shots) for shots in test) for found in places.values()),
    )


def _at(row: Sequence[Entry], ways: int | None, size: int | None) -> dict[int, float]:
    return {
        entry.setting.shots: entry.interval.mean
        for entry in row
        if entry.interval is not None and (entry.setting.ways, entry.setting.train_classes) == (ways, size)
    }
