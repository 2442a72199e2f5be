"""Kendall's tau: as scipy computes it, and its interval against simulated suites."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from adaptbench.reports.statistics.agreement import kendall, rank_agreement


def test_tau_is_that_of_scipy():
    rng = np.random.default_rng(1)
    for size in (2, 5, 12):
        first, second = rng.normal(size=(2, size))
        assert kendall(first, second) == pytest.approx(kendalltau(first, second).statistic)


def scores(means, rng, seeds=3, episodes=200, spread=0.01):
    between = spread * rng.normal(size=(len(means), seeds, 1))
    return list(np.asarray(means)[:, None, None] + between + 0.1 * rng.normal(size=(len(means), seeds, episodes)))


def test_learners_far_apart_agree_surely_and_close_ones_do_not():
    rng, means = np.random.default_rng(2), np.linspace(0.2, 0.9, 6)
    assert rank_agreement(scores(means, rng), scores(means, rng)) == (1.0, 1.0, 1.0)
    assert rank_agreement(scores(means, rng), scores(-means, rng)) == (-1.0, -1.0, -1.0)
    tau, lower, upper = rank_agreement(scores([0.5] * 6, rng), scores([0.5] * 6, rng))
    assert lower <= tau <= upper and upper - lower > 0.5
    assert rank_agreement(scores(means, rng, seeds=1), scores(means, rng))[0] == 1.0
