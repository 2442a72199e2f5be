"""Paired differences: their level by simulation, known values, Holm's correction, comparisons with the first."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from adaptbench.reports.statistics.contrasts import (
    LEAST_P,
    TEST_EXPONENT,
    compare_with_first,
    contrast,
    contrasts,
    holm,
)
from adaptbench.reports.statistics.intervals import crossed_spread

# Standard deviations of differences: of seeds, of episodes, and the rest.
VARIANCES = {
    "seeds alike": (0.0, 0.05, 0.04),
    "as much as episodes": (0.010, 0.07, 0.05),
    "seeds differ": (0.05, 0.05, 0.04),
    "seeds dominate": (0.120, 0.05, 0.04),
    "episodes alike": (0.012, 0.0, 0.06),
}


def simulate(rng, n, n_seeds, sds, n_episodes=100):
    """Differences [n, S, E] between learners that are alike on average."""
    seeds, episodes, rest = (
        sd * rng.standard_normal((n, *shape))
        for sd, shape in zip(sds, ((n_seeds, 1), (1, n_episodes), (n_seeds, n_episodes)), strict=True)
    )
    return seeds + episodes + rest


@pytest.mark.parametrize("n_seeds", [2, 3, 10])
@pytest.mark.parametrize("sds", VARIANCES.values(), ids=VARIANCES.keys())
def test_learners_that_are_alike_are_significantly_different_in_at_most_5_percent(n_seeds, sds):
    """12,000 benchmarks; the margin is 2.5 standard errors of the rate found."""
    rng = np.random.default_rng(0)
    rates = []
    for _ in range(12):
        scores = simulate(rng, 1000, n_seeds, sds)
        half_width = crossed_spread([scores], [1.0]).half_width(TEST_EXPONENT)
        rates.append(np.mean(np.abs(scores.mean(axis=(-2, -1))) > half_width))
    assert np.mean(rates) <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 12_000)


def test_comparisons_with_the_first_err_in_at_most_5_percent_of_tables():
    """Five learners that are alike: any significant difference is an error of the table."""
    rng = np.random.default_rng(1)
    errors = 0
    for _ in range(400):
        column = {index: dict(enumerate(simulate(rng, 1, 3, (0.01, 0.0, 0.05), 50)[0])) for index in range(5)}
        errors += any(test.significant for test in compare_with_first([column], relative=False)[0].values())
    assert errors / 400 <= 0.05


def test_a_difference_that_is_there_is_found():
    rng = np.random.default_rng(2)
    scores = simulate(rng, 300, 5, (0.01, 0.05, 0.04)) + 0.04
    assert np.mean([contrast([each], [1.0]).significant for each in scores]) > 0.9


def test_interval_leaves_zero_out_just_where_p_is_below_5_percent():
    rng = np.random.default_rng(3)
    found = contrasts([[each] for each in simulate(rng, 300, 3, (0.02, 0.05, 0.04)) + 0.03], [[1.0]] * 300)
    outside = [abs(each.estimate) > each.half_width for each in found]
    assert outside == [each.significant for each in found]
    assert 0 < sum(outside) < 300


def test_seeds_alone_give_students_test():
    values = np.array([0.1, 0.4, 0.3])
    found = contrast([np.repeat(values[:, None], 50, axis=1)], [1.0])
    assert found.p_value == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue)


def test_one_seed_gives_students_test_over_episodes():
    row = np.random.default_rng(4).normal(0.2, 1.0, size=40)
    found = contrast([row[None]], [1.0])
    assert found.p_value == pytest.approx(stats.ttest_1samp(row, 0.0).pvalue)
    assert found.n_seeds == 1


def test_sets_of_episodes_add_up():
    """Two sets that hold the same scores, weighed +1 and -1, differ by nothing; weighed 1/2 each, they are one."""
    scores = simulate(np.random.default_rng(5), 1, 4, (0.1, 0.2, 0.1))[0]
    assert contrast([scores, scores], [1.0, -1.0]).estimate == 0.0
    halves = contrast([scores, scores], [0.5, 0.5])
    whole = contrast([scores], [1.0])
    assert halves.estimate == pytest.approx(whole.estimate)
    assert halves.half_width < whole.half_width  # independent sets: the episodes' part is halved


def test_extreme_differences_have_the_least_p():
    alike = np.zeros((3, 10))
    assert contrast([alike + 1.0], [1.0]).p_value == LEAST_P
    assert contrast([alike], [1.0]).p_value == 1.0


@pytest.mark.parametrize(
    ("raw", "expected"),
    [([], []), ([0.04], [0.04]), ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]), ([0.5, 0.9], [1.0, 1.0])],
)
def test_holm_by_hand(raw, expected):
    assert holm(raw) == pytest.approx(expected)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_lowers_a_p_and_keeps_their_order(raw):
    corrected = holm(raw)
    assert all(corrected >= np.array(raw) - 1e-15)
    assert all(corrected <= 1)
    order = np.argsort(raw, kind="stable")
    assert all(np.diff(corrected[order]) >= 0)


def test_pairs_are_taken_seed_by_seed():
    """Seeds in another order are the same seeds; a seed that only one has is left out."""
    rng = np.random.default_rng(6)
    rows = {seed: rng.random(20) for seed in range(3)}
    other = {seed: row - 0.25 for seed, row in reversed(rows.items())}
    (found,) = compare_with_first([{0: rows, 1: other | {9: rng.random(20)}}], relative=False)
    assert (found[1].estimate, found[1].n_seeds, found[1].significant) == (pytest.approx(-0.25), 3, True)
    assert (found[1].lower, found[1].upper) == pytest.approx((-0.25, -0.25))
    assert compare_with_first([{0: {0: rows[0]}, 1: {1: rows[1]}}, {1: rows}, {}], relative=False) == ({}, {}, {})


def test_errors_are_compared_with_the_first_as_ratios_of_means():
    rng = np.random.default_rng(7)
    rows = {seed: rng.random(20) for seed in range(3)}
    (found,) = compare_with_first([{0: rows, 1: {seed: 3 * row for seed, row in rows.items()}}], relative=True)
    assert np.exp(found[1].estimate) == pytest.approx(3)


def test_columns_share_the_correction():
    rng = np.random.default_rng(8)
    column = {index: dict(enumerate(simulate(rng, 1, 3, (0.01, 0.0, 0.05), 50)[0])) for index in range(3)}
    alone, (first, _) = (compare_with_first([column] * n, relative=False) for n in (1, 2))
    assert all(first[index].p_value >= alone[0][index].p_value for index in (1, 2))
    assert first[1].half_width == alone[0][1].half_width, "intervals are uncorrected"
