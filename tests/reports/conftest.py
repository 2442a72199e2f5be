"""Hand-made runs folders: what benchmarks would write, from a seed and in milliseconds."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from adaptbench.reports.format import FORMAT_VERSION

N_EPISODES = 60
LEARNERS = {
    "lstm": ("LSTM", "recurrent"),
    "deep_sets": ("Deep sets", "sets"),
    "attention": ("Attention", "attention"),
    "fine_tuning": ("Fine-tuning", "transfer"),
}

NASTY = {
    "<script>alert(1)</script>": ("<script>alert(1)</script>", "one"),
    "_x_%&$y$": ("_x_%&$y$", "two"),
    "rest": ("| `b` *c* \\d {e} ~^ #\" ' [f](g) line\nbreak Größe 中", "three"),
}


class RunsFolder:
    """A runs folder that tests fill cell by cell and damage as they like."""

    def __init__(self, path: Path):
        self.path = path
        self.cells: list[dict] = []
        self.unavailable: dict[str, str] = {}

    def plan_quick(self, learners=LEARNERS, seeds=(0, 1), sizes=(50, 200, 1028)):
        """The cells of the quick suite."""
        for learner, (label, family) in learners.items():
            for seed in seeds:
                self.plan("sinusoid", learner, label, family, seed, None)
                for size in sizes:
                    self.plan("omniglot", learner, label, family, seed, size)
        return self

    def plan(self, task, learner, label, family, seed, train_classes, protocol=None, tests=None, key=""):
        regression = task == "sinusoid"
        default = [(None, 5), (None, 10)] if regression else [(5, 1), (5, 5)]
        key = f"{task} {protocol} {learner} {seed} {train_classes}{key}"
        cell = {
            "run_id": hashlib.sha256(key.encode()).hexdigest()[:12],
            "task": task,
            "protocol": protocol or ("noise-free" if regression else "vinyals, rotations in training"),
            "learner": learner,
            "label": label,
            "family": family,
            "seed": seed,
            "train_classes": train_classes,
            "class_word": "functions" if regression else "characters",
            "shots_word": "shot",
            "tests": [{"ways": ways, "shots": shots} for ways, shots in tests or default],
            "metric": "mse" if regression else "accuracy",
            "higher_is_better": not regression,
        }
        self.cells.append(cell)
        return cell

    def find(self, **wanted):
        """The cells whose fields have these values."""
        return [cell for cell in self.cells if all(cell[name] == value for name, value in wanted.items())]

    def write_suite(self, name="quick"):
        path = self.path / "suites" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        manifest = {
            "format_version": FORMAT_VERSION,
            "name": name,
            "version": 1,
            "description": "A hand-made suite.",
            "command": [name],
            "cells": self.cells,
            "unavailable": self.unavailable,
        }
        path.write_text(json.dumps(manifest))
        return self

    def finish(self, cells=None, **changes):
        """Writes the runs of these cells (default: all); `changes` overrides fields of their results and scores."""
        for cell in self.cells if cells is None else cells:
            self.write_run(cell, **changes)
        return self

    def write_run(self, cell, scores=None, **changes):
        folder = self.path / cell["run_id"]
        folder.mkdir(parents=True, exist_ok=True)
        tables = [episode_table(cell, test, scores) for test in cell["tests"]]
        rows = [score_row(cell, table, changes) for table in tables]
        result = {
            name: cell[name]
            for name in ("run_id", "task", "protocol", "learner", "family", "seed", "train_classes", "class_word")
        }
        result |= {"format_version": FORMAT_VERSION, "shots_word": "shot", "kind": "episodic"}
        result |= {"selection": "last", "examples_encoded": 100_000, "parameters": 112_000, "transductive": False}
        result |= {"files": {}, "sha256": "0" * 64}
        result |= {name: value for name, value in changes.items() if name in result}
        result["scores"] = [row for pair in rows for row in pair]
        (folder / "result.json").write_text(json.dumps(result))
        encoder = {"name": "mlp" if cell["task"] == "sinusoid" else "strided"}
        write_spec(folder, learner={"name": cell["learner"]}, encoder=encoder)
        pd.concat(tables).to_parquet(folder / "episodes.parquet", index=False)
        learning_curve(cell).to_parquet(folder / "curve.parquet", index=False)
        machine = {
            "versions": {"torch": "2.13.0", "numpy": "2.4.6"},
            "device": "cpu",
            "processor": "A processor at 2.8 GHz",
            "system": "Linux x86_64",
            "threads": 1,
            "git_commit": "0123456789abcdef0123456789abcdef01234567",
            "git_dirty": False,
        }
        times = {
            "started": "2026-11-28T22:17:03Z",
            "finished": "2026-11-28T22:18:03Z",
            "train_seconds": 12.5,
            "train_cpu_seconds": 12.0,
            "test_seconds": 1.5,
            "predict": [{**test, "ms_per_episode": 0.25 * test["shots"]} for test in cell["tests"]],
        }
        environment = {"format_version": FORMAT_VERSION, "machine": machine, "times": times, "data_digest": "d" * 64}
        (folder / "environment.json").write_text(json.dumps(environment))

    def remove(self, cell):
        for path in (self.path / cell["run_id"]).iterdir():
            path.unlink()
        (self.path / cell["run_id"]).rmdir()

    def fail(self, cell, reason, log=""):
        folder = self.path / f".partial-{cell['run_id']}"
        folder.mkdir(parents=True)
        failure = {"format_version": FORMAT_VERSION, "reason": reason, "log": log}
        (folder / "failure.json").write_text(json.dumps(failure))


def write_spec(folder, **components):
    (folder / "spec.json").write_text(json.dumps({"results_version": 4, **components}))


def episode_table(cell, test, scores=None):
    """Crossed random effects around a mean that grows with shots and classes, and that each learner has to itself."""
    if scores is None:
        scores = made_up_scores(cell, test["shots"])
    return pd.DataFrame(
        {
            "ways": pd.array([test["ways"]] * len(scores), dtype="Int64"),
            "shots": test["shots"],
            "episode": np.arange(len(scores)),
            cell["metric"]: scores,
            "nll": np.ones(len(scores)),
        }
    )


def learning_curve(cell):
    """Four points on training and on validation, as benchmarks write them."""
    worth = [0.4, 0.3, 0.2, 0.1] if cell["metric"] == "mse" else [0.3, 0.5, 0.6, 0.7]
    return pd.DataFrame(
        [
            {"step": 10 * i, "examples_encoded": 25_000 * i, "part": part, "metric": cell["metric"], "value": value}
            for i, value in enumerate(worth, start=1)
            for part in ("train", "val")
        ]
    )


def made_up_scores(cell, shots):
    def rng(*key):
        return np.random.default_rng(int(hashlib.sha256(repr(key).encode()).hexdigest()[:8], 16))

    strength = rng(cell["learner"]).uniform(0.25, 0.75)
    seed = rng(cell["run_id"]).normal()
    episode = rng(cell["task"], shots).normal(size=N_EPISODES)
    residual = rng(cell["run_id"], shots).normal(size=N_EPISODES)
    if cell["metric"] == "mse":
        return strength / shots * np.exp(0.1 * seed + 0.5 * episode + 0.3 * residual)
    size = np.log(cell["train_classes"] or 5000)
    accuracy = 1 - np.exp(-strength * size * np.sqrt(shots) / 1.6)
    return np.clip(accuracy + 0.01 * seed + 0.04 * episode + 0.04 * residual, 0, 1)


def score_row(cell, table, changes):
    ways, shots = table["ways"].iloc[0], int(table["shots"].iloc[0])
    ways = None if pd.isna(ways) else int(ways)
    row = {
        "part": "test",
        "ways": ways,
        "shots": shots,
        "queries": 15,
        "n_episodes": len(table),
        "episodes_digest": hashlib.sha256(f"{cell['task']} {ways} {shots}".encode()).hexdigest(),
        "chance": 1 / ways if ways else 3.0,
        "at_chance": False,
    }
    row |= {name: value for name, value in changes.items() if name in row}
    own = {"metric": cell["metric"], "higher_is_better": cell["higher_is_better"]}
    value = float(table[cell["metric"]].mean())
    return row | own | {"value": value}, row | {"metric": "nll", "higher_is_better": False, "value": 1.0}


@pytest.fixture(scope="session")
def make_folder():
    """Makes an empty runs folder."""
    return RunsFolder


@pytest.fixture
def folder(tmp_path):
    """An empty runs folder."""
    return RunsFolder(tmp_path / "runs")


@pytest.fixture
def nasty():
    """Learners with names that every form of a table must escape."""
    return NASTY


@pytest.fixture(scope="session")
def finished_quick(tmp_path_factory):
    """The quick suite, all finished, made once; tests damage copies of it."""
    return RunsFolder(tmp_path_factory.mktemp("quick") / "runs").plan_quick().write_suite().finish()


@pytest.fixture
def quick(finished_quick, tmp_path):
    """The quick suite, all finished."""
    copy = RunsFolder(tmp_path / "runs")
    copy.cells = [dict(cell) for cell in finished_quick.cells]
    shutil.copytree(finished_quick.path, copy.path)
    return copy


@pytest.fixture
def no_figures(monkeypatch):
    """Reports draw nothing, which takes most of their time; for tests of tables and files."""
    monkeypatch.setattr("adaptbench.reports.report._drawings", lambda *_: {})
