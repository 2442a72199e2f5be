"""One run: the same bits every time, however often it is stopped on the way."""

import contextlib
import errno
import itertools
import json
import os
import signal
import subprocess
import sys

import pandas as pd
import pytest
import torch

from adaptbench.benchmarks.runs.checkpoints import CheckpointDamaged, Checkpoints, Interrupted
from adaptbench.benchmarks.runs.run import NotFinite, execute
from adaptbench.benchmarks.store.store import Store

HALTING = {"name": "own.Halting"}


def weights(folder):
    return torch.load(folder / "model.ckpt", weights_only=True)["state_dict"]


def assert_same_bits(first, second):
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def test_the_same_spec_gives_the_same_bits(episodic, tmp_path, contents):
    spec = episodic()
    torch.manual_seed(5)
    first = execute(spec, Store(tmp_path / "first"))
    torch.manual_seed(17)
    torch.rand(3)
    second = execute(spec, Store(tmp_path / "second"))
    assert contents(tmp_path / "first") == contents(tmp_path / "second")
    assert_same_bits(weights(first), weights(second))
    assert {file.name for file in first.iterdir()} == {
        *("spec.json", "result.json", "environment.json", "episodes.parquet", "curve.parquet", "model.ckpt"),
        *("guards.json", "fits.parquet"),
    }


def test_another_seed_gives_other_weights_and_meets_the_same_episodes(episodic, tmp_path):
    store = Store(tmp_path)
    results = []
    for seed in (0, 1):
        spec = episodic(seed=seed)
        execute(spec, store)
        results.append(store.result(spec.run_id).model_dump())
    first, second = ([score["episodes_digest"] for score in result["scores"]] for result in results)
    assert first == second
    assert results[0]["scores"][0]["value"] != results[1]["scores"][0]["value"]


def test_a_test_on_seen_functions_stands_beside_the_usual_one_and_changes_nothing_of_it(episodic, store):
    usual = episodic(task__init_args={"train_functions": 3})
    both = episodic(task__init_args={"train_functions": 3}, test__on=["unseen", "seen"])
    assert '"on"' not in usual.model_dump_json() + usual.canonical_json() and usual.run_id != both.run_id
    assert type(both).model_validate_json(both.model_dump_json()).run_id == both.run_id
    folders = [execute(spec, store) for spec in (usual, both)]
    (plain, scores), (before, after) = (
        [json.loads((folder / "result.json").read_text())["scores"] for folder in folders],
        [pd.read_parquet(folder / "episodes.parquet") for folder in folders],
    )
    assert [score for score in scores if "on" not in score] == plain
    seen = [score for score in scores if "on" in score]
    assert {(score["on"], score["part"], score["metric"]) for score in seen} == {
        ("seen", "train", "mse"), ("seen", "train", "nll")
    }  # fmt: skip
    assert not {score["episodes_digest"] for score in seen} & {score["episodes_digest"] for score in plain}
    unseen = after[after["on"] == "unseen"].drop(columns="on").reset_index(drop=True)
    pd.testing.assert_frame_equal(unseen, before)
    for score in seen:
        rows = after[(after["on"] == "seen") & (after["shots"] == score["shots"])]
        assert len(rows) == score["n_episodes"] and rows[score["metric"]].mean() == pytest.approx(score["value"])


def test_curve_has_a_row_for_every_epoch_and_metric(episodic, store):
    spec = episodic()
    curve = pd.read_parquet(execute(spec, store) / "curve.parquet")
    counts = curve.groupby(["part", "metric"]).size().to_dict()
    assert counts == {(part, metric): 4 for part in ("train", "val") for metric in ("mse", "nll")}
    assert sorted(curve["step"].unique()) == [4, 8, 12, 16]
    assert sorted(curve["examples_encoded"].unique()) == [160, 320, 480, 640]
    result = store.result(spec.run_id).model_dump()
    assert result["examples_encoded"] == spec.budget.examples == 640


