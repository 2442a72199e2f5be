"""Exact posteriors: they equal slow references, and no other predictor is better where they say so."""

import numpy as np
import pytest

from adaptbench.datamodules.base import EvalEpisodes, Sampling, TrainEpisodes
from adaptbench.datamodules.episodes import EpisodeSize
from adaptbench.datamodules.linear_regression import LinearRegressionDataModule
from adaptbench.datamodules.posteriors import of_list, of_normal, of_sinusoids
from adaptbench.datamodules.sinusoid import SinusoidDataModule

NOISE = 0.3
SIZE = EpisodeSize(None, 3, 20)


def make(kind, seed=0, **arguments):
    sampling = Sampling(
        train=TrainEpisodes(shots=(3,), queries=10, pool=130),
        test=EvalEpisodes(shots=(3,), queries=20, episodes=300),
        seed=seed,
    )
    return kind(sampling, noise=NOISE, **arguments)


def support_of(task, episodes):
    batch = task.eval_batch("test", SIZE, episodes)
    return task.linear(batch.inputs[batch.support].double().numpy()), batch.support_y[..., 0].double().numpy()


def weighted(w, z, y):
    """Mean and covariance of w [P, K] weighed by the likelihood of one support set."""
    log = -((y - w @ z.T) ** 2).sum(axis=1) / (2 * NOISE**2)
    share = np.exp(log - log.max())
    share /= share.sum()
    mean = share @ w
    return mean, (w.T * share) @ w - np.outer(mean, mean)


def test_sinusoids_are_integrated_over_amplitude_and_phase():
    task = make(SinusoidDataModule)
    z, y = support_of(task, 6)
    found = of_sinusoids(z, y, NOISE, *task.ranges)
    amplitude, phase = (
        axis.ravel() for axis in np.meshgrid(*((np.arange(1500) + 0.5) / 1500 * (b - a) + a for a, b in task.ranges))
    )
    w = task.weights(np.stack([amplitude, phase], axis=1))
    for episode in range(6):
        mean, covariance = weighted(w, z[episode], y[episode])
        np.testing.assert_allclose(found.mean[episode], mean, atol=2e-4)
        np.testing.assert_allclose(found.covariance[episode], covariance, atol=2e-4)


@pytest.mark.parametrize("width", [0.0, 1e-14, 1e-9, 1e-4])
def test_one_amplitude_is_no_range(width):
    z, y = np.array([[[np.sin(x), -np.cos(x)] for x in (1.0, 2.0)]]), np.array([[1.1, 1.9]])
    phase = (np.arange(200_000) + 0.5) / 200_000 * np.pi
    mean, covariance = weighted(2 * np.stack([np.cos(phase), np.sin(phase)], axis=1), z[0], y[0])
    found = of_sinusoids(z, y, NOISE, (2.0, 2.0 + width), (0.0, np.pi))
    np.testing.assert_allclose(found.mean[0], mean, atol=1e-4)
    np.testing.assert_allclose(found.covariance[0], covariance, atol=1e-4)


def test_little_noise_is_integrated_with_more_points():
    task = make(SinusoidDataModule)
    true = np.array([[2.0, 1.0]])
    z = task.linear(np.linspace(-4, 4, 10)[None, :, None])
    w = task.weights(true)
    found = of_sinusoids(z, z @ w[0], 0.003, *task.ranges)
    np.testing.assert_allclose(found.mean, w, atol=0.005)


def test_a_list_weighs_each_function_by_its_likelihood():
    task = make(SinusoidDataModule, train_functions=37)
    z, y = support_of(task, 5)
    w = task.weights(task.functions)
    found = of_list(z, y, NOISE, w)
    for episode in range(5):
        mean, covariance = weighted(w, z[episode], y[episode])
        np.testing.assert_allclose(found.mean[episode], mean, atol=1e-9)
        np.testing.assert_allclose(found.covariance[episode], covariance, atol=1e-9)


def test_linear_regression_is_ridge_regression():
    z, y = support_of(make(LinearRegressionDataModule), 4)
    found = of_normal(z, y, NOISE)
    for episode in range(4):
        ridge = np.linalg.solve(z[episode].T @ z[episode] + NOISE**2 * np.eye(8), z[episode].T @ y[episode])
        np.testing.assert_allclose(found.mean[episode], ridge, atol=1e-9)


@pytest.mark.parametrize("kind", [SinusoidDataModule, LinearRegressionDataModule])
def test_each_predictor_is_the_best_where_its_functions_are_those_of_the_test(kind):
    task = make(kind, train_functions=20)
    errors = {}
    for part in ("test", "seen"):
        batch = task.eval_batch(part, SIZE, 300)
        for knows in ("all", "training"):
            mean, scale = task.posterior(batch.without_targets(), knows)
            deviation = ((batch.query_y - mean) / scale).numpy()
            errors[part, knows] = float(((batch.query_y - mean) ** 2).mean())
            if (part, knows) in (("test", "all"), ("seen", "training")):
                assert np.square(deviation).mean() == pytest.approx(1.0, abs=0.1)
    assert NOISE**2 < errors["test", "all"] < errors["test", "training"]
    assert NOISE**2 < errors["seen", "training"] < errors["seen", "all"]
    assert errors["test", "all"] < task.chance(SIZE)


def test_linear_regression_says_what_a_guess_costs():
    task = make(LinearRegressionDataModule, train_functions=20)
    for part in ("test", "seen"):
        batch = task.eval_batch(part, SIZE, 4000)
        centre = task.functions.mean(axis=0) if part == "seen" else np.zeros(8)
        guess = batch.inputs[batch.query].double().numpy() @ centre
        error = np.square(batch.query_y[..., 0].numpy() - guess).mean()
        assert task.chance(SIZE, part) == pytest.approx(error, rel=0.05)


def test_without_noise_there_is_no_posterior():
    task = make(SinusoidDataModule)
    task.noise = 0.0
    with pytest.raises(ValueError, match="`noise` to be above zero"):
        task.posterior(task.eval_batch("test", SIZE, 2), "all")
