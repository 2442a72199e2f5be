"""Comparisons with the best: who is called worse, how often wrongly, and what they take no notice of."""

import numpy as np
import pytest

from adaptbench.reports.statistics import simulation
from adaptbench.reports.statistics.best import compare_with_best, difference_error, seed_variances
from adaptbench.reports.statistics.contrasts import contrast

EPISODES = np.random.default_rng(0).normal(0, 0.1, 200)


def column(means, sd=0.002, n_seeds=3, start=0, residual=0.02):
    """Learners of these means on the same episodes."""
    rng = np.random.default_rng(start)
    return {
        index: {seed: mean + sd * rng.normal() + EPISODES + residual * rng.normal(size=200) for seed in range(n_seeds)}
        for index, mean in enumerate(means)
    }


def worse(tests):
    return [test.learner for test in tests if test.significant]


def test_who_is_far_behind_is_worse_and_who_is_near_is_not():
    (tests,) = compare_with_best([column([0.7, 0.9, 0.9, 0.6])], higher_is_better=True)
    assert {test.best for test in tests} <= {1, 2}
    assert worse(tests) == [0, 3]
    assert all(test.significant == (abs(test.difference) > test.half_width) for test in tests)
    (tests,) = compare_with_best([column([0.7, 0.9, 0.9, 0.6])], higher_is_better=False)
    assert ({test.best for test in tests}, worse(tests)) == ({3}, [0, 1, 2])


def test_more_columns_ask_for_more_evidence():
    one = column([0.9, 0.88, 0.9])
    alone = compare_with_best([one], higher_is_better=True)[0]
    among = compare_with_best([one, column([0.9, 0.88, 0.9], start=1)], higher_is_better=True)[0]
    assert [test.difference for test in alone] == [test.difference for test in among]
    assert all(first.half_width < second.half_width for first, second in zip(alone, among, strict=True))


def test_columns_may_be_empty_or_hold_one_learner():
    assert compare_with_best([], higher_is_better=True) == ()
    tests = compare_with_best([{}, column([0.9]), column([0.9, 0.5])], higher_is_better=True)
    assert tests[:2] == ((), ())
    assert tests[2] == compare_with_best([column([0.9, 0.5])], higher_is_better=True)[0]


def test_one_seed_is_tested_over_episodes():
    pair = column([0.9, 0.88], n_seeds=1)
    ((test,),) = compare_with_best([pair], higher_is_better=True)
    expected = contrast([np.stack([pair[1][0] - pair[0][0]])], [1.0])
    assert test.n_seeds == 1
    assert test.difference == pytest.approx(expected.estimate)
    assert test.half_width == pytest.approx(expected.half_width, rel=1e-4)


def test_a_learner_with_one_seed_borrows_what_is_typical():
    some = column([0.9, 0.9, 0.9, 0.5])
    some[3] = {0: some[3][0]}
    tests = compare_with_best([some], higher_is_better=True)[0]
    assert 3 in worse(tests)
    assert min(test.n_seeds for test in tests) == 1


def test_seeds_need_not_be_the_same():
    some = column([0.9, 0.8])
    other = {0: some[0], 1: {seed + 7: row for seed, row in some[1].items()}}
    assert compare_with_best([some], higher_is_better=True) == compare_with_best([other], higher_is_better=True)


def test_a_learner_without_seeds_keeps_its_own_variance():
    """A deterministic one neither gets the others' variance nor lowers what is typical."""
    variances = np.array([[0.0, 0.0, 0.0, 4.0, 4.0]])
    found = seed_variances(variances, np.full((1, 5), 2))
    assert list(found[0, :3]) == [0, 0, 0]
    assert found[0, 3] == found[0, 4] >= 4.0
    (tests,) = compare_with_best(
        [{i: {s: np.full(9, v) for s in (0, 1)} for i, v in enumerate((0.2, 0.9))}], higher_is_better=True
    )
    assert worse(tests) == [0]


def test_rounding_is_no_variance():
    """Else seven learners without a seed's effect would make what is typical vanish for the two that have one."""
    exact = column([0.9, 0.9]) | {i: {s: 0.5 + EPISODES for s in range(3)} for i in range(2, 9)}
    rounded = exact | {i: {s: 0.5 + EPISODES + s * 1e-16 for s in range(3)} for i in range(2, 9)}
    widths = [
        [test.half_width for test in compare_with_best([some], higher_is_better=True)[0]] for some in (exact, rounded)
    ]
    assert widths[0] == pytest.approx(widths[1])


def test_a_variance_that_is_small_by_chance_is_not_believed():
    found = seed_variances(np.array([[1.0, 1.0, 1e-6, 100.0]]), np.full((1, 4), 2))[0]
    assert found[2] == found[0] >= 1.0
    assert found[3] == 100.0


def test_a_learner_that_varies_in_other_columns_is_not_trusted_in_this_one():
    found = seed_variances(np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 99.0]]), np.full((2, 4), 2))
    assert found[0, 3] > 20 * found[0, 0]


