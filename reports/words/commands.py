"""The exact commands that make a number again."""

import shlex
from collections.abc import Sequence

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.results.manifest import Suite
from adaptbench.reports.results.runs import Run


def suite_command(suite: Suite) -> str:
    """The command that made the suite's runs, without options that change no number."""
    return shlex.join(["adaptbench", "run", *(suite.command or (suite.name,))])


def run_command(suite: Suite, run: Run) -> str:
    """The commands that make one run again."""
    return "\n".join([*_checkout([run]), f"{suite_command(suite)} --only run_id={run.cell.run_id} --out again"])


def entry_command(suite: Suite, comparison: Comparison, entry: Entry) -> str:
    """The commands that make the runs of an entry again, and the table that it stands in."""
    size = "none" if entry.setting.train_classes is None else str(entry.setting.train_classes)
    only = {"task": comparison.task, "learner": entry.learner, "train_classes": size}
    options = " ".join(f"--only {shlex.quote(f'{name}={value}')}" for name, value in only.items())
    return "\n".join([*_checkout(entry.runs), f"{suite_command(suite)} {options} --out again"])


def _checkout(runs: Sequence[Run]) -> list[str]:
    """Gets the code that made the runs; where they were made by several commits, by the last of them."""
    commits = sorted({run.machine.git_commit for run in runs if run.machine and run.machine.git_commit})
    return [f"git checkout {shlex.quote(commits[-1])}"] if commits else []
