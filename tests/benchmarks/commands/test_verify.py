"""Verification: says `same` of what is the same, and what differs first of what is not."""

import json
import shutil

import pandas as pd
import pytest

from adaptbench.benchmarks.commands.verify import (
    _judge,
    choose,
    compare_exactly,
    compare_loosely,
    same_hardware,
    verify_runs,
)
from adaptbench.benchmarks.executors.plan import PlannedRun
from adaptbench.benchmarks.runs.run import execute
from adaptbench.benchmarks.speed import tolerances
from adaptbench.benchmarks.speed.tolerances import allowed, largest
from adaptbench.reports.bundle_format import Tolerances
from adaptbench.reports.reading import read


@pytest.fixture
def runs(store, episodic, transfer):
    """A folder with a black-box run, a pretraining and the transfer run that needs it."""
    needs = transfer()
    for spec in (episodic(), needs.pretrained, needs):
        execute(spec, store)
    return store.root


@pytest.fixture
def pair(store, episodic, tmp_path):
    """A run's folder and a copy of it."""
    folder = execute(episodic(), store)
    return folder, shutil.copytree(folder, tmp_path / "copy")


def test_a_copy_is_the_same(pair):
    assert compare_exactly(*pair) is None


def test_times_and_machines_do_not_count(pair):
    (pair[1] / "environment.json").write_text("{}")
    assert compare_exactly(*pair) is None


def test_the_first_differing_score_is_named(pair):
    path = pair[1] / "result.json"
    result = json.loads(path.read_text())
    value = result["scores"][1]["value"]
    result["scores"][1]["value"] = value + 1e-15
    path.write_text(json.dumps(result, sort_keys=True, indent=1) + "\n")
    assert compare_exactly(*pair) == f"result.json: scores.1.value was {value!r}, is {value + 1e-15!r}"


def test_other_bytes_of_the_same_values_count(pair):
    path = pair[1] / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert compare_exactly(*pair) == "result.json: the same values in other bytes"


def test_the_order_of_columns_does_not_count(pair):
    """A bundle has one order for all its runs, and those of another task may have come first."""
    path = pair[1] / "episodes.parquet"
    table = pd.read_parquet(path)
    table[table.columns[::-1]].to_parquet(path, index=False)
    assert compare_exactly(*pair) is None


@pytest.mark.parametrize("name", ["episodes.parquet", "curve.parquet"])
def test_tables_are_compared_by_content(name, pair):
    path = pair[1] / name
    table = pd.read_parquet(path)
    table.to_parquet(path, index=False, compression="gzip")
    assert compare_exactly(*pair) is None
    column = table.columns[-1]
    table.loc[3, column] += 1e-9
    table.to_parquet(path, index=False)
    assert compare_exactly(*pair).startswith(f"{name}: {column} of row 3 was ")
    table.iloc[:-1].to_parquet(path, index=False)
    assert "x 15" in compare_exactly(*pair) or "x 39" in compare_exactly(*pair)
    path.unlink()
    assert compare_exactly(*pair) == f"{name}: was there, is not"


def test_a_sample_depends_on_its_seed_only(tmp_path):
    for number in range(30):
        (tmp_path / f"{number:02}").mkdir()
        (tmp_path / f"{number:02}" / "result.json").touch()
    (tmp_path / ".partial-x").mkdir()
    (tmp_path / ".partial-x" / "result.json").touch()
    assert len(choose(tmp_path, None, 0)) == 30
    assert choose(tmp_path, 5, 1) == choose(tmp_path, 5, 1) != choose(tmp_path, 5, 2)
    for sample in (0, 31):
        with pytest.raises(ValueError, match=f"from 1 to the 30 finished runs but got {sample}"):
            choose(tmp_path, sample, 0)


@pytest.mark.slow
def test_runs_are_computed_again_and_changes_are_found(runs, episodic, pretraining, store, tmp_path):
    verdicts = list(verify_runs(runs, choose(runs, None, 0)))
    assert len(verdicts) == 3
    assert [verdict.difference for verdict in verdicts] == [None] * 3

    changed = store.published(episodic().run_id) / "result.json"
    changed.write_text(changed.read_text().replace('"at_chance": true', '"at_chance": false'))
    assert '"at_chance": false' in changed.read_text()
    weights = store.published(pretraining().run_id) / "spec.json"
    weights.write_text(weights.read_text().replace('"seed": 0', '"seed": 1'))
    differences = {verdict.run_id: verdict.difference for verdict in verify_runs(runs, choose(runs, None, 0))}
    assert differences[episodic().run_id] == "result.json: scores.0.at_chance was false, is true"
    assert "its spec.json is that of run" in differences[pretraining().run_id]
    assert sum(difference is None for difference in differences.values()) == 1
    assert not list(runs.glob(".*"))


