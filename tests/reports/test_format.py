"""The written format: damage is said in one sentence, other versions are refused, and the docs are made of the code."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptbench.reports import format_docs
from adaptbench.reports.errors import ReportError
from adaptbench.reports.format import FORMAT_VERSION, Failure, Result, Spec
from adaptbench.reports.reading import NewerFormat, Unreadable, read
from adaptbench.reports.report import write_report
from adaptbench.reports.results.manifest import read_suite
from adaptbench.reports.results.runs import Problem, read_outcomes

DOCS = Path(__file__).parents[2] / "docs"


def change(folder, cell, old, new):
    """Replaces a piece of the text of a result."""
    path = folder.path / cell["run_id"] / "result.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def complaint(folder):
    """The one problem of a folder of runs."""
    (problem,) = (each for each in read_outcomes(folder.path, read_suite(folder.path)) if isinstance(each, Problem))
    return problem


TEXTS = {
    "too large a number": ('"chance": 0.2', '"chance": 1e400', "Expected field `scores.0.chance`"),
    "too large a count": ('"n_episodes": 60', f'"n_episodes": {10**30}', "`scores.0.n_episodes`"),
    "a negative count": ('"parameters": 112000', '"parameters": -1', "greater than or equal to 0 but got -1."),
    "a lone surrogate": ('"family": "', '"family": "\\ud800', "result.json cannot be read: Invalid JSON"),
    "a digest of something": ('"episodes_digest": "', '"episodes_digest": "z', "`scores.0.episodes_digest`"),
    "a name of a folder": ('"kind"', '"pretrained": "../x", "kind"', "Expected field `pretrained` of result.json"),
    "truth as a number": ('"transductive": false', '"transductive": 0', "to be a valid boolean but got 0."),
    "a number as text": ('"queries": 15', '"queries": "15"', "to be a valid integer but got '15'."),
    "nothing": ('"at_chance": false', '"at_chance": null', "to be a valid boolean but got None."),
    "a long value": ('"selection": "last"', f'"selection": "{"x" * 9999}"', "'last' or 'best' but got 'xxx"),
    "too deep": ('"kind"', f'"deep": {"[" * 5000}{"]" * 5000}, "kind"', "recursion limit exceeded"),
}


@pytest.mark.parametrize(("old", "new", "expected"), TEXTS.values(), ids=TEXTS.keys())
def test_a_damaged_field_is_a_problem_of_its_run_in_one_sentence(quick, old, new, expected, tmp_path):
    cell = quick.find(task="omniglot")[0]
    change(quick, cell, old, new)
    problem = complaint(quick)
    assert (problem.kind, problem.cell.run_id) == ("unreadable", cell["run_id"])
    assert expected in problem.reason and "\n" not in problem.reason and len(problem.reason) < 300


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    )
)
def test_any_json_is_read_or_refused(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("any") / "result.json"
    for content in (value, {"format_version": value}, {"format_version": FORMAT_VERSION, "scores": value}):
        path.write_text(json.dumps(content))
        for kind in (Result, Failure):
            with pytest.raises(Unreadable):
                read(path, kind)


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (None, "has no format version; run the suite again with this version of adaptbench."),
        (0, "run the suite again with this version of adaptbench."),
        (FORMAT_VERSION + 1, f"has format version {FORMAT_VERSION + 1}; update adaptbench."),
    ],
)
def test_another_format_version_is_refused_with_what_to_do(quick, version, said):
    for path in (quick.path / "suites" / "quick.json", quick.path / quick.cells[0]["run_id"] / "result.json"):
        content = json.loads(path.read_text())
        content.pop("format_version")
        path.write_text(json.dumps(content if version is None else {**content, "format_version": version}))
    with pytest.raises(ReportError, match=r"Expected quick\.json to have format version") as error:
        read_suite(quick.path)
    assert str(error.value).endswith(said)
    assert isinstance(error.value, NewerFormat) == (version is not None and version > FORMAT_VERSION)
    quick.write_suite()
    assert complaint(quick).reason.endswith(said)


def test_what_was_written_before_there_was_a_format_is_refused_for_that(tmp_path):
    """Its fields differ, too, but that is not what a reader needs to know."""
    (tmp_path / "suites").mkdir()
    old = {"suite": "quick", "version": 1, "cells": [{"run_id": "a", "tests": [{"ways": None, "shots": 5}]}]}
    (tmp_path / "suites" / "quick.json").write_text(json.dumps(old))
    with pytest.raises(ReportError, match="no format version; run the suite again"):
        read_suite(tmp_path)


def test_a_cell_without_tests_is_refused(quick):
    quick.cells[0]["tests"] = []
    quick.write_suite()
    with pytest.raises(ReportError, match=r"Expected field `cells\.0\.tests` of quick\.json to have at least 1 item"):
        read_suite(quick.path)


def test_unknown_fields_are_ignored_and_never_written(quick):
    path = quick.path / quick.cells[0]["run_id"] / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"later": 1}))
    found = read(path, Result)
    assert "later" not in found.model_dump_json()
    assert not [each for each in read_outcomes(quick.path, read_suite(quick.path)) if isinstance(each, Problem)]


def test_a_spec_keeps_what_reports_do_not_use(tmp_path):
    (tmp_path / "spec.json").write_text(
        '{"results_version": 4, "learner": {"name": "lstm"}, "optimization": {"a": 1e400}}'
    )
    found = read(tmp_path / "spec.json", Spec)
    assert found.model_dump(exclude_unset=True)["optimization"] == {"a": math.inf}


def test_a_spec_with_numbers_that_are_not_finite_has_a_page(quick, tmp_path):
    path = quick.path / quick.cells[0]["run_id"] / "spec.json"
    path.write_text('{"results_version": 4, "optimization": {"lr": Infinity}, "betas": [NaN, 0.9]}')
    assert write_report(quick.path, tmp_path / "out").page.exists()


WRONG_COLUMNS = {
    "text": lambda table: table.assign(accuracy=table["accuracy"].astype(str)),
    "not whole": lambda table: table.assign(shots=table["shots"] + 0.5),
    "absent": lambda table: table.drop(columns="episode"),
    "no number": lambda table: table.assign(episode=table["episode"].astype("float64").where(table["episode"] > 0)),
}


@pytest.mark.parametrize("wrong", WRONG_COLUMNS.values(), ids=WRONG_COLUMNS.keys())
def test_columns_are_held_to_what_the_format_says(quick, wrong):
    path = quick.path / quick.find(task="omniglot")[0]["run_id"] / "episodes.parquet"
    wrong(pd.read_parquet(path)).to_parquet(path, index=False)
    assert "column `" in complaint(quick).reason


def test_the_documentation_is_made_of_the_format(tmp_path):
    format_docs.write(tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_text() == (DOCS / path.name).read_text(), "python -m adaptbench.reports.format_docs docs"
    assert {path.name for path in tmp_path.iterdir()} == {"format.md", "format.schema.json"}


def test_every_field_says_what_it_means():
    for model in format_docs._models():
        assert model.__doc__, model
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


def test_the_schema_names_what_is_written(quick):
    schema = json.loads((DOCS / "format.schema.json").read_text())["$defs"]
    result = read(quick.path / quick.cells[0]["run_id"] / "result.json", Result)
    seen = result.scores[0].model_copy(update={"on": "seen"})
    assert set(seen.model_dump()) - set(result.scores[0].model_dump()) == {"on"}, "left out where it says nothing"
    assert {"Manifest", "Bundle", "BundledRun", "Statement", "Tolerances"} <= schema.keys()
    for kind, written in (("Result", result), ("Score", seen)):
        assert set(schema[kind]["properties"]) == set(written.model_dump())
        assert set(schema[kind]["required"]) <= set(written.model_dump()) and schema[kind]["type"] == "object"
