"""Chaos: the smoke suite with processes killed at random fifty times over, and the results are the same bits."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

KILLS = 50
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
    start = time.monotonic()
    whole = adaptbench("run", "smoke", *OPTIONS, "whole")
    assert whole.returncode == 0, whole.stderr
    seconds = 2 * (time.monotonic() - start) / len(list((tmp_path / "whole").glob("[!.]*/result.json")))
    rng, kills, process = random.Random(SEED), 0, None
    deadline = time.monotonic() + 1200
    while kills < KILLS:
        assert time.monotonic() < deadline
        if process is None or process.poll() is not None:
            if process is not None:
                process.communicate()
            for path in sorted((tmp_path / "runs").glob("[!.]*/result.json"))[MOST_KEPT:]:
                shutil.rmtree(path.parent)  # so that there is enough left to kill
            process = adaptbench.start("run", "smoke", *OPTIONS, "runs")
        time.sleep(rng.uniform(0, 3 * min(seconds, 1.5)))  # each of two workers has about the time of a run
        victims = workers(process.pid)
        if not victims:
            continue
        if rng.random() < 0.06:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            process = None
        else:
            os.kill(rng.choice(victims), signal.SIGKILL)
        kills += 1
    if process is not None:
        process.communicate()
    last = adaptbench("run", "smoke", *OPTIONS, "runs")
    assert last.returncode == 0, last.stdout
    assert contents(tmp_path / "runs") == contents(tmp_path / "whole") != {}
    assert not list((tmp_path / "runs").glob(".*"))
    assert not list((tmp_path / "runs").rglob("*.new")) + list((tmp_path / "runs").rglob("*.ckpt.new"))
    assert adaptbench("doctor", "runs").returncode == 0
