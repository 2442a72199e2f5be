"""Protocols: their test episodes stay what they were, on every machine and after every change."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adaptbench.benchmarks.cli import app
from adaptbench.benchmarks.commands.list_tasks import OWN_PROTOCOLS, PROTOCOLS, describe_protocol
from adaptbench.benchmarks.suites.registry import TASKS
from adaptbench.datamodules.errors import DataUnavailable

# Published numbers depend on these: other ones need a new version of every suite, or a new RESULTS_VERSION.
GOLDEN = Path(__file__).parents[1] / "golden" / "digests.csv"
FREE = [protocol for protocol in PROTOCOLS if protocol[0] in ("sinusoid", "glyphs", "linear_regression")]


def golden():
    with GOLDEN.open(encoding="utf-8") as file:
        return {(row["task"], row["protocol"], row["ways"], row["shots"]): row for row in csv.DictReader(file)}


def key(found):
    return (found.task, found.protocol, str(found.size.ways or ""), str(found.size.shots))


def test_every_protocol_is_in_the_golden_file():
    sizes = {"lake_runs": 1, "omniglot-online": 5}
    assert len(golden()) == sum(sizes.get(name, 2) for name, _ in PROTOCOLS)
    assert len({row["digest"] for row in golden().values()}) == len(golden()) - 2, (
        "glyphs_to_omniglot shares Omniglot's"
    )


@pytest.mark.parametrize(("name", "init_args"), FREE, ids=str)
def test_test_episodes_without_data_stay_what_they_were(name, init_args):
    for found in describe_protocol(name, init_args):
        assert (found.digest, found.rows) == (golden()[key(found)]["digest"], golden()[key(found)]["rows"])


@pytest.mark.slow
def test_an_older_processor_draws_the_same_glyphs_and_sinusoids():
    """Other processors run other code of NumPy's: here all of it is turned off that not every processor can run."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    newer = [feature for feature in __cpu_dispatch__ if __cpu_features__.get(feature)]
    script = (
        "import sys; from numpy._core._multiarray_umath import __cpu_features__ as features\n"
        "assert not any(features[name] for name in sys.argv[1:])\n"
        "from adaptbench.benchmarks.commands.list_tasks import PROTOCOLS, describe_protocol\n"
        "for name, arguments in PROTOCOLS:\n"
        "    if name in ('glyphs', 'sinusoid'):\n"
        "        print(*(found.digest for found in describe_protocol(name, arguments)))"
    )
    root = str(Path(__file__).parents[3])
    environment = {"PYTHONPATH": root, **os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(newer)}
    command = [sys.executable, "-c", script, *newer]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    expected = [row["digest"] for row in golden().values() if row["task"] in ("sinusoid", "glyphs")]
    assert sorted(done.stdout.split()) == sorted(expected)


@pytest.mark.slow
def test_test_episodes_of_omniglot_stay_what_they_were(real_cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(real_cache))
    for name, init_args in PROTOCOLS:
        if (name, init_args) in FREE:
            continue
        for found in describe_protocol(name, init_args):
            # Pixels, and so the whole digest, may differ by a grey level between versions of Pillow; these may not.
            assert found.rows == golden()[key(found)]["rows"]
            if found.size.shots == 1 and found.shots_word == "shot":
                assert 0.15 < found.pixels < 0.6


def test_list_tells_digests_and_what_is_missing(monkeypatch):
    def unavailable(*_, **__):
        raise DataUnavailable("The characters are out.")

    monkeypatch.setattr("adaptbench.datamodules.omniglot.load_images", unavailable)
    result = CliRunner().invoke(app, ["list", "tasks", "--verbose"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    for row in golden().values():
        if row["task"] in ("sinusoid", "glyphs"):
            assert any(line.startswith(f"{row['digest']}  {row['task']}: {row['protocol']}, ") for line in lines)
    own = "FOLDER, 60/20/20 % of classes (seed 0), classes of 10 images or more, within groups, in colour"
    for protocol in ("FOLDER", own):
        assert f"{'of the images in FOLDER':<32}  image_folder: {protocol}" in lines
    named = {name for name, _ in (*PROTOCOLS, *OWN_PROTOCOLS)}
    assert named == set(TASKS), "each task that ships has a protocol in the list"
    missing = [line for line in lines if line.startswith("missing")]
    names = ["omniglot:", "lake_runs:", "omniglot-online:", "glyphs_to_omniglot:"]
    assert [line.split()[1] for line in missing] == names
    assert all("The characters are out." in line for line in missing)
