"""Shots and presentations in words."""

import pytest

from adaptbench.reports.results.settings import ordinal, shots_heading, shots_phrase


@pytest.mark.parametrize(
    ("number", "expected"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (5, "5th"), (11, "11th"), (22, "22nd"), (113, "113th")]
)
def test_a_presentation_is_named_by_its_place(number, expected):
    assert ordinal(number, "presentation") == f"{expected} presentation"
    assert shots_heading(number, "presentation") == shots_phrase(number, "presentation") == f"{expected} presentation"


def test_shots_are_counted():
    assert (shots_heading(1, "shot"), shots_heading(5, "shot"), shots_phrase(5, "shot")) == (
        "1 shot",
        "5 shots",
        "5-shot",
    )
