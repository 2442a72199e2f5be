"""A command that sleeps for longer than its lease, as under a laptop's lid, while another one works."""

import os
import re
import signal
import time

import pytest

from adaptbench.benchmarks.store.store import Store

QUIET = ("--jobs", "1", "--wandb", "off", "--no-report")
SHORT_LEASE = """
import sys

if "resource_tracker" not in " ".join(sys.orig_argv):
    from adaptbench.benchmarks.store import store

    store.LEASE_SECONDS = 2.0
"""


@pytest.fixture
def short_lease(own_learners):
    """Every process that starts has leases of two seconds."""
    (own_learners / "sitecustomize.py").write_text(SHORT_LEASE)


def stopped(process_group, alone):
    """Stops a whole command, or its worker alone; returns what lets it go on."""

    def send(number):
        os.kill(alone, number) if alone else os.killpg(process_group, number)

    send(signal.SIGSTOP)
    return lambda: send(signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.usefixtures("short_lease")
@pytest.mark.parametrize("who", ["worker", "command"])
def test_a_command_that_slept_says_that_another_one_did_its_run(who, adaptbench, write_suite, contents, tmp_path):
    suite = write_suite(learners=(), **{"learners.slow": {"learner": {"name": "own.Slow"}}})
    store = Store(tmp_path / "runs")
    first = adaptbench.start("run", suite, *QUIET)
    deadline = time.monotonic() + 120
    while not (begun := list(store.root.glob(".partial-*/last.ckpt"))):
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.02)
    run_id = begun[0].parent.name.removeprefix(".partial-")
    worker = int(re.search(r"process (\d+)", store.owner(run_id))[1])
    wake = stopped(first.pid, alone=worker if who == "worker" else None)
    second = adaptbench("run", suite, *QUIET)
    assert second.returncode == 0 and "Runs: 1 done now." in second.stdout, second.stdout
    wake()
    out, err = first.communicate(timeout=120)
    assert (first.returncode, err) == (0, ""), out
    assert "done 1/1 slow sinusoid seed 0 by another command" in out
    assert not list(store.root.glob(".*"))
    assert adaptbench("run", suite, "--out", "alone", *QUIET).returncode == 0
    assert contents(store.root) == contents(tmp_path / "alone") != {}
