"""Locks: one process works on a run, and a dead one's lock is taken over."""

import multiprocessing
import os
import signal
import time

import pytest

from adaptbench.benchmarks.commands.runs.doctor import examine
from adaptbench.benchmarks.store import store as store_module
from adaptbench.benchmarks.store.store import RunElsewhere, Store


def hold(root, ready):
    with Store(root).claimed("a", on_loss=lambda: None):
        ready.set()
        time.sleep(600)


@pytest.fixture
def holder(store):
    """Another process that holds the lock of run `a`."""
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=hold, args=(store.root, ready))
    process.start()
    assert ready.wait(60)
    yield process
    process.kill()
    process.join()


def test_a_lock_is_held_once_and_leaves_nothing(store):
    with store.claimed("a", on_loss=lambda: None):
        assert store.locked() == ["a"]
        text = (store.root / ".lock-a").read_text()
        assert f"pid={os.getpid()}" in text and "host=" in text
        with pytest.raises(RunElsewhere), store.claimed("a", on_loss=lambda: None):
            raise AssertionError("held twice")
        with store.claimed("b", on_loss=lambda: None):
            assert store.locked() == ["a", "b"]
    assert list(store.root.iterdir()) == []


def test_a_run_that_is_forgotten_keeps_the_files_of_whoever_works_on_it(store):
    store.begin("a")
    with store.claimed("a", on_loss=lambda: None):
        Store(store.root).forget("a")
        assert store.partial("a").is_dir()
    store.forget("a")
    assert not store.partial("a").exists()


def test_the_lock_of_a_killed_process_is_taken_over_at_once(store, holder):
    watch = store.watch("a")
    assert not watch.is_free()
    with pytest.raises(RunElsewhere), store.claimed("a", on_loss=lambda: None):
        raise AssertionError("held twice")
    holder.kill()
    holder.join()
    with store.claimed("a", on_loss=lambda: None):
        assert not store.watch("a").is_free()
    assert watch.is_free()
    assert list(store.root.iterdir()) == []


def test_a_lock_that_is_not_refreshed_gets_old_and_its_owner_learns_that_it_lost_it(store, monkeypatch):
    monkeypatch.setattr(store_module, "LEASE_SECONDS", 1.0)
    lost = []
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=hold, args=(store.root, ready))
    process.start()
    try:
        assert ready.wait(60)
        os.kill(process.pid, signal.SIGSTOP)
        watch = store.watch("a")
        deadline = time.monotonic() + 60
        while not watch.is_free():
            assert time.monotonic() < deadline, "the lock never got old"
            time.sleep(0.1)
    finally:
        process.kill()
        process.join()
    with store.claimed("a", on_loss=lambda: lost.append(True)):
        (store.root / ".lock-a").unlink()
        while not lost:
            assert time.monotonic() < deadline, "its owner never learned"
            time.sleep(0.1)


def test_tidying_removes_locks_of_the_dead_and_leftovers_of_published_runs_only(store, holder):
    for run_id in ("a", "b", "c"):
        (store.partial(run_id)).mkdir(parents=True)
    (store.root / "b").mkdir()
    (store.root / "b" / "result.json").write_text("{}")
    stray = f"break.1.{'0' * 32}"
    for name in (f".lock-a.{stray}", f".lock-b.{stray}", ".lock-b"):  # a process was killed while it took a lock
        (store.root / name).touch()
    assert store.lock_leftovers() == [store.root / ".lock-b", store.root / f".lock-b.{stray}"]
    assert set(store.lock_leftovers()) <= {each.path for each in examine(store) if each.kind == "leftover"}
    store.tidy()
    assert store.locked() == ["a"]
    assert [path.name for path in store.root.glob(".lock-*.*")] == [f".lock-a.{stray}"]
    assert sorted(path.name for path in store.root.glob(".partial-*")) == [".partial-a", ".partial-c"]
    holder.kill()
    holder.join()
    store.tidy()
    assert store.locked() == []


def test_the_lock_of_a_process_that_was_killed_before_it_wrote_its_name_is_taken_over(store, monkeypatch):
    monkeypatch.setattr(store_module, "LEASE_SECONDS", 0.5)
    store.root.mkdir()
    (store.root / ".lock-a").touch()
    watch, start = store.watch("a"), time.monotonic()
    while not watch.is_free():
        waited = time.monotonic() - start
        assert waited < 60, "it was never taken over"
        assert (store.root / ".lock-a").read_bytes() == b"" or waited > 0.5
        time.sleep(0.05)
    with store.claimed("a", on_loss=lambda: None):
        assert not store.watch("a").is_free()
