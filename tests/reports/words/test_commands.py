"""The commands that reproduce a number: the right code, and exactly the right cells."""

import json
import shlex
from itertools import pairwise

import pytest

from adaptbench.benchmarks.executors.plan import Plan, select_cells
from adaptbench.benchmarks.store.store import Store
from adaptbench.benchmarks.suites.registry import suite_files
from adaptbench.benchmarks.suites.suite import load_suite
from adaptbench.reports.comparison.comparison import compare
from adaptbench.reports.results.manifest import read_suite
from adaptbench.reports.results.runs import Run, read_outcomes
from adaptbench.reports.selection import parse_only
from adaptbench.reports.words.commands import entry_commands, run_commands, suite_commands


def read(folder):
    suite = read_suite(folder)
    outcomes = read_outcomes(folder, suite)
    return suite, [outcome for outcome in outcomes if isinstance(outcome, Run)], compare(outcomes)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (None, "adaptbench run quick"),
        (["my suite.yaml", "--learner", "a.B"], "adaptbench run 'my suite.yaml' --learner a.B"),
    ],
)
def test_commands_are_those_that_were_typed(quick, command, expected):
    path = quick.path / "suites" / "quick.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | ({"command": command} if command else {})))
    suite, runs, (sinusoid, _) = read(quick.path)
    assert suite_commands(suite, runs).splitlines()[1] == f"{expected} --out runs"
    text = entry_commands(suite, sinusoid, sinusoid.entries[0][0])
    assert text.splitlines()[0] == "git checkout 0123456789abcdef0123456789abcdef01234567"
    assert text.endswith(
        "--only task=sinusoid --only protocol=noise-free --only learner=lstm --only train_classes=none "
        "--only ways=none --out again"
    )


@pytest.mark.parametrize("newest", ["a" * 40, "f" * 40])
def test_the_newest_commit_is_checked_out(quick, newest):
    """The runs' times say which commit is newest, and the letters of its name do not."""
    for cell in quick.cells:
        path = quick.path / cell["run_id"] / "environment.json"
        commit, time = (newest, "2026-03-01T00:00:00Z") if cell["seed"] else ("c" * 40, "2026-02-28T23:59:59Z")
        environment = json.loads(path.read_text())
        environment["machine"]["git_commit"] = commit
        environment["times"]["finished"] = time
        path.write_text(json.dumps(environment))
    suite, runs, (sinusoid, _) = read(quick.path)
    for text in (entry_commands(suite, sinusoid, sinusoid.entries[0][0]), suite_commands(suite, runs)):
        assert text.splitlines()[0] == f"git checkout {newest}"
        assert text.count("git checkout") == 1
    for run in runs:
        assert run_commands(suite, run).startswith(f"git checkout {newest if run.cell.seed else 'c' * 40}\n")


@pytest.mark.parametrize("name", sorted(suite_files()))
def test_the_command_of_an_entry_selects_exactly_its_cells(name, tmp_path):
    """In every suite that ships; the command is read as a shell and `adaptbench run` read it."""
    wanted = load_suite(name)
    Store(tmp_path).write_manifest(Plan(wanted, wanted.cells(), {}).manifest([name]))
    suite, _, comparisons = read(tmp_path)
    for comparison in comparisons:
        for entry in (entry for entry in comparison.all_entries() if entry.planned_seeds):
            words = shlex.split(entry_commands(suite, comparison, entry).splitlines()[-1])
            only = parse_only(value for option, value in pairwise(words) if option == "--only")
            place = (comparison.group, entry.learner)
            expected = {
                cell.run_id
                for cell in suite.cells
                if (cell.group, cell.learner) == place and entry.setting in cell.settings
            }
            assert {cell.attributes.run_id for cell in select_cells(wanted, only)} == expected
