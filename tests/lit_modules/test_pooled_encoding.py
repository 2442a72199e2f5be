"""Examples encoded once for all episodes; and the encoders, likelihoods and schedule that every adapter is made of."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Normal
from torch.nn import functional as F

from adaptbench.benchmarks.suites.registry import ENCODERS, LEARNERS, load
from adaptbench.datamodules.class_episodes import episodes_over_pool
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize, rng_for
from adaptbench.lit_modules import episodic, training
from adaptbench.lit_modules.encoders import MLP, Conv4, StridedConv
from adaptbench.lit_modules.episodic import EpisodicModule
from adaptbench.lit_modules.likelihoods import LIKELIHOODS, SCALE_FLOOR, with_unit_scale
from adaptbench.lit_modules.optimization import Optimization
from adaptbench.lit_modules.training import encode_all, encoding_once, evaluating


def draw_images(count):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 28, 28), dtype=torch.uint8, generator=generator)


@pytest.fixture
def batch():
    """Eight 3-way episodes over a pool of 6 classes, so that an image stands in several of them."""
    return episodes_over_pool(rng_for("pooled"), draw_images(30), 6, EpisodeSize(3, 2, 2), 8)


@pytest.fixture(params=sorted(LEARNERS))
def module(request):
    """An episodic module whose batch norms have seen images."""
    torch.manual_seed(0)
    encoder = StridedConv((28, 28), filters=8)
    encoder(draw_images(64))
    learner = load("learner", request.param)(encoder.features, 3, 3)
    return EpisodicModule(encoder, learner, LIKELIHOODS["categorical"], Optimization())


def by_itself(batch, number):
    """One episode with its own copies of its examples."""
    support, query = batch.support[number], batch.query[number]
    rows = torch.arange(len(support) + len(query))[None]
    return EpisodeBatch(
        batch.inputs[torch.cat([support, query])],
        rows[:, : len(support)],
        batch.support_y[number][None],
        rows[:, len(support) :],
        batch.query_y[number][None],
    )


@pytest.fixture
def counted(module):
    """The examples that the module's encoder is called with."""
    calls = []
    module.encoder.register_forward_hook(lambda _, inputs, __: calls.append(len(inputs[0])))
    return calls


def test_batches_that_share_their_examples_encode_them_once_to_the_same_bits(module, batch, counted):
    half = batch.episodes(slice(4, None))
    plain = [module.predict(part) for part in (batch, half)]
    assert counted == [30, 30]
    with encoding_once() as encodings:
        shared = [module.predict(part) for part in (batch, half)]
        assert counted == [30, 30, 30] and encodings.saved > 0
        module.predict(batch._replace(inputs=batch.inputs.clone()))
        assert counted == [30] * 4, "other examples, even if they are equal"
    assert all(map(torch.equal, plain, shared))


def test_after_a_change_of_weights_or_mode_examples_are_encoded_again(module, batch):
    with encoding_once():
        before = encode_all(module.encoder.eval(), batch.inputs)
        assert encode_all(module.encoder, batch.inputs) is before
        with torch.no_grad():
            next(module.encoder.parameters()).mul_(2)
        changed = encode_all(module.encoder, batch.inputs)
        in_training = encode_all(module.encoder.train(), batch.inputs)
    assert not torch.equal(before, changed)
    assert not torch.equal(changed, in_training)


def test_a_pool_encoded_once_equals_each_episode_encoded_by_itself(module, batch):
    pooled = module.predict(batch)
    alone = torch.cat([module.predict(by_itself(batch, number)) for number in range(8)])
    torch.testing.assert_close(pooled, alone, rtol=1e-4, atol=1e-5)
    assert pooled.std() > 1e-3


