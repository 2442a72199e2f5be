"""The table of paired tests between learners."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from adaptbench.reports.comparison.comparison import Comparison
from adaptbench.reports.results.settings import Setting
from adaptbench.reports.statistics.ranking import Pair
from adaptbench.reports.tables.table import ABSENT, Column, Table, TableCell, frame_of, setting_columns


class _Test(NamedTuple):
    """A test between two learners, named, at a setting."""

    setting: Setting
    pair: Pair
    first: str
    second: str


def pair_table(comparison: Comparison, name: str) -> Table | None:
    """The table of paired tests; None if there are none."""
    learners = [row[0].learner for row in comparison.entries]
    tests = [
        _Test(setting, pair, learners[pair.first], learners[pair.second])
        for setting, pairs in zip(comparison.settings, comparison.pairs, strict=True)
        for pair in pairs
    ]
    if not tests:
        return None
    wins: Counter[tuple[str, str]] = Counter()
    tested: Counter[tuple[str, str]] = Counter()
    for test in tests:
        places = [(test.first, test.second), (test.second, test.first)]
        tested.update(places)
        wins[places[comparison.metric.sign * test.pair.difference <= 0]] += test.pair.significant
    return Table(
        name=f"pairs-{name}",
        title=f"Pairs: {comparison.task} ({comparison.protocol})",
        caption=(
            f"Number of settings of {comparison.task} ({comparison.protocol}) at which the learner of a row is better "
            "than, not significantly different from, and worse than the learner of a column: paired tests over seeds "
            "and episodes, Holm-corrected over the pairs of a setting, 5 %."
        ),
        frame=frame_of(_COLUMNS, tests),
        columns=tuple(row[0].label for row in comparison.entries),
        rows=tuple(
            (row[0].label, tuple(_cell(wins, tested, row[0].learner, other) for other in learners))
            for row in comparison.entries
        ),
        corner="better / alike / worse",
    )


def _cell(
    wins: Mapping[tuple[str, str], int], tested: Mapping[tuple[str, str], int], row: str, column: str
) -> TableCell:
    total, better, worse = tested[row, column], wins[row, column], wins[column, row]
    return TableCell(f"{better} / {total - better - worse} / {worse}", better == total) if total else ABSENT


_COLUMNS: tuple[Column[_Test], ...] = (
    *setting_columns(lambda test: test.setting),
    Column("first", lambda test: test.first),
    Column("second", lambda test: test.second),
    Column("difference", lambda test: test.pair.difference),
    Column("half_width", lambda test: test.pair.half_width),
    Column("p_value", lambda test: test.pair.p_value),
    Column("p_holm", lambda test: test.pair.corrected),
    Column("significant", lambda test: test.pair.significant),
    Column("seeds", lambda test: test.pair.n_seeds),
)
