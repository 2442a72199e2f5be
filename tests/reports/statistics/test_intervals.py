"""The intervals: known values, edges, and coverage under the model that they assume."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import logit

from adaptbench.reports.statistics import simulation
from adaptbench.reports.statistics.intervals import (
    crossed_spread,
    episodes_half_width,
    interval,
    mean_squares,
    stack_seeds,
)


def crossed_half_width(scores):
    return crossed_spread([scores], [1.0]).half_width()


def half_width(found):
    return (found.upper - found.lower) / 2


def simulate(rng, n_benchmarks, n_seeds, n_episodes, seed_sd, episode_sd, residual_sd, draw=None):
    """Scores [n_benchmarks, n_seeds, n_episodes] with crossed random effects around zero."""
    draw = draw or rng.standard_normal
    return (
        seed_sd * rng.standard_normal((n_benchmarks, n_seeds, 1))
        + episode_sd * draw((n_benchmarks, 1, n_episodes))
        + residual_sd * rng.standard_normal((n_benchmarks, n_seeds, n_episodes))
    )


def coverage(scores):
    return np.mean(np.abs(scores.mean(axis=(-2, -1))) <= crossed_half_width(scores))


# Standard deviations of seeds, episodes and residuals. With 100 episodes these weigh as accuracies (fractions) do
# with 600, where seeds differ by nothing, by a fifth of a point, ... by five points.
VARIANCES = {
    "seeds alike": (0.0, 0.05, 0.04),
    "seeds differ little": (0.005, 0.05, 0.04),
    "as much as episodes": (0.010, 0.07, 0.05),
    "seeds differ much": (0.025, 0.05, 0.04),
    "seeds dominate": (0.120, 0.05, 0.04),
    "episodes alike": (0.012, 0.0, 0.06),
}


@pytest.mark.parametrize("n_seeds", [3, 10])
@pytest.mark.parametrize("sds", VARIANCES.values(), ids=VARIANCES.keys())
def test_nominal_95_percent_covers_93_to_97_percent(n_seeds, sds):
    """12,000 benchmarks, so that the error of the coverage found is 0.2 points, well below the margin."""
    rng = np.random.default_rng(0)
    batches = [coverage(simulate(rng, 1000, n_seeds, 100, *sds)) for _ in range(12)]
    assert 0.93 <= np.mean(batches) <= 0.97


def test_coverage_holds_for_skewed_episodes_such_as_squared_errors():
    rng = np.random.default_rng(1)

    def skewed(shape):
        return rng.exponential(size=shape) - 1

    scores = simulate(rng, 2000, 3, 600, 0.02, 0.4, 0.2, draw=skewed)
    assert 0.93 <= coverage(scores) <= 0.97


def test_two_seeds_are_honest_rather_than_narrow():
    rng = np.random.default_rng(2)
    scores = simulate(rng, 4000, 2, 300, 0.01, 0.05, 0.04)
    assert 0.925 <= coverage(scores) <= 0.975
    assert np.median(crossed_half_width(scores)) > 2 * np.median(episodes_half_width(scores))


def test_episodes_only_interval_undercovers_when_seeds_differ():
    scores = simulate(np.random.default_rng(3), 2000, 3, 300, 0.01, 0.05, 0.04)
    assert np.mean(np.abs(scores.mean(axis=(-2, -1))) <= episodes_half_width(scores)) < 0.8


def test_mean_squares_agree_with_sums_written_out():
    scores = np.array([[1.0, 2.0, 4.0], [2.0, 5.0, 3.0]])
    grand = scores.mean()
    seeds = sum(3 * (scores[s].mean() - grand) ** 2 for s in range(2)) / 1
    episodes = sum(2 * (scores[:, e].mean() - grand) ** 2 for e in range(3)) / 2
    residual = sum(
        (scores[s, e] - scores[s].mean() - scores[:, e].mean() + grand) ** 2 for s in range(2) for e in range(3)
    )
    assert np.allclose(mean_squares(scores), (seeds, episodes, residual / 2))


def test_seeds_alone_give_students_interval():
    """Without episode effects or residuals the interval is the t interval of the seeds' means."""
    means = np.array([0.1, 0.4, 0.3])
    scores = np.repeat(means[:, None], 50, axis=1)
    expected = stats.t.ppf(0.975, 2) * means.std(ddof=1) / np.sqrt(3)
    assert crossed_half_width(scores) == pytest.approx(expected)


def test_one_seed_is_an_interval_over_episodes():
    row = np.array([0.2, 0.4, 0.9, 0.7])  # not skewed, so that nothing is corrected
    found = interval([row], "real")
    expected = stats.t.ppf(0.975, 3) * row.std(ddof=1) / 2
    assert found.kind == "episodes"
    assert found.episodes_half_width == pytest.approx(expected)
    assert (found.lower, found.upper) == pytest.approx((found.mean - expected, found.mean + expected))


def test_constant_scores_have_no_width():
    found = interval([[1.0] * 5, [1.0] * 5], "real")
    assert (found.mean, half_width(found), found.n_seeds, found.n_episodes) == (1.0, 0.0, 2, 5)
    assert found.kind == "seeds and episodes"


def test_order_of_seeds_and_episodes_does_not_matter():
    scores = np.random.default_rng(4).random((4, 30))
    shuffled = scores[[2, 0, 3, 1]][:, ::-1]
    assert half_width(interval(list(shuffled), "real")) == pytest.approx(half_width(interval(list(scores), "real")))


def test_units_scale_the_interval():
    scores = np.random.default_rng(5).random((3, 40))
    assert crossed_half_width(100 * scores) == pytest.approx(100 * crossed_half_width(scores))


