"""The commands that reproduce a number."""

import shlex
from collections.abc import Sequence

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.results.manifest import Suite
from adaptbench.reports.results.runs import Run


def suite_commands(suite: Suite, runs: Sequence[Run], sources: Sequence[str] = (), parts: Sequence[str] = ()) -> str:
    """The commands that reproduce the runs of a suite and their report.

    Args:
        suite: The suite.
        runs: Its finished runs.
        sources: The names of the report's sources; with several, the report is made from them again.
        parts: Options that choose the runs of the suite, one command for each; all if empty.
    """
    if len(sources) > 1:
        made = dict.fromkeys(_run_suite(suite, run) for run in runs if run.source and not run.source.bundled)
        return "\n".join([*made, shlex.join(["adaptbench", "report", *sources, "--out", "report"])])
    commands = [" ".join(filter(None, [_run_suite(suite), part, "--out runs"])) for part in parts or [""]]
    return "\n".join([*_checkout(runs), *commands, "adaptbench report runs --out report"])


def run_commands(suite: Suite, run: Run) -> str:
    """The commands that reproduce one run."""
    return "\n".join([*_checkout([run]), f"{_run_suite(suite, run)} --only run_id={run.cell.run_id} --out again"])


def entry_commands(suite: Suite, comparison: Comparison, entry: Entry) -> str:
    """The commands that reproduce the runs of an entry, and no others."""
    setting = entry.setting
    only = {
        "task": comparison.called,
        "protocol": comparison.protocol,
        "learner": entry.runs[0].cell.learner.removesuffix(f" ({entry.runs[0].source.name})")
        if entry.runs and entry.runs[0].source
        else entry.learner,
        "train_classes": "none" if setting.train_classes is None else str(setting.train_classes),
        "ways": "none" if setting.ways is None else str(setting.ways),
    }
    if setting.examples is not None:
        only["examples"] = str(setting.examples)
    options = " ".join(f"--only {shlex.quote(f'{name}={value}')}" for name, value in only.items())
    made = dict.fromkeys(_run_suite(suite, run) for run in entry.runs) or [_run_suite(suite)]
    return "\n".join([*_checkout(entry.runs), *(f"{each} {options} --out again" for each in made)])


def _run_suite(suite: Suite, run: Run | None = None) -> str:
    """The command that made a run, or the runs of a suite, without options that change no number."""
    command = run.source.command if run and run.source else suite.command
    return shlex.join(["adaptbench", "run", *(command or (suite.name,))])


def _checkout(runs: Sequence[Run]) -> list[str]:
    """Checks out the commit of the runs; the commit of the last run to finish if there are several."""
    made = [(run.times.finished, run.machine.git_commit) for run in runs if run.times and run.machine]
    commit = max(((finished, commit) for finished, commit in made if commit), default=(None, None))[1]
    return [f"git checkout {shlex.quote(commit)}"] if commit else []
