"""Settings in words: shots and presentations, sizes and ways."""

import pytest

from adaptbench.reports.results.settings import Setting


@pytest.mark.parametrize(
    ("number", "expected"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (5, "5th"), (11, "11th"), (22, "22nd"), (113, "113th")]
)
def test_a_presentation_is_named_by_its_place(number, expected):
    setting = Setting(None, None, number, shots_word="presentation")
    assert setting.shots_label == setting.shots_phrase == f"{expected} presentation"


def test_shots_are_counted():
    one, five = (Setting(None, None, shots) for shots in (1, 5))
    assert (one.shots_label, five.shots_label, five.shots_phrase) == ("1 shot", "5 shots", "5-shot")


def test_a_setting_says_its_ways_and_size():
    few = Setting(50, 5, 1, class_word="characters")
    assert (str(few), few.episode_label, few.ways_and_size) == (
        "5-way 1-shot with 50 characters",
        "5-way 1-shot",
        "5-way, 50 characters",
    )
    regression = Setting(None, None, 10, class_word="functions")
    assert (str(regression), regression.episode_label, regression.ways_and_size) == (
        "10-shot with unlimited functions",
        "10 shots",
        "unlimited functions",
    )


def test_words_do_not_distinguish_settings():
    assert Setting(50, 5, 1, class_word="characters") == Setting(50, 5, 1)
