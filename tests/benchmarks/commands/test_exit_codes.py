"""Exit codes: 0 all done, 1 something failed or could not run, 2 asked wrongly, 130 stopped; each with a sentence."""

import ctypes
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from adaptbench.benchmarks.cli import app
from adaptbench.benchmarks.commands.verify import Verdict
from adaptbench.benchmarks.executors import progress
from adaptbench.benchmarks.executors.plan import make_plan
from adaptbench.benchmarks.executors.schedule import Status
from adaptbench.benchmarks.runs.run import execute
from adaptbench.benchmarks.suites.suite import load_suite
from adaptbench.datamodules.errors import DataUnavailable
from adaptbench.datamodules.sinusoid import SinusoidDataModule

ROOT = Path(__file__).parents[3]
QUIET = ("--wandb", "off", "--jobs", "1")


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Calls the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def finished(write_suite, store):
    """A suite whose only run has finished, and the run's folder."""
    suite = write_suite(learners=("deep_sets",))
    plan = make_plan(load_suite(str(suite)))
    (only,) = plan.runs()
    folder = execute(only.spec, store)
    store.write_manifest(plan.manifest([]))
    return SimpleNamespace(suite=suite, folder=folder)


def spoil(folder):
    """Makes an intact run that contradicts the suite, so that the report cannot read it."""
    path = folder.parent / "suites" / "tiny.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 1}))
    result = json.loads((folder / "result.json").read_text())
    result["scores"][0]["value"] += 1.0
    (folder / "result.json").write_text(json.dumps(result))


def test_all_done_is_0(call, finished):
    for command in ("run", "report", "doctor"):
        arguments = (finished.suite, *QUIET) if command == "run" else ("runs",)
        result = call(command, *arguments)
        assert (result.exit_code, result.stderr) == (0, ""), command
    assert "Runs: 1 finished before." in call("run", finished.suite, *QUIET).stdout


def test_a_run_that_the_report_cannot_read_is_1_and_named(call, finished):
    spoil(finished.folder)
    for arguments in (("report", "runs"), ("run", finished.suite, *QUIET)):
        result = call(*arguments)
        assert result.exit_code == 1
        assert "0 of 1 run finished, 1 unreadable." in result.stdout
        assert f"unreadable deep_sets on sinusoid seed 0 ({finished.folder.name}): Expected" in result.stdout
    assert "Runs: 1 finished before, 1 unreadable." in result.stdout


def test_a_damaged_run_is_1_in_the_doctor(call, finished):
    (finished.folder / "curve.parquet").write_bytes(b"no table")
    result = call("doctor", "runs")
    assert result.exit_code == 1
    assert finished.folder.name in result.stdout and "curve.parquet" in result.stdout


@pytest.mark.parametrize("name", ["figure-sinusoid.png", "time-sinusoid.pdf", "results.csv", "results.parquet"])
def test_a_full_disk_costs_the_report_one_line(name, call, finished):
    (finished.folder.parent / "report-tiny").mkdir()
    (finished.folder.parent / "report-tiny" / name).symlink_to("/dev/full")
    result = call("report", "runs")
    assert result.exit_code == 1
    assert result.stderr.startswith("error The report cannot be written: ") and result.stderr.count("\n") == 1
    assert "No space left on device" in result.stderr and "`adaptbench report runs --out FOLDER`" in result.stderr


