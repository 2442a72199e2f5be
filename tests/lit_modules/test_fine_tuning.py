"""Fine-tuning: side by side, episodes get what each would get alone, and the pretrained network stays as it is."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from adaptbench.datamodules.episodes import EpisodeBatch
from adaptbench.lit_modules.fine_tuning import FineTuning
from adaptbench.lit_modules.likelihoods import LIKELIHOODS, SCALE_FLOOR

EPISODES, WAYS, QUERIES = 5, 3, 4  # as conftest.py makes them
MOVES = ["head", "all"]


@pytest.fixture(params=MOVES)
def moves(request):
    return request.param


@pytest.fixture
def adapter(network, targets, moves):
    """Makes an adapter of the network."""
    return lambda **arguments: FineTuning(network, targets, **{"moves": moves, "steps": 5, **arguments})


class PlainLoop:
    """Fine-tuning as one would write it for a single episode, with ordinary modules and a copy of everything."""

    def __init__(self, network, *, moves, steps=5, lr=0.01, weight_decay=0.0, scale=10.0):
        self.network, self.moves, self.steps, self.lr, self.weight_decay = network, moves, steps, lr, weight_decay
        self.regression, self.scale = network.likelihood is LIKELIHOODS["gaussian"], scale

    def predict_one(self, support, support_y, query):
        encoder = copy.deepcopy(self.network.encoder).eval()
        head = copy.deepcopy(self.network.head) if self.regression else self.fresh_head(support_y.shape[-1])
        moving = list(head.parameters()) + (list(encoder.parameters()) if self.moves == "all" else [])
        optimizer = torch.optim.Adam(moving, lr=self.lr, weight_decay=self.weight_decay)
        for _ in range(self.steps):
            output = self.output(encoder, head, support)
            loss = F.mse_loss(output, support_y) if self.regression else F.cross_entropy(output, support_y.argmax(-1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return self.output(encoder, head, query).detach()

    def fresh_head(self, ways):
        head = nn.Linear(self.network.features, ways)
        nn.init.zeros_(head.weight), nn.init.zeros_(head.bias)
        return head

    def output(self, encoder, head, inputs):
        features = encoder(inputs)
        if not self.regression:
            features = self.scale * features / features.norm(dim=-1, keepdim=True).clamp_min(1e-12)  # all may die
        return head(features)

    def predict(self, batch):
        episodes = zip(batch.support, batch.support_y, batch.query, strict=True)
        return torch.stack([self.predict_one(batch.inputs[s], y, batch.inputs[q]) for s, y, q in episodes])


def means(prediction, task):
    return LIKELIHOODS[task].point(prediction) if task == "gaussian" else prediction


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_side_by_side_equals_a_plain_loop(adapter, network, batch, task, moves, weight_decay):
    expected = PlainLoop(network, moves=moves, weight_decay=weight_decay).predict(batch)
    prediction = means(adapter(weight_decay=weight_decay).predict(batch), task)
    torch.testing.assert_close(prediction, expected, rtol=1e-4, atol=1e-5)
    unmoved = means(adapter(steps=0).predict(batch), task)
    assert (prediction - unmoved).abs().max() > 0.05


def test_prediction_has_the_shape_that_the_likelihood_reads(adapter, batch, task):
    likelihood = LIKELIHOODS[task]
    prediction = adapter().predict(batch)
    assert prediction.shape == (EPISODES, QUERIES, likelihood.outputs(batch.query_y.shape[-1]))
    assert not prediction.requires_grad and prediction.isfinite().all()
    assert likelihood.nll(prediction, batch.query_y).isfinite().all()


def test_a_query_does_not_see_the_others(adapter, batch):
    alone = adapter().predict(batch._replace(query=batch.query[:, 1:2], query_y=batch.query_y[:, 1:2]))
    torch.testing.assert_close(adapter().predict(batch)[:, 1:2], alone, rtol=1e-4, atol=1e-5)


def test_query_targets_are_not_looked_at(adapter, batch):
    unknown = batch._replace(query_y=torch.full_like(batch.query_y, torch.nan))
    assert torch.equal(adapter().predict(unknown), adapter().predict(batch))


def test_episodes_do_not_see_each_other(adapter, batch):
    together = adapter().predict(batch)
    alone = torch.cat([adapter().predict(batch.episodes(slice(i, i + 1))) for i in range(EPISODES)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("episodes_at_once", [1, 2, 100])
def test_how_many_are_adapted_at_once_does_not_matter(adapter, batch, episodes_at_once):
    some = adapter(episodes_at_once=episodes_at_once).predict(batch)
    torch.testing.assert_close(some, adapter().predict(batch), rtol=1e-4, atol=1e-5)


def test_adapting_twice_gives_the_same(adapter, batch):
    one = adapter()
    assert torch.equal(one.predict(batch), one.predict(batch))


def test_no_steps_predict_with_the_initial_head(adapter, network, batch, task):
    prediction = adapter(steps=0).predict(batch)
    if task == "categorical":
        assert torch.equal(prediction, torch.zeros(EPISODES, QUERIES, WAYS))
    else:
        with torch.no_grad():
            expected = network.head(network.encoder(batch.inputs))[batch.query]
        torch.testing.assert_close(means(prediction, task), expected)


@pytest.mark.parametrize("task", ["gaussian"], indirect=True)
def test_regression_predicts_with_a_scale_of_one(network, batch):
    raw_scale = FineTuning(network, 1, steps=1).predict(batch)[..., 1]
    torch.testing.assert_close(F.softplus(raw_scale) + SCALE_FLOOR, torch.ones(EPISODES, QUERIES))


@pytest.mark.parametrize("training", [True, False])
def test_the_network_stays_as_it_is(adapter, network, batch, training):
    network.train(training)
    before = copy.deepcopy(network.state_dict())
    adapter().predict(batch)
    assert all(module.training == training for module in network.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_any_gradient_mode_will_do(adapter, batch, mode):
    expected = adapter().predict(batch)
    with mode():
        enabled = torch.is_grad_enabled()
        torch.testing.assert_close(adapter().predict(batch), expected)
        assert torch.is_grad_enabled() == enabled


def test_episodes_made_under_inference_mode_can_be_adapted_to(adapter, batch):
    expected = adapter().predict(batch)
    with torch.inference_mode():
        inference = EpisodeBatch(*(field.clone() for field in batch))
        prediction = adapter().predict(inference)
    torch.testing.assert_close(prediction, expected)


def test_steps_fit_the_support_set(adapter, batch, task):
    score = LIKELIHOODS[task].nll
    on_support = batch._replace(query=batch.support, query_y=batch.support_y)
    before, after = (score(adapter(steps=n).predict(on_support), batch.support_y).mean() for n in (0, 100))
    assert after < before - 0.05


@pytest.mark.parametrize("task", ["categorical"], indirect=True)
def test_normalising_does_not_depend_on_the_length_of_features(network, batch):
    before = [FineTuning(network, WAYS, steps=5, normalize=normalize).predict(batch) for normalize in (True, False)]
    for parameter in network.encoder[-3].parameters():  # the last batch norm
        parameter.data.mul_(3.0)
    after = [FineTuning(network, WAYS, steps=5, normalize=normalize).predict(batch) for normalize in (True, False)]
    torch.testing.assert_close(after[0], before[0], rtol=1e-4, atol=1e-5)
    assert (after[1] - before[1]).abs().max() > 1e-3


def test_parameters_count_what_predicts(network, adapter, targets):
    encoder = sum(weight.numel() for weight in network.encoder.parameters())
    assert adapter().parameters == encoder + (network.features + 1) * targets


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"moves": "tail"},
            r"`moves` to be 'head', 'all', or 'last_1' to 'last_\d' for this encoder but got 'tail'\.$",
        ),
        ({"steps": -1}, r"`steps` to be zero or more but got -1\.$"),
    ],
    ids=str,
)
def test_impossible_arguments_are_refused(adapter, arguments, message):
    with pytest.raises(ValueError, match=message):
        adapter(**arguments)