def test_how_much_is_done_at_once_does_not_matter(module, batch, monkeypatch):
    expected = module.predict(batch)
    monkeypatch.setattr(training, "ENCODE_AT_ONCE", 7)
    monkeypatch.setattr(episodic, "EPISODES_AT_ONCE", 3)
    torch.testing.assert_close(module.predict(batch), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("in_training", [True, False])
def test_predicting_changes_nothing(module, batch, in_training):
    module.train(in_training)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    prediction = module.predict(batch)
    assert torch.equal(module.predict(batch), prediction) and not prediction.requires_grad
    assert all(part.training == in_training for part in module.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_query_targets_are_not_looked_at(module, batch):
    unknown = batch._replace(query_y=torch.full_like(batch.query_y, torch.nan))
    assert torch.equal(module.predict(unknown), module.predict(batch))


def test_encoding_in_training_is_counted(module, batch):
    module.encode_training(batch.inputs)
    module.encode_training(batch.inputs[:4])
    module.predict(batch)
    assert module.state_dict()["examples_encoded"].item() == 34


def test_evaluating_ends_even_where_something_fails():
    layer = nn.Dropout()
    with pytest.raises(ArithmeticError), evaluating(layer):
        assert not layer.training
        raise ArithmeticError
    assert layer.training


@pytest.mark.parametrize("name", sorted(ENCODERS))
@pytest.mark.parametrize("size", [28, 20])
def test_encoders_say_how_wide_their_features_are(name, size):
    encoder = load("encoder", name)((size, size)).eval()
    images = draw_images(5)[:, :size, :size]
    features = encoder(images)
    assert features.shape == (5, encoder.features) and features.dtype == torch.float32
    torch.testing.assert_close(encoder(images.float() / 255), features)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_every_weight_of_an_encoder_gets_a_gradient(name):
    torch.manual_seed(0)
    encoder = load("encoder", name)((28, 28))
    encoder(draw_images(8)).square().mean().backward()
    for weight, parameter in encoder.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.abs().sum() > 0, weight


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_examples_do_not_see_each_other_in_evaluation(name):
    torch.manual_seed(0)
    encoder, images = load("encoder", name)((28, 28)), draw_images(8)
    encoder(images)
    encoder.eval()
    torch.testing.assert_close(encoder(images)[3:4], encoder(images[3:4]), rtol=1e-4, atol=1e-5)


def test_encoders_have_the_sizes_of_their_papers():
    assert Conv4((28, 28)).features == 64
    assert StridedConv((28, 28)).features == 64 * 2 * 2
    assert sum(weight.numel() for weight in Conv4((28, 28)).parameters()) == 9 * 64 + 3 * 9 * 64 * 64 + 4 * 2 * 64


def test_real_inputs_keep_their_values():
    torch.manual_seed(0)
    encoder, x = MLP((1,), width=8, depth=1), torch.tensor([[-5.0], [0.5], [300.0]])
    torch.testing.assert_close(encoder(x), F.relu(encoder[1](x)))


def test_categorical_is_the_distribution_of_that_name():
    torch.manual_seed(0)
    likelihood, logits = LIKELIHOODS["categorical"], 3 * torch.randn(4, 7, 5)
    labels = torch.randint(5, (4, 7))
    target, reference = F.one_hot(labels, 5).float(), Categorical(logits=logits)
    torch.testing.assert_close(likelihood.nll(logits, target), -reference.log_prob(labels))
    torch.testing.assert_close(likelihood.point(logits), reference.probs)
    assert torch.equal(likelihood.score(logits, target), (reference.mode == labels).float())
    assert likelihood.outputs(5) == 5 and likelihood.higher_is_better


@pytest.mark.parametrize("width", [1, 3])
def test_gaussian_is_the_distribution_of_that_name(width):
    torch.manual_seed(0)
    likelihood, prediction, target = LIKELIHOODS["gaussian"], torch.randn(4, 7, 2 * width), torch.randn(4, 7, width)
    mean, scale = prediction[..., :width], F.softplus(prediction[..., width:]) + SCALE_FLOOR
    torch.testing.assert_close(likelihood.nll(prediction, target), -Normal(mean, scale).log_prob(target).sum(-1))
    torch.testing.assert_close(likelihood.score(prediction, target), (mean - target).square().mean(-1))
    assert torch.equal(likelihood.point(prediction), mean)
    assert likelihood.outputs(width) == 2 * width and not likelihood.higher_is_better


def test_unit_scale_is_one():
    mean, target = torch.randn(2, 3, 2), torch.zeros(2, 3, 2)
    expected = -Normal(mean, 1.0).log_prob(target).sum(-1)
    torch.testing.assert_close(LIKELIHOODS["gaussian"].nll(with_unit_scale(mean), target), expected)


def rates(optimization, steps):
    """Learning rate of each step."""
    configured = optimization.configure([nn.Parameter(torch.zeros(1))], steps)
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]
    assert schedule["interval"] == "step"
    met = []
    for _ in range(steps):
        met.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule["scheduler"].step()
    return met


def test_the_rate_warms_up_then_falls_to_nearly_nothing():
    met = rates(Optimization(lr=0.5, warmup=0.1), 200)
    assert met[:20] == pytest.approx([0.5 * (step + 1) / 20 for step in range(20)])
    assert max(met) == met[19] == met[20] == 0.5
    assert all(earlier > later for earlier, later in itertools.pairwise(met[20:]))
    assert met[20 + 90] == pytest.approx(0.25) and 0 < met[-1] < 1e-3 * 0.5
    assert met[20 + 45] == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)) / 2)


@pytest.mark.parametrize(("warmup", "steps"), [(0.0, 5), (0.1, 1), (0.1, 2), (0.99, 5)])
def test_short_trainings_have_a_rate_too(warmup, steps):
    met = rates(Optimization(lr=0.5, warmup=warmup), steps)
    assert all(0 < rate <= 0.5 for rate in met) and max(met) == 0.5


def test_weights_decay_as_asked():
    (group,) = Optimization(weight_decay=0.3).configure([nn.Parameter(torch.zeros(1))], 1)["optimizer"].param_groups
    assert group["weight_decay"] == 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": 0.0}, r"`lr` to be positive but got 0\.0\.$"),
        ({"lr": math.nan}, r"`lr` to be positive but got nan\.$"),
        ({"warmup": 1.0}, r"`warmup` to be a share from 0 up to 1 but got 1\.0\.$"),
        ({"warmup": -0.1}, r"`warmup` to be a share from 0 up to 1 but got -0\.1\.$"),
        ({"clip": 0.0}, r"`clip` to be positive or None but got 0\.0\.$"),
    ],
    ids=str,
)
def test_settings_that_cannot_train_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Optimization(**arguments)


def test_filters_are_one_number_or_one_for_each_layer():
    widening = StridedConv((28, 28), filters=[4, 6, 8, 10])
    assert [layer.out_channels for layer in widening if isinstance(layer, torch.nn.Conv2d)] == [4, 6, 8, 10]
    assert widening(torch.zeros(3, 28, 28, dtype=torch.uint8)).shape == (3, widening.features) == (3, 10 * 2 * 2)
    alike = StridedConv((28, 28), filters=4)
    assert {layer.out_channels for layer in alike if isinstance(layer, torch.nn.Conv2d)} == {4}
    for wrong in ([4, 4], [4, 4, 4, 0], 0):
        with pytest.raises(ValueError, match="`filters` to be one or 4 positive integers"):
            StridedConv((28, 28), filters=wrong)
