"""Collapsed seeds: which are named, and that seeds which merely differ are not."""

import pytest

from adaptbench.reports.statistics import simulation
from adaptbench.reports.statistics.collapsed import collapsed_seeds


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ((0.90, 0.21, 0.91), (1,)),
        ((0.20, 0.91), (0,)),
        ((0.9, 0.2, 0.92, 0.22, 0.91), (1, 3)),
        ((0.9, 0.2, 0.2), ()),  # most are down: then it is the learner
        ((0.90, 0.85, 0.91), ()),
        ((0.21, 0.20, 0.19), ()),
        ((0.9, 0.5, 0.7), ()),  # they spread, none stands apart
        ((0.9,), ()),
        ((), ()),
    ],
)
def test_accuracies(means, expected):
    assert collapsed_seeds(dict(enumerate(means)), 0.2, 1.0) == expected


def test_errors():
    assert collapsed_seeds({3: 0.02, 5: 3.9, 8: 0.05}, 4.2, 0.0) == (5,)
    assert collapsed_seeds({3: 0.02, 5: 99.0, 8: 0.05}, 4.2, 0.0) == (5,)
    assert collapsed_seeds({3: 5.0, 5: 7.0}, 4.2, 0.0) == (), "the other is worse than a guess, too"
    assert collapsed_seeds({3: 0.02, 5: 0.2, 8: 0.05}, 4.2, 0.0) == ()


@pytest.mark.parametrize(("gain", "spread", "most"), [(0.7, 0.007, 0.0), (0.3, 0.03, 0.001), (0.05, 0.03, 0.02)])
def test_normal_seeds_are_hardly_ever_called_collapsed(gain, spread, most):
    assert simulation.false_alarms(3, gain, spread, n=1000) <= most
