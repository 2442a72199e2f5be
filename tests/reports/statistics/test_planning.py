"""The planner: variance parts from scores, and the power that it promises."""

import numpy as np
import pytest

from adaptbench.reports.statistics.best import compare_with_best
from adaptbench.reports.statistics.planning import VarianceParts, detectable_difference, variance_parts

PARTS = VarianceParts(seeds=0.007**2, episodes=2 * 0.06**2, residual=0.07**2)


def simulate(rng, n, behind, n_seeds, n_episodes):
    """Accuracies [N, L, S, E] with the parts above; all learners share what makes an episode hard."""
    n_learners = len(behind)
    return (
        -np.asarray(behind)[:, None, None]
        + 0.007 * rng.standard_normal((n, n_learners, n_seeds, 1))
        + 0.1 * rng.standard_normal((n, 1, 1, n_episodes))
        + 0.06 * rng.standard_normal((n, n_learners, 1, n_episodes))
        + 0.07 * rng.standard_normal((n, n_learners, n_seeds, n_episodes))
    )


def test_variance_parts_are_found_again():
    found = [variance_parts(*each) for each in simulate(np.random.default_rng(0), 300, [0, 0.1], 5, 200)]
    assert np.mean([each.seeds for each in found]) == pytest.approx(PARTS.seeds, rel=0.15)
    assert np.mean([each.episodes for each in found]) == pytest.approx(PARTS.episodes, rel=0.05)
    assert np.mean([each.residual for each in found]) == pytest.approx(PARTS.residual, rel=0.05)


@pytest.mark.parametrize("shapes", [((1, 9), (3, 9)), ((3, 9), (3, 8))])
def test_too_little_to_learn_parts_from_is_refused(shapes):
    with pytest.raises(ValueError, match="Expected arguments `first` and `second`"):
        variance_parts(*(np.zeros(shape) for shape in shapes))


def test_more_seeds_episodes_and_fewer_learners_detect_less():
    base = detectable_difference(PARTS, 3, 600, learners=4)
    assert detectable_difference(PARTS, 5, 600, learners=4) < base
    assert detectable_difference(PARTS, 3, 2000, learners=4) < base
    assert detectable_difference(PARTS, 3, 600, learners=9) > base
    assert detectable_difference(PARTS, 3, 600, learners=4, columns=2) > base


def test_too_few_are_refused():
    with pytest.raises(ValueError, match="at least 2 but got 1, 600 and 2"):
        detectable_difference(PARTS, 1, 600)


def test_more_seeds_of_one_learner_help_up_to_what_the_others_have():
    both, one, none = (detectable_difference(PARTS, n, 600, others=m) for n, m in ((10, 10), (10, 3), (3, 3)))
    assert both < one < none
    assert detectable_difference(PARTS, 3, 600, others=3) == detectable_difference(PARTS, 3, 600)


@pytest.mark.slow
def test_promised_power_holds_for_a_learner_with_more_seeds_than_the_others():
    difference = detectable_difference(PARTS, 10, 300, others=3, learners=4)
    found = []
    for scores in simulate(np.random.default_rng(1), 200, [0.0] + [difference] * 3, 10, 300):
        seeds = (3, 10, 3, 3)
        column = {i: dict(enumerate(each[:n])) for i, (each, n) in enumerate(zip(scores, seeds, strict=True))}
        (tests,) = compare_with_best([column], higher_is_better=True)
        found.append(next(test.significant for test in tests if test.learner == 1))
    assert 0.7 <= np.mean(found) <= 0.9


@pytest.mark.slow
@pytest.mark.parametrize(("n_learners", "n_seeds", "n_episodes"), [(2, 10, 300), (4, 3, 300), (9, 5, 200)])
def test_promised_power_is_what_simulation_finds(n_learners, n_seeds, n_episodes):
    difference = detectable_difference(PARTS, n_seeds, n_episodes, learners=n_learners)
    behind = [0.0] + [difference] * (n_learners - 1)
    found = []
    for scores in simulate(np.random.default_rng(1), 150, behind, n_seeds, n_episodes):
        (tests,) = compare_with_best(
            [{i: dict(enumerate(each)) for i, each in enumerate(scores)}], higher_is_better=True
        )
        found.append(np.mean([test.significant for test in tests]))
    assert 0.7 <= np.mean(found) <= 0.9
