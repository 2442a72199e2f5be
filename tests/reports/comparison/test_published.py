"""Published numbers beside ours: what may be set side by side, and what may not."""

import csv
from pathlib import Path

import pytest

from adaptbench.reports.comparison import published
from adaptbench.reports.comparison.comparison import compare
from adaptbench.reports.comparison.published import published_rows
from adaptbench.reports.results.manifest import read_suite
from adaptbench.reports.results.runs import read_outcomes

DATA = Path(published.__file__).parents[1] / "data"
FAMILIES = {"lstm": "recurrent", "deep_sets": "sets", "attention": "attention", "fine_tuning": "transfer"}


def rows(folder, families=FAMILIES):
    return published_rows(compare(read_outcomes(folder.path, read_suite(folder.path))), families)


@pytest.fixture
def published():
    with (DATA / "published.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_numbers_on_the_same_split_are_set_beside_ours(quick, published):
    found = [
        row for row in rows(quick) if row.entry.learner == "fine_tuning" and row.entry.setting.train_classes == 1028
    ]
    wanted = [
        row
        for row in published
        if (row["task"], row["split"], row["family"], row["ways"])
        == ("omniglot", "vinyals-1028/172/423+rot", "transfer", "5")
    ]
    assert len(wanted) > 1
    assert sorted(row.published.value for row in found) == pytest.approx(
        sorted(float(row["value"]) / 100 for row in wanted)
    )
    for row in found:
        assert row.difference == pytest.approx(row.entry.interval.mean - row.published.value)
        assert row.published.kind == "reproduction"


def test_every_entry_is_matched_or_says_why_not(quick):
    found = rows(quick)
    places = {(row.comparison.task, row.entry.learner, row.entry.setting) for row in found}
    assert len(places) == 4 * (2 + 6)
    assert all((row.published is None) == bool(row.reason) for row in found)
    fewer = {row.reason for row in found if row.entry.setting.train_classes == 50}
    assert fewer == {"the published split has 1028 training classes"}


def test_a_protocol_may_stand_for_several_published_splits(folder):
    protocol = "vinyals, rotations in training"
    folder.plan("omniglot", "lstm", "LSTM", "recurrent", 0, 1028, protocol=protocol)
    folder.write_suite().finish()
    found = {(row.entry.setting.shots, row.published.method): row for row in rows(folder) if row.published}
    assert found[1, "Plain LSTM, sequential"].published.value == 0.66
    assert found[1, "Plain LSTM, sequential"].split == "vinyals-1028/172/423-fc"


def test_presentations_of_a_stream_stand_beside_presentations(folder):
    protocol = "random (seed 0), rotations in training and test, augmented, online"
    folder.plan("omniglot-online", "mann", "MANN", "recurrent", 0, 1100, protocol=protocol)
    folder.write_suite().finish()
    found = published_rows(compare(read_outcomes(folder.path, read_suite(folder.path))), {"mann": "recurrent"})
    values = {(row.entry.setting.shots, row.published.method): row.published.value for row in found}
    assert (values[1, "MANN (LRUA)"], values[5, "MANN (LRUA)"]) == pytest.approx((0.364, 0.949))


def test_another_protocol_has_no_counterpart(folder):
    folder.plan("omniglot", "lstm", "LSTM", "recurrent", 0, 1028, protocol="a split of my own")
    folder.write_suite().finish()
    (first, _) = rows(folder)
    assert (first.published, first.reason) == (None, "no published number is known for this split")


def test_errors_of_regression_keep_their_unit(quick):
    values = {
        row.published.value
        for row in rows(quick)
        if row.published and row.entry.learner == "deep_sets" and row.comparison.task == "sinusoid"
    }
    assert values == {0.0406, 0.0141}


def test_induction_is_read_from_the_notes(published):
    from adaptbench.reports.comparison.published import _induction

    texts = {row["method"]: f"{row['method']} {row['protocol_note']}" for row in published}
    assert _induction(texts["FOMAML (transductive)"]) == "transductive"
    assert _induction(texts["Reptile (transductive)"]) == "transductive"
    assert _induction(texts["Reptile (non-transductive)"]) == "inductive"
    assert _induction(texts["SNAIL"]) == "not stated"


def test_the_map_of_splits_names_splits_that_are_there(published):
    splits = {(row["task"], row["split"]) for row in published}
    with (DATA / "published_splits.csv").open(encoding="utf-8") as file:
        ours = list(csv.DictReader(file))
    assert ours
    assert {(row["published_task"], row["split"]) for row in ours} <= splits
