"""A worker's tries: which of them continue from a checkpoint, and which start anew."""

import errno
import importlib
import itertools
import sys

import pytest
import torch

from adaptbench.benchmarks.executors.worker import Job, work
from adaptbench.benchmarks.runs import checkpoints
from adaptbench.benchmarks.runs.checkpoints import of_other_code
from adaptbench.benchmarks.store.store import Store

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
        checkpoints._digest.cache_clear()

    yield write
    sys.modules.pop("mine", None)


@pytest.fixture
def try_(episodic):
    """Tries the run of the user's learner; returns how it ended."""

    def make(store, **changes):
        spec = episodic(learner={"name": "mine.Mine"})
        job = Job(spec=spec, root=store.root, suite="tiny", name="mine", wandb="off", checkpoint_seconds=0.0)
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


def test_after_a_stop_a_run_continues_unless_its_code_was_edited(store, try_, write_mine, tmp_path, capsys):
    wanted = sound_scores(try_, write_mine, tmp_path)
    write_mine(MENDED)
    ended, spec = try_(store, should_stop=stop_after(5))
    assert ended.how == "stopped" and not of_other_code(store.partial(spec.run_id), spec)
    write_mine(MENDED + "\n# nothing but a remark\n")
    assert of_other_code(store.partial(spec.run_id), spec)
    step = torch.load(store.checkpoint(spec.run_id), weights_only=True)["global_step"]
    ended, _ = try_(store, should_stop=stop_after(1))
    assert torch.load(store.checkpoint(spec.run_id), weights_only=True)["global_step"] < step
    assert "starts anew" in capsys.readouterr().out
    assert try_(store)[0].how == "done"
    assert scores(store, spec) == wanted
    assert {path.name for path in store.root.iterdir()} == {spec.run_id}


def test_classes_of_ours_have_no_code_of_their_own(store, episodic):
    spec = episodic(encoder__name="adaptbench.lit_modules.encoders.MLP")
    folder = store.begin(spec.run_id)
    (folder / "last.ckpt").write_bytes(b"of an earlier version, which noted no code")
    assert not of_other_code(folder, spec)
