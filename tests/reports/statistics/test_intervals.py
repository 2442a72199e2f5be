"""The intervals: known values, edges, and coverage under the model that they assume."""

import numpy as np
import pytest
from scipy import stats

from adaptbench.reports.statistics.intervals import (
    crossed_half_width,
    episodes_half_width,
    interval,
    mean_squares,
    stack_seeds,
)


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
    row = np.array([0.2, 0.4, 0.9, 0.5])
    found = interval([row])
    expected = stats.t.ppf(0.975, 3) * row.std(ddof=1) / 2
    assert found.kind == "episodes"
    assert found.half_width == found.episodes_half_width == pytest.approx(expected)
    assert (found.lower, found.upper) == (found.mean - found.half_width, found.mean + found.half_width)


def test_constant_scores_have_no_width():
    found = interval([[1.0] * 5, [1.0] * 5])
    assert (found.mean, found.half_width, found.n_seeds, found.n_episodes) == (1.0, 0.0, 2, 5)
    assert found.kind == "seeds and episodes"


def test_order_of_seeds_and_episodes_does_not_matter():
    scores = np.random.default_rng(4).random((4, 30))
    shuffled = scores[[2, 0, 3, 1]][:, ::-1]
    assert interval(list(shuffled)).half_width == pytest.approx(interval(list(scores)).half_width)


def test_units_scale_the_interval():
    scores = np.random.default_rng(5).random((3, 40))
    assert crossed_half_width(100 * scores) == pytest.approx(100 * crossed_half_width(scores))


@pytest.mark.parametrize("seeds", [[], [[1.0, 2.0], [1.0]], [[[1.0]]]], ids=["none", "ragged", "not rows"])
def test_ragged_seeds_are_refused(seeds):
    with pytest.raises(ValueError, match="Expected argument `seeds`"):
        stack_seeds(seeds)


@pytest.mark.parametrize("shape", [(1, 5), (3, 1), (5,)])
def test_too_few_scores_are_refused(shape):
    with pytest.raises(ValueError, match="Expected argument `scores`"):
        crossed_half_width(np.zeros(shape))
