"""Every strategy of transfer, and every rule of fine-tuning, keeps the contract and equals a loop over episodes."""

import copy

import pytest
import torch
from torch.nn import functional as F

from adaptbench.benchmarks.suites.registry import STRATEGIES, load
from adaptbench.datamodules.episodes import EpisodeBatch
from adaptbench.lit_modules.cross_validated import ChosenFineTuning
from adaptbench.lit_modules.fine_tuning import FineTuning
from adaptbench.lit_modules.likelihoods import LIKELIHOODS
from adaptbench.lit_modules.rates import Rates

EPISODES, WAYS, QUERIES = 5, 3, 4  # as conftest.py makes them
ALL = {"moves": "all", "steps": 4}
RULES = {
    "head": {"moves": "head", "steps": 5},
    "last_1": {"moves": "last_1", "steps": 4},
    "random_head": {**ALL, "head_start": "random"},
    "top_down": {**ALL, "gradual_unfreeze": "top_down", "unfreeze_every": 1},
    "bottom_up": {**ALL, "gradual_unfreeze": "bottom_up", "unfreeze_every": 2, "head_start": "random"},
    "layer_lr_decay": {**ALL, "layer_lr_decay": 0.5},
    "slanted_triangular": {**ALL, "schedule": "slanted_triangular"},
    "warmup": {**ALL, "schedule": "warmup", "steps": 20, "lr": 1e-4},
    "l2_sp": {**ALL, "l2_sp": 0.1, "optimizer": "sgd"},
}
CLASSES = {
    "class_means": {**ALL, "head_start": "class_means"},
    "cosine_head": {"moves": "head", "steps": 5, "head": "cosine"},
    "cosine_class_means": {**ALL, "head": "cosine", "head_start": "class_means"},
    "episode_norm": {**ALL, "frozen_norm": False},
    "everything": {
        "moves": "last_3", "steps": 6, "head": "cosine", "head_start": "class_means", "gradual_unfreeze": "top_down",
        "unfreeze_every": 2, "layer_lr_decay": 0.7, "schedule": "slanted_triangular", "l2_sp": 0.01,
        "frozen_norm": False, "weight_decay": 0.01,
    },
}  # fmt: skip
CONTROLS = {
    "categorical": ["from_scratch", "nearest_centroid", "nearest_neighbour"],
    "gaussian": ["from_scratch", "average", "gaussian_process", "oracle", "bayes"],
}
CHOSEN = {"grid": {"lr": [0.001, 0.05], "steps": [1, 3]}, "fixed": {"moves": "head"}, "by": "leave_one_out"}
CASES = [
    *(("categorical", "fine_tuning", name) for name in (*RULES, *CLASSES)),
    *(("gaussian", "fine_tuning", name) for name in RULES),
    *((task, control, "few" * (control == "from_scratch")) for task, each in CONTROLS.items() for control in each),
    *((task, "chosen_fine_tuning", "leave_one_out") for task in CONTROLS),
]


@pytest.fixture(params=CASES, ids="-".join)
def case(request):
    return request.param


@pytest.fixture
def task(case):
    return case[0]


@pytest.fixture
def adapter(case, network, targets):
    """Makes the strategy of a case."""
    _, strategy, name = case
    arguments = {"leave_one_out": CHOSEN, "few": {"steps": 3}, "": {}, **RULES, **CLASSES}[name]

    def make(**changes):
        made = load("strategy", strategy)(network, targets, **{**arguments, **changes})
        if strategy == "oracle":
            made.functions = torch.linspace(1, 3, 2 * EPISODES).view(EPISODES, 2)
        if strategy == "bayes":
            made.posterior = ridge
        return made

    return make


def ridge(batch, knows):
    """The posterior of lines through 0, with a slope and noise from N(0, 1)."""
    x = batch.inputs[batch.support]
    precision = 1 + x.square().sum(dim=1, keepdim=True)
    query = batch.inputs[batch.query]
    slope = (x * batch.support_y).sum(dim=1, keepdim=True) / precision
    return slope * query, (query.square() / precision + 1).sqrt()


def only(batch, episode):
    return batch.episodes(slice(episode, episode + 1))


def alike(first, second):
    torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-5)


def test_every_strategy_is_here():
    assert {strategy for _, strategy, _ in CASES} == set(STRATEGIES)


def test_side_by_side_equals_a_loop_over_episodes(adapter, batch, case):
    together = adapter().predict(batch)
    if case[1] == "oracle":
        return  # it is told the functions of the batch, in order
    alike(together, torch.cat([adapter().predict(only(batch, episode)) for episode in range(EPISODES)]))


def test_a_prediction_has_the_shape_that_the_likelihood_reads(adapter, batch, task):
    prediction = adapter().predict(batch)
    assert prediction.shape == (EPISODES, QUERIES, LIKELIHOODS[task].outputs(batch.query_y.shape[-1]))
    assert LIKELIHOODS[task].nll(prediction, batch.query_y).isfinite().all() and not prediction.requires_grad


