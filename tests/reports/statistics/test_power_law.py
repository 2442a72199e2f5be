"""Power laws: known ones are found, intervals cover them, and what the data do not tell is said."""

import numpy as np
import pytest

from adaptbench.reports.statistics.power_law import power_law

SIZES = (10, 20, 50, 100, 200, 400, 800)


def errors(rng, means, seeds=3, spread=0.05):
    """Errors [N, S, E] whose means are about these, with seeds and episodes that differ."""
    of_seed = np.exp(rng.normal(0, spread, (len(means), seeds, 1)))
    hard = np.exp(rng.normal(0, 0.5, 200))
    noise = np.exp(rng.normal(0, 0.1, (len(means), seeds, 200)))
    return np.asarray(means)[:, None, None] * of_seed * noise * hard / hard.mean()


def law(sizes, factor=0.5, exponent=0.4, limit=0.02):
    return factor * np.array(sizes, dtype=float) ** -exponent + limit


def test_a_law_without_noise_is_found():
    found = power_law(SIZES, np.broadcast_to(law(SIZES)[:, None, None], (7, 2, 5)))
    assert found.exponent.value == pytest.approx(0.4, rel=0.03)
    assert found.limit.value == pytest.approx(0.02, rel=0.1)
    assert found.at(np.array(SIZES, dtype=float)) == pytest.approx(law(SIZES), rel=0.01)
    assert found.last_doubling.value == pytest.approx(law([400])[0] - law([800])[0], rel=0.03)
    assert found.first_doubling.value == pytest.approx(law([10])[0] - law([20])[0], rel=0.03)
    assert found.bends_at == pytest.approx((0.5 / 0.02) ** (1 / 0.4), rel=0.3)


def test_intervals_cover_the_law_as_often_as_they_say():
    rng = np.random.default_rng(0)
    held = np.zeros(4)
    for _ in range(60):
        found = power_law(SIZES, errors(rng, law(SIZES)))
        truths = (0.4, 0.02, law([10])[0] - law([20])[0], law([400])[0] - law([800])[0])
        numbers = (found.exponent, found.limit, found.first_doubling, found.last_doubling)
        held += [each.lower <= truth <= each.upper for each, truth in zip(numbers, truths, strict=True)]
    assert (held / 60 >= 0.85).all()


def test_a_curve_that_rises_again_is_no_power_law():
    rng = np.random.default_rng(1)
    bent = law(SIZES) * np.array([1, 1, 1, 1.4, 1, 1, 1])
    assert power_law(SIZES, errors(rng, law(SIZES))).holds
    found = power_law(SIZES, errors(rng, bent))
    assert not found.holds
    assert found.worst_size == 100


def test_a_flat_curve_tells_no_exponent():
    found = power_law(SIZES, errors(np.random.default_rng(2), np.full(7, 0.1)))
    assert not found.known
    assert found.last_doubling.lower <= 0.002


def test_three_sizes_are_too_few():
    with pytest.raises(ValueError, match="at least 4 sizes"):
        power_law(SIZES[:3], np.ones((3, 2, 5)))
