"""Bundles made and verified by the real command line: code is asked for, forged runs are found, statements signed."""

import json
import re
import shutil
import subprocess

import pytest
from typer.testing import CliRunner

from adaptbench.benchmarks.cli import app
from adaptbench.benchmarks.commands.bundles.verify_bundle import check_names, verify_bundle
from adaptbench.benchmarks.commands.verify import Verdict
from adaptbench.benchmarks.suites.description import describe
from adaptbench.benchmarks.suites.suite import load_suite
from adaptbench.reports.bundle_format import Statement, VerifiedRun
from adaptbench.reports.format import Manifest
from adaptbench.reports.sources.bundles import code_of, gather, write_bundle
from adaptbench.reports.sources.statements import agreement, verified


@pytest.fixture
def packed(adaptbench, own_learners, write_suite):
    """A bundle of a user's own learner and of a transfer run, and the folder of its runs."""
    suite = write_suite(learners=("fine_tuning",))
    ran = adaptbench("run", suite, "--learner", "own.Sound", "--wandb", "off", "--no-report", "--jobs", 1)
    assert ran.returncode == 0, ran.stderr
    assert adaptbench("submit", "runs", "--out", "tiny.zip").returncode == 0
    return adaptbench.folder / "tiny.zip"


@pytest.mark.slow
def test_runs_of_a_bundle_are_computed_again_and_the_statement_is_signed(adaptbench, packed, own_learners):
    assert list(code_of(packed)) == ["own"] and "class Sound" in code_of(packed)["own"]
    shutil.rmtree(own_learners)  # the verifier has the bundle's code only
    refused = adaptbench("verify", packed)
    assert refused.returncode == 1 and "class Sound" in refused.stdout and "Run this code" in refused.stdout
    assert not verified(packed)
    for option, complaint in ((("--sample", 3), "from 1 to the 2 finished runs"), (("--key", "none"), "none does not")):
        refused = adaptbench("verify", packed, *option)
        assert refused.returncode == 2 and complaint in refused.stderr and not refused.stdout

    key = adaptbench.folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    done = adaptbench("verify", packed, "--trust-code", "--key", key)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 sampled runs agree" in done.stdout and "is sampled with a chance of 100%" in done.stdout
    assert re.fullmatch(r"2 of 2 sampled runs agree \(all there are\), signed by key SHA256:\S+", verified(packed))
    statement = packed.with_name("tiny.zip.statement.json")
    statement.write_text(statement.read_text().replace('"seed": ', '"seed": 1'))
    assert verified(packed).endswith("wrong signature")
    packed.write_bytes(packed.read_bytes() + b"\0")
    assert not verified(packed)


@pytest.mark.slow
def test_a_forged_run_that_is_sampled_is_found(adaptbench, packed):
    (path,) = (
        path
        for path in adaptbench.folder.glob("runs/*/result.json")
        if json.loads(path.read_bytes())["kind"] == "transfer"
    )
    result = json.loads(path.read_bytes())
    result["parameters"] += 1
    path.write_text(json.dumps(result, sort_keys=True, indent=1) + "\n")
    assert adaptbench("submit", "runs", "--out", "tiny.zip").returncode == 0
    done = adaptbench("verify", packed, "--trust-code")
    assert done.returncode == 1 and "1 of 2 sampled runs agree" in done.stdout
    assert "result.json: parameters was" in done.stdout


def test_a_spec_of_another_run_is_refused_without_running_anything(store, episodic, tmp_path, monkeypatch):
    from adaptbench.benchmarks.runs.run import execute

    folder = execute(episodic(), store)
    (folder / "spec.json").write_text((folder / "spec.json").read_text().replace('"seed": 0', '"seed": 1'))
    manifest = {"format_version": 1, "name": "tiny", "version": 1, "description": "", "command": [], "unavailable": {}}
    cell = {
        **json.loads((folder / "result.json").read_bytes()), "label": "Deep sets", "metric": "mse",
        "higher_is_better": False, "tests": [{"ways": None, "shots": 5}, {"ways": None, "shots": 10}],
    }  # fmt: skip
    (store.root / "suites").mkdir()
    (store.root / "suites" / "tiny.json").write_text(json.dumps({**manifest, "cells": [cell]}))
    write_bundle(*gather([store.root]), tmp_path / "a.zip")
    with pytest.raises(ValueError, match="to have its own spec"):
        verify_bundle(
            tmp_path / "a.zip", None, 0,
            jobs=1, trusted=False, key=None, path=tmp_path / "a.json", show=print, console=None,
        )  # fmt: skip


def manifest(*cells, name="tiny"):
    return Manifest(name=name, version=1, description="", command=(name,), unavailable={}, cells=cells)


@pytest.mark.parametrize(
    "changes",
    [
        {"learner": "lstm"},
        {"label": "LSTM"},
        {"family": "attention"},
        {"task": "omniglot"},
        {"task_label": "Omniglot"},
        {"seed": 7},
    ],
)
def test_a_run_of_another_name_is_refused(episodic, changes):
    spec = episodic()
    cell = describe(spec, "mine", "A label of her own", "A task of her own")
    check_names(manifest(cell), {spec.run_id: spec})
    with pytest.raises(ValueError, match="to be called Deep sets, as its spec says"):
        check_names(manifest(cell.model_copy(update=changes)), {spec.run_id: spec})


def test_suites_that_ship_call_runs_by_their_names_and_no_others():
    cells = load_suite("smoke").cells()
    specs = {cell.spec.run_id: cell.spec for cell in cells}
    check_names(manifest(*(cell.attributes for cell in cells), name="smoke"), specs)
    first, other = (
        cells[0].attributes,
        next(each.attributes for each in cells if each.spec.adapter != cells[0].spec.adapter),
    )
    for changes in ({"learner": other.learner}, {"label": other.label}, {"label": "Ours"}, {"task_label": "Ours"}):
        with pytest.raises(ValueError, match="as its spec says"):
            check_names(manifest(first.model_copy(update=changes), name="smoke"), specs)


@pytest.mark.parametrize(
    ("of", "drawn", "how"),
    [
        (3, True, "all there are"),
        (12, True, "drawn from 12 by a random seed"),
        (12, False, "drawn from 12 by a seed of the verifier's choice"),
    ],
)
def test_what_was_sampled_and_how_is_said_and_runs_within_a_tolerance_are_counted_apart(of, drawn, how):
    runs = [
        VerifiedRun(run_id=f"{n}" * 16, name="", exact=n == 1, difference="x" if n == 3 else None, largest={})
        for n in (1, 2, 3)
    ]
    assert agreement(Statement.model_construct(sampled=tuple(runs), runs=of, seed_drawn=drawn)) == (
        f"2 of 3 sampled runs agree, 1 to the bit and 1 within a tolerance ({how})"
    )


def test_a_statement_says_of_a_verdict_what_the_format_has():
    verdict = Verdict(run_id="0" * 16, name="", difference="it broke", failed=True)
    (written,) = Statement.model_construct(sampled=(verdict,)).model_dump(mode="json")["sampled"]
    assert written == VerifiedRun(**verdict.model_dump(exclude={"failed"})).model_dump(mode="json")


def test_what_is_no_bundle_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    path.write_text("nothing")
    found = CliRunner().invoke(app, ["verify", str(path)])
    assert found.exit_code == 2
