import pytest

from adaptbench.reports.errors import ReportError
from adaptbench.reports.selection import parse_only, select, suggest

SIZES = [20, 100, 1028, None]
CELLS = [("lstm", "vinyals, no rotations", 0), ("gru", "vinyals, no rotations", 1), ("LSTM", "lake", None)]


def chosen(*pairs):
    def values(cell, key):
        return [cell[("learner", "protocol", "seed").index(key)]]

    return [CELLS.index(cell) for cell in select(CELLS, parse_only(pairs), values, "suite `it`")]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], [0, 1, 2]),
        (["learner=lstm"], [0, 2]),
        (["learner=lstm,gru"], [0, 1, 2]),
        (["learner=gru", "learner=lstm"], [0, 1, 2]),
        (["learner=gru, lstm", "seed=1"], [1]),
        (["protocol=vinyals, no rotations"], [0, 1]),
        (["protocol=lake", "protocol=vinyals, no rotations"], [0, 1, 2]),
        (["seed=none,0"], [0, 2]),
    ],
)
def test_either_value_of_a_key_counts_and_every_key_does(pairs, expected):
    assert chosen(*pairs) == expected


@pytest.mark.parametrize(
    ("pairs", "complaint"),
    [
        (["learner"], r"Expected `--only` to be KEY=VALUE but got `learner`\."),
        (["lerner=a"], r"Expected a key of `--only` but got `lerner`\. Did you mean `learner`\?"),
        (["learner=lstm,grru"], r"No cell of suite `it` has learner=grru\. Did you mean `gru`\?"),
        (["seed=7"], r"No cell of suite `it` has seed=7\. Known: 0, 1, None\."),
        (["learner=gru", "seed=0,none"], r"No cell of suite `it` has learner=gru and seed=0,none\."),
    ],
)
def test_a_selection_of_nothing_says_what_there_is(pairs, complaint):
    with pytest.raises(ReportError, match=complaint):
        chosen(*pairs)


def test_training_classes_without_an_end_have_the_word_of_the_tables():
    def size(wanted):
        return select(SIZES, {"train_classes": wanted}, lambda cell, _: [cell], "suite `it`")

    assert size(["unlimited"]) == size(["none"]) == [None] and size(["20,unlimited"]) == [20, None]
    with pytest.raises(ReportError, match=r"Known: 20, 100, 1028, unlimited\."):
        size(["7"])


def test_a_suggestion_stays_short():
    names = [f"r{number:015x}" for number in range(72)]
    assert suggest("zzz", names) == f"Known: {', '.join(names[:12])}, and 60 more."


def test_a_task_may_add_keys_of_its_own():
    assert parse_only(["noise=0.5"], ["noise"]) == {"noise": ("0.5",)}
    with pytest.raises(ReportError, match="Expected a key"):
        parse_only(["noise=0.5"])