def test_unknown_variances_are_those_that_are_typical():
    found = seed_variances(np.array([[np.nan, 2.0, 2.0]]), np.array([[1, 2, 2]]))
    assert found[0, 0] == found[0, 1]
    assert (seed_variances(np.full((1, 3), np.nan), np.ones((1, 3))) == 0).all()


def test_degrees_of_freedom_add_up_where_parts_are_alike():
    error, df = difference_error((3.0, 1.0, 0.0), (2.0, 2.0, 99.0))
    assert (error, df) == (2.0, pytest.approx(16 / (9 / 2 + 1 / 2)))
    assert difference_error((0.0, 0.0, 0.0), (2.0, 2.0, 99.0)) == (0.0, 99.0)


def test_errors_are_compared_by_the_ratio_of_their_means():
    """Not by a mean of logarithms: the second is better in most episodes, and twice as bad in the mean."""
    first = np.ones(100)
    second = np.where(np.arange(100) % 10 == 0, 15.5, 0.5)
    rng = np.random.default_rng(0)
    seeds = {
        index: {seed: row * rng.uniform(0.99, 1.01) for seed in range(5)} for index, row in enumerate((first, second))
    }
    ((test,),) = compare_with_best([seeds], higher_is_better=False, relative=True)
    assert (test.learner, test.best) == (1, 0)
    assert np.exp(test.difference) == pytest.approx(2.0, rel=0.02)
    scaled = {index: {seed: 1000 * row for seed, row in rows.items()} for index, rows in seeds.items()}
    ((same,),) = compare_with_best([scaled], higher_is_better=False, relative=True)
    assert same.p_value == pytest.approx(test.p_value)


def test_an_error_of_zero_is_the_best_and_all_others_are_worse():
    errors = {0: {s: np.zeros(50) for s in range(3)}, 1: {s: np.full(50, 0.1 + s / 1e3) for s in range(3)}}
    ((test,),) = compare_with_best([errors], higher_is_better=False, relative=True)
    assert (test.best, test.significant) == (0, True)


def test_best_is_the_best_mean_as_printed():
    """With errors of 1, 1 and 7 against 2.9 each the mean is 3 against 2.9, though the mean logarithm is lower."""
    errors = {0: {s: np.full(20, v) for s, v in enumerate((1.0, 1.0, 7.0))}, 1: {s: np.full(20, 2.9) for s in range(3)}}
    ((test,),) = compare_with_best([errors], higher_is_better=False, relative=True)
    assert (test.best, test.significant) == (1, False)


@pytest.mark.parametrize("lengths", [(5, 6), (1, 1)])
def test_unequal_or_single_episodes_are_refused(lengths):
    some = {index: {0: np.zeros(length)} for index, length in enumerate(lengths)}
    with pytest.raises(ValueError, match="Expected argument `columns`"):
        compare_with_best([some], higher_is_better=True)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [1, 3, 6])
@pytest.mark.parametrize("spread", simulation.SPREADS.values(), ids=simulation.SPREADS.keys())
def test_at_most_5_percent_of_tables_hold_a_false_claim(spread, columns):
    """Learners that are alike; the margin is 2.5 standard errors of the rate found in 1,500 tables."""
    for learners, seeds in ((4, 3), (9, 3), (4, 10)):
        rate = simulation.false_claims(learners, seeds, columns, spread(learners), tables=1500)
        assert rate <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 1500)


@pytest.mark.slow
@pytest.mark.parametrize("n_alike", [2, 3])
def test_some_that_are_alike_are_not_called_worse_beside_others_that_are(n_alike):
    behind = np.where(np.arange(9) < n_alike, 0.0, 8.0)
    found = simulation.claims(9, 3, 3, np.ones(9), behind, 1500)
    assert found[:, :, :n_alike].any(axis=(1, 2, 3)).mean() <= 0.05


@pytest.mark.slow
def test_eight_points_are_found_with_nine_learners_and_three_seeds():
    assert simulation.power(9, 3, 1, 8.0) > 0.98
    assert simulation.power(9, 3, 6, 8.0) > 0.88
    assert simulation.power(9, 5, 6, 4.0) > 0.88


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lognormal, sigma 1", "Pareto, exponent 1.5"])
def test_heavy_tailed_errors_hold_the_level_and_twice_the_error_is_found(name):
    assert simulation.error_claims(name, 1.0, 150) <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 150)
    assert simulation.error_claims(name, 2.0, 50) > 0.8


def test_a_collapsed_seed_hides_its_learner_alone():
    """The others are compared as before, and the one whose third seed failed is not called worse: it is uncertain."""
    some = column([0.9, 0.8, 0.9, 0.9, 0.9])
    some[4][2] = some[4][2] - 0.7
    (tests,) = compare_with_best([some], higher_is_better=True)
    assert worse(tests) == [1]
