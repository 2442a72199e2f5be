"""Tiny cells and suites, learners of a user's own, and the real command line."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from adaptbench.benchmarks.store.integrity import seal
from adaptbench.benchmarks.store.store import Store
from adaptbench.benchmarks.suites.spec import EpisodicSpec, PretrainSpec, TransferSpec
from adaptbench.reports.format import Environment, Machine, Result, Score, Times

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "adaptbench"]

TASK = {
    "task": {"name": "sinusoid"},
    "train": {"shots": [5], "queries": 5, "pool": 40},
    "test": {"shots": [5, 10], "queries": 5, "episodes": 20},
    "encoder": {"name": "mlp", "init_args": {"width": 8, "depth": 1}},
    "budget": {"examples": 640, "epochs": 4, "val_episodes": 4},
}
LEARNERS = {
    "deep_sets": {"learner": {"name": "deep_sets", "init_args": {"width": 8, "slots": 1}}},
    "attention": {"learner": {"name": "attention", "init_args": {"width": 8, "layers": 1}}},
    "fine_tuning": {"strategy": {"name": "fine_tuning", "init_args": {"moves": "all", "steps": 2}}},
}
OWN = '''"""Learners of a user's own."""

import os
import signal
import time

import torch
from torch import nn

from adaptbench.lit_modules.deep_sets import DeepSets


class Sound(DeepSets):
    """Learns."""

    def __init__(self, features, targets, outputs):
        super().__init__(features, targets, outputs, width=8, slots=1)


class Halting(Sound):
    """Stops in call number `STOP_AT` of its process, as `STOP_BY` says."""

    calls = 0

    def forward(self, *episode):
        Halting.calls += 1
        if Halting.calls == int(os.environ.get("STOP_AT", "0")):
            if os.environ["STOP_BY"] == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ArithmeticError("stopped in the middle")
        return super().forward(*episode)


class Fragile(Sound):
    """Raises as soon as it has trained for two steps."""

    steps = 0

    def forward(self, *episode):
        self.steps += self.training and len(episode[0]) > 2
        if self.steps > 2:
            raise ArithmeticError("it [broke] in training")
        return super().forward(*episode)


class Deadly(Fragile):
    """Takes its whole process with it."""

    def forward(self, *episode):
        try:
            return super().forward(*episode)
        except ArithmeticError:
            os._exit(7)


class Slow(Sound):
    """Takes its time."""

    def forward(self, *episode):
        time.sleep(0.15)
        return super().forward(*episode)


class Hanging(Sound):
    """Never comes back from its training."""

    def forward(self, *episode):
        if self.training and len(episode[0]) > 2:
            print("about to hang", flush=True)
            time.sleep(3600)
        return super().forward(*episode)


class Nearest:
    """A strategy as CONTRIBUTING.md describes it, and no more: the target of the nearest support example."""

    def __init__(self, network, targets, *, power=2.0):
        self.pretrained, self.power = network, power

    def predict(self, batch):
        x, y = batch.inputs[batch.support], batch.support_y
        nearest = torch.cdist(batch.inputs[batch.query], x, p=self.power).argmin(dim=-1, keepdim=True)
        return torch.cat([y.gather(1, nearest), torch.zeros_like(batch.query_y)], dim=-1)


class Weighing(nn.Module):
    """A strategy that is a module, whose `parameters` is a method."""

    def __init__(self, network, targets):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(3))

    def predict(self, batch):
        return torch.zeros(*batch.query_y.shape[:2], 2)


class Silent:
    """A strategy that predicts nothing."""

    def __init__(self, network, targets):
        pass


class Hasty(Silent):
    """A strategy that predicts from something else."""

    def predict(self, support, query):
        return query


class Alone:
    """A strategy that takes no network."""

    def predict(self, batch):
        return batch.query_y


class Other(nn.Module):
    """Has the interface of something else."""

    def forward(self, x):
        return x
