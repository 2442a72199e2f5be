"""Sweeps as a whole: their size, what the engine costs, commands that share a folder, and what records never hold."""

import itertools
import os
import re
import tempfile
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adaptbench.benchmarks.cli import app
from adaptbench.benchmarks.executors.plan import make_plan
from adaptbench.benchmarks.store.store import Store
from adaptbench.benchmarks.suites.suite import load_suite

ROOT = Path(__file__).parents[3]
QUIET = ("--wandb", "off", "--no-report")
PLANS_SECONDS = 8.0
ENGINE_SECONDS = 0.5
TWO_WORKERS = 0.6


def finish(store, run, result, environment):
    """Publishes a run that was never computed."""
    folder = store.begin(run.spec.run_id)
    (folder / "environment.json").write_text(environment.model_dump_json())
    (folder / "result.json").write_text(result.model_dump_json())
    folder.rename(store.published(run.spec.run_id))


def many(write_suite, learners, seeds, **changes):
    """Writes a suite of sinusoids."""
    entries = {
        f"learners.l{width}": {"learner": {"name": "deep_sets", "init_args": {"width": width, "slots": 1}}}
        for width in range(8, 8 + learners)
    }
    return write_suite("many", learners=(), seeds=range(seeds), **entries, **changes)


@pytest.mark.slow
def test_twenty_thousand_cells_are_planned_and_found_again_in_seconds(
    write_suite, tmp_path, monkeypatch, result_of, environment
):
    suite = many(write_suite, learners=4, seeds=5, over={"train_functions": list(range(10, 1010))})
    store = Store(tmp_path / "runs")
    for run in make_plan(load_suite(str(suite))).runs()[:-100]:
        finish(store, run, result_of(run.spec.run_id), environment)
    monkeypatch.chdir(tmp_path)
    start = time.process_time()
    result = CliRunner().invoke(app, ["run", str(suite), "--dry-run", "--jobs", "2"])
    seconds = time.process_time() - start
    assert "20000 cells, 20000 runs: 19900 finished, 100 to do, 2 at a time." in result.stdout
    assert "Time left: about 0:50:00." in result.stdout, "100 runs of a minute, two at a time"
    assert seconds < PLANS_SECONDS


@pytest.mark.slow
def test_the_engine_costs_little(adaptbench, write_suite, tmp_path):
    """Between the ends of one run and the next, with one worker and next to nothing to learn."""
    suite = many(write_suite, learners=1, seeds=20, **{"budget.examples": 40, "budget.epochs": 1, "test.episodes": 2})
    assert adaptbench("run", suite, "--jobs", "1", *QUIET).returncode == 0
    ends = sorted(path.stat().st_mtime for path in tmp_path.glob("runs/*/result.json"))
    assert len(ends) == 20
    assert (ends[-1] - ends[0]) / 19 < ENGINE_SECONDS


@pytest.mark.slow
def test_two_workers_take_little_more_than_half_the_time(adaptbench, write_suite, own_learners, tmp_path):
    """With a learner that waits instead of computing, so that it is the engine that is measured."""
    (own_learners / "waiting.py").write_text(
        "import time\n\nfrom own import Sound\n\n\nclass Waiting(Sound):\n    def forward(self, *episode):\n"
        "        time.sleep(0.05)\n        return super().forward(*episode)\n"
    )
    slow = {"learners.slow": {"learner": {"name": "waiting.Waiting"}}, "budget.examples": 40, "budget.epochs": 1}
    suite = write_suite(learners=(), seeds=range(20), **slow)
    seconds = []
    for jobs in (1, 2):
        assert adaptbench("run", suite, "--jobs", jobs, "--out", f"runs-{jobs}", *QUIET).returncode == 0
        folders = [path.parent for path in tmp_path.glob(f"runs-{jobs}/*/result.json")]
        assert len(folders) == 20
        starts = [(folder / "spec.json").stat().st_mtime for folder in folders]
        seconds.append(max(starts) - min(starts))
    assert seconds[1] < TWO_WORKERS * seconds[0]


@pytest.mark.slow
def test_two_commands_share_the_work_of_one_folder(adaptbench, write_suite, own_learners, contents, tmp_path):
    suite = write_suite(seeds=(0, 1, 2, 3), **{"learners.slow": {"learner": {"name": "own.Slow"}}})
    commands = [adaptbench.start("run", suite, "--jobs", "1", *QUIET) for _ in range(2)]
    told = [command.communicate(timeout=300) for command in commands]
    assert [command.returncode for command in commands] == [0, 0], told
    done = [re.findall(r"^done \S+ (.*) \(", out, re.MULTILINE) for out, _ in told]
    assert all(done), "both did some of it"
    assert len(set(itertools.chain(*done))) == sum(map(len, done)) == 4 * 4, "each run once"
    assert not list((tmp_path / "runs").glob(".*"))
    assert adaptbench("run", suite, "--out", "alone", "--jobs", "2", *QUIET).returncode == 0
    assert contents(tmp_path / "runs") == contents(tmp_path / "alone") != {}


