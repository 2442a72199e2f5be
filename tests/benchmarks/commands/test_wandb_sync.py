"""The commands `wandb-sync` and `dashboard`."""

import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from adaptbench.benchmarks.cli import app
from adaptbench.benchmarks.commands import wandb_sync
from adaptbench.benchmarks.executors.plan import make_plan
from adaptbench.benchmarks.store.store import write_json
from adaptbench.benchmarks.suites.suite import load_suite
from adaptbench.benchmarks.tracking import wandb_runs


@pytest.mark.slow
def test_the_command_mirrors_what_is_finished_and_goes_on(adaptbench, write_suite):
    path = write_suite(seeds=(0,))
    done = adaptbench("run", path, "--wandb", "off", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    first = adaptbench("wandb-sync", "runs", "--wandb", "offline")
    assert first.returncode == 0, first.stderr + first.stdout
    assert "W&B (offline) has 3 of 3 finished runs; 0 left." in first.stdout
    names = {folder.name.split("-", 3)[-1] for folder in (adaptbench.folder / "runs" / "wandb").glob("offline-run-*")}
    assert len(names) == 4  # a black-box run, a pretraining, what adapts it, and the report
    assert len({name.rpartition("-")[2] for name in names}) == 1, "all have the id of the folder"
    second = adaptbench("wandb-sync", "runs", "--wandb", "offline")
    assert "deep_sets" not in second.stdout
    assert len(list((adaptbench.folder / "runs" / "wandb").glob("offline-run-*"))) == 4
    again = adaptbench("wandb-sync", "runs", "--wandb", "offline", "--again", "--only", "learner=deep_sets")
    assert "W&B (offline) has 1 of 1 finished run; 0 left." in again.stdout
    new = {folder.name.split("-", 3)[-1] for folder in (adaptbench.folder / "runs" / "wandb").glob("offline-run-*")}
    report, one = sorted(new - names, key=len)
    assert {one.partition("-")[0]} < {name.partition("-")[0] for name in names}, "the same run by another id"
    assert report.startswith("report-tiny-")


@pytest.fixture
def sent(write_suite, store, result_of, monkeypatch):
    """The projects to which the one finished run of `store` is sent; its report is empty."""
    plan, sent = make_plan(load_suite(str(write_suite(learners=("deep_sets",))))), []
    (run,) = plan.runs()
    store.write_manifest(plan.manifest([]))
    write_json(store.begin(run.spec.run_id) / "result.json", result_of(run.spec.run_id))
    store.publish(run.spec.run_id)

    def mirror(store, run_id, name, target):
        sent.append(target.project)
        (mark := wandb_runs._mark(store, run_id, target)).parent.mkdir(parents=True, exist_ok=True)
        mark.touch()

    monkeypatch.setattr(wandb_runs, "_mirror_one", mirror)
    report = SimpleNamespace(tables=(), figures=(), page=store.root / "report.html")
    monkeypatch.setattr("adaptbench.reports.report.write_report", lambda *_: report)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return sent


def test_what_one_project_has_another_one_still_gets(store, sent, monkeypatch):
    monkeypatch.setattr(wandb_sync, "close_with_report", lambda *_: None)
    for options, environment in (((), {}), ((), {}), (("--project", "second"), {}), ((), {"WANDB_PROJECT": "mylab"})):
        done = CliRunner().invoke(app, ["wandb-sync", str(store.root), "--wandb", "offline", *options], env=environment)
        assert done.exit_code == 0 and "W&B (offline) has 1 of 1 finished run; 0 left." in done.stdout
    assert sent == ["adaptbench", "second", "mylab"]


def test_a_report_that_did_not_arrive_is_said_and_sent_again(store, sent, monkeypatch):
    answers, reports = ["no answer", None], []

    class Mirror:
        def __init__(self, *_):
            self.log_report = lambda *report: reports.append(report)

        def close(self, summary, then):
            if (trouble := answers[len(reports) - 1]) is None:
                then()
            return trouble

    monkeypatch.setattr(wandb_runs, "WandbMirror", Mirror)
    codes = [CliRunner().invoke(app, ["wandb-sync", str(store.root), "--wandb", "offline"]).exit_code for _ in range(3)]
    assert codes == [1, 0, 0]
    assert len(sent) == 1 and len(reports) == 2, "what arrived is not sent again"


def test_the_dashboard_is_of_the_project_and_user_of_the_environment(monkeypatch):
    asked = []
    monkeypatch.setattr("adaptbench.reports.dashboard.build_dashboard", lambda *_, **a: asked.append(a) or "made")
    for options in ((), ("--project", "second")):
        done = CliRunner().invoke(app, ["dashboard", *options], env={"WANDB_PROJECT": "mylab", "WANDB_ENTITY": "us"})
        assert done.stdout == "made\n"
    assert [(each["entity"], each["project"]) for each in asked] == [("us", "mylab"), ("us", "second")]


@pytest.mark.slow
def test_dashboard_without_a_login_is_json_about_the_runs(adaptbench, write_suite, monkeypatch, tmp_path):
    pytest.importorskip("wandb_workspaces")
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "NETRC", "XDG_CONFIG_HOME", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    assert adaptbench("run", write_suite(seeds=(0,)), "--wandb", "off", "--jobs", 1).returncode == 0
    done = adaptbench("dashboard", "runs", "--entity", "somebody", "--project", "somewhere")
    assert done.returncode == 0, done.stderr
    content = json.loads((adaptbench.folder / "runs" / "dashboard-tiny.json").read_text())
    assert (content["entity"], content["project"]) == ("somebody", "somewhere")
    grids = [block for block in content["blocks"] if block["type"] == "PanelGrid"]
    panels = [panel for grid in grids for panel in grid["panels"]]
    lines = {key for panel in panels if panel["type"] == "LinePlot" for key in panel["y"]}
    folder = next(path for path in (adaptbench.folder / "runs").glob("[!.]*") if (path / "episodes.parquet").exists())
    result = json.loads((folder / "result.json").read_text())
    assert lines == {"train/mse", "val/mse"}
    shown = {metric["name"] for panel in panels if panel["type"] == "BarPlot" for metric in panel["metrics"]}
    assert shown == {f"test/mse/{score['shots']}-shot" for score in result["scores"] if score["metric"] == "mse"}
    assert all("'tiny'" in grid["runsets"][0]["filters"] for grid in grids)
    markdown = "".join(block.get("text", "") for block in content["blocks"] if block["type"] == "MarkdownBlock")
    assert "Deep sets" in markdown and "Fine-tuning" in markdown
    tables = {panel["table_name"] for panel in panels if panel["type"] == "WeavePanelSummaryTable"}
    assert tables == {"tables/table-sinusoid"}