def obey_permissions():
    """Root loses the right to pass over permissions, in this process and those that it starts."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="drops a right that only Linux has")
def test_a_folder_that_may_only_be_read_is_reported_and_done(write_suite, finished, tmp_path):
    folders = [path for path in (finished.folder.parent, *finished.folder.parent.rglob("*")) if path.is_dir()]

    def call(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "adaptbench", *map(str, arguments)], cwd=tmp_path, preexec_fn=obey_permissions,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}, text=True, capture_output=True,
        )  # fmt: skip

    try:
        for path in folders:
            path.chmod(0o555)
        again = call("run", finished.suite, *QUIET)
        assert again.returncode == 0, again.stderr + again.stdout
        assert "Runs: 1 finished before." in again.stdout
        assert "Permission denied" in again.stdout and "--out FOLDER` writes it elsewhere" in again.stdout
        assert call("report", "runs", "--out", "mine").returncode == 0
        assert (tmp_path / "mine" / "index.html").is_file()
        assert call("doctor", "runs").returncode == 0
        more = call("run", finished.suite, "--seeds", "2", *QUIET)
        assert more.returncode == 2 and "let its owner allow it" in more.stderr
    finally:
        for path in folders:
            path.chmod(0o755)


def test_cells_without_data_are_1(call, write_suite, monkeypatch):
    def unavailable(self, sampling, **arguments):
        raise DataUnavailable("The sines are out.")

    monkeypatch.setattr(SinusoidDataModule, "__init__", unavailable)
    result = call("run", write_suite(), *QUIET, "--no-report")
    assert result.exit_code == 1
    assert "Runs: 2 without data." in result.stdout and "The sines are out." in result.stdout


@pytest.mark.parametrize(
    ("differences", "code", "summary"),
    [
        ((None, None), 0, "Verified 2 runs: 2 same."),
        ((None, "other bits"), 1, "Verified 2 runs: 1 same, 1 differs."),
        (("it broke",), 1, "Verified 1 run: 1 failed."),
    ],
)
def test_verify_ends_with_a_sum(differences, code, summary, call, finished, monkeypatch):
    verdicts = [
        Verdict(run_id="0" * 16, name="name", difference=each, failed=each == "it broke") for each in differences
    ]
    monkeypatch.setattr("adaptbench.benchmarks.commands.bundles.verify_bundle.verify_runs", lambda *_: iter(verdicts))
    result = call("verify", "runs")
    assert result.exit_code == code and summary in result.stdout


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("asked wrongly"), 2),
        (OSError("the disk is full"), 1),
        (DataUnavailable("no data"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_has_one_line_and_its_code(error, code, call, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("adaptbench.benchmarks.commands.listing.show_list", fail)
    result = call("list", "suites")
    assert result.exit_code == code
    assert result.stderr == (f"error {error}\n" if str(error) else "")


@pytest.mark.slow
def test_a_damaged_run_is_computed_again_by_one_command(adaptbench, write_suite, contents, tmp_path):
    suite = write_suite(learners=("deep_sets",))
    arguments = ("run", suite, *QUIET, "--no-report")
    assert adaptbench(*arguments).returncode == 0
    before = contents(tmp_path / "runs")
    (path,) = tmp_path.glob("runs/*/model.ckpt")
    path.write_bytes(path.read_bytes()[:-20])
    result = adaptbench(*arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert "damaged deep_sets sinusoid seed 0" in result.stdout and "it is computed again." in result.stdout
    assert "Runs: 1 done now." in result.stdout
    assert contents(tmp_path / "runs") == before and not list(tmp_path.glob("runs/.*"))


def test_one_reason_of_many_runs_is_said_once_with_its_log(store):
    status = Status(
        [], failed=dict.fromkeys("abc", "ValueError: 3 channels"), names={name: f"run {name}" for name in "abc"}
    )
    for run_id in status.failed:
        (store.begin(run_id) / "log.txt").write_text("the traceback")
        store.note_failure(run_id, "ValueError: 3 channels", "the traceback\nits last line")
    console = Console(file=io.StringIO(), width=60, color_system=None)
    progress.say_failed(status, store, console)
    assert console.file.getvalue().splitlines() == [
        "failed run a (a): ValueError: 3 channels",
        "    the traceback",
        "    its last line",
        f"  log: {store.log('a')}",
        "  2 more for that reason: run b, run c",
        "The same command tries the failed runs again.",
    ]


def test_a_reason_that_ends_the_log_is_said_once(store):
    log = 'File "bad.py", line 22, in forward\n    return x @ y\n           ~~^~~\nKeyError: 1\n'
    store.begin("a")
    store.note_failure("a", "KeyError: 1 (bad.py, line 22)", log)
    status = Status([], failed={"a": store.failure("a")}, names={"a": "run a"})
    console = Console(file=io.StringIO(), width=60, color_system=None)
    progress.say_failed(status, store, console)
    assert [line.strip() for line in console.file.getvalue().splitlines()][:4] == [
        "failed run a (a)",
        *('File "bad.py", line 22, in forward', "return x @ y", "KeyError: 1"),
    ]
