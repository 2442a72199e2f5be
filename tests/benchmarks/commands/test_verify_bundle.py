"""Bundles made and verified by the real command line: code is asked for, forged runs are found, statements signed."""

import json
import re
import shutil
import subprocess

import pytest
from typer.testing import CliRunner

from adaptbench.benchmarks.cli import app
from adaptbench.benchmarks.commands.verify_bundle import verify_bundle
from adaptbench.reports.sources.bundles import code_of, gather, write_bundle
from adaptbench.reports.sources.statements import verified


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

    key = adaptbench.folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    done = adaptbench("verify", packed, "--trust-code", "--key", key)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 sampled runs agree" in done.stdout and "is sampled with a chance of 100%" in done.stdout
    assert re.fullmatch(r"2 of 2 sampled runs verified, signed by key SHA256:\S+", verified(packed))
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
        verify_bundle(tmp_path / "a.zip", None, 0, jobs=1, key=None, show=print, console=None)


def test_what_is_no_bundle_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    path.write_text("nothing")
    found = CliRunner().invoke(app, ["verify", str(path)])
    assert found.exit_code == 2
