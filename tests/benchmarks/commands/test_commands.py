"""What the command line refuses, lists and plans, without training anything."""

import io
import re
import shlex
from importlib import metadata

import pytest
from rich.console import Console
from typer.testing import CliRunner

from adaptbench.benchmarks.cli import app
from adaptbench.benchmarks.commands import run
from adaptbench.benchmarks.executors.schedule import Status
from adaptbench.benchmarks.suites.registry import GRADIENT_LEARNERS, LEARNERS, STRATEGIES, TASKS, suite_files
from adaptbench.benchmarks.tracking.wandb_runs import Target


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Calls the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_version_is_that_of_the_installed_package(call, monkeypatch):
    monkeypatch.setattr(metadata, "version", {"adaptbench": "1.2.3"}.__getitem__)
    assert call("--version").output == "1.2.3\n"


def test_a_checkout_that_is_not_installed_has_no_version(call, monkeypatch):
    def nothing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", nothing)
    assert (call("--version").exit_code, call("--version").output) == (0, "a checkout that is not installed\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("run", "quikc"), "Expected a suite or a YAML file but got `quikc`. Did you mean `quick`?"),
        (("run", "smoke", "--only", "lerner=lstm"), "Did you mean `learner`?"),
        (("run", "smoke", "--only", "lstm"), "Expected `--only` to be KEY=VALUE but got `lstm`."),
        (("run", "smoke", "--only", "learner=gru"), "No cell of suite `smoke` has learner=gru."),
        (("run", "smoke", "--jobs", "0"), "Expected `--jobs` to be `auto` or a positive integer but got `0`."),
        (("run", "smoke", "--jobs", "two"), "Expected `--jobs` to be `auto` or a positive integer but got `two`."),
        (("run", "smoke", "--device", "tpu"), "Expected `--device` to be `auto`, `cpu` or `cuda` but got `tpu`."),
        (("run", "smoke", "--wandb", "on"), "Expected `--wandb` to be `auto`, `online`, `offline` or `off` but got"),
        (("run", "smoke", "--learner", "lstmm"), "Expected a known learner but got `lstmm`. Did you mean `lstm`?"),
        (("run", "smoke", "--learner", "nowhere.Mine"), "`nowhere.Mine` cannot be imported"),
        (("run", "smoke", "--rates", "0.1"), "Expected `--rates` with a learner of your own"),
        (("run", "smoke", "--from", "best"), "Expected `--from best` to have runs of suite `smoke` but it has none."),
        (("report", "quick", "--laboratory"), "Expected a folder of runs for `--laboratory`"),
        (("report", "quick", "--laboratory", "--part", "table-omniglot"), "`--laboratory` without `--part`"),
        (("verify", ".", "--key", "id"), "Expected `--key` with a bundle"),
        (
            ("list", "lerners"),
            "`learners` or `runs` but got `lerners`. Did you mean `learners`?",
        ),
        (("list", "suites", "--only", "learner=lstm"), "Expected `--only` with `list runs`"),
        (("report", "quick", "--part", "fits-omniglot", "--out", "../parts"), "something to show in `fits-omniglot`"),
        (("submit", "quick", "--predictions"), "Expected folders of runs with `--predictions`"),
        (("data", "mnist"), "Expected `omniglot`"),
        (("report", "nowhere"), "nowhere"),
        (("verify", "nowhere"), "Expected a folder of runs or the file of a bundle but nowhere does not exist"),
        (("report", "nowhere.zip"), "but nowhere.zip is neither; bundles that ship"),
        (("show", "--run", "nowhere"), "to be the folder of a finished run but nowhere does not exist"),
        (("show", "omnoglot"), "Expected a known task but got `omnoglot`. Did you mean `omniglot`?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_options_are_explained_and_leave_nothing(call, tmp_path, arguments, complaint):
    result = call(*arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_learner_without_the_interface_is_refused_before_anything_trains(call, write_suite, own_learners, tmp_path):
    result = call("run", write_suite(), "--learner", "own.Other", "--wandb", "off")
    assert result.exit_code == 2
    assert "The learner `own.Other`" in result.stderr
    assert "forward(self, support_x [B, S, features], support_y [B, S, targets]" in result.stderr
    assert not (tmp_path / "runs").exists()


def test_a_learner_takes_no_other_ones_name(call, write_suite, own_learners):
    for added in (["--learner", "deep_sets"], ["--learner", "own.Sound", "--learner", "own.Sound"]):
        result = call("run", write_suite(), "--dry-run", *added)
        assert result.exit_code == 2
        assert (
            f"another name for the learner: suite `tiny` already has a `{added[-1].rpartition('.')[2]}`"
            in result.stderr
        )


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(call, write_suite, tmp_path):
    suite = write_suite(seeds=(0, 1, 2))
    result = call("run", suite, "--dry-run", "--only", "learner=fine_tuning", "--only", "seed=2", "--jobs", "3")
    assert result.exit_code == 0, result.stderr
    assert "1 cell, 2 runs: 0 finished, 2 to do, 3 at a time." in result.stdout
    assert list(tmp_path.iterdir()) == [suite]


def test_as_many_runs_at_a_time_as_cores(call, write_suite, monkeypatch):
    monkeypatch.setattr(run, "cores", lambda: 3)
    assert ", 3 at a time." in call("run", write_suite(), "--dry-run", "--device", "cpu").stdout


def test_commands_for_w_and_b_are_printed_as_they_are_typed(tmp_path):
    console = Console(file=io.StringIO(), width=40)
    out = tmp_path / "a [v2] of a folder with a long name"
    run._say_where_wandb(Target("tiny", "offline"), Status([], done=[(None, 1.0)]), out, console)
    (line,) = console.file.getvalue().splitlines()
    show, upload = (shlex.split(command) for command in line.split("`")[1::2])
    assert show == ["wandb", "leet", f"{out}/wandb"] and upload == ["wandb", "sync", f"{out}/wandb/offline-run-*"]


@pytest.mark.parametrize(
    ("what", "names"), [("suites", suite_files()), ("tasks", TASKS), ("learners", LEARNERS | STRATEGIES)]
)
def test_list_has_a_line_for_each(call, what, names):
    result = call("list", what)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert all(any(line.startswith(f"{name} ") for line in lines) for name in names)


def test_the_long_list_of_learners_groups_published_and_built_forms(call):
    result = call("list", "learners", "--verbose")
    assert result.exit_code == 0, result.stderr
    _, published, built = re.split(r"Published forms|Forms built here", result.stdout)
    for name, entry in (LEARNERS | GRADIENT_LEARNERS).items():
        for form in entry.forms:
            (line,) = (x for x in (published if form.source else built).splitlines() if x.startswith(f"{form.label}  "))
            assert re.search(rf" [\d,]+ +{name}\b", line)
    assert re.search(r"CNP +[\d,]+ +deep_sets binding: concat", published) and "eqs. 1-3" in published
