"""Where runs are kept: complete or not there."""

import json
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from adaptbench.benchmarks.store.store import Store, write_json
from adaptbench.reports.format import Manifest

MANIFEST = {"version": 1, "description": "Tiny.", "command": (), "unavailable": {}}


@pytest.fixture
def publish(result_of):
    """Publishes a run that encoded so many examples."""

    def make(store, run_id, value=1):
        write_json(store.begin(run_id) / "result.json", result_of(run_id, examples_encoded=value))
        return store.publish(run_id)

    return make


def test_a_partial_run_is_not_published(store):
    folder = store.begin("a")
    (folder / "result.json").write_text("{}")
    assert not store.is_published("a")
    assert [path.name for path in store.root.iterdir()] == [".partial-a"]


def test_publishing_renames_and_leaves_out_what_only_a_resumed_run_needs(store, publish):
    folder = store.begin("a")
    for name in ("last.ckpt", "last.ckpt.new", "progress", "model.ckpt"):
        (folder / name).write_bytes(b"x")
    final = publish(store, "a")
    assert final == store.published("a")
    assert sorted(path.name for path in final.iterdir()) == ["model.ckpt", "result.json"]
    assert not folder.exists()
    assert store.result("a").examples_encoded == 1


def test_a_second_publication_leaves_the_first(store, publish):
    publish(store, "a", value=1)
    publish(store, "a", value=2)
    assert store.result("a").examples_encoded == 1
    assert not store.partial("a").exists()


def test_a_failure_is_noted_read_and_forgotten_by_the_next_try(store):
    assert store.failure("a") is None
    store.note_failure("a", "it broke", "line 1\nline 2")
    assert store.failure("a") == "it broke"
    store.begin("a")
    assert store.failure("a") is None


def test_a_failure_keeps_the_checkpoint(store):
    (store.begin("a") / "last.ckpt").write_bytes(b"x")
    store.note_failure("a", "it broke", "")
    assert (store.begin("a") / "last.ckpt").read_bytes() == b"x"


def test_a_failure_that_cannot_be_noted_harms_nothing(store):
    store.root.parent.mkdir(exist_ok=True)
    store.root.write_text("a file where the folder should be")
    store.note_failure("a", "it broke", "")
    assert store.failure("a") is None


def test_a_malformed_note_is_no_failure(store):
    (store.begin("a") / "failure.json").write_text("{")
    assert store.failure("a") is None


def test_json_is_canonical(tmp_path):
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    write_json(first, Manifest(**MANIFEST, name="one", cells=()))
    write_json(second, Manifest(cells=(), name="one", **dict(reversed(MANIFEST.items()))))
    assert first.read_bytes() == second.read_bytes()
    added = {"name": "one", "cells": [], "command": [], "published": "", "format_version": 1}
    assert json.loads(first.read_text()) == {**MANIFEST, **added}
    assert {path.name for path in tmp_path.iterdir()} == {"first.json", "second.json"}


def test_a_value_that_is_no_json_leaves_the_old_file(tmp_path):
    class Odd(BaseModel):
        value: Any

    path = tmp_path / "a.json"
    write_json(path, Odd(value=1))
    with pytest.raises(PydanticSerializationError):
        write_json(path, Odd(value=object()))
    assert json.loads(path.read_text()) == {"value": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_manifests_are_kept_by_suite(tmp_path):
    store = Store(tmp_path)
    for name in ("one", "two"):
        store.write_manifest(Manifest(**MANIFEST, name=name, cells=()))
    assert json.loads((tmp_path / "suites" / "two.json").read_text())["name"] == "two"


def test_a_folder_that_lost_its_result_makes_way(store, publish):
    publish(store, "a", value=1)
    (store.published("a") / "result.json").unlink()
    publish(store, "a", value=2)
    assert store.result("a").examples_encoded == 2
    store.tidy()
    assert [path.name for path in store.root.iterdir()] == ["a"]


def test_what_a_killed_process_was_writing_is_not_published(store):
    folder = store.begin("a")
    (folder / "environment.json.123.new").write_text("{")
    (folder / "last.ckpt").write_text("kept")
    assert {path.name for path in store.begin("a").iterdir()} == {"last.ckpt"}
