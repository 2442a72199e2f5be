"""MAML, ANIL and Reptile against plain loops of gradient steps, and what their norms may see."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from adaptbench.lit_modules.encoders import MLP, StridedConv
from adaptbench.lit_modules.likelihoods import LIKELIHOODS
from adaptbench.lit_modules.maml import ANIL, MAML, Reptile
from adaptbench.lit_modules.normalization import statistics_of
from adaptbench.lit_modules.optimization import Optimization

EPISODES, WAYS, SHOTS, QUERIES = 5, 3, 2, 4  # as conftest.py makes them
classes = pytest.mark.parametrize("task", ["categorical"], indirect=True)


@pytest.fixture
def make(task):
    """Makes MAML or Reptile for a task, with outer gradients that do not need a trainer."""

    def make(learner=MAML, **arguments):
        torch.manual_seed(0)
        images = task == "categorical"
        encoder = StridedConv((28, 28), filters=4) if images else MLP((1,), width=6, depth=1)
        made = learner(encoder, WAYS if images else 1, LIKELIHOODS[task], Optimization(), **arguments)
        made.log_means = lambda *_: None
        return made

    return make


def only(batch, episode):
    return batch.episodes(slice(episode, episode + 1))


def loss_of(one, output, target):
    return F.mse_loss(output, target) if one.regression else F.cross_entropy(output, target)


def by_hand(one, x, y, steps, create_graph):
    """Takes the gradient steps of one episode with torch.autograd."""
    network = nn.Sequential(one.encoder, one.head)
    weights = dict(network.named_parameters())
    if one.zero_head:
        weights.update({name: 0 * weight for name, weight in weights.items() if name.startswith("1.")})
    for _ in range(steps):
        loss = loss_of(one, functional_call(network, weights, (x,)), y)
        slopes = torch.autograd.grad(loss, weights.values(), create_graph=create_graph)
        weights = {name: each - one.lr * slope for (name, each), slope in zip(weights.items(), slopes, strict=True)}
    return network, weights


@pytest.mark.parametrize("arguments", [{"steps": 1}, {"steps": 3}, {"steps": 2, "zero_head": True}], ids=str)
@pytest.mark.parametrize("first_order", [True, False], ids=["first", "second"])
def test_the_outer_gradient_is_that_of_a_loop(make, batch, first_order, arguments):
    one = make(first_order=first_order, lr=0.3, **arguments)
    one.training_step(batch, 0).backward()
    losses = []
    for support, support_y, query, query_y in zip(*batch[1:], strict=True):
        network, weights = by_hand(one, batch.inputs[support], support_y, one.steps, not first_order)
        with statistics_of(network, len(support)):
            output = functional_call(network, weights, (batch.inputs[torch.cat([support, query])],))[len(support) :]
        losses.append(loss_of(one, output, query_y))
    expected = torch.autograd.grad(torch.stack(losses).mean(), list(one.parameters()))
    for (name, weight), gradient in zip(one.named_parameters(), expected, strict=True):
        torch.testing.assert_close(weight.grad, gradient, rtol=1e-3, atol=1e-5, msg=name)
    assert any(gradient.abs().max() > 1e-3 for gradient in expected)


def test_reptiles_gradient_points_from_the_mean_end_to_the_start(make, batch):
    one = make(Reptile, steps=3, lr=0.3)
    one.training_step(batch, 0).backward()
    ends = []
    for support, support_y, query, query_y in zip(*batch[1:], strict=True):
        x, y = batch.inputs[torch.cat([support, query])], torch.cat([support_y, query_y])
        ends.append(by_hand(one, x, y, 3, False)[1])
    for name, start in nn.Sequential(one.encoder, one.head).named_parameters():
        expected = (start - torch.stack([end[name] for end in ends]).mean(dim=0)) / 0.3
        torch.testing.assert_close(start.grad, expected.detach(), rtol=1e-3, atol=1e-5)
    assert int(one.examples_encoded) == EPISODES * (batch.support.shape[1] + QUERIES) * 4


@pytest.mark.parametrize("outputs", [WAYS, 2 * WAYS], ids=["classes", "regression"])
@pytest.mark.parametrize("first_order", [True, False], ids=["first", "second"])
def test_anil_takes_the_steps_of_a_loop_with_the_head_alone(outputs, first_order):
    torch.manual_seed(0)
    learner = ANIL(6, WAYS, outputs, steps=2, test_steps=3, lr=0.1, first_order=first_order)
    x, y = torch.randn(2, 5, 6, requires_grad=True), torch.eye(WAYS)[torch.randint(WAYS, (2, 5))]
    query = torch.randn(2, 4, 6)
    mean = learner(x, y, query)[..., :WAYS]
    gradients = torch.autograd.grad(mean.square().mean(), [x, *learner.parameters()], allow_unused=True)
    outputs_by_hand = []
    for support, target, asked in zip(x, y, query, strict=True):
        weights = list(learner.head.parameters())
        for _ in range(2):
            output = F.linear(support, *weights)
            loss = F.mse_loss(output, target) if learner.regression else F.cross_entropy(output, target)
            slopes = torch.autograd.grad(loss, weights, create_graph=not first_order)
            weights = [weight - 0.1 * slope for weight, slope in zip(weights, slopes, strict=True)]
        outputs_by_hand.append(F.linear(asked, *weights))
    expected = torch.stack(outputs_by_hand)
    torch.testing.assert_close(mean, expected)
    wanted = torch.autograd.grad(expected.square().mean(), [x, *learner.parameters()], allow_unused=True)
    assert (gradients[0] is None) == (wanted[0] is None) == first_order  # of the support set's features
    for found, each in zip(gradients[first_order:], wanted[first_order:], strict=True):
        torch.testing.assert_close(found, each)
    with torch.inference_mode():
        again = learner.eval()(x.detach().clone(), y, query)
    assert not again.requires_grad and (again[..., :WAYS] - mean).abs().max() > 1e-4  # one step more


@classes
def test_a_query_sees_no_other_query_unless_asked_to(make, batch):
    alone = batch._replace(query=batch.query[:, :1], query_y=batch.query_y[:, :1])
    for transductive in (False, True):
        one = make(transductive=transductive)
        moved = (one.predict(batch)[:, :1] - one.predict(alone)).abs().max()
        assert (moved > 1e-4) == transductive


@pytest.mark.parametrize("learner", [MAML, Reptile])
def test_episodes_do_not_see_each_other(make, batch, learner):
    together = make(learner).predict(batch)
    alone = torch.cat([make(learner).predict(only(batch, episode)) for episode in range(EPISODES)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_predicting_leaves_the_weights(make, batch):
    one = make(steps=3)
    before = copy.deepcopy(one.state_dict())
    with torch.inference_mode():  # as a trainer validates
        first = one.predict(batch)
    assert torch.equal(one.predict(batch), first) and not first.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in one.state_dict().items())


def test_no_steps_predict_with_the_initial_weights(make, batch):
    one, moved = make(steps=0), make(steps=0, test_steps=2)
    with torch.no_grad(), statistics_of(one, batch.support.shape[1]):
        both = torch.cat([batch.support[0], batch.query[0]])
        expected = one.head(one.encoder(batch.inputs[both]))[batch.support.shape[1] :]
    found = one.likelihood.point(one.predict(batch)[0])
    torch.testing.assert_close(found, one.likelihood.point(expected) if not one.regression else expected)
    assert (moved.predict(batch) - one.predict(batch)).abs().max() > 1e-4


@classes
def test_a_head_from_zero_does_not_know_one_class_from_another(make, batch):
    order = torch.tensor([2, 0, 1])
    renamed = batch._replace(support_y=batch.support_y[..., order])
    for zero_head in (False, True):
        one = make(steps=2, lr=1.0, zero_head=zero_head)
        same = torch.allclose(one.predict(batch)[..., order], one.predict(renamed), atol=1e-4)
        assert same == zero_head
    one.training_step(batch, 0).backward()
    assert not one.head.weight.grad.any() and one.encoder[1].weight.grad.abs().sum() > 0


@classes
def test_what_is_encoded_is_counted(make, batch):
    one = make(steps=2)
    one.training_step(batch, 0)
    assert int(one.examples_encoded) == EPISODES * (2 * WAYS * SHOTS + WAYS * SHOTS + QUERIES)


@classes
def test_what_cannot_be_is_refused(make):
    with pytest.raises(ValueError, match="`steps` to be zero or more but got -1"):
        make(steps=-1)
    for steps in ({"steps": 1}, {"steps": 2, "test_steps": 1}):
        with pytest.raises(ValueError, match="two steps or more with `zero_head`"):
            make(zero_head=True, **steps)
    for wrong in ({"steps": -1}, {"test_steps": -1}, {"lr": -0.1}):
        for learner in (partial(make, Reptile), partial(ANIL, 4, 3, 3)):
            with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` to be"):
                learner(**wrong)
    with pytest.raises(ValueError, match="`transductive` to be false for an encoder without batch norms"):
        MAML(MLP((1,)), 1, LIKELIHOODS["gaussian"], Optimization(), transductive=True)