@pytest.mark.slow
def test_a_hostile_environment_stops_nothing(adaptbench, tmp_path, monkeypatch):
    """A notebook's backend, LaTeX in all figures, an output without most letters, and other people's names, at once."""
    for name in ("reports.py", "datamodules.py"):
        (tmp_path / name).write_text("raise ImportError('not yours')\n")
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.family: nowhere\nsavefig.format: svg\n")
    temporary = tmp_path / ("t" * 100)
    temporary.mkdir()
    hostile = {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline", "MATPLOTLIBRC": str(tmp_path / "matplotlibrc"),
        "PYTHONIOENCODING": "cp1252", "LC_ALL": "C", "TMPDIR": str(temporary), "OMP_NUM_THREADS": "64",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)]), "WANDB_PROJECT": "mylab",
        "WANDB_SERVICE": "3-1-tcp-localhost-1-1",
    }  # fmt: skip
    for name, value in hostile.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tempfile, "tempdir", None)
    out = "a [v2] Größe 中"
    result = adaptbench("run", "smoke", "--jobs", "2", "--out", out, "--wandb", "offline")
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    assert "16 of 16 runs finished." in result.stdout
    assert "`wandb leet 'a [v2] Gr" in result.stdout and "/wandb'`" in result.stdout, "as a shell takes it"
    assert list((tmp_path / out / "wandb" / "mirrored" / "offline" / ".mylab").iterdir()), (
        "the project of the environment"
    )
    runs = list((tmp_path / out).glob("[!.]*/result.json"))
    assert len(list((tmp_path / out / "wandb").glob("offline-run-*"))) == len(runs) + 1, "and the report"
    for encoding in ("ascii", "gbk", "latin-1"):
        monkeypatch.setenv("PYTHONIOENCODING", encoding)
        assert adaptbench("report", out).returncode == 0
    assert adaptbench("doctor", out).returncode == 0
    assert list((tmp_path / out / "report-smoke").glob("*.svg")) == []


@pytest.mark.slow
def test_no_record_holds_a_secret(adaptbench, write_suite, own_learners, tmp_path, monkeypatch):
    """Neither of a run that ends well nor of one that tells all it knows when it fails, in files or on the screen."""
    secrets = {"WANDB_API_KEY": "0123456789abcdef" * 2 + "01234567", "MY_SERVICE_TOKEN": "hush-hush-4711"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    (own_learners / "talkative.py").write_text(
        "import multiprocessing, os\n\nfrom own import Sound\n\n\nclass Indiscreet(Sound):\n"
        "    def forward(self, *episode):\n"
        "        raise ValueError(f'rejected with {os.environ}')\n"
        "\n\nclass Talkative(Sound):\n    def forward(self, *episode):\n"
        "        if multiprocessing.parent_process() and self.training:\n"
        "            print(dict(os.environ), flush=True)\n"
        "            raise ValueError(f'rejected with {os.environ}')\n"
        "        return super().forward(*episode)\n"
    )
    checked = adaptbench("check", "talkative.Indiscreet")
    assert checked.returncode == 2 and "rejected with" in checked.stdout + checked.stderr
    for value in secrets.values():
        assert value not in checked.stdout + checked.stderr
    suite = write_suite(**{"learners.talkative": {"learner": {"name": "talkative.Talkative"}}})
    result = adaptbench("run", suite, "--wandb", "offline")
    assert result.returncode == 1
    assert "rejected with" in result.stdout
    files = [path for path in tmp_path.rglob("*") if path.is_file() and own_learners not in path.parents]
    assert {"failure.json", "result.json", "environment.json"} <= {path.name for path in files}
    for value in secrets.values():
        assert value not in result.stdout + result.stderr
        assert [path for path in files if value.encode() in path.read_bytes()] == []


def test_a_folder_that_cannot_be_written_to_is_said_before_anything_runs(write_suite, tmp_path):
    (tmp_path / "file").write_text("kept")
    result = CliRunner().invoke(app, ["run", str(write_suite()), "--out", str(tmp_path / "file" / "runs"), *QUIET])
    assert result.exit_code == 2
    assert "Expected `--out` to be a folder that can be written to" in result.stderr
    assert (tmp_path / "file").read_text() == "kept"


def test_a_dry_run_judges_by_what_is_finished(write_suite, tmp_path, result_of, environment):
    suite = many(write_suite, learners=1, seeds=4)
    store = Store(tmp_path / "runs")
    first = make_plan(load_suite(str(suite))).runs()[0]
    finish(store, first, result_of(first.spec.run_id), environment)
    arguments = ["run", str(suite), "--dry-run", "--jobs", "1", "--out", str(store.root)]
    assert "Time left: about 0:03:00." in CliRunner().invoke(app, arguments).stdout
