"""A worker's tries: which of them continue from a checkpoint, and which start anew."""

import errno
import importlib
import itertools
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from adaptbench.benchmarks.executors import worker
from adaptbench.benchmarks.executors.worker import Job, work
from adaptbench.benchmarks.runs import run
from adaptbench.benchmarks.store.store import Store
from adaptbench.benchmarks.suites.own_code import own_code

BROKEN = '''"""A learner of a user's own that trains in a wrong way, then breaks."""

from own import Sound


class Mine(Sound):
    """Changes its weights behind the optimizer's back."""

    calls = 0

    def forward(self, *episode):
        Mine.calls += self.training and len(episode[0]) > 2
        for weight in self.parameters():
            weight.data.add_(1.0)
        if Mine.calls > 6:
            raise {error}
        return super().forward(*episode)
'''
MENDED = '''"""The same learner, mended."""

from own import Sound


class Mine(Sound):
    """Learns."""
'''


@pytest.fixture
def write_mine(own_learners):
    """Writes the user's module, as an editor does, and forgets what the process knows of it."""

    def write(text):
        (own_learners / "mine.py").write_text(text, encoding="utf-8")
        sys.modules.pop("mine", None)
        importlib.invalidate_caches()
        run._imported_code.cache_clear()

    yield write
    sys.modules.pop("mine", None)


@pytest.fixture
def try_(episodic):
    """Tries the run of the user's learner; returns how it ended."""

    def make(store, **changes):
        spec = episodic(learner={"name": "mine.Mine"})
        job = Job(spec=spec, root=store.root, name="mine", checkpoint_seconds=0.0)
        return work(job, **changes), spec

    return make


def scores(store, spec):
    return [score.value for score in store.result(spec.run_id).scores]


def sound_scores(try_, write_mine, tmp_path):
    write_mine(MENDED)
    whole = Store(tmp_path / "whole")
    _, spec = try_(whole)
    return scores(whole, spec)


def stop_after(steps):
    counted = itertools.count()
    return lambda: next(counted) > steps


@pytest.mark.parametrize("error", ["ArithmeticError('it broke')", "RuntimeError('shapes')", "KeyError('x')"])
def test_after_an_exception_in_the_code_a_run_starts_anew(error, store, try_, write_mine, tmp_path):
    wanted = sound_scores(try_, write_mine, tmp_path)
    write_mine(BROKEN.format(error=error))
    ended, spec = try_(store)
    assert ended.how == "failed"
    assert not store.checkpoint(spec.run_id).exists()
    write_mine(MENDED)
    assert try_(store)[0].how == "done"
    assert scores(store, spec) == wanted


def test_after_a_full_disk_a_run_continues(store, try_, write_mine):
    write_mine(BROKEN.format(error=f"OSError({errno.ENOSPC}, 'No space left on device')"))
    ended, spec = try_(store)
    assert ended.how == "failed" and store.checkpoint(spec.run_id).exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here is always full")
@pytest.mark.parametrize("name", ["model.ckpt", "episodes.parquet", "guards.json.{}.new", "result.json.{}.new"])
def test_a_disk_that_is_full_at_any_file_fails_the_run_in_one_line_and_the_next_try_ends_it(
    name, episodic, store, tmp_path, contents, monkeypatch
):
    spec, whole = episodic(), Store(tmp_path / "whole")
    job = Job(spec=spec, root=store.root, name="tiny", checkpoint_seconds=0.0)
    assert work(replace(job, root=whole.root)).how == "done"
    begin, name = Store.begin, name.format(os.getpid())

    def on_a_full_disk(self, run_id):
        (folder := begin(self, run_id)).joinpath(name).symlink_to("/dev/full")
        return folder

    with monkeypatch.context() as patch:
        patch.setattr(Store, "begin", on_a_full_disk)
        ended = work(job)
    assert (ended.how, "No space left on device" in ended.reason) == ("failed", True), ended
    assert "\n" not in ended.reason and store.failure(spec.run_id) == ended.reason
    assert store.checkpoint(spec.run_id).exists() == (not name.startswith("guards")), "guards are written first"
    assert not store.is_published(spec.run_id)
    (store.partial(spec.run_id) / name).unlink(missing_ok=True)  # there is space again
    assert work(job).how == "done"
    assert contents(store.root) == contents(whole.root) != {}
    assert store.damage(spec.run_id) is None


def test_a_stopped_run_continues_and_refuses_code_that_was_edited_after_it_was_planned(
    store, write_mine, episodic, tmp_path
):
    write_mine(MENDED)
    spec = episodic(learner={"name": "mine.Mine"})
    spec = spec.model_copy(update={"code": own_code(**spec.components)})

    def try_(root, **changes):
        return work(Job(spec=spec, root=root, name="mine", checkpoint_seconds=0.0), **changes)

    whole = Store(tmp_path / "whole")
    assert try_(whole.root).how == "done"
    assert try_(store.root, should_stop=stop_after(5)).how == "stopped"
    write_mine(MENDED + "\n# nothing but a remark\n")
    ended = try_(store.root)
    assert ended.how == "failed" and "the code of mine.Mine is not that" in ended.reason
    assert store.checkpoint(spec.run_id).exists()
    write_mine(MENDED)
    assert try_(store.root).how == "done"
    assert scores(store, spec) == scores(whole, spec)


def taken_over(store, spec):
    """Another process that took this one for dead has the lock now."""
    lock = store.root / f".lock-{spec.run_id}"
    text = re.sub("token=.*", f"token={'0' * 32}", lock.read_text())
    lock.unlink()
    lock.write_text(text)


def test_a_worker_whose_run_was_taken_over_publishes_and_notes_nothing(store, try_, write_mine, episodic):
    write_mine(MENDED)
    spec = episodic(learner={"name": "mine.Mine"})
    asked = itertools.count()
    ended, _ = try_(store, should_stop=lambda: next(asked) == 3 and taken_over(store, spec))
    assert ended.how == "elsewhere"
    assert not store.is_published(spec.run_id) and store.failure(spec.run_id) is None


def test_a_worker_whose_run_another_one_published_says_so(store, try_, write_mine, tmp_path):
    write_mine(MENDED)
    whole = Store(tmp_path / "whole")
    _, spec = try_(whole)

    def publish():
        shutil.copytree(whole.published(spec.run_id), store.published(spec.run_id), dirs_exist_ok=True)
        raise FileNotFoundError("the other command has moved the file away")

    ended, _ = try_(store, should_stop=publish)
    assert ended.how == "elsewhere" and store.damage(spec.run_id) is None
    assert store.failure(spec.run_id) is None


def test_a_worker_that_slept_for_a_lease_gives_up_after_its_next_step(store, episodic, monkeypatch):
    now, spec, given_up = [0.0], episodic(), []
    monkeypatch.setattr(worker.time, "time", lambda: now[0])
    monkeypatch.setattr(worker, "_give_up", lambda: given_up.append(now[0]))
    with store.claimed(spec.run_id, on_loss=lambda: None):
        ask = worker._watching(lambda: False, store, spec.run_id)
        taken_over(store, spec)
        for now[0] in (1.0, 2.0, 40.0):
            assert ask() is False
    assert given_up == [40.0]
