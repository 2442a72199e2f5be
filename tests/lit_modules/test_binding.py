"""Slots: never fewer than classes."""

import pytest

from adaptbench.benchmarks.suites.registry import load
from adaptbench.lit_modules.binding import Binding

SLOTTED = ("lstm", "gru", "mann", "deep_sets", "hypernetwork")


@pytest.mark.parametrize(
    ("targets", "width", "slots"), [(1, 512, 8), (5, 512, 8), (8, 16, 8), (9, 512, 16), (20, 480, 20)]
)
def test_there_are_eight_slots_or_as_many_as_classes_that_divide_the_width(targets, width, slots):
    assert Binding(4, targets, width, None).slots == slots


@pytest.mark.parametrize("name", SLOTTED)
def test_fewer_slots_than_classes_are_refused(name):
    learner = load("learner", name)
    with pytest.raises(ValueError, match=r"Expected argument `slots` to be at least the 20 classes but got 8\."):
        learner(4, 20, 20, slots=8)
    learner(4, 20, 20), learner(4, 8, 8, slots=8), learner(4, 1, 2, slots=8)


def test_a_width_too_narrow_for_every_class_is_refused():
    with pytest.raises(ValueError, match=r"Expected argument `width` to be a multiple of \d+ slots, twice at least"):
        Binding(4, 20, 16, None)


@pytest.mark.parametrize(
    ("name", "argument"),
    [("lstm", "binding"), ("lstm", "start"), ("gru", "query"), ("deep_sets", "binding"), ("attention", "compare"),
     ("attention", "maps"), ("tnpd", "norm"), ("snail", "compare"), ("snail", "maps")],
)  # fmt: skip
def test_an_argument_of_a_form_takes_only_its_values(name, argument):
    with pytest.raises(ValueError, match=f"Expected argument `{argument}` to be .* or .* but got 'other'"):
        load("learner", name)(4, 5, 5, **{argument: "other"})