def test_a_query_sees_no_other_query_and_no_target(adapter, batch):
    unknown = batch._replace(query_y=torch.full_like(batch.query_y, torch.nan))
    alone = adapter().predict(unknown._replace(query=batch.query[:, 1:2], query_y=unknown.query_y[:, 1:2]))
    alike(adapter().predict(batch)[:, 1:2], alone)


def test_the_network_stays_as_it_is(adapter, network, batch):
    before = copy.deepcopy(network.state_dict())
    one = adapter()
    first = one.predict(batch)
    assert torch.equal(one.predict(batch), first)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())


def test_no_steps_predict_as_the_head_begins_and_steps_move_it(adapter, batch, case):
    if case[1] != "fine_tuning":
        return
    start, after = adapter(steps=0).predict(batch), adapter().predict(batch)
    assert (after - start).abs().max() > 1e-4
    if case[2] in ("head", "last_1", "top_down") and case[0] == "categorical":
        assert torch.equal(start, torch.zeros_like(start))
    if case[2] in ("head", "last_1") and case[0] == "gaussian":
        alike(start, load("strategy", "average")(adapter().network, 1).predict(batch))


def test_what_diverges_in_one_episode_spoils_no_other(adapter, batch, case):
    if case[1] != "fine_tuning":
        return
    support_y = batch.support_y.clone()
    support_y[2] *= torch.nan
    broken = adapter().predict(batch._replace(support_y=support_y))
    others = torch.arange(EPISODES) != 2
    assert not broken[2, :, 0].isfinite().any()
    alike(broken[others], adapter().predict(batch)[others])


@pytest.fixture
def images(network, batch):
    """Makes fine-tuning of the classifying network, and predicts."""
    return lambda **arguments: FineTuning(network, WAYS, **arguments).predict(batch)


classes = pytest.mark.parametrize("case", [("categorical", "fine_tuning", "head")], indirect=True, ids=["images"])
lines = pytest.mark.parametrize("case", [("gaussian", "fine_tuning", "head")], indirect=True, ids=["points"])


@classes
def test_a_head_from_class_means_begins_as_a_prototypical_network(network, batch, images):
    with torch.no_grad():
        features = F.normalize(network.encoder(batch.inputs), dim=-1)
    means = batch.support_y.transpose(1, 2) @ features[batch.support] / batch.support_y.sum(1).unsqueeze(-1)
    squares = torch.cdist(features[batch.query], means).square()
    started = images(steps=0, head_start="class_means", scale=7.0)
    alike(started.log_softmax(-1), (-7.0 / 2 * squares).log_softmax(-1))
    with torch.no_grad():
        raw = network.encoder(batch.inputs)
    directions = F.normalize(batch.support_y.transpose(1, 2) @ raw[batch.support], dim=-1)
    cosines = features[batch.query] @ directions.transpose(1, 2)
    alike(images(steps=0, head="cosine", head_start="class_means", scale=7.0), 7.0 * cosines)


@classes
def test_frozen_blocks_keep_their_weights_and_late_ones_wait(images):
    waiting = {"moves": "all", "gradual_unfreeze": "top_down", "unfreeze_every": 3}
    alike(images(**waiting, steps=3), images(moves="head", steps=3))
    assert (images(**waiting, steps=4) - images(moves="head", steps=4)).abs().max() > 1e-4
    below = images(moves="all", gradual_unfreeze="bottom_up", unfreeze_every=9, steps=3, head_start="class_means")
    assert (below - images(moves="all", steps=0, head_start="class_means")).abs().max() > 1e-4
    alike(images(moves="last_4", steps=3), images(moves="all", steps=3))


@classes
def test_a_strong_pull_keeps_the_weights_where_they_were(images):
    rules = {"moves": "head", "head_start": "random", "optimizer": "sgd", "lr": 1e-4}
    start, free = (images(**rules, steps=steps) for steps in (0, 30))
    pulled = images(**rules, steps=30, l2_sp=9000.0)
    assert (pulled - start).abs().max() < 0.5 * (free - start).abs().max()


@classes
def test_queries_see_each_other_where_they_are_asked_to(network, batch):
    adapter = FineTuning(network, WAYS, **ALL, frozen_norm=False, transductive=True)
    alone = adapter.predict(batch._replace(query=batch.query[:, :1], query_y=batch.query_y[:, :1]))
    assert adapter.transductive and (adapter.predict(batch)[:, :1] - alone).abs().max() > 1e-4