@pytest.mark.parametrize("seeds", [[], [[1.0, 2.0], [1.0]], [[[1.0]]]], ids=["none", "ragged", "not rows"])
def test_ragged_seeds_are_refused(seeds):
    with pytest.raises(ValueError, match="Expected argument `seeds`"):
        stack_seeds(seeds)


@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (3, 1), (5,)])
def test_too_few_scores_are_refused(shape):
    with pytest.raises(ValueError, match="Expected argument `scores`"):
        crossed_half_width(np.zeros(shape))


@given(
    st.lists(st.lists(st.sampled_from([0.0, 0.2, 0.6, 1.0]), min_size=4, max_size=4), min_size=1, max_size=3),
    st.sampled_from(["positive", "fraction"]),
)
def test_intervals_stay_in_the_range_of_their_scores_and_hold_the_mean(rows, scores_are):
    found = interval(rows, scores_are)
    assert 0 <= found.lower <= found.mean <= found.upper
    assert scores_are == "positive" or found.upper <= 1


def test_two_seeds_that_differ_give_an_interval_that_is_wide_and_in_range():
    """Symmetric it was 98.0 ± 24.8: above 100 %."""
    found = interval([np.tile([0.92, 0.98], 50), np.tile([1.0, 1.0], 50)], "fraction")
    assert 0 < found.lower < 0.8
    assert 0.99 < found.upper < 1


def test_ends_lie_as_far_on_the_scale_of_the_range():
    """With symmetric scores and no skewness the ends are mirror images on the logit scale."""
    rows = [np.tile([0.3, 0.5], 30) + shift for shift in (-0.02, 0.0, 0.02)]
    found = interval(rows, "fraction")
    below, above = (logit(found.mean) - logit(found.lower), logit(found.upper) - logit(found.mean))
    assert below == pytest.approx(above)
    assert below == pytest.approx(crossed_half_width(np.stack(rows)) / (found.mean * (1 - found.mean)))


def test_errors_have_the_same_interval_in_every_unit():
    rows = np.random.default_rng(7).exponential(size=(3, 50))
    one, thousand = interval(list(rows), "positive"), interval(list(1000 * rows), "positive")
    assert (thousand.lower, thousand.upper) == pytest.approx((1000 * one.lower, 1000 * one.upper))
    assert one.upper - one.mean > one.mean - one.lower


def test_all_right_says_how_little_can_be_wrong():
    """In 600 perfect episodes at most 3 in 600 may be lost, if the truth is not to be less likely than 5 %."""
    found = interval([np.ones(600)] * 3, "fraction")
    assert (found.mean, found.upper) == (1.0, 1.0)
    assert found.lower == pytest.approx(1 - 3 / 600, abs=5e-5)
    assert interval([np.zeros(600)], "fraction").upper == pytest.approx(3 / 600, abs=5e-5)
    assert interval([np.zeros(9)] * 2, "positive").upper == 0.0


def test_a_mean_that_one_episode_carries_is_called_unreliable():
    row = np.full(100, 0.01)
    assert interval([row + np.linspace(0, 0.01, 100)] * 2, "positive").unreliable == ""
    row[7] = 50.0
    assert "a few episodes carry the mean" in interval([row] * 2, "positive").unreliable
    assert "a few episodes carry the mean" in interval([-row] * 2, "real").unreliable


@pytest.mark.parametrize(("scores_are", "score"), [("positive", -0.1), ("fraction", 1.1), ("fraction", -0.1)])
def test_scores_out_of_range_are_refused(scores_are, score):
    with pytest.raises(ValueError, match="Expected argument `scores` to lie in 0 to"):
        interval([[0.5, score]], scores_are)


@pytest.mark.slow
@pytest.mark.parametrize("mean", [0.2, 0.8, 0.95, 0.995])
@pytest.mark.parametrize(("n_seeds", "n_episodes"), [(1, 600), (2, 600), (3, 100), (5, 600)])
def test_accuracies_are_covered_in_93_to_98_percent(mean, n_seeds, n_episodes):
    scores, truth = simulation.accuracies(np.random.default_rng(0), mean, 1500, n_seeds, n_episodes)
    assert 0.93 - 0.014 <= simulation.coverage(scores, truth, "fraction")[0] <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "n_episodes", "least"),
    [("exponential", 50, 0.94), ("lognormal, sigma 1", 100, 0.94), ("lognormal, sigma 1.5", 50, 0.9),
     ("lognormal, sigma 2", 50, 0.86), ("lognormal, sigma 1.5", 1000, 0.93)],
)  # fmt: skip
def test_heavy_tailed_errors_are_covered(name, n_episodes, least):
    """The symmetric interval covers 84 % at sigma 1.5, and 71 % at sigma 2, with 50 episodes."""
    scores = simulation.errors(np.random.default_rng(0), name, 1500, 3, n_episodes)
    covered, unreliable = simulation.coverage(scores, 1.0, "positive")
    assert covered >= least - 0.014
    assert unreliable > 0.5 or covered > 0.91


@pytest.mark.parametrize("overdispersion", [1.5, 2.5])
def test_lakes_runs_are_covered_over_runs_and_not_over_trials(overdispersion):
    scores = simulation.lake_runs(np.random.default_rng(0), 0.1, overdispersion, 3000, 1)
    assert 0.93 <= simulation.coverage(scores, 0.1, "fraction")[0] <= 0.97
    trials = stats.binomtest(40, 400).proportion_ci()
    over_runs = np.mean([half_width(interval(each, "fraction")) for each in scores[:300]])
    assert over_runs > 1.1 * (trials.high - trials.low) / 2
