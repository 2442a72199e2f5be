"""One learner against each of the others: paired differences with intervals that hold together."""

from collections.abc import Mapping

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.statistics.best import compare_with_best
from adaptbench.reports.statistics.contrasts import Contrast
from adaptbench.reports.statistics.intervals import Samples


def pairs(comparison: Comparison, learner: str) -> Mapping[tuple[str, int], Contrast]:
    """How much higher a learner's means are than those of each other learner; logarithms where errors are compared.

    Episodes are paired. P-values and intervals are corrected for all pairs and columns of the table.

    Returns:
        The difference by the other learner and the number of the column, where the two may be compared.
    """
    own = next((row for row in comparison.entries if row[0].learner == learner), ())
    places: list[tuple[str, int]] = []
    columns: list[Mapping[int, Samples]] = []
    for index, row in enumerate(comparison.entries):
        for column, (mine, other) in enumerate(zip(own, row, strict=False)):
            if other.learner != learner and _ranked(mine) and _ranked(other):
                places.append((other.learner, column))
                columns.append({-1: mine.samples, index: other.samples})
    metric = comparison.metric
    tests = compare_with_best(columns, higher_is_better=metric.higher_is_better, relative=metric.logarithmic)
    return {
        place: Contrast(
            test.difference if test.learner == -1 else -test.difference, test.half_width, test.p_value, test.n_seeds
        )
        for place, (test,) in zip(places, tests, strict=True)
    }


def _ranked(entry: Entry) -> bool:
    return entry.rank is not None
