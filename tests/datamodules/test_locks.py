"""Locks between processes: a long wait says for what."""

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