'''


def listen_to_interrupts():
    """Undoes what a shell does to its background jobs: they, and so the tests in them, ignore Ctrl-C."""
    for each in ("SIGINT", "SIGHUP"):
        if hasattr(signal, each):
            signal.signal(getattr(signal, each), signal.SIG_DFL)


def merge(base, changes):
    """Returns a nested dictionary with changes, named by dotted keys."""
    result = {key: merge(value, {}) if isinstance(value, dict) else value for key, value in base.items()}
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = result
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return result


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


@pytest.fixture
def episodic():
    """Makes the spec of a tiny black-box run, with changes by dotted key."""
    return lambda **changes: EpisodicSpec(
        **merge(
            {**TASK, "seed": 0, "optimization": {}, "learner": LEARNERS["deep_sets"]["learner"]},
            {key.replace("__", "."): value for key, value in changes.items()},
        )
    )


@pytest.fixture
def pretraining():
    """Makes the spec of a tiny pretraining, with changes by dotted key."""
    return lambda **changes: PretrainSpec(
        **merge(
            {**TASK, "seed": 0, "optimization": {}}, {key.replace("__", "."): value for key, value in changes.items()}
        )
    )


@pytest.fixture
def transfer(pretraining):
    """Makes the spec of a tiny transfer run."""
    return lambda **changes: TransferSpec(
        pretrained=pretraining(**changes), strategy=LEARNERS["fine_tuning"]["strategy"], test=TASK["test"]
    )


@pytest.fixture
def write_suite(tmp_path):
    """Writes a tiny suite, with changes by dotted key (of the suite, or of its task after `task.`), as YAML."""

    def write(name="tiny", learners=("deep_sets", "fine_tuning"), seeds=(0,), **changes):
        task = merge({**TASK, "learners": {learner: LEARNERS[learner] for learner in learners}}, changes)
        suite = {"suite": name, "version": 1, "description": "Tiny.", "seeds": list(seeds), "tasks": [task]}
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(suite, sort_keys=False), encoding="utf-8")
        return path

    return write


@pytest.fixture
def own_learners(tmp_path, monkeypatch):
    """A module `own` with learners of a user's own, found here and in subprocesses."""
    folder = tmp_path / "own_package"
    folder.mkdir()
    (folder / "own.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(ROOT)]))
    yield folder
    sys.modules.pop("own", None)


@dataclass(frozen=True)
class CommandLine:
    """The real command line in a folder of its own."""

    folder: Path
    started: list[subprocess.Popen] = field(default_factory=list)

    def start(self, *arguments):
        """Starts it as the leader of a process group."""
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            cwd=self.folder,
            env={"PYTHONPATH": str(ROOT), **os.environ, "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            preexec_fn=listen_to_interrupts,
        )
        self.started.append(process)
        return process

    def __call__(self, *arguments):
        """Runs it to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=600)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def end(self):
        """Kills what a test left running, and closes all pipes."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            with process:  # waits, and closes
                pass


@pytest.fixture
def adaptbench(tmp_path):
    """Calls the real command line."""
    command = CommandLine(tmp_path)
    yield command
    command.end()


@pytest.fixture
def result_of():
    """Makes the result of a run that was never computed, with changes by field."""

    def make(run_id, **changes):
        content = {
            **{"run_id": run_id, "kind": "episodic", "task": "sinusoid", "protocol": "noise-free", "seed": 0},
            **{"learner": "deep_sets", "family": "sets", "train_classes": None, "class_word": "functions"},
            **{"shots_word": "shot", "selection": "last", "examples_encoded": 640, "parameters": 1},
            **{"transductive": False, "scores": (), "files": {}, "sha256": "0" * 64, **changes},
        }
        return seal(Result(**content))

    return make


@pytest.fixture
def score_of():
    """Makes a test score, with changes by field."""

    def make(**changes):
        size = {"part": "test", "ways": None, "shots": 5, "queries": 5, "n_episodes": 20, "episodes_digest": "0" * 32}
        kind = {"metric": "mse", "higher_is_better": False, "value": 1.0, "chance": 3.0, "at_chance": False}
        return Score(**{**size, **kind, **changes})

    return make


@pytest.fixture
def environment():
    """Where and how fast a run was computed that took a minute."""
    machine = {"versions": {}, "device": "cpu", "processor": "", "system": "", "threads": 1}
    now = datetime.now(UTC)
    return Environment(
        machine=Machine(**machine, git_commit=None, git_dirty=None),
        times=Times(started=now, finished=now, train_seconds=50.0, test_seconds=10.0),
        data_digest=None,
    )


@pytest.fixture
def contents():
    """Reads everything in a folder of runs that a spec determines, by path: bytes of JSON, tables as records."""
    import pandas as pd

    def read(root):
        root = Path(root)
        results = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.glob("[!.]*/result.json")}
        tables = {
            path.relative_to(root).as_posix(): pd.read_parquet(path).to_csv(float_format="%.17g")
            for path in root.glob("[!.]*/*.parquet")
            if (path.parent / "result.json").exists()  # a report's folder holds times too
        }
        return results | tables

    return read
