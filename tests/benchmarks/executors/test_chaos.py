"""Chaos: the smoke suite by two commands, disturbed at random many times over, and the results are the same bits."""

import os
import random
import resource
import shutil
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

ROUNDS = float(os.environ.get("ADAPTBENCH_CHAOS", "0"))
EVENTS, MOST_SECONDS = round(50 * ROUNDS), 1.5
"""How often something happens, and the longest time before it while there are workers."""
LEASE_SECONDS, SLEEP_SECONDS, FULL_SECONDS = 2.0, 3.0, 0.5
"""A lease here, and how long a process is stopped and the disk is full."""
DEADLINE = 1200 * ROUNDS
SEED = 20
ROOT = Path(__file__).parents[3]
MOST_KEPT = 4
OPTIONS = ("--jobs", "1", "--wandb", "off", "--no-report", "--retry", "1000", "--out")
KINDS = {
    "worker killed": 24,
    "command killed": 3,
    "worker stopped": 5,
    "command stopped": 4,
    "disk full": 8,
    "clock": 6,
}
"""How often each kind happens, on average, in fifty times."""
SITE = """
import sys
import time
from pathlib import Path

real = time.time
time.time = lambda: real() + float(Path({clock!r}).read_text())
if "resource_tracker" not in " ".join(sys.orig_argv):
    from adaptbench.benchmarks.executors import local
    from adaptbench.benchmarks.store import store

    store.LEASE_SECONDS, local.BEGIN_SECONDS = {lease}, 10.0
"""


@pytest.fixture
def clock(tmp_path, monkeypatch):
    """A file with the seconds by which the clock of all processes that start is wrong; their leases are short."""
    path = tmp_path / "clock"
    path.write_text("0")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE.format(clock=str(path), lease=LEASE_SECONDS))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), str(ROOT)]))
    return path


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


def disturb(kind, command, worker, clock, rng):
    """Lets something happen to a command, one of its workers, or the clock."""
    if kind == "command killed":
        os.killpg(command.pid, signal.SIGKILL)
    elif kind == "worker killed":
        os.kill(worker, signal.SIGKILL)
    elif kind == "command stopped":
        os.killpg(command.pid, signal.SIGSTOP)
        time.sleep(SLEEP_SECONDS)
        os.killpg(command.pid, signal.SIGCONT)
    elif kind == "worker stopped":
        os.kill(worker, signal.SIGSTOP)
        time.sleep(SLEEP_SECONDS)
        os.kill(worker, signal.SIGCONT)
    elif kind == "disk full":  # no file of the worker may grow
        limits = resource.prlimit(worker, resource.RLIMIT_FSIZE)
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (0, limits[1]))
        time.sleep(FULL_SECONDS)
        resource.prlimit(worker, resource.RLIMIT_FSIZE, limits)
    else:
        (new := clock.with_suffix(".new")).write_text(str(rng.choice([-86400, -3600, 0, 3600, 86400])))
        new.replace(clock)


@pytest.mark.slow
@pytest.mark.skipif(not ROUNDS, reason="takes minutes: ADAPTBENCH_CHAOS=1 asks for it, 10 for an hour of it")
def test_no_disturbance_changes_a_bit_or_leaves_anything(adaptbench, contents, clock, tmp_path):
    """Workers and commands are killed, or stopped for longer than a lease; the disk is full; the clock is set."""
    whole = adaptbench("run", "smoke", *OPTIONS, "whole", "--jobs", "2")
    assert whole.returncode == 0, whole.stderr
    rng, happened, commands = random.Random(SEED), Counter(), []
    planned = [*KINDS, *rng.choices(list(KINDS), KINDS.values(), k=EVENTS - len(KINDS))]  # so every kind happens
    rng.shuffle(planned)
    deadline = time.monotonic() + DEADLINE
    while happened.total() < EVENTS:
        assert time.monotonic() < deadline, happened
        commands = [command for command in commands if command.poll() is None]
        if not commands:
            for path in sorted((tmp_path / "runs").glob("[!.]*/result.json"))[MOST_KEPT:]:
                shutil.rmtree(path.parent)  # so that there is enough left to disturb
            commands = [adaptbench.start("run", "smoke", *OPTIONS, "runs") for _ in range(2)]
        command = rng.choice(commands)
        if not workers(command.pid):  # it starts, or is about to end
            time.sleep(0.05)
            continue
        time.sleep(rng.uniform(0, MOST_SECONDS))
        kind = planned[happened.total()]
        if victims := workers(command.pid):
            with suppress(ProcessLookupError):
                disturb(kind, command, rng.choice(victims), clock, rng)
            happened[kind] += 1
    for command in commands:
        command.communicate()
    last = adaptbench("run", "smoke", *OPTIONS, "runs")
    assert last.returncode == 0, last.stdout
    assert contents(tmp_path / "runs") == contents(tmp_path / "whole") != {}
    assert not list((tmp_path / "runs").glob(".*"))
    assert not list((tmp_path / "runs").rglob("*.new")) + list((tmp_path / "runs").rglob("*.ckpt.new"))
    assert adaptbench("doctor", "runs").returncode == 0
