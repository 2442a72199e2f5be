"""The marks of a table: one family of comparisons with the best, and columns that cannot be compared left out."""

from dataclasses import replace

import numpy as np
import pytest

from adaptbench.reports.comparison.comparison import compare, mark
from adaptbench.reports.results.manifest import read_suite
from adaptbench.reports.results.metrics import Metric
from adaptbench.reports.results.runs import read_outcomes
from adaptbench.reports.statistics.best import compare_with_best
from adaptbench.reports.statistics.intervals import interval


def read(folder):
    return compare(read_outcomes(folder.path, read_suite(folder.path)))


def family(comparison, columns):
    """The comparisons of these columns, as one family."""
    samples = [{index: row[column].samples for index, row in enumerate(comparison.entries)} for column in columns]
    metric = comparison.metric
    return compare_with_best(samples, higher_is_better=metric.higher_is_better, relative=metric.logarithmic)


def compared(comparison, column):
    return tuple(row[column].test for row in comparison.entries if row[column].test is not None)


@pytest.mark.parametrize("place", [0, 1])
def test_all_columns_of_a_table_are_one_family(quick, place):
    comparison = read(quick)[place]
    for column, expected in enumerate(family(comparison, range(len(comparison.settings)))):
        assert compared(comparison, column) == expected
        means = [row[column].interval.mean for row in comparison.entries]
        best = max(range(len(means)), key=lambda index: comparison.metric.sign * means[index])
        assert [row[column].best for row in comparison.entries] == [index == best for index in range(len(means))]
        assert [row[column].alike for row in comparison.entries] == [
            index != best and not next(test for test in expected if test.learner == index).significant
            for index in range(len(means))
        ]


def test_a_column_whose_conditions_differ_is_no_part_of_the_family(quick):
    quick.finish(quick.find(task="omniglot", train_classes=50, learner="lstm"), selection="best")
    comparison = read(quick)[1]
    assert len(comparison.warnings) == 1 and "selection rules differ" in comparison.warnings[0]
    assert compared(comparison, 0) == compared(comparison, 1) == ()
    assert not any(entry.rank or entry.best or entry.alike for row in comparison.entries for entry in row[:2])
    for column, expected in zip(range(2, 6), family(comparison, range(2, 6)), strict=True):
        assert compared(comparison, column) == expected


def test_a_best_mean_that_is_a_guess_marks_nobody(quick):
    quick.finish(quick.find(task="sinusoid"), at_chance=True)
    entries = read(quick)[0].all_entries()
    assert not any(entry.best or entry.alike for entry in entries)
    assert all(entry.rank is not None for entry in entries)


@pytest.mark.parametrize(("name", "heavy", "marked"), [("nll", True, False), ("nll", False, True), ("mse", True, True)])
def test_no_nll_is_best_where_few_episodes_carry_a_mean(quick, name, heavy, marked):
    metric = Metric.named(name, higher_is_better=False)
    column = []
    for shift, row in enumerate(read(quick)[0].entries):
        rows = [np.linspace(1, 2, 60) + 0.1 * shift + 0.01 * seed for seed in range(2)]
        if heavy:
            rows = [np.where(np.arange(60) == 0, 100.0, row) for row in rows]
        found = interval(rows, metric.scores_are)
        column.append(
            replace(row[0], interval=found, samples=dict(enumerate(rows)), best=False, test=None, alike=False)
        )
    ((*entries,),), (refusal,) = mark([column], metric)
    assert any(entry.best for entry in entries) == marked
    assert ("a few episodes carry the mean" in refusal) == (not marked)
    assert bool(entries[0].interval.unreliable) == heavy
