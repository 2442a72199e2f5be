"""Runs mirrored into W&B afterwards, and the suite's closing run."""

import json
from dataclasses import replace

import pandas as pd
import pytest
from typer.testing import CliRunner

from adaptbench.benchmarks.cli import app
from adaptbench.benchmarks.executors.worker import Job, work
from adaptbench.benchmarks.runs.run import execute
from adaptbench.benchmarks.tracking import wandb_runs
from adaptbench.benchmarks.tracking.wandb_runs import Target, close_suite, folder_id, is_mirrored, mirror_afterwards

TARGET = Target("tiny", "offline")


@pytest.mark.slow
def test_files_alone_give_w_and_b_every_logged_value(episodic, store, sent, assert_sent_is_written):
    spec = episodic()
    execute(spec, store)
    said = []
    assert mirror_afterwards(store, {spec.run_id: "deep sets"}, TARGET, said.append) == {spec.run_id: None}
    assert said == ["deep sets"]
    assert_sent_is_written(spec.run_id, spec.run_id)
    start = sent(spec.run_id).start
    assert (start.display_name, start.run_group, start.job_type) == ("deep sets", "tiny", "episodic")
    assert list(start.tags) == ["tiny", "sinusoid", "deep_sets", "sets"]


def test_folders_of_two_people_have_ids_of_their_own_that_stay(tmp_path):
    mine, yours = folder_id(tmp_path / "mine"), folder_id(tmp_path / "yours")
    assert mine != yours and folder_id(tmp_path / "mine") == mine
    ids = {Target("tiny", "online", folder, project).id_of("0123") for folder in (mine, yours) for project in "ab"}
    assert len(ids) == 4 and all(each.startswith("0123-") for each in ids)
    assert folder_id(tmp_path / "mine", anew=True) != mine


@pytest.mark.slow
def test_a_run_is_mirrored_once(episodic, store):
    spec = episodic()
    work(Job(spec=spec, root=store.root, name="deep sets", target=Target("tiny", "offline")))
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
def test_the_closing_run_holds_tables_figures_and_page(store, tmp_path, sent):
    from PIL import Image

    Image.new("RGB", (4, 4)).save(tmp_path / "figure-x.png")
    (tmp_path / "index.html").write_text("<p>the page</p>")
    table = pd.DataFrame({"learner": ["a", "b"], "ways": pd.array([5, None], dtype="Int64"), "mean": [0.5, None]})
    files = [tmp_path / "figure-x.png", tmp_path / "index.html"]
    assert close_suite(TARGET, store.root, {"table-x": table}, files) is None
    start, history = sent("report-tiny").start, sent("report-tiny").history
    assert (start.job_type, start.run_group, list(start.tags)) == ("report", "tiny", ["tiny", "report"])
    (row,) = history
    assert row["figures/figure-x/_type"] == "image-file"
    assert row["page/_type"] == "html-file"
    (media,) = store.root.glob(f"wandb/offline-run-*/files/{row['tables/table-x/path']}")
    assert json.loads(media.read_text())["data"] == [["a", 5, 0.5], ["b", None, None]]


@pytest.mark.slow
def test_weights_go_along_if_asked(episodic, store, offline_records):
    spec = episodic()
    work(Job(spec=spec, root=store.root, name="deep sets", target=Target("tiny", "offline", models=True)))
    kinds = {record.artifact.type for record in offline_records(spec.run_id) if record.artifact.name}
    assert "model" in kinds


@pytest.mark.parametrize("command", [("run", "smoke"), ("compare", "lstm")])
def test_options_or_variables_of_w_and_b_choose_where_runs_go(command, monkeypatch):
    for module, name in (("run", "run_suite"), ("compare", "compare_learner")):
        monkeypatch.setattr(f"adaptbench.benchmarks.commands.{module}.{name}", lambda *_: print(Target("", "offline")))
    for options, project, entity in ((("--project", "mylab", "--entity", "us"), "other", ""), ((), "mylab", "us")):
        monkeypatch.setenv("WANDB_PROJECT", project)
        monkeypatch.setenv("WANDB_ENTITY", entity)
        done = CliRunner().invoke(app, [*command, *options])
        assert "project='mylab', entity='us'" in done.stdout
