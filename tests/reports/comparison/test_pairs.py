"""One learner against each of the others: few false claims in a whole table, and signs that mean what they say."""

import numpy as np
import pytest

from adaptbench.reports.comparison.comparison import compare
from adaptbench.reports.comparison.detection import choices, parts_of
from adaptbench.reports.comparison.pairs import pairs
from adaptbench.reports.results.manifest import read_suite
from adaptbench.reports.results.runs import read_outcomes
from adaptbench.reports.statistics.best import compare_with_best


@pytest.fixture(scope="module")
def comparisons(finished_quick):
    return compare(read_outcomes(finished_quick.path, read_suite(finished_quick.path)))


def test_differences_are_those_of_the_means(comparisons):
    for comparison in comparisons:
        found = pairs(comparison, "lstm")
        rows = {row[0].learner: row for row in comparison.entries}
        assert len(found) == 3 * len(comparison.settings)
        for (other, column), contrast in found.items():
            mine, theirs = (rows[name][column].interval.mean for name in ("lstm", other))
            difference = np.log(mine / theirs) if comparison.metric.logarithmic else mine - theirs
            assert contrast.estimate == pytest.approx(difference, rel=0.05, abs=0.02)
            assert contrast.significant == (not contrast.lower <= 0 <= contrast.upper)
    assert not pairs(comparisons[0], "nobody")


@pytest.mark.slow
def test_at_most_a_twentieth_of_tables_of_equals_has_a_claim():
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(300):
        means = 0.007 * rng.standard_normal((3, 5, 3, 1)) + 0.1 * rng.standard_normal((3, 1, 1, 100))
        scores = means + 0.06 * rng.standard_normal((3, 5, 1, 100)) + 0.07 * rng.standard_normal((3, 5, 3, 100))
        columns = [
            {-1: dict(enumerate(column[0])), other: dict(enumerate(column[other]))}
            for other in range(1, 5)
            for column in scores
        ]
        tests = compare_with_best(columns, higher_is_better=True)
        wrong += any(test.significant for (test,) in tests)
    assert wrong / 300 <= 0.05 + 2 * (0.05 * 0.95 / 300) ** 0.5


def test_choices_cost_what_every_budget_costs(folder):
    for learner in ("lstm", "attention"):
        for seed in (0, 1):
            for examples in (100, 200):
                cell = folder.plan("omniglot", learner, learner, "a", seed, 50, tests=[(5, 1)], key=examples)
                folder.write_run({**cell, "examples": examples})
                cell["examples"] = examples
    folder.write_suite()
    both, one = (
        [run for run in read_outcomes(folder.path, read_suite(folder.path)) if run.cell.examples in budgets]
        for budgets in ((100, 200), (100,))
    )
    for twice, once in zip(*(choices(compare(runs)[0], 1e6) for runs in (both, one)), strict=True):
        assert twice.seeds == once.seeds and twice.cpu_minutes == pytest.approx(2 * once.cpu_minutes)


def test_choices_cost_less_for_larger_differences(comparisons):
    for comparison in comparisons:
        assert all(parts_of(column, comparison.metric.logarithmic) for column in zip(*comparison.entries, strict=True))
        coarse, fine = (choices(comparison, difference) for difference in (50, 0.01))
        assert [choice.paired for choice in coarse] == [True, False, False, False]
        assert [choice.episodes for choice in coarse] == [60, 60, 120, 300]
        assert all(choice.seeds is None for choice in fine)
        assert all(choice.smallest.keys() == {*range(len(comparison.settings))} for choice in fine)
        assert coarse[1].seeds is None or coarse[1].seeds <= 30
        for large, small in zip(coarse, fine, strict=True):
            assert large.cpu_minutes <= small.cpu_minutes
