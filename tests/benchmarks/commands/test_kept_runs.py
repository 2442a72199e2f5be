import io

import pytest
from rich.console import Console
from typer.testing import CliRunner

from adaptbench.benchmarks.cli import app
from adaptbench.benchmarks.commands.runs.kept_runs import kept_runs, list_runs, remove_runs
from adaptbench.benchmarks.executors.plan import make_plan
from adaptbench.benchmarks.runs.run import execute
from adaptbench.benchmarks.suites.suite import load_suite
from adaptbench.reports.errors import ReportError


@pytest.fixture
def states(store, write_suite):
    """A finished, a failed and a stopped run, and one that nobody began; their ids by state."""
    plan = make_plan(load_suite(str(write_suite(seeds=(0, 1, 2, 3), learners=("deep_sets",)))))
    finished, failed, stopped, _ = (run.spec for run in plan.runs())
    store.write_manifest(plan.manifest(["tiny"]))
    execute(finished, store)
    store.note_failure(failed.run_id, "ArithmeticError: it broke", "the log")
    store.begin(stopped.run_id)
    store.checkpoint(stopped.run_id).touch()
    return {"finished": finished.run_id, "failed": failed.run_id, "stopped": stopped.run_id}


def said(act, *arguments, width=110, **options):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    act(*arguments, console, **options)
    return console.file.getvalue()


def test_what_a_folder_holds_is_listed_with_its_state(store, states):
    assert {run.state: run.cell.run_id for run in kept_runs(store.root, {})} == states
    text = said(list_runs, store.root, {"seed": ["0", "1"]})
    lines = {words[-1]: words for line in text.splitlines() if (words := line.split())}
    scores = [f"{score.value:.3f}" for score in store.result(states["finished"]).scores if score.metric == "mse"]
    assert len(scores) == 2 and {"0", *scores, "finished"} <= set(lines[states["finished"]])
    assert {"1", "failed"} <= set(lines[states["failed"]])
    assert "2 runs in" in text and states["stopped"] not in text


def test_an_id_is_whole_on_a_narrow_terminal(store, states):
    text = said(list_runs, store.root, {}, width=80)
    assert all(run_id in text for run_id in states.values())


def test_removing_leaves_other_runs_and_those_at_work(store, states):
    def remove(seed):
        return CliRunner().invoke(app, ["remove", str(store.root), "--only", f"seed={seed}", "--yes"])

    with store.claimed(states["failed"], lambda: None):
        done = remove("0,1")
    assert f"Removed 1 run of {store.root}, but not {states['failed']}: a process is at work there." in done.stdout
    assert done.exit_code == 1 and remove(1).exit_code == 0
    store.note_failure(states["failed"], "ArithmeticError: it broke", "the log")
    assert {run.cell.run_id for run in kept_runs(store.root, {})} == {states["failed"], states["stopped"]}
    with pytest.raises(ReportError, match=r"No cell of .* has seed=0"):
        remove_runs(store.root, {"seed": ["0"]}, Console())


def test_a_run_that_was_set_aside_is_none(store, states):
    store.set_aside(states["finished"])
    assert states["finished"] not in {run.cell.run_id for run in kept_runs(store.root, {})}


def test_removing_everything_must_be_said(store, states):
    with pytest.raises(ReportError, match="`--only` to say which"):
        remove_runs(store.root, {}, Console())
    assert len(kept_runs(store.root, {})) == 3
