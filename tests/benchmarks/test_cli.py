"""The real command line: repeated, parallel, killed and continued, without data, and with a failing cell."""

import os
import signal
import time

import pytest

pytestmark = pytest.mark.slow


def test_a_killed_suite_goes_on_to_the_same_bits(adaptbench, write_suite, contents, tmp_path):
    suite = write_suite(seeds=(0, 1))
    whole = adaptbench("run", suite, "--out", "whole", "--wandb", "off", "--jobs", "1")
    assert whole.returncode == 0, whole.stderr

    process = adaptbench.start("run", suite, "--out", "killed", "--wandb", "off", "--jobs", "2")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list((tmp_path / "killed").glob("[!.]*/result.json")):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    finished = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "killed").glob("[!.s]*")}
    again = adaptbench("run", suite, "--out", "killed", "--wandb", "off", "--jobs", "2")
    assert again.returncode == 0, again.stderr
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole") != {}
    assert all((tmp_path / "killed" / name).stat().st_mtime_ns == time for name, time in finished.items())
    assert "0 to do" in adaptbench("run", suite, "--out", "killed", "--wandb", "off", "--no-report").stdout


def test_a_failing_cell_does_not_stop_the_others(adaptbench, write_suite, tmp_path):
    suite = write_suite(learners=("deep_sets",))
    (tmp_path / "own.py").write_text(
        "from lit_modules.deep_sets import DeepSets\n"
        "class Raising(DeepSets):\n"
        "    def forward(self, *episode):\n"
        "        if episode[0].requires_grad: raise RuntimeError('no luck')\n"
        "        return super().forward(*episode)\n"
    )
    os.environ["PYTHONPATH"] = os.pathsep.join([str(tmp_path), os.getcwd()])
    try:
        result = adaptbench("run", suite, "--learner", "own.Raising", "--wandb", "off", "--jobs", "1")
    finally:
        del os.environ["PYTHONPATH"]
    assert result.returncode == 1, result.stderr
    assert "no luck" in result.stdout and "1 of 2 runs finished" in result.stdout


def test_missing_data_is_said_and_costs_nothing_else(adaptbench, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ADAPTBENCH_OMNIGLOT", str(tmp_path / "nowhere"))
    result = adaptbench("run", "quick", "--only", "seed=0", "--only", "task=omniglot", "--wandb", "off")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("cannot run") == 2 and "nowhere" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("run", "quikc"), "Did you mean `quick`?"),
        (("run", "smoke", "--only", "lerner=lstm"), "Did you mean `learner`?"),
        (("run", "smoke", "--jobs", "0"), "--jobs"),
    ],
)
def test_wrong_options_are_explained(adaptbench, arguments, complaint):
    result = adaptbench(*arguments)
    assert result.returncode == 2 and complaint in result.stderr and "Traceback" not in result.stderr
