"""What is carried over from a support set: what learners say, against tensors and against what queries can tell."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from adaptbench.benchmarks.suites.registry import LEARNERS, load
from adaptbench.lit_modules import deep_sets, prototypes
from adaptbench.lit_modules.controls import Average, NearestNeighbour
from adaptbench.lit_modules.cross_validated import ChosenFineTuning
from adaptbench.lit_modules.fine_tuning import FineTuning
from adaptbench.lit_modules.heads import ContextHead
from adaptbench.lit_modules.snail import DenseBlock

BATCH, SUPPORT, QUERIES, FEATURES, WAYS = 2, 10, 12, 6, 5
PAIRS = {"binding": "concat", "start": "random", "query": "step"}
SMALL = {
    "lstm": ("lstm", {"width": 16}, 16),
    "gru_pooled": ("gru", {"width": 16, "pooled": True}, 16),
    "lstm_two_layers_late": ("lstm", {**PAIRS, "width": 4, "layers": 2}, 2 * 2 * 4 + WAYS),
    "gru_step": ("gru", {"width": 16, "query": "step"}, 16),
    "mann": ("mann", {"width": 4, "pair_width": 16, "rows": 3}, 3 * (2 + 4) + 4),
    "mann_lrua": ("mann_lrua", {"width": 4, "rows": 6, "row_width": 2, "heads": 3}, 8 + 12 + 6 + 18 + 6 + WAYS),
    "deep_sets": ("deep_sets", {"width": 16}, 16),
    "deep_sets_context": ("deep_sets", {"width": 16, "context": 3}, 3),
    "deep_sets_per_class": ("deep_sets", {"width": 4, "aggregate": "per_class"}, 5 * 4),
    "cnp": ("deep_sets", {"width": 4, "binding": "concat"}, 4),
    "cnp_per_class": ("deep_sets", {"width": 4, "binding": "concat", "aggregate": "per_class"}, 5 * 4),
    "hypernetwork": ("hypernetwork", {"width": 16, "heads": 1}, 8 * 3 + 5 * 9),
    "hypernetwork_inputs": ("hypernetwork", {"width": 32, "heads": 2, "inputs": 3}, 16 * 4 + 5 * 17),
    "attention": ("attention", {"width": 4, "layers": 3, "heads": 2}, 10 * 8 * 3),
    "tnpd": ("tnpd", {"width": 4, "layers": 3, "heads": 2}, 10 * 8 * 3),
    "snail": ("snail", {"width": 4, "filters": 2, "values": 3, "length": 8}, 3 * 10 * 9 + 6 * 4),
    "snail_far": ("snail", {"width": 4, "filters": 2, "values": 3, "length": 32}, 3 * 10 * 9 + 8 * 4),
    "tcn": ("tcn", {"width": 4, "filters": 2, "length": 8}, 6 * 4),
    "prototypes": ("prototypes", {}, 5 * 6),
}
TIGHT = ("deep_sets_context", "cnp", "cnp_per_class", "prototypes")


def make(name):
    registered, init_args, _ = SMALL[name]
    torch.manual_seed(0)
    return load("learner", registered)(FEATURES, WAYS, WAYS, **init_args)


def episodes(dtype=torch.float32, batch=BATCH):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, SUPPORT + QUERIES, FEATURES, generator=generator, dtype=dtype)
    y = torch.eye(WAYS, dtype=dtype)[torch.arange(SUPPORT) % WAYS].expand(batch, -1, -1)
    return x[:, :SUPPORT], y, x[:, SUPPORT:]


class Seen(list):
    """Collects the tensors that pass somewhere in a learner."""

    def __init__(self, learner, monkeypatch):
        self.learner, self.monkeypatch = learner, monkeypatch

    def call(self, where, what, of=lambda given, got: got):
        """Keeps a part of what a function is given and returns."""
        function = getattr(where, what)

        def kept(*given, **named):
            got = function(*given, **named)
            self.append(of(given, got))
            return got

        self.monkeypatch.setattr(where, what, kept)

    def outputs(self, *modules):
        """Keeps what modules return."""
        for module in modules:
            module.register_forward_hook(lambda module, given, got: self.append(got))

    def numbers(self, which=slice(None)):
        """Runs the learner, and counts the numbers of an episode in all tensors, or in those of some calls."""
        self.learner(*episodes())
        return sum(map(count, self[which])) // BATCH


def count(found):
    return found.numel() if isinstance(found, torch.Tensor) else sum(map(count, found))


def recurrent(learner, seen):
    if learner.steps:
        seen.call(learner, "_step", lambda given, got: given[0])
        return seen.numbers() + (WAYS if learner.late else 0)
    seen.call(learner, "_answer", lambda given, got: given[1])
    return seen.numbers()


def memory(learner, seen):
    seen.call(learner, "_answer", lambda given, got: [given[0].keys, given[0].values, given[1]])
    return seen.numbers()


def last_state(learner, seen):
    seen.call(learner, "_step")
    return seen.numbers(slice(SUPPORT - 1, SUPPORT)) + WAYS


def means(learner, seen):
    if getattr(learner, "per_class", True):
        where = deep_sets if isinstance(learner, deep_sets.DeepSets) else prototypes
        seen.call(where, "class_means", lambda given, got: got[0])
    elif learner.concat:
        seen.call(learner, "_mean")
    else:
        seen.outputs(learner.narrow if isinstance(learner.narrow, nn.Identity) else learner.narrow[0])
    return seen.numbers()


def generated(learner, seen):
    seen.outputs(learner.first, learner.second)
    return seen.numbers()


def keys_and_values(learner, seen):
    seen.call(F, "scaled_dot_product_attention", lambda given, got: given[1:3])
    return seen.numbers()


def causal(learner, seen):
    """Counts what a query gets of each causal block: one step of a convolution, or what attention keeps of all."""
    support = {}

    def keep_first(module, given, got):
        support.setdefault(module, got)  # the support set comes before the queries

    for block in learner.blocks:
        for part in [block.before] if isinstance(block, DenseBlock) else [block.compare, block.value]:
            part.register_forward_hook(keep_first)
    learner(*episodes())
    dense = [block for block in learner.blocks if isinstance(block, DenseBlock)]
    steps = sum(support.pop(block.before)[0, -1].numel() * (block.dilation <= SUPPORT) for block in dense)
    return steps + sum(each[0].numel() for each in support.values())


TENSORS = {
    **dict.fromkeys(("lstm", "gru"), recurrent),
    **dict.fromkeys(("deep_sets", "prototypes"), means),
    **dict.fromkeys(("attention", "tnpd"), keys_and_values),
    **dict.fromkeys(("snail", "tcn"), causal),
    **{"mann": memory, "mann_lrua": last_state, "hypernetwork": generated},
}


def test_every_learner_is_here():
    assert {registered for registered, *_ in SMALL.values()} == set(LEARNERS)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_learner_says_the_size_of_the_tensors_that_queries_get(name, monkeypatch):
    learner = make(name)
    assert learner.carried(SUPPORT) == SMALL[name][2]
    assert TENSORS[SMALL[name][0]](learner, Seen(learner, monkeypatch)) == SMALL[name][2]


@pytest.mark.parametrize("name", sorted(SMALL))
def test_queries_tell_no_more_directions_apart_than_there_are_numbers(name):
    """The rank of the derivative of all predictions by the support set; it cannot exceed what is carried over."""
    learner = make(name).double()
    support_x, support_y, query_x = episodes(torch.float64, batch=1)
    jacobian = torch.autograd.functional.jacobian(lambda x: learner(x, support_y, query_x), support_x)
    rank = int(torch.linalg.matrix_rank(jacobian.reshape(QUERIES * WAYS, SUPPORT * FEATURES), rtol=1e-9))
    assert 0 < rank <= learner.carried(SUPPORT)
    if name in TIGHT:
        assert rank == learner.carried(SUPPORT)


def test_the_context_changes_neither_the_embedding_nor_what_is_there_without_it():
    small, large = (load("learner", "deep_sets")(FEATURES, WAYS, WAYS, context=context) for context in (2, 512))
    x = torch.randn(3, FEATURES)
    assert small.embed(x).shape == large.embed(x).shape == (3, 64)
    usual = make("deep_sets")
    torch.manual_seed(0)
    whole = load("learner", "deep_sets")(FEATURES, WAYS, WAYS, width=16, context=16)
    whole.load_state_dict({**whole.state_dict(), **usual.state_dict()})
    torch.testing.assert_close(whole(*episodes()), usual(*episodes()))
    for arguments in ({"aggregate": "per_class"}, {"binding": "concat"}):
        with pytest.raises(ValueError, match="`context` only with one mean of products"):
            load("learner", "deep_sets")(FEATURES, WAYS, WAYS, context=2, **arguments)
    for context in (0, 513):
        with pytest.raises(ValueError, match="`context` to be from 1 to the width of 512"):
            load("learner", "deep_sets")(FEATURES, WAYS, WAYS, context=context)


@pytest.mark.parametrize("task", ["categorical"], indirect=True)
@pytest.mark.parametrize(
    "arguments", [{"moves": "head"}, {"moves": "all"}, {"moves": "last_1"}, {"moves": "last_2", "head": "cosine"}]
)
def test_fine_tuning_says_how_many_weights_move(network, targets, batch, arguments, monkeypatch):
    adapter, moved = FineTuning(network, targets, steps=2, **arguments), {}

    def answer(parameters, buffers, support_x, query_x):
        before = torch.func.stack_module_state([adapter.moving] * len(batch.query))[0]
        moved.update({name: value for name, value in parameters.items() if not torch.equal(value, before[name])})
        return torch.zeros_like(batch.query_y)

    monkeypatch.setattr(adapter, "_answer", answer)
    adapter.predict(batch)
    assert adapter.carried(batch) == sum(value[0].numel() for value in moved.values())


@pytest.mark.parametrize("task", ["categorical"], indirect=True)
def test_strategies_count_what_they_keep(network, targets, batch):
    head, last = (FineTuning(network, targets, moves=moves).carried(batch) for moves in ("head", "last_1"))
    own_norms = FineTuning(network, targets, moves="last_1", frozen_norm=False).carried(batch)
    assert head == targets * (network.features + 1) and own_norms == last + 2 * 8
    chosen = ChosenFineTuning(network, targets, grid={"moves": ["head", "last_1"]}, fixed={"steps": 1})
    chosen.choose([batch])
    taken = max(chosen.choices(), key=lambda choice: choice.share).settings["moves"]
    assert chosen.carried(batch) == {"head": head, "last_1": last}[taken]
    by_each = ChosenFineTuning(network, targets, grid={"moves": ["head", "last_1"]}, by="leave_one_out")
    assert by_each.carried(batch) == last
    assert NearestNeighbour(network, targets).carried(batch) == batch.support.shape[1] * 28 * 28


@pytest.mark.parametrize("task", ["gaussian"], indirect=True)
def test_a_context_in_pretraining_is_carried_alone(network, batch):
    network.head = ContextHead(network.features, 1, width=2)
    assert FineTuning(network, 1, moves="context").carried(batch) == 2
    assert Average(network, 1).carried(batch) == 0
