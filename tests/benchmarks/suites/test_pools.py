"""Pools of the suites that ship: every training step encodes as many images as the suite says."""

import pytest

from adaptbench.benchmarks.runs.build import build_task
from adaptbench.benchmarks.suites.registry import suite_files
from adaptbench.benchmarks.suites.suite import load_suite


@pytest.mark.parametrize("name", sorted(set(suite_files()) - {"lake", "optimization"}))
def test_every_training_step_fills_its_pool(name, real_cache, monkeypatch):
    """Else learners would encode fewer images at some sizes.

    Alphabets of which a split at random leaves fewer characters than a pool takes, and those of glyphs, do not fill it.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(real_cache))
    trainings = {
        (spec.task.model_dump_json(), repr(spec.train)): spec
        for spec in (cell.spec.training for cell in load_suite(name).cells())
        if spec.kind == "episodic" and spec.train.ways and not _leaves_small_alphabets(spec.task.init_args)
    }
    for spec in trainings.values():
        task = build_task(spec)
        drawn = {len(task.train_batch(step).inputs) for step in range(6)}
        assert drawn == {spec.train.pool}, spec.task


def _leaves_small_alphabets(init_args):
    at_random = init_args.get("split") == "random" and init_args.get("rotations") == "none"
    return at_random and init_args.get("scope") == "within"
