"""Splits and subsets of Omniglot's characters: disjoint, complete, nested."""

import csv
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptbench.datamodules.omniglot_splits import (
    ALPHABETS_DISJOINT,
    CHARACTERS,
    DRAWN_SPLITS,
    REMARKS,
    SMALL1,
    SMALL2,
    SPLITS,
    VALIDATION_REMARKS,
    Split,
    nested_alphabets,
    nested_subset,
    split_by_name,
    vinyals,
)

NAMES = [*SPLITS, *DRAWN_SPLITS]
PARTS = ("train", "val", "test")


def all_characters():
    """The 1623 characters that the carried table names, in the order of their names."""
    text = resources.files("adaptbench.datamodules").joinpath("data", "vinyals_split.csv").read_text(encoding="utf-8")
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


def alphabets_of(split, characters):
    return {part: {characters[row][0] for row in getattr(split, part)} for part in PARTS}


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("vinyals", [1028, 172, 423]),
        ("vinyals_clean", [987, 172, 419]),
        ("random", [1100, 100, 423]),
        ("lake", [792, 172, 659]),
        ("small1", [136, 150, 659]),
        ("small2", [156, 172, 659]),
    ],
)
def test_splits_have_the_sizes_that_they_say(name, sizes):
    split = split_by_name(name, all_characters())
    assert [len(getattr(split, part)) for part in PARTS] == sizes
    assert name in {**REMARKS, **VALIDATION_REMARKS}
    assert CHARACTERS[name] == tuple(sizes[:2])


@pytest.mark.parametrize("name", NAMES)
def test_alphabets_are_shared_between_parts_only_where_a_split_says_so(name):
    characters = all_characters()
    found = alphabets_of(split_by_name(name, characters), characters)
    shared = (found["train"] & found["val"]) | (found["train"] & found["test"]) | (found["val"] & found["test"])
    assert bool(shared) == (name not in ALPHABETS_DISJOINT)
    if name == "vinyals":
        assert shared == {"Gurmukhi"}


def test_minimal_sets_learn_from_five_alphabets_and_are_tested_on_the_evaluation_set():
    characters = all_characters()
    lake = alphabets_of(split_by_name("lake", characters), characters)
    assert [len(lake[part]) for part in PARTS] == [25, 5, 20]
    for name, learned_from in (("small1", SMALL1), ("small2", SMALL2)):
        found = alphabets_of(split_by_name(name, characters), characters)
        assert found["train"] == set(learned_from) and found["test"] == lake["test"]
        assert found["val"] == lake["val"] - set(learned_from)


def test_random_splits_are_as_many_as_seeds_and_no_other_split_has_one():
    characters = all_characters()
    tests = [frozenset(split_by_name("random", characters, seed).test.tolist()) for seed in (0, 0, 1)]
    assert tests[0] == tests[1] != tests[2]
    with pytest.raises(ValueError, match=r"`split_seed` to be 0 for split 'lake', the only one, but got 3\.$"):
        split_by_name("lake", characters, 3)
    with pytest.raises(ValueError, match=r"`split_seed` to be an integer but got 0\.5\.$"):
        split_by_name("random", characters, 0.5)
    with pytest.raises(ValueError, match=r"`characters` to be 1623 but got 1622\.$"):
        split_by_name("random", characters[1:])


@pytest.mark.parametrize("name", NAMES)
def test_splits_follow_names_not_positions(name):
    characters = all_characters()
    shuffled = [characters[row] for row in np.random.default_rng(1).permutation(len(characters))]
    first, second = split_by_name(name, characters), split_by_name(name, shuffled)
    for part in PARTS:
        assert {characters[row] for row in getattr(first, part)} == {shuffled[row] for row in getattr(second, part)}


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


@given(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=8), seed=st.integers(0, 2**32), data=st.data())
def test_subsets_within_alphabets_fill_one_after_the_other(sizes, seed, data):
    alphabets = np.repeat(np.arange(len(sizes)), sizes)
    rows = np.arange(len(alphabets)) * 2 + 5
    n = data.draw(st.integers(1, len(rows)))
    subset = nested_alphabets(rows, alphabets, n, seed)
    np.testing.assert_array_equal(subset, nested_alphabets(rows, alphabets, None, seed)[:n])
    assert len(set(subset.tolist())) == n and set(subset.tolist()) <= set(rows.tolist())
    met = alphabets[(subset - 5) // 2]
    starts = np.flatnonzero(np.diff(met, prepend=-1))
    assert len(starts) == len(set(met.tolist())), "an alphabet was left and met again"
    for start in starts[1:]:
        assert (met == met[start - 1]).sum() == sizes[met[start - 1]], "left before it was full"


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
    with pytest.raises(ValueError, match=r"`train_classes` to be an integer from 1 to 10 but got .*\.$"):
        nested_alphabets(np.arange(10), np.zeros(10, dtype=int), n, 0)
