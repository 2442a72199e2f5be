"""Runs mirrored into W&B afterwards, the suite's closing run, and the dashboard."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from adaptbench.benchmarks.executors.worker import Job, work
from adaptbench.benchmarks.runs.run import execute
from adaptbench.benchmarks.tracking import wandb_runs
from adaptbench.benchmarks.tracking.wandb_runs import Target, close_suite, is_mirrored, mirror_afterwards

TARGET = Target("tiny", "offline")


def named(items):
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def history(records):
    return [named(record.history.item) for record in records if record.WhichOneof("record_type") == "history"]


def summary(records):
    found = {}
    for record in records:
        if record.WhichOneof("record_type") == "summary":
            found |= named(record.summary.update)
    return found


@pytest.mark.slow
def test_files_alone_give_w_and_b_every_logged_value(episodic, store, offline_records):
    spec = episodic()
    execute(spec, store)
    said = []
    assert mirror_afterwards(store, {spec.run_id: "deep sets"}, TARGET, said.append) == {spec.run_id: None}
    assert said == ["deep sets"]
    found = offline_records(spec.run_id)
    (start,) = (record.run for record in found if record.WhichOneof("record_type") == "run")
    assert (start.display_name, start.run_group, start.job_type) == ("deep sets", "tiny", "episodic")
    assert list(start.tags) == ["tiny", "sinusoid", "deep_sets", "sets"]
    rows = {row["trainer/global_step"]: row for row in history(found)}
    curve = pd.read_parquet(store.published(spec.run_id) / "curve.parquet")
    assert len(curve) > 10
    for point in curve.to_dict("records"):
        assert rows[point["step"]][f"{point['part']}/{point['metric']}"] == point["value"]
    result = store.result(spec.run_id).model_dump()
    scores = {f"test/{score['metric']}/{score['shots']}-shot": score["value"] for score in result["scores"]}
    assert scores.items() <= summary(found).items()


@pytest.mark.slow
def test_a_run_is_mirrored_once(episodic, store):
    spec = episodic()
    work(Job(spec=spec, root=store.root, suite="tiny", name="deep sets", wandb="offline"))
    assert is_mirrored(store, spec.run_id, TARGET)
    assert not is_mirrored(store, spec.run_id, replace(TARGET, mode="online"))
    assert not is_mirrored(store, spec.run_id, replace(TARGET, project="second"))
    assert mirror_afterwards(store, {spec.run_id: "deep sets", "unfinished": "none"}, TARGET, print) == {}
    assert len(list(store.root.glob("wandb/offline-run-*"))) == 1


def test_trouble_leaves_the_rest_for_the_next_time(store, monkeypatch):
    tried = []
    for run_id in "abcd":
        store.begin(run_id)
        (store.partial(run_id) / "result.json").write_text("{}")
        store.publish(run_id)

    def refuse(store, run_id, name, target):
        tried.append(run_id)
        return "the key was refused"

    monkeypatch.setattr(wandb_runs, "_mirror_one", refuse)
    found = mirror_afterwards(store, dict.fromkeys("abcd", "name"), TARGET, lambda name: None)
    assert tried == ["a", "b"]
    assert found == dict.fromkeys("ab", "the key was refused")
    assert not any(is_mirrored(store, run_id, TARGET) for run_id in "abcd")


def test_a_run_that_cannot_be_read_is_a_warning(store):
    store.begin("damaged")
    for name in ("result.json", "spec.json"):
        (store.partial("damaged") / name).write_text("{")
    store.publish("damaged")
    found = mirror_afterwards(store, {"damaged": "name"}, TARGET, lambda name: None)
    assert "cannot be read" in found["damaged"]


@pytest.mark.slow
def test_the_closing_run_holds_tables_figures_and_page(store, tmp_path, offline_records):
    from PIL import Image

    Image.new("RGB", (4, 4)).save(tmp_path / "figure-x.png")
    (tmp_path / "index.html").write_text("<p>the page</p>")
    table = pd.DataFrame({"learner": ["a", "b"], "ways": pd.array([5, None], dtype="Int64"), "mean": [0.5, None]})
    files = [tmp_path / "figure-x.png", tmp_path / "index.html"]
    assert close_suite(TARGET, store.root, {"table-x": table}, files) is None
    found = offline_records("report-tiny")
    (start,) = (record.run for record in found if record.WhichOneof("record_type") == "run")
    assert (start.job_type, start.run_group, list(start.tags)) == ("report", "tiny", ["tiny", "report"])
    (row,) = history(found)
    assert row["figures/figure-x/_type"] == "image-file"
    assert row["page/_type"] == "html-file"
    (media,) = store.root.glob(f"wandb/offline-run-*/files/{row['tables/table-x/path']}")
    assert json.loads(media.read_text())["data"] == [["a", 5, 0.5], ["b", None, None]]


@pytest.mark.slow
def test_the_command_mirrors_what_is_finished_and_goes_on(adaptbench, write_suite):
    path = write_suite(seeds=(0,))
    done = adaptbench("run", path, "--wandb", "off", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    first = adaptbench("wandb-sync", "runs", "--wandb", "offline")
    assert first.returncode == 0, first.stderr + first.stdout
    assert "3 of 3 finished runs are in W&B (offline); 0 are left." in first.stdout
    names = {folder.name.rpartition("-")[2] for folder in (adaptbench.folder / "runs" / "wandb").glob("offline-run-*")}
    assert len(names) == 4  # a black-box run, a pretraining, what adapts it, and the report
    assert "tiny" in names
    second = adaptbench("wandb-sync", "runs", "--wandb", "offline")
    assert "deep_sets" not in second.stdout
    assert len(list((adaptbench.folder / "runs" / "wandb").glob("offline-run-*"))) == 4


@pytest.mark.slow
def test_weights_go_along_if_asked(episodic, store, offline_records):
    spec = episodic()
    work(Job(spec=spec, root=store.root, suite="tiny", name="deep sets", wandb="offline", models=True))
    kinds = {record.artifact.type for record in offline_records(spec.run_id) if record.artifact.name}
    assert "model" in kinds


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
