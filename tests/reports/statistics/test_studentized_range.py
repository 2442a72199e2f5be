"""The range of several means: the values of SciPy, Student's test as its smallest case, and its inverse."""

import numpy as np
import pytest
from scipy import stats

from adaptbench.reports.statistics.studentized_range import LEAST_TAIL, range_critical, range_tail


@pytest.mark.parametrize("groups", [3, 9])
@pytest.mark.parametrize("df", [1.0, 2.4, 16.0, 599.0])
def test_tails_are_scipys(groups, df):
    ratio = np.array([0.5, 2.0, 4.0])
    expected = [stats.studentized_range.sf(np.sqrt(2) * each, groups, df) for each in ratio]
    assert range_tail(ratio, groups, df) == pytest.approx(expected, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("df", [1.0, 3.5, 100.0])
def test_two_means_are_students_test(df):
    ratio = np.array([0.1, 1.0, 3.0, 6.0])
    assert range_tail(ratio, 2, df) == pytest.approx(2 * stats.t.sf(ratio, df), rel=1e-4, abs=1e-10)


def test_ends():
    assert range_tail([0.0, np.inf], 4, 5.0) == pytest.approx([1.0, LEAST_TAIL], rel=1e-4)
    assert range_tail([], 4, []).shape == (0,)


def test_critical_values_are_where_the_tail_is_the_level():
    df = np.array([1.0, 2.0, 8.0, 500.0])
    found = range_critical(0.05 / 6, 9, df)
    assert range_tail(found, 9, df) == pytest.approx(0.05 / 6)
    assert all(np.diff(found) < 0)
