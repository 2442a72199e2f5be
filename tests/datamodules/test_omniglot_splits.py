"""Splits and subsets of Omniglot's characters: disjoint, complete, nested."""

import csv
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.omniglot_splits import SPLITS, Split, nested_subset, split_by_name, vinyals


def all_characters():
    """The 1623 characters that the carried table names, in the order of their names."""
    text = resources.files("datamodules").joinpath("data", "vinyals_split.csv").read_text(encoding="utf-8")
    lines = csv.DictReader(text.splitlines())
    numbers = {line["alphabet"]: [] for line in csv.DictReader(text.splitlines())}
    for line in lines:
        numbers[line["alphabet"]] += range(int(line["first_character"]), int(line["last_character"]) + 1)
    return sorted((alphabet, f"character{number:02d}") for alphabet in numbers for number in numbers[alphabet])


def test_vinyals_covers_every_character_once():
    characters = all_characters()
    split = vinyals(characters)
    assert [len(rows) for rows in (split.train, split.val, split.test)] == [1028, 172, 423]
    rows = np.concatenate([split.train, split.val, split.test])
    np.testing.assert_array_equal(np.sort(rows), np.arange(1623))


def test_vinyals_follows_names_not_positions():
    characters = all_characters()
    shuffled = [characters[row] for row in np.random.default_rng(0).permutation(len(characters))]
    for part in ("train", "val", "test"):
        expected = {characters[row] for row in getattr(vinyals(characters), part)}
        assert {shuffled[row] for row in getattr(vinyals(shuffled), part)} == expected


@pytest.mark.parametrize("change", [lambda c: c[1:], lambda c: [*c, ("Elvish", "character01")]])
def test_vinyals_refuses_other_characters(change):
    with pytest.raises(ValueError, match=r"but 1 are missing or unknown, .*/character01 among them\.$"):
        vinyals(change(all_characters()))


@pytest.mark.parametrize(
    "rows", [([1, 2], [3], [2]), ([1, 2], [2], [4]), ([1], [3, 4], [4]), ([1, 1], [2], [3])], ids=str
)
def test_split_that_leaks_is_refused(rows):
    with pytest.raises(ValueError, match="share no character"):
        Split(*map(np.array, rows))


def test_split_by_name_finds_what_is_registered(monkeypatch):
    monkeypatch.setitem(SPLITS, "halves", lambda characters: Split(*np.split(np.arange(len(characters)), [2, 3])))
    split = split_by_name("halves", [("Greek", f"character{number:02d}") for number in range(1, 7)])
    assert [rows.tolist() for rows in (split.train, split.val, split.test)] == [[0, 1], [2], [3, 4, 5]]


def test_unknown_split_gets_the_nearest_name():
    with pytest.raises(ValueError, match=r"known split such as 'vinyals' or .* but got 'vinyal'\.$"):
        split_by_name("vinyal", [])


@given(total=st.integers(1, 200), seed=st.integers(0, 2**32), data=st.data())
def test_smaller_subsets_lie_in_larger_ones(total, seed, data):
    rows = np.arange(total) * 3 + 1
    small, large = sorted(data.draw(st.tuples(st.integers(1, total), st.integers(1, total))))
    subset = nested_subset(rows, large, seed)
    assert len(subset) == large == len(set(subset.tolist()))
    assert set(subset.tolist()) <= set(rows.tolist())
    np.testing.assert_array_equal(nested_subset(rows, small, seed), subset[:small])
    np.testing.assert_array_equal(nested_subset(rows, None, seed), nested_subset(rows, total, seed))


def test_subsets_of_other_seeds_differ():
    rows = np.arange(1028)
    subsets = {tuple(nested_subset(rows, 50, seed).tolist()) for seed in range(20)}
    assert len(subsets) == 20


def test_subset_stays_what_it_was():
    # Numbers that were published depend on these rows: other ones need a new version of every suite.
    np.testing.assert_array_equal(nested_subset(np.arange(1028), 5, 0), [327, 95, 468, 546, 1023])


@pytest.mark.parametrize("n", [0, -1, 11, 2.0, True, "5"])
def test_impossible_subset_is_refused(n):
    with pytest.raises(ValueError, match=r"`train_classes` to be an integer from 1 to 10 but got .*\.$"):
        nested_subset(np.arange(10), n, 0)
