"""What every learner must do, over the registry and all its forms."""

import copy

import pytest
import torch

from adaptbench.benchmarks.suites.registry import LEARNERS, load
from adaptbench.lit_modules.encoders import MLP
from adaptbench.lit_modules.episodic import EpisodicModule
from adaptbench.lit_modules.likelihoods import LIKELIHOODS, Categorical
from adaptbench.lit_modules.optimization import Optimization
from adaptbench.lit_modules.training import TrainedModule

FEATURES = 6
FORMS = {form.label: (name, dict(form.init_args)) for name, entry in LEARNERS.items() for form in entry.forms}
VARIANTS = {
    **FORMS,
    "lstm_pooled": ("lstm", {"pooled": True}),
    "gru_two_layers": ("gru", {"layers": 2}),
    "mann_feed_forward": ("mann", {"controller": "feed_forward"}),
    "deep_sets_per_class": ("deep_sets", {"aggregate": "per_class", "encode": True}),
    "deep_sets_one_slot": ("deep_sets", {"slots": 1, "encode": True}),
    "lstm_random_start": ("lstm", {"start": "random"}),
    "lstm_concat": ("lstm", {"binding": "concat"}),
    "lstm_step": ("lstm", {"query": "step"}),
    "lstm_pooled_step": ("lstm", {**FORMS["LSTM"][1], "pooled": True}),
    "gru_two_layers_step": ("gru", {"layers": 2, "query": "step"}),
    "attention_two_maps": ("attention", {"maps": 2}),
    "attention_dot": ("attention", {"compare": "dot"}),
    "snail_itself": ("snail", {"itself": True}),
    "maml": ("maml", {"steps": 3}),
    "maml_second_order": ("maml", {"steps": 2, "first_order": False}),
    "anil": ("anil", {}),
    "reptile": ("reptile", {}),
}


def make(name, *widths):
    registered, init_args = VARIANTS.get(name, (name, {}))
    learner = load("learner", registered)
    if not issubclass(learner, TrainedModule):
        return learner(*widths, **init_args)
    features, targets, outputs = widths
    likelihood = LIKELIHOODS["categorical" if targets == outputs else "gaussian"]
    return learner(MLP((features,), width=8, depth=1), targets, likelihood, Optimization(), **init_args)


def classifies_only(name):
    registered, init_args = VARIANTS.get(name, (name, {}))
    return registered == "prototypes" or init_args.get("aggregate") == "per_class"


@pytest.fixture(params=[(5, 5), (2, 2), (20, 20), (1, 2)], ids=["5-way", "2-way", "20-way", "regression"])
def widths(request):
    return request.param


@pytest.fixture(params=sorted(VARIANTS))
def learner(request, widths):
    torch.manual_seed(0)
    if classifies_only(request.param) and widths[0] != widths[1]:
        with pytest.raises(ValueError, match="regression"):
            make(request.param, FEATURES, *widths)
        pytest.skip("refuses regression")
    return make(request.param, FEATURES, *widths)


def episodes(targets, support=10, queries=7, batch=3):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, support + queries, FEATURES, generator=generator)
    y = torch.randn(batch, support, targets, generator=generator)
    if targets > 1:
        y = torch.eye(targets)[torch.arange(support) % targets].expand(batch, -1, -1)
    return x[:, :support], y, x[:, support:]


@pytest.mark.parametrize("support", [5, 25])
def test_predictions_have_the_promised_shape(learner, widths, support):
    assert learner(*episodes(widths[0], support)).shape == (3, 7, widths[1])


def test_a_query_does_not_see_the_others(learner, widths):
    support_x, support_y, query_x = episodes(widths[0])
    together = learner(support_x, support_y, query_x)
    alone = learner(support_x, support_y, query_x[:, 2:3])
    torch.testing.assert_close(together[:, 2:3], alone, rtol=1e-4, atol=1e-5)


def test_episodes_do_not_see_each_other(learner, widths):
    batch = episodes(widths[0])
    alone = learner(*(field[1:2] for field in batch))
    torch.testing.assert_close(learner(*batch)[1:2], alone, rtol=1e-4, atol=1e-5)


def test_embedding_each_example_once_changes_no_prediction_and_no_gradient(learner, widths):
    """Episodes that share examples, against the learner called by itself on what each episode has."""
    module = EpisodicModule(torch.nn.Identity(), learner, Categorical(), Optimization())
    pool = torch.randn(12, FEATURES, generator=torch.Generator().manual_seed(1)).requires_grad_()
    rows = torch.stack([torch.randperm(12, generator=torch.Generator().manual_seed(seed)) for seed in range(3)])
    support, query, support_y = rows[:, :8], rows[:, 8:], episodes(widths[0], support=8)[1]
    plain = learner(pool[support], support_y, pool[query])
    once = module.answer(module.embed(pool), support, support_y, query)
    torch.testing.assert_close(once, plain, rtol=1e-4, atol=1e-5)
    gradients = [torch.autograd.grad(each.square().mean(), pool)[0] for each in (once, plain)]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)


