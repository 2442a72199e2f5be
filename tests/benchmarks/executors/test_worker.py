"""A worker's tries: which of them continue from a checkpoint, and which start anew."""

import errno
import importlib
import itertools
import sys

import pytest

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


def test_a_stopped_run_continues_and_refuses_code_that_was_edited_after_it_was_planned(
    store, write_mine, episodic, tmp_path
):
    write_mine(MENDED)
    spec = episodic(learner={"name": "mine.Mine"})
    spec = spec.model_copy(update={"code": own_code(**spec.components)})

    def try_(root, **changes):
        return work(
            Job(spec=spec, root=root, suite="tiny", name="mine", wandb="off", checkpoint_seconds=0.0), **changes
        )

    whole = Store(tmp_path / "whole")
    assert try_(whole.root).how == "done"
    assert try_(store.root, should_stop=stop_after(5)).how == "stopped"
    write_mine(MENDED + "\n# nothing but a remark\n")
    ended = try_(store.root)
    assert ended.how == "failed" and "the code of mine.Mine is not that" in ended.reason
    write_mine(MENDED)
    assert try_(store.root).how == "done"
    assert scores(store, spec) == scores(whole, spec)
