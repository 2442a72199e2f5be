"""The table of paired tests."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from adaptbench.reports.comparison.comparison import Comparison
from adaptbench.reports.statistics.ranking import Pair
from adaptbench.reports.tables.layout import Sheet, TableCell, TableLayout


def pair_sheet(comparison: Comparison, name: str) -> Sheet:
    """The table of paired tests."""
    labels = [row[0].label for row in comparison.entries]
    sign = 1.0 if comparison.higher_is_better else -1.0
    wins = {(i, j): 0 for i in range(len(labels)) for j in range(len(labels))}
    tested = dict(wins)
    for pair in (pair for pairs in comparison.pairs for pair in pairs):
        better, worse = (pair.first, pair.second) if sign * pair.difference > 0 else (pair.second, pair.first)
        wins[better, worse] += pair.told_apart
        for place in ((pair.first, pair.second), (pair.second, pair.first)):
            tested[place] += 1
    layout = TableLayout(
        title=f"Pairs: {comparison.task} ({comparison.protocol})",
        caption=(
            f"At how many settings of {comparison.task} ({comparison.protocol}) the learner of a row is better than, "
            "cannot be told apart from, and is worse than the learner of a column: paired tests over seeds and "
            "episodes, Holm-corrected over the pairs of a setting, 5 %."
        ),
        groups=(),
        columns=tuple(labels),
        rows=tuple(
            (label, tuple(_pair_cell(wins, tested, i, j) for j in range(len(labels)))) for i, label in enumerate(labels)
        ),
        notes=(),
        corner="better / alike / worse",
    )
    return Sheet(f"pairs-{name}", layout, pd.DataFrame(_pair_records(comparison)))


def _pair_cell(wins: Mapping[tuple[int, int], int], tested: Mapping[tuple[int, int], int], i: int, j: int) -> TableCell:
    if not tested[i, j]:
        return TableCell("—", False, (), missing=True)
    alike = tested[i, j] - wins[i, j] - wins[j, i]
    return TableCell(f"{wins[i, j]} / {alike} / {wins[j, i]}", wins[i, j] == tested[i, j], ())


def _pair_records(comparison: Comparison) -> list[dict[str, Any]]:
    return [
        _pair_record(comparison, entry_setting_index, pair)
        for entry_setting_index, pairs in enumerate(comparison.pairs)
        for pair in pairs
    ]


def _pair_record(comparison: Comparison, column: int, pair: Pair) -> dict[str, Any]:
    setting = comparison.settings[column]
    return {
        "train_classes": setting.train_classes,
        "ways": setting.ways,
        "shots": setting.shots,
        "first": comparison.entries[pair.first][0].learner,
        "second": comparison.entries[pair.second][0].learner,
        "difference": pair.difference,
        "half_width": pair.half_width,
        "p_value": pair.p_value,
        "p_holm": pair.corrected,
        "told_apart": pair.told_apart,
        "seeds": pair.n_seeds,
    }
