"""Gaussian process regression against the posterior written out, and what it refuses."""

import numpy as np
import pytest
import torch

from adaptbench.lit_modules.gaussian_process import GaussianProcess

ARGUMENTS = {"length": 1.5, "signal": 2.0, "noise": 0.3}


@pytest.mark.parametrize("task", ["gaussian"], indirect=True)
def test_the_posterior_is_that_of_the_textbook(network, batch):
    prediction = GaussianProcess(network, 1, **ARGUMENTS).predict(batch)
    for episode, (support, y, query) in enumerate(zip(batch.support, batch.support_y, batch.query, strict=True)):
        x, asked = (batch.inputs[rows, 0].double().numpy() for rows in (support, query))
        kernel = lambda a, b: 4.0 * np.exp(-((a[:, None] - b) ** 2) / (2 * 1.5**2))  # noqa: E731
        inverse = np.linalg.inv(kernel(x, x) + 0.09 * np.eye(len(x)))
        mean = kernel(asked, x) @ inverse @ y[:, 0].double().numpy()
        variance = np.diag(kernel(asked, asked) - kernel(asked, x) @ inverse @ kernel(x, asked)) + 0.09
        likelihood = torch.distributions.Normal(torch.tensor(mean), torch.tensor(variance).sqrt())
        found = network.likelihood.nll(prediction[episode], batch.query_y[episode])
        torch.testing.assert_close(
            found.double(), -likelihood.log_prob(batch.query_y[episode, :, 0].double()), rtol=1e-4, atol=1e-4
        )
        np.testing.assert_allclose(network.likelihood.point(prediction[episode])[:, 0], mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("task", ["gaussian"], indirect=True)
def test_a_far_query_has_the_mean_and_scale_of_the_prior(network, batch):
    far = batch._replace(inputs=batch.inputs.index_fill(0, batch.query[0], 1e4))
    mean, raw = GaussianProcess(network, 1, **ARGUMENTS).predict(far)[0].chunk(2, dim=-1)
    torch.testing.assert_close(mean, torch.zeros_like(mean))
    torch.testing.assert_close(torch.nn.functional.softplus(raw) + 0.01, torch.full_like(raw, 4.09**0.5))


@pytest.mark.parametrize("task", ["gaussian"], indirect=True)
@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_that_are_not_positive_are_refused(network, name):
    with pytest.raises(ValueError, match=f"`{name}` to be positive but got 0.0"):
        GaussianProcess(network, 1, **{**ARGUMENTS, name: 0.0})


@pytest.mark.parametrize("task", ["categorical"], indirect=True)
def test_classes_are_refused(network):
    with pytest.raises(ValueError, match="a task of regression for the control `gaussian_process`"):
        GaussianProcess(network, 3)
