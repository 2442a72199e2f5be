"""The file of published numbers that a suite names."""

import json

import pytest
from typer.testing import CliRunner

from adaptbench.benchmarks.cli import app
from adaptbench.benchmarks.suites.suite import SuiteError, load_suite

NUMBERS = "\ufefftask,method,learner,shots,metric,value,citation\nsinusoid,Größe,deep_sets,5,mse,0.5,Doe 2020\n"


@pytest.fixture
def suite(write_suite):
    """A suite that names `theirs.csv`."""
    path = write_suite(learners=("deep_sets",))
    path.write_text(f"published: theirs.csv\n{path.read_text()}")
    return path


def test_it_lies_beside_the_suite_and_goes_into_the_manifest(suite, tmp_path, monkeypatch):
    (tmp_path / "theirs.csv").write_text(NUMBERS, encoding="utf-8")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    done = CliRunner().invoke(app, ["run", str(suite), "--jobs", "1", "--wandb", "off"])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "elsewhere/runs/suites/tiny.json").read_text())["published"] == NUMBERS[1:]
    assert "Größe (original)" in (tmp_path / "elsewhere/runs/report-tiny/published.md").read_text(encoding="utf-8")
    assert load_suite(str(suite)).with_seeds(2).published_text == NUMBERS[1:]


def test_a_missing_file_and_a_wrong_line_are_said_before_anything_trains(suite, tmp_path):
    with pytest.raises(SuiteError, match=r"Expected `published` to name a CSV file but .*theirs.csv cannot be read"):
        load_suite(str(suite))
    (tmp_path / "theirs.csv").write_text(NUMBERS.replace("0.5", "half"), encoding="utf-8")
    refused = CliRunner().invoke(app, ["run", str(suite), "--out", str(tmp_path / "runs")])
    assert (refused.exit_code, (tmp_path / "runs").exists()) == (2, False)
    assert "Expected field `value` of line 2 of theirs.csv to be a valid number" in refused.stderr
