"""Locks between processes: a long wait says for what."""

import errno
import threading

import pytest

from adaptbench.datamodules import locks

fcntl = pytest.importorskip("fcntl")


def test_a_lock_that_frees_late_is_waited_for_aloud_and_a_free_one_in_silence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.1)
    with locks.held(tmp_path / "data.lock"):
        pass
    assert capsys.readouterr().err == ""
    with (tmp_path / "data.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        timer = threading.Timer(0.5, fcntl.flock, [other, fcntl.LOCK_UN])
        timer.start()
        with locks.held(tmp_path / "data.lock"):
            assert timer.finished.is_set()
        timer.join()
    assert capsys.readouterr().err == f"waiting for another process, which holds {tmp_path / 'data.lock'}\n"


def test_a_lock_that_the_system_never_grants_is_waited_for_aloud(tmp_path, monkeypatch, capsys):
    held, granted, real = threading.Event(), threading.Event(), fcntl.flock

    def flock(file, operation):
        if not granted.is_set() and not operation & fcntl.LOCK_UN:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        real(file, operation)

    def wait():
        with locks.held(tmp_path / "data.lock"):
            held.set()

    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(fcntl, "flock", flock)
    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    waiting.join(0.5)
    assert waiting.is_alive()
    assert capsys.readouterr().err == f"waiting for another process, which holds {tmp_path / 'data.lock'}\n"
    granted.set()
    waiting.join(10)
    assert held.is_set()
