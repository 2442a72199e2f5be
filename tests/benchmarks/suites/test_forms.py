"""The learners' forms: how tables call them, and what they are made of."""

import inspect

import pytest

from adaptbench.benchmarks.suites.registry import LEARNERS, find, load
from adaptbench.benchmarks.suites.suite import load_suite


@pytest.mark.parametrize(
    ("name", "init_args", "label"),
    [
        ("lstm", {}, "LSTM, bound"),
        ("lstm", {"width": 16, "slots": 1}, "LSTM, bound"),
        ("lstm", {"binding": "concat", "start": "random", "query": "step"}, "LSTM"),
        ("lstm", {"start": "random"}, "LSTM, bound, start random"),
        ("lstm", {"binding": "concat", "start": "random"}, "LSTM, query read"),
        ("gru", {"pooled": True}, "GRU, bound, pooled"),
        ("mann", {}, "MANN, bound"),
        ("mann_lrua", {}, "MANN"),
        ("deep_sets", {}, "Deep sets"),
        ("deep_sets", {"aggregate": "per_class"}, "Deep sets per class"),
        ("deep_sets", {"binding": "concat"}, "CNP"),
        ("deep_sets", {"binding": "concat", "aggregate": "per_class"}, "CNP, class means in a row"),
        ("hypernetwork", {}, "Hypernetwork, fast weights"),
        ("hypernetwork", {"fast": False}, "Hypernetwork"),
        ("attention", {"maps": 2}, "Attention, maps 2"),
        ("snail", {"compare": "dot", "maps": 2, "itself": True}, "SNAIL"),
        ("snail", {"compare": "dot", "maps": 2}, "SNAIL, itself false"),
        ("maml", {"steps": 3}, "MAML, first order"),
        ("maml", {"first_order": False}, "MAML"),
        ("maml", {"first_order": False, "zero_head": True}, "MAML, head from zero"),
        ("maml_learn2learn", {"first_order": False}, "MAML, learn2learn"),
        ("own.Learner", {"binding": "concat"}, "Learner"),
    ],
)
def test_labels_are_made_from_the_arguments(name, init_args, label):
    nearest, departures = find("learner", name).nearest_form(init_args)
    assert ", ".join([nearest.label, *departures]) == label


def test_tables_of_a_suite_carry_the_forms_labels(write_suite):
    concat = {"learner": {"name": "deep_sets", "init_args": {"binding": "concat"}}}
    path = write_suite(**{"learners.cnp": concat, "learners.mine": {**concat, "label": "Mine"}})
    labels = {cell.attributes.learner: cell.attributes.label for cell in load_suite(str(path)).cells()}
    assert (labels["deep_sets"], labels["cnp"], labels["mine"]) == ("Deep sets", "CNP", "Mine")


@pytest.mark.parametrize("name", LEARNERS)
def test_the_first_form_is_the_one_without_arguments(name):
    first, *others = LEARNERS[name].forms
    assert first.label == LEARNERS[name].label
    parameters = inspect.signature(load("learner", name)).parameters
    assert {argument: parameters[argument].default for argument in first.init_args} == first.init_args
    assert all(form.init_args.keys() == first.init_args.keys() for form in others)


def test_every_form_has_a_label_of_its_own():
    labels = [form.label for entry in LEARNERS.values() for form in entry.forms]
    assert len(set(labels)) == len(labels)
    assert all(entry.nearest_form(form.init_args) == (form, []) for entry in LEARNERS.values() for form in entry.forms)
