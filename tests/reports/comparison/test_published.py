"""Published numbers beside ours: what may be set side by side, and what may not."""

import csv
import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from adaptbench.benchmarks.suites.registry import KINDS
from adaptbench.datamodules.lake_runs import LakeRunsDataModule
from adaptbench.datamodules.omniglot import OmniglotDataModule
from adaptbench.datamodules.omniglot_online import OmniglotOnlineDataModule
from adaptbench.datamodules.omniglot_splits import CHARACTERS
from adaptbench.reports.comparison import published
from adaptbench.reports.comparison.comparison import compare
from adaptbench.reports.comparison.published import _adapts_otherwise, bibliography, cite_key, published_rows
from adaptbench.reports.results.manifest import read_suite
from adaptbench.reports.results.runs import read_outcomes
from adaptbench.reports.sources.sources import opened, read_sources
from adaptbench.reports.tables.published import published_table

DATA = Path(published.__file__).parents[1] / "data"
FAMILIES = {
    "lstm": "recurrent", "deep_sets": "sets", "attention": "attention", "fine_tuning": "transfer", "mann": "recurrent",
    "snail": "attention", "prototypes": "metric", "maml": "optimization", "deep_sets_per_class": "sets",
}  # fmt: skip
UPRIGHT = "vinyals, rotations in training, augmented"
ROTATED = "vinyals, rotations in training and test, augmented"
RANDOM = "random (seed 0), rotations in training and test, augmented"
RANDOM_UPRIGHT = "random (seed 0), rotations in training"
LAKE = "20 official runs, learned from lake, rotations in training"
ONLINE = "random (seed 0), rotations in training and test, augmented, online"


