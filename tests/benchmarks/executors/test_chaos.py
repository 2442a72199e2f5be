"""Chaos: the smoke suite with processes killed at random fifty times over, and the results are the same bits."""

import os
import random
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

KILLS, MOST_SECONDS = 50, 2.0
"""How often something is killed, and the longest time between two kills while there are workers: a few runs'."""
DEADLINE = 1200
SEED = 20
MOST_KEPT = 4
OPTIONS = ("--jobs", "2", "--wandb", "off", "--no-report", "--retry", "1000", "--out")


def workers(group):
    """Lists the processes of a group that work on runs: those that other processes of the group were forked from."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, of_group = status.read_text().rpartition(") ")[2].split()[:3]
            command = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(of_group) == group and state not in "ZX":
            found[int(status.parent.name)] = int(parent), command
    servers = {pid for pid, (parent, command) in found.items() if b"forkserver" in command and parent == group}
    return [pid for pid, (parent, _) in found.items() if parent in servers]


@pytest.mark.slow
@pytest.mark.skipif("ADAPTBENCH_CHAOS" not in os.environ, reason="takes many minutes: ADAPTBENCH_CHAOS=1 asks for it")
def test_fifty_kills_change_no_bit_and_leave_nothing(adaptbench, contents, tmp_path):
    """Nearly always a worker dies, now and then the command with all that it started."""
    whole = adaptbench("run", "smoke", *OPTIONS, "whole")
    assert whole.returncode == 0, whole.stderr
    rng, kills, process = random.Random(SEED), 0, None
    deadline = time.monotonic() + DEADLINE
    while kills < KILLS:
        assert time.monotonic() < deadline, f"{kills} kills"
        if process is None or process.poll() is not None:
            for path in sorted((tmp_path / "runs").glob("[!.]*/result.json"))[MOST_KEPT:]:
                shutil.rmtree(path.parent)  # so that there is enough left to kill
            process = adaptbench.start("run", "smoke", *OPTIONS, "runs")
        victims = workers(process.pid)
        if not victims:  # it starts, or is about to end
            time.sleep(0.05)
            continue
        time.sleep(rng.uniform(0, MOST_SECONDS))
        if rng.random() < 0.06:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        else:
            with suppress(ProcessLookupError):
                os.kill(rng.choice(victims), signal.SIGKILL)
        kills += 1
    process.communicate()
    last = adaptbench("run", "smoke", *OPTIONS, "runs")
    assert last.returncode == 0, last.stdout
    assert contents(tmp_path / "runs") == contents(tmp_path / "whole") != {}
    assert not list((tmp_path / "runs").glob(".*"))
    assert not list((tmp_path / "runs").rglob("*.new")) + list((tmp_path / "runs").rglob("*.ckpt.new"))
    assert adaptbench("doctor", "runs").returncode == 0