@pytest.mark.parametrize(("name", "content"), [("result.json", b"{"), ("episodes.parquet", b"PAR1")])
def test_a_damaged_file_differs_and_hides_no_other_verdict(name, content, pair, episodic):
    (pair[0] / name).write_bytes(content)
    verdict = _judge(PlannedRun(episodic(), "deep sets"), *pair)
    assert verdict.word == "differs" and verdict.difference


MEASURED = {"deep_sets": {"accuracy": 0.01, "mse": 0.02}, "lstm": {"mse": 0.05}}


@pytest.mark.parametrize("measured", [MEASURED, {}])
def test_on_other_hardware_scores_may_move_within_the_stated_tolerance(pair, measured, monkeypatch):
    monkeypatch.setattr(tolerances, "shipped", lambda: measured)
    environment = json.loads((pair[1] / "environment.json").read_text())
    machine = environment["machine"]
    assert same_hardware(*pair)
    (pair[1] / "environment.json").write_text(
        json.dumps({**environment, "machine": machine | {"processor": "another"}})
    )
    assert not same_hardware(*pair)
    path = pair[1] / "result.json"
    result = json.loads(path.read_text())
    score = next(score for score in result["scores"] if score["metric"] == "mse")
    value = score["value"]
    limit = 0.06 if measured else 0.1 * score["chance"] / value
    for moved, verdict in ((0.9, type(None)), (1.1, str)):
        score["value"] = value * (1 - moved * limit)
        path.write_text(json.dumps(result))
        assert isinstance(compare_loosely(*pair, "deep_sets"), verdict)
    score["episodes_digest"] = "f" * 32
    path.write_text(json.dumps(result))
    assert compare_loosely(*pair, "deep_sets").startswith("other test episodes: mse at")


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ({"libc": "glibc 2.36"}, {"libc": "glibc 2.36"}, True),
        ({"libc": "glibc 2.36"}, {"libc": "glibc 2.41"}, False),
        ({"libc": "glibc 2.36"}, {"libc": None}, False),
        ({}, {"libc": "glibc 2.41"}, True),
        ({"torch": "2.13.0"}, {"torch": "2.14.0"}, False),
    ],
    ids=str,
)
def test_another_c_library_is_another_machine_and_early_runs_do_not_know_theirs(
    before, after, same, tmp_path, environment
):
    for name, versions in (("before", before), ("after", after)):
        machine = environment.machine.model_copy(update={"versions": {"python": "3.11.2", **versions}})
        (tmp_path / name).mkdir()
        record = environment.model_copy(update={"machine": machine})
        (tmp_path / name / "environment.json").write_text(record.model_dump_json())
    assert same_hardware(tmp_path / "before", tmp_path / "after") == same


def test_tolerances_are_three_times_what_was_measured(score_of, monkeypatch):
    monkeypatch.setattr(tolerances, "shipped", lambda: MEASURED)
    assert allowed("deep_sets", score_of(metric="mse")) == pytest.approx(0.06)
    assert allowed("a.Stranger", score_of(metric="mse")) == pytest.approx(0.15)
    assert allowed("a.Stranger", score_of(metric="nll", chance=None)) is None


def test_rounding_is_allowed_where_nothing_moved(score_of, monkeypatch):
    monkeypatch.setattr(tolerances, "shipped", lambda: {"deep_sets": {"mse": 1e-17}})
    assert allowed("deep_sets", score_of(metric="mse")) == 1e-6


@pytest.mark.slow
def test_a_shipped_bundle_is_one_of_the_machines(tmp_path, monkeypatch):
    monkeypatch.setattr(tolerances, "CAPABILITIES", (None,))
    only = ("--only", "learner=gaussian_process", "--only", "seed=0", "--jobs", "1")
    tolerances.measure(tmp_path / "tolerances.json", ["quick", *only])
    found = read(tmp_path / "tolerances.json", Tolerances)
    assert [machine.processor for machine in found.others] == ["AMD EPYC"]
    assert found.largest["gaussian_process"]["mse"] < 1e-6


def test_the_largest_difference_of_each_metric_counts(pair):
    path = pair[1] / "result.json"
    result = json.loads(path.read_text())
    scores = [score for score in result["scores"] if score["metric"] == "mse"]
    for score, factor in zip(scores, (0.9, 0.7), strict=True):
        score["value"] *= factor
    path.write_text(json.dumps(result))
    found = largest([pair])["deep_sets"]
    assert found["mse"] == pytest.approx(0.3) and found["nll"] == 0