def read(name):
    with (DATA / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def numbers():
    return read("published.csv")


def rows_of(folder):
    return published_rows(compare(read_outcomes(folder.path, read_suite(folder.path))), FAMILIES)


@pytest.fixture
def beside(folder):
    """The rows of one learner, finished under one protocol; optionally with another encoder, or other arguments."""

    def rows(learner, protocol, classes=1028, task="omniglot", encoder=None, arguments=None, **plan):
        cell = folder.plan(task, learner, learner, FAMILIES[learner], 0, classes, protocol=protocol, **plan)
        folder.write_suite().finish()
        changes = {"encoder": {"name": encoder}} if encoder else {}
        changes |= {"learner": {"name": learner, "init_args": arguments}} if arguments else {}
        path = folder.path / cell["run_id"] / "spec.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        return rows_of(folder)

    return rows


def cells(rows):
    """What readers see: (shots, published method, value, difference, differing terms)."""
    return [
        (r.entry.setting.shots, r.published.method, round(r.published.value, 4), r.difference is not None, r.differs_in)
        for r in rows
        if r.shown
    ]


def select(numbers, **wanted):
    found = [row for row in numbers if all(row[name] == value for name, value in wanted.items())]
    assert found, wanted
    return found


def values(numbers, **wanted):
    return {(row["ways"], row["shots"]): (row["value"], row["ci"]) for row in select(numbers, **wanted)}


# The faults that the numbers once had, one after the other.


def test_maml_plus_plus_is_as_its_paper_has_it(numbers):
    assert values(numbers, method="MAML++")["5", "5"] == ("99.93", "")


def test_snells_split_stands_beside_the_rotated_test_and_never_beside_the_upright_one(beside):
    method = "Prototypical Nets (Euclid.)"
    rotated = [row for row in beside("prototypes", ROTATED) if row.shown]
    assert [(row.published.method, row.differs_in) for row in rotated] == [(method, ())] * 2
    assert {row.published.trained_on for row in rotated} == {"1200 characters"}
    for row in rotated:
        assert row.difference == pytest.approx(row.entry.interval.mean - row.published.value)


def test_no_number_of_a_rotated_test_stands_beside_an_upright_one(beside):
    found = beside("prototypes", UPRIGHT) + beside("prototypes", RANDOM_UPRIGHT, 1100)
    assert all(row.published is None or row.published.rotations != "all" for row in found)
    assert any(row.published for row in found)


def test_a_number_of_an_upright_test_does_not_stand_beside_a_rotated_one(beside):
    methods = {row.published.method for row in beside("maml", RANDOM, 1100) if row.published}
    assert "MAML (conv)" in methods
    assert not any(method.startswith(("Reptile", "FOMAML")) for method in methods)


def test_numbers_of_fully_connected_networks_give_no_difference_beside_convolutions(beside):
    found = cells(beside("lstm", UPRIGHT))
    assert found == [
        (1, "Plain LSTM, sequential", 0.66, False, ("rotations in training", "encoder")),
        (5, "Plain LSTM, sequential", 0.5682, False, ("rotations in training", "encoder")),
    ]


def test_a_network_that_was_told_more_in_pretraining_gives_no_difference():
    with opened(["quick"]) as sources:
        reading = read_sources(sources)
        sinusoid = compare(reading.outcomes)[0]
    families = {cell.learner: cell.family for cell in reading.suite.cells}
    found = [
        row for row in published_rows([sinusoid], families) if row.entry.learner == "fine_tuning" and row.published
    ]
    assert found and all(row.differs_in == ("what pretraining is told",) and row.difference is None for row in found)


@pytest.mark.parametrize("encoder, differs_in", [("mlp", ()), ("conv4", ("encoder",)), ("my.Encoder", ("encoder",))])
def test_one_on_those_very_terms_gives_a_difference(beside, encoder, differs_in):
    found = cells(beside("lstm", "vinyals, no rotations", encoder=encoder))
    assert [(shots, terms) for shots, *_, terms in found] == [(1, differs_in), (5, differs_in)]
    assert all(has_difference == (not terms) for *_, has_difference, terms in found)


def test_baselines_of_the_paper_itself_are_original(numbers):
    found = [row for row in numbers if row["method"].startswith("Baseline classifier")]
    assert (len(found), {row["kind"] for row in found}) == (12, {"original"})


def test_misquoted_numbers_stand_beside_nothing(beside, numbers):
    wrong = select(numbers, kind="misquoted")
    assert {row["method"] for row in wrong} == {"MANN no-conv (as quoted by later papers)"}
    found = beside("mann", RANDOM, 1100) + beside("mann", ONLINE, 1100, task="omniglot-online")
    methods = {row.published.method for row in found if row.published}
    assert "MANN (LRUA)" in methods
    assert not methods & {row["method"] for row in wrong}


def test_misquoted_numbers_on_a_split_of_ours_stand_beside_nothing(beside, monkeypatch):
    wrong = [row | {"kind": "misquoted"} if row["method"] == "SNAIL" else row for row in read("published.csv")]
    monkeypatch.setattr(published, "_read", lambda name: wrong if name == "published.csv" else read(name))
    published._published.cache_clear()
    methods = {row.published.method for row in beside("snail", RANDOM, 1100) if row.published}
    published._published.cache_clear()
    assert methods
    assert "SNAIL" not in methods


def test_kernel_methods_and_amortised_inference_are_of_no_family_of_ours(numbers):
    found = [row for row in numbers if row["method"].startswith(("MetaVRF", "VERSA"))]
    assert [row["family"] for row in found] == ["other"] * 3


def test_superseded_drafts_are_in_the_file_and_hidden_from_readers(beside, numbers):
    drafts = {row["method"] for row in select(numbers, kind="superseded")}
    assert drafts == {
        "TCML (SNAIL arXiv v1)", "Prototypical Nets (arXiv v1 numbers)", "Reptile (non-transductive, arXiv v1)",
        "Reptile (transductive, arXiv v1)",
    }  # fmt: skip
    table = published_table(beside("snail", RANDOM, 1100))
    assert {cells[5].text for _, cells in table.rows} == {"SNAIL (original)"}
    assert "TCML (SNAIL arXiv v1)" in set(table.frame["method"])
    assert "superseded by a later version" in table.notes[-1][1]


def test_induction_is_a_column(numbers):
    found = {row["method"]: row["induction"] for row in numbers}
    for method in (
        "SNAIL", "Matching Nets (cosine)", "MANN (LRUA)", "Deep Siamese ConvNet", "Prototypical Nets (Euclid.)",
        "Reptile (non-transductive)",
    ):  # fmt: skip
        assert found[method] == "inductive", method
    for method in ("MAML (conv)", "FOMAML (transductive)", "Reptile (transductive)"):
        assert found[method] == "transductive", method
    assert found["Relation Net"] == "not stated"


def test_there_is_no_difference_between_transductive_and_inductive(beside):
    second = {"first_order": False}
    found = {row.published.method: row for row in beside("maml", RANDOM, 1100, arguments=second) if row.shown}
    assert (found["MAML (conv)"].difference, found["MAML (conv)"].differs_in) == (None, ("prediction",))
    assert found["MAML (Rakelly PyTorch reimplementation)"].difference is not None


@pytest.mark.parametrize(
    ("arguments", "alike"),
    [({"first_order": False, "steps": 1, "test_steps": 5}, "MAML (5 grad steps)"), ({"steps": 1, "test_steps": 5}, "")],
)
def test_maml_of_another_order_or_with_other_steps_has_no_difference(arguments, alike, beside):
    rows = beside("maml", None, None, task="sinusoid", arguments=arguments)
    found = {row.published.method: row.differs_in for row in rows if row.shown and "grad steps" in row.published.method}
    assert len(found) == 3 and {method for method, differs in found.items() if not differs} == {alike} - {""}


def test_the_order_of_a_suites_own_number_is_what_its_name_says(beside):
    row = beside("maml", None, None, task="sinusoid", arguments={"steps": 1})[0]
    (run,) = row.entry.runs
    own = {name: replace(row.published, method=name, key="") for name in ("MAML", "First-order MAML", "second order")}
    assert [name for name, each in own.items() if _adapts_otherwise(each, run)] == ["second order"]


def test_a_doubtful_number_is_kept_and_marked(beside, numbers):
    (row,) = [row for row in numbers if row["doubt"]]
    assert (row["method"], row["value"], row["ci"]) == ("MAML 1 step (GP-VIB rerun)", "0.6", "0.662")
    table = published_table(beside("maml", None, None, task="sinusoid"))
    marked = {cells[5].text for _, cells in table.rows if cells[2].marks}
    assert marked == {"MAML 1 step (GP-VIB rerun) (reproduction)"}


@pytest.mark.parametrize("split, bpl", [("lake", 0.967), ("small1", 0.957), ("small2", 0.96)])
def test_lakes_runs_and_the_small_sets_have_their_rows(folder, split, bpl):
    protocol, classes = LAKE.replace("from lake", f"from {split}"), CHARACTERS[split][0]
    for learner in ("deep_sets", "attention"):
        folder.plan(
            "lake_runs", learner, learner, FAMILIES[learner], 0, classes, protocol=protocol, tests=[(20, 1)],
        )  # fmt: skip
    folder.write_suite().finish()
    rows = rows_of(folder)
    found = {row.published.method: row for row in rows if row.shown}
    assert found["BPL"].published.value == pytest.approx(bpl)
    best = max((row.entry for row in rows), key=lambda entry: entry.interval.mean)
    assert {row.entry.learner for row in found.values()} == {best.learner}
    assert all(row.difference is None and row.differs_in == ("method",) for row in found.values())
    if split == "lake":
        assert {"Human", "GNS", "DooD", "Deep Siamese ConvNet", "Modified Hausdorff distance"} <= set(found)


def test_only_numbers_of_tasks_that_we_do_not_have_are_mapped_to_nothing(numbers):
    tasks = {row["published_task"] for row in read("published_splits.csv")}
    lost = [row for row in numbers if row["task"] not in tasks]
    assert ({row["task"] for row in lost}, len(lost)) == ({"omniglot->emnist"}, 16)


# Rows that were added.


def test_rows_of_t_nas_are_there(numbers):
    assert values(numbers, method="T-NAS") == {("5", "1"): ("99.36", ""), ("5", "5"): ("99.94", "")}
    assert values(numbers, method="T-NAS++") == {("5", "1"): ("99.55", "0.32"), ("5", "5"): ("99.95", "0.07")}
    assert values(numbers, method="Auto-MAML") == {("5", "1"): ("98.95", ""), ("5", "5"): ("99.91", "")}
    assert values(numbers, method="Meta-SGD")["5", "5"] == ("99.93", "0.09")


def test_errors_on_lakes_runs_are_there(numbers):
    wanted = {"GNS": "5.7", "VHE": "18.7", "DooD": "26.5", "DAIR": "85.5", "BPL": "3.3"}
    split = "lake-20runs-within-alphabet; background30"
    found = {row["method"]: row["value"] for row in select(numbers, split=split)}
    assert {method: found[method] for method in wanted} == wanted


# What holds for every row.


def test_every_number_has_a_source_and_words_that_are_known(numbers):
    rotations = {row["rotations"] for row in numbers}
    assert rotations == {"none", "train", "all", ""}
    assert {row["kind"] for row in numbers} == {"original", "reproduction", "superseded", "misquoted"}
    assert {row["induction"] for row in numbers} == {"inductive", "transductive", "not stated"}
    assert {row["encoder"] for row in numbers} == {"conv", "mlp", "none", ""}
    assert all(row["source"].strip() and row["citation"].strip() for row in numbers)


def test_no_number_is_there_twice(numbers):
    places = [tuple(row[k] for k in ("task", "split", "method", "ways", "shots", "value", "source")) for row in numbers]
    assert len(set(places)) == len(places)


def test_learners_are_ours(numbers):
    ours = set(KINDS["learner"]) | set(KINDS["strategy"]) | {"deep_sets_per_class"}
    assert {row["learner"] for row in numbers} - {""} <= ours


def test_the_map_names_splits_that_are_there_and_rotations_as_protocols_do(numbers):
    splits = {(row["task"], row["split"]) for row in numbers}
    ours = read("published_splits.csv")
    assert ours
    assert {(row["published_task"], row["split"]) for row in ours} <= splits
    words = {"none": "no rotations", "train": "rotations in training", "all": "rotations in training and test"}
    for row in ours:
        if row["rotations"]:
            assert words[row["rotations"]] in row["protocol"].split(", "), row
    mapped = {row["split"] for row in ours if row["task"].startswith("omniglot")}
    assert all(row["rotations"] for row in numbers if row["split"] in mapped)


def test_protocols_of_the_map_are_those_of_the_tasks():
    omniglot = [
        {"split": split, "rotations": rotations, "augment": augment, "learn_from": learn_from}
        for split in ("vinyals", "random")
        for rotations in ("none", "train", "all")
        for augment in (False, True)
        for learn_from in ("train", "train_and_val")
    ]
    runs = [
        {"split": split, "scope": scope, "rotations": rotations, "learn_from": learn_from}
        for split in ("lake", "small1", "small2")
        for scope in ("across", "within")
        for rotations in ("none", "train")
        for learn_from in ("train", "train_and_val")
    ]
    tasks = (OmniglotDataModule, OmniglotOnlineDataModule)
    ours = {(task.task_name, task.protocol(args)) for task in tasks for args in omniglot}
    ours |= {("lake_runs", LakeRunsDataModule.protocol(args)) for args in runs}
    assert {(row["task"], row["protocol"]) for row in read("published_splits.csv")} <= ours | {
        ("sinusoid", "noise-free")
    }


# The rows themselves.


def test_the_same_method_comes_first_and_the_family_is_in_the_file_only(beside):
    rows = beside("snail", RANDOM, 1100)
    assert {row.published.method for row in rows if row.shown} == {"SNAIL"}
    assert {row.match for row in rows} == {"method", "family"}
    assert all(row.difference is not None for row in rows if row.published)


def test_a_learner_is_known_by_its_component_whatever_its_name(folder, monkeypatch):
    monkeypatch.setitem(FAMILIES, "ours", "attention")
    cell = folder.plan("omniglot", "ours", "Ours", "attention", 0, 1100, protocol=RANDOM)
    folder.write_suite().finish()
    path = folder.path / cell["run_id"] / "spec.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"learner": {"name": "snail"}}))
    assert {row.published.method for row in rows_of(folder) if row.shown} == {"SNAIL"}


def test_every_entry_is_matched_or_says_why_not(quick):
    found = rows_of(quick)
    places = {(row.comparison.task, row.entry.learner, row.entry.setting) for row in found}
    assert len(places) == 4 * (2 + 6)
    assert all((row.published is None) == bool(row.reason) for row in found)
    seen = {(row.comparison.task, row.entry.learner, row.entry.setting) for row in found if row.shown or row.reason}
    assert seen == places
    fewer = {row.reason for row in found if row.entry.setting.train_classes == 50}
    assert fewer == {"the published split has 1028 training classes"}


def test_presentations_of_a_stream_stand_beside_presentations_without_a_difference_if_encoders_differ(beside):
    found = cells(beside("mann", ONLINE, 1100, task="omniglot-online"))
    assert found == [(1, "MANN (LRUA)", 0.364, False, ("encoder",)), (5, "MANN (LRUA)", 0.949, False, ("encoder",))]


def test_another_protocol_has_no_counterpart(beside):
    (first, _) = beside("lstm", "a split of my own")
    assert (first.published, first.reason) == (None, "no published number is known for this split")


def test_errors_of_regression_keep_their_unit(quick):
    lstm = [row for row in rows_of(quick) if row.entry.learner == "lstm" and row.comparison.task == "sinusoid"]
    assert {row.published.value for row in lstm if row.shown} == {0.0536, 0.028, 0.0177, 0.0084}
    assert all(row.difference is not None for row in lstm if row.shown)


def test_the_table_names_terms_that_differ_instead_of_a_difference(beside):
    table = published_table(beside("lstm", UPRIGHT))
    ((label, found), _) = table.rows
    assert label == "lstm (Omniglot)"
    assert dict(zip(table.columns, (cell.text for cell in found), strict=True)) | {"ours": ""} == {
        "setting": "5-way 1-shot", "ours": "", "published": "66.0 ± 1.01", "difference": "—",
        "differs in": "rotations in training, encoder", "method": "Plain LSTM, sequential (original)",
        "prediction": "not stated", "split": "vinyals-1028/172/423-fc", "trained on": "1028 characters",
        "published by": "Huisman et al., 2023",
    }  # fmt: skip


def test_every_publication_has_an_entry_in_the_bibliography():
    text = bibliography()
    keys = re.findall(r"^@\w+\{(\w+),$", text, re.MULTILINE)
    rows = csv.DictReader((files("adaptbench.reports") / "data" / "published.csv").read_text("utf-8").splitlines())
    assert {cite_key(row["citation"], row["year"]) for row in rows} == set(keys) and len(set(keys)) == len(keys)