@pytest.mark.parametrize("selection", ["last", "best"])
def test_stopped_in_any_epoch_it_ends_with_the_same_bits(
    selection, episodic, tmp_path, own_learners, monkeypatch, contents
):
    """Raises in training and in validation steps, at first before any checkpoint, then after each."""
    spec = episodic(learner=HALTING, budget__selection=selection)
    undisturbed = execute(spec, Store(tmp_path / "undisturbed"))
    import own

    monkeypatch.setenv("STOP_BY", "raise")
    stopped = Store(tmp_path / "stopped")
    # Each try makes one call to see the learner, then 4 training and 2 validation calls an epoch.
    for stop_at in (3, 6, 1 + 6 + 1, 1 + 6 + 3, 1 + 6 + 5, 1 + 6):
        monkeypatch.setenv("STOP_AT", str(stop_at))
        own.Halting.calls = 0
        with pytest.raises(ArithmeticError):
            execute(spec, stopped)
    monkeypatch.delenv("STOP_AT")
    own.Halting.calls = 0
    resumed = execute(spec, stopped)
    assert own.Halting.calls == 1 + 6 + 2 * 9 + (2 + 4) + 4, "last epoch, guards, test (in two orders), fits"
    assert contents(tmp_path / "undisturbed") == contents(tmp_path / "stopped")
    assert_same_bits(weights(undisturbed), weights(resumed))


def test_stopped_pretraining_ends_with_the_same_bits(pretraining, tmp_path, monkeypatch, contents):
    from adaptbench.lit_modules.transfer import TransferModule

    spec = pretraining()
    undisturbed = execute(spec, Store(tmp_path / "undisturbed"))
    step = TransferModule.training_step

    def stop_in_second_epoch(self, batch, batch_idx):
        if self.global_step == 6:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    monkeypatch.setattr(TransferModule, "training_step", stop_in_second_epoch)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        execute(spec, Store(tmp_path / "stopped"))
    monkeypatch.undo()
    resumed = execute(spec, Store(tmp_path / "stopped"))
    assert contents(tmp_path / "undisturbed") == contents(tmp_path / "stopped")
    assert_same_bits(weights(undisturbed), weights(resumed))


@pytest.mark.slow
def test_killed_in_training_it_ends_with_the_same_bits(episodic, tmp_path, own_learners, contents):
    spec = episodic(learner=HALTING)
    undisturbed = execute(spec, Store(tmp_path / "undisturbed"))
    script = (
        "import sys; from pathlib import Path; from adaptbench.benchmarks.runs.run import execute\n"
        "from adaptbench.benchmarks.store.store import Store; from adaptbench.benchmarks.suites.spec import RUN_SPEC\n"
        "from adaptbench.benchmarks.runs.process import initialise; initialise()\n"
        "execute(RUN_SPEC.validate_json(sys.argv[1]), Store(Path(sys.argv[2])))"
    )
    for stop_at in (1 + 6 + 3, 1 + 6 + 2):  # in the second epoch; then, resumed there, in the third
        environment = {**os.environ, "STOP_AT": str(stop_at), "STOP_BY": "kill"}
        command = [sys.executable, "-c", script, spec.model_dump_json(), str(tmp_path / "killed")]
        assert subprocess.run(command, env=environment, timeout=120).returncode == -signal.SIGKILL
    killed = Store(tmp_path / "killed")
    assert (killed.partial(spec.run_id) / "last.ckpt").is_file()
    assert not killed.is_published(spec.run_id)
    resumed = execute(spec, killed)
    assert contents(tmp_path / "undisturbed") == contents(tmp_path / "killed")
    assert_same_bits(weights(undisturbed), weights(resumed))


@pytest.mark.parametrize("kind", ["episodic", "pretraining"])
def test_stopped_after_any_step_it_ends_with_the_same_bits(kind, request, tmp_path, contents):
    """Asked to stop after every third step, it goes on in the middle of an epoch, with the epoch's means so far."""
    spec = request.getfixturevalue(kind)(budget__selection="best")
    undisturbed = execute(spec, Store(tmp_path / "undisturbed"))
    stopped, steps, tries = Store(tmp_path / "stopped"), itertools.count(1), 0
    while not stopped.is_published(spec.run_id):
        tries += 1
        with contextlib.suppress(Interrupted):
            execute(spec, stopped, checkpoints=Checkpoints(0.0, lambda: next(steps) % 4 == 3))
        assert tries < 20
    assert tries > 2
    assert contents(tmp_path / "undisturbed") == contents(tmp_path / "stopped")
    assert_same_bits(weights(undisturbed), weights(stopped.published(spec.run_id)))