@classes
def test_validation_chooses_for_each_number_of_support_examples(network, batch):
    chosen = ChosenFineTuning(network, WAYS, grid={"lr": [1e-9, 0.05], "steps": [30]}, fixed={"moves": "head"})
    with pytest.raises(ValueError, match="`choose` to be called with validation episodes"):
        chosen.predict(batch)
    known = batch._replace(query=batch.support, query_y=batch.support_y)  # the more it learns, the better
    chosen.choose([known])
    assert [(choice.settings["lr"], choice.share) for choice in chosen.choices()] == [(1e-9, 0.0), (0.05, 1.0)]
    alike(chosen.predict(batch), FineTuning(network, WAYS, lr=0.05, steps=30).predict(batch))
    again = ChosenFineTuning(network, WAYS, grid={"lr": [1e-9, 0.05], "steps": [30]}, fixed={"moves": "head"})
    again.restore(chosen.choices())
    assert torch.equal(again.predict(batch), chosen.predict(batch))


@lines
def test_leaving_one_out_is_what_it_says(network, batch):
    chosen = ChosenFineTuning(network, 1, grid={"lr": [0.001, 0.1]}, fixed={"steps": 20}, by="leave_one_out")
    prediction = chosen.predict(batch)
    for episode in range(EPISODES):
        losses = []
        for candidate in chosen.candidates:
            parts = []
            for left in range(6):
                rest = [i for i in range(6) if i != left]
                _, support, y, _, _ = only(batch, episode)
                fold = EpisodeBatch(batch.inputs, support[:, rest], y[:, rest], support[:, [left]], y[:, [left]])
                parts.append(LIKELIHOODS["gaussian"].nll(candidate.predict(fold), fold.query_y).mean())
            losses.append(torch.stack(parts).mean())
        best = int(torch.stack(losses).argmin())
        alike(prediction[[episode]], chosen.candidates[best].predict(only(batch, episode)))
    assert sum(choice.share for choice in chosen.choices()) == pytest.approx(1)


@classes
def test_one_example_of_a_class_cannot_be_left_out(network, batch):
    chosen = ChosenFineTuning(network, WAYS, **CHOSEN)
    once = batch._replace(support=batch.support[:, :WAYS], support_y=batch.support_y[:, :WAYS])
    alike(chosen.predict(once), chosen.candidates[0].predict(once))


def test_rates_of_blocks_and_steps():
    assert Rates(steps=9, lr=1.0, layer_lr_decay=0.5).of_step(3, 3) == [0.25, 0.5, 1.0]
    gradual = Rates(steps=9, lr=1.0, gradual_unfreeze="top_down", unfreeze_every=2)
    assert [gradual.of_step(step, 3) for step in (1, 2, 8)] == [[None, None, 1.0], [None, 1.0, 1.0], [1.0, 1.0, 1.0]]
    assert Rates(steps=9, lr=1.0, gradual_unfreeze="bottom_up", unfreeze_every=2).of_step(1, 3) == [1.0, None, None]
    triangle = [Rates(steps=20, lr=1.0, schedule="slanted_triangular").of_step(step, 1)[0] for step in range(20)]
    assert max(triangle) == triangle[1] == 1.0 and triangle[-1] == pytest.approx(1 / 32) and triangle[0] < 1.0
    assert [Rates(steps=40, lr=1.0, schedule="warmup").of_step(step, 1)[0] for step in (0, 3, 30)] == [0.25, 1.0, 1.0]


@classes
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"moves": "last_9"}, r"`moves` to be 'head', 'all', or 'last_1' to 'last_4' .* got 'last_9'"),
        ({"head_start": "pretrained"}, r"`head_start` to be one of .* got 'pretrained'"),
        ({"head": "round"}, r"`head` to be 'linear' or 'cosine' but got 'round'"),
        ({"frozen_norm": False}, r"`frozen_norm` to be true where only the head moves"),
        ({"transductive": True}, r"`transductive` to be false with frozen norms"),
        ({"moves": "all", "gradual_unfreeze": "bottom_up"}, r"`head_start` not to be 'zero' from the bottom up"),
        ({"schedule": "steep"}, r"`schedule` to be one of .* got 'steep'"),
        ({"gradual_unfreeze": "sideways"}, r"`gradual_unfreeze` to be one of .* got 'sideways'"),
        ({"layer_lr_decay": 0.0}, r"`layer_lr_decay` to be from 0 up to 1 but got 0.0"),
        ({"optimizer": "lion"}, r"`optimizer` to be 'adam' or 'sgd' but got 'lion'"),
        ({"l2_sp": -1.0}, r"`l2_sp` to be zero or more but got -1.0"),
    ],
    ids=str,
)
def test_impossible_rules_are_refused(images, arguments, message):
    with pytest.raises(ValueError, match=message):
        images(**arguments)


@pytest.mark.parametrize("control", ["nearest_centroid", "nearest_neighbour", "average", "oracle"])
@classes
def test_a_control_of_the_other_kind_of_task_is_refused(network, control):
    if control in CONTROLS["categorical"]:
        network.likelihood = LIKELIHOODS["gaussian"]
    with pytest.raises(ValueError, match=f"for the control `{control}`"):
        load("strategy", control)(network, 1)