def test_a_forward_of_ones_own_is_what_is_trained():
    class Doubled(load("learner", "attention")):
        def forward(self, *episode):
            return 2 * super().forward(*episode)

    learner = Doubled(FEATURES, 5, 5)
    module = EpisodicModule(torch.nn.Identity(), learner, Categorical(), Optimization())
    pool, rows = torch.randn(12, FEATURES), torch.arange(12).expand(3, -1)
    support_y = episodes(5, support=8)[1]
    predicted = module.answer(module.embed(pool), rows[:, :8], support_y, rows[:, 8:])
    torch.testing.assert_close(predicted, learner(pool[rows[:, :8]], support_y, pool[rows[:, 8:]]))


def test_every_parameter_gets_a_gradient(learner, widths):
    support_x, support_y, query_x = episodes(widths[0], support=40)
    learner(support_x.requires_grad_(), support_y, query_x).square().mean().backward()
    pooled = getattr(learner, "pooled", False) and not learner.steps
    idle = "weight_hh" if pooled else "none"  # every pair meets the zero state
    for name, parameter in learner.named_parameters():
        if idle in name:
            continue
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_state_round_trip_and_modes_agree(learner, widths):
    batch = episodes(widths[0])
    other = copy.deepcopy(learner)
    for parameter in other.parameters():
        torch.nn.init.constant_(parameter, 0.5)
    other.load_state_dict(learner.state_dict())
    torch.testing.assert_close(other.eval()(*batch), learner.train()(*batch))


def test_support_targets_are_read(learner, widths):
    support_x, support_y, query_x = episodes(widths[0])
    difference = learner(support_x, support_y, query_x) - learner(support_x, support_y.roll(1, dims=1), query_x)
    assert difference.abs().max() > 1e-4


def test_order_of_the_support_set(learner, widths):
    support_x, support_y, query_x = episodes(widths[0])
    order = torch.randperm(10, generator=torch.Generator().manual_seed(2))
    before = learner(support_x, support_y, query_x)
    after = learner(support_x[:, order], support_y[:, order], query_x)
    difference = (before - after).abs().max().item()
    assert difference < 1e-4 if learner.permutation_invariant else difference > 1e-4


def test_a_stream_is_read_as_the_support_set_before_each_step(learner, widths):
    if not hasattr(learner, "stream"):
        pytest.skip("reads no streams")
    x, y, _ = episodes(widths[0], support=30)
    predictions = learner.stream(x, y)
    assert predictions.shape == (3, 30, widths[1])
    for step in (1, 2, 17, 29):
        alone = learner(x[:, :step], y[:, :step], x[:, step : step + 1])
        torch.testing.assert_close(predictions[:, step : step + 1], alone, rtol=1e-4, atol=1e-5)


def test_a_stream_shows_neither_its_future_nor_the_target_of_now(learner, widths):
    if not hasattr(learner, "stream"):
        pytest.skip("reads no streams")
    x, y, _ = episodes(widths[0], support=12)
    changed_x, changed_y = x.clone(), y.clone()
    changed_x[:, 8:], changed_y[:, 7:] = 0, 0
    before, after = learner.stream(x, y), learner.stream(changed_x, changed_y)
    torch.testing.assert_close(before[:, :8], after[:, :8])
    assert (before[:, 8:] - after[:, 8:]).abs().max() > 1e-4


@pytest.mark.parametrize("name", [*sorted(FORMS), "maml", "anil"])
def test_an_informative_support_set_beats_an_uninformative_one(name):
    torch.manual_seed(0)
    encoder, learner = torch.nn.Linear(4, 4), make(name, 4, 2, 2)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *learner.parameters()], lr=2e-3)

    def draw(episodes=64):
        means = torch.randn(episodes, 2, 4) * 2
        labels = torch.stack([torch.randperm(2) for _ in range(episodes)]).repeat(1, 2)
        x = torch.gather(means, 1, labels[..., None].expand(-1, -1, 4)) + 0.3 * torch.randn(episodes, 4, 4)
        x = encoder(x)
        return x[:, :2], torch.eye(2)[labels[:, :2]], x[:, 2:], labels[:, 2:]

    for _ in range(200):
        support_x, support_y, query_x, labels = draw()
        loss = torch.nn.functional.cross_entropy(learner(support_x, support_y, query_x).flatten(0, 1), labels.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    support_x, support_y, query_x, labels = draw(1000)
    shuffled = support_y[torch.randperm(1000)]
    informed = (learner(support_x, support_y, query_x).argmax(-1) == labels).float().mean()
    guessed = (learner(support_x, shuffled, query_x).argmax(-1) == labels).float().mean()
    assert informed > 0.8 and 0.44 < guessed < 0.56