def test_time_of_training_is_counted_over_all_tries(episodic, store):
    spec = episodic()
    steps = itertools.count()
    with pytest.raises(Interrupted):
        execute(spec, store, checkpoints=Checkpoints(0.0, lambda: next(steps) == 5))
    path = store.partial(spec.run_id) / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    (name,) = (name for name in checkpoint["callbacks"] if name.startswith("Stopwatch"))
    time = checkpoint["callbacks"][name]
    assert 0 < time["seconds"] < 600 and 0 < time["cpu_seconds"] < 600
    checkpoint["callbacks"][name] = {"seconds": time["seconds"] + 1000, "cpu_seconds": time["cpu_seconds"] + 2000}
    torch.save(checkpoint, path)
    execute(spec, store)
    times = store.environment(spec.run_id).times
    assert 1000 + time["seconds"] < times.train_seconds < 1600
    assert 2000 + time["cpu_seconds"] < times.train_cpu_seconds < 2600


def test_prediction_is_timed_for_each_size_of_test_episodes(episodic, store):
    spec = episodic()
    execute(spec, store)
    times = store.environment(spec.run_id).times
    assert [(each.ways, each.shots) for each in times.predict] == [(None, 5), (None, 10)]
    assert all(each.ms_per_episode > 0 for each in times.predict)
    milliseconds = sum(each.ms_per_episode for each in times.predict) * spec.test.episodes
    assert times.test_seconds == pytest.approx(milliseconds / 1000)
    assert times.predict_ms_per_episode == pytest.approx(milliseconds / spec.test.episodes / 2)


@pytest.mark.parametrize("selection", ["last", "best"])
def test_diverged_training_is_an_error_and_publishes_nothing(selection, episodic, store):
    spec = episodic(optimization__lr=float("inf"), optimization__clip=None, budget__selection=selection)
    with pytest.raises(NotFinite, match="diverged"):
        execute(spec, store)
    assert not store.is_published(spec.run_id)


def test_best_selection_tests_the_weights_of_the_best_validation(episodic, store):
    spec = episodic(optimization__lr=0.3, budget__selection="best")
    folder = execute(spec, store)
    curve = pd.read_parquet(folder / "curve.parquet").query("part == 'val' and metric == 'mse'")
    best = int(curve["value"].to_numpy().argmin())
    assert best < 3, "a test of nothing: the last epoch is the best"
    last = execute(episodic(optimization__lr=0.3), store)
    assert any(not torch.equal(tensor, weights(last)[name]) for name, tensor in weights(folder).items())
    result = store.result(spec.run_id).model_dump()
    assert result["selection"] == "best"
    assert result["examples_encoded"] == 640


def test_transfer_uses_its_pretrained_network_and_leaves_it_alone(transfer, tmp_path):
    store = Store(tmp_path)
    spec = transfer()
    with pytest.raises(ValueError, match="cannot be read"):
        execute(spec, store)
    network = execute(spec.pretrained, store)
    before = {file.name: file.read_bytes() for file in network.iterdir()}
    folder = execute(spec, store)
    assert {file.name: file.read_bytes() for file in network.iterdir()} == before
    result = store.result(spec.run_id).model_dump()
    assert result["pretrained"] == spec.pretrained.run_id
    assert result["examples_encoded"] == spec.pretrained.budget.examples
    assert {score["shots"] for score in result["scores"]} == {5, 10}
    assert not (folder / "model.ckpt").exists()
    assert store.result(spec.pretrained.run_id).scores == ()


def test_a_published_run_is_not_touched(episodic, store):
    spec = episodic()
    folder = execute(spec, store)
    times = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert execute(spec, store) == folder
    assert {file: file.stat().st_mtime_ns for file in folder.iterdir()} == times


def test_a_damaged_checkpoint_is_said_once_and_removed(episodic, tmp_path, contents):
    spec, store, sound = episodic(), Store(tmp_path / "damaged"), Store(tmp_path / "sound")
    execute(spec, sound)
    with pytest.raises(Interrupted):
        execute(spec, store, checkpoints=Checkpoints(0.0, lambda: True))
    path = store.partial(spec.run_id) / "last.ckpt"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointDamaged, match=r"removed; the next try starts again"):
        execute(spec, store)
    assert not path.exists() and not store.is_published(spec.run_id)
    execute(spec, store)
    assert contents(tmp_path / "damaged") == contents(tmp_path / "sound")


def test_a_full_disk_leaves_no_half_checkpoint(episodic, store, monkeypatch):
    spec = episodic()

    def full(self, path, **_):
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pytorch_lightning.Trainer.save_checkpoint", full)
    with pytest.raises(OSError, match="No space left"):
        execute(spec, store)
    assert not list(store.partial(spec.run_id).glob("last.ckpt*"))
