"""The commands `run` and `compare` for Python."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from adaptbench.benchmarks.commands.compare import compare_learner
from adaptbench.benchmarks.commands.run import SUCCESS, run_suite
from adaptbench.benchmarks.commands.run_options import RunOptions
from adaptbench.benchmarks.suites.suite import load_suite
from adaptbench.reports.sources.loading import Results, load_results

Learner = str | type


class RunsFailed(RuntimeError):
    """Some runs were not finished; the message says where their logs are."""


def run(
    suite: str | Path = "quick",
    *,
    learners: Sequence[Learner] = (),
    only: Sequence[str] = (),
    seeds: int | None = None,
    out: str | Path = "runs",
    jobs: int | None = None,
    again: bool = False,
    wandb: str = "off",
    report: bool = False,
) -> Results:
    """Trains and tests what is not finished of a suite, as `adaptbench run` does, and loads its results.

    Args:
        suite: a built-in suite, or a YAML file.
        learners: learners of your own to add: classes, or their dotted paths.
        only: KEY=VALUE pairs that select cells, such as "learner=prototypes".
        seeds: number of seeds, from 0; None for those of the suite.
        out: folder of the runs.
        jobs: runs at a time, each in a process of its own; None for one per core.
        again: whether finished runs are computed again.
        wandb: mode of W&B: "auto", "online", "offline" or "off".
        report: whether to write tables, figures and page, into the folder `report-SUITE` of `out`.

    Raises:
        ValueError: if the suite or an option is wrong; then nothing is run.
        RunsFailed: if runs failed or were stopped; those that finished are kept.
    """
    options = RunOptions(
        learners=[_path_of(each) for each in learners], only=only, seeds=seeds, out=Path(out),
        jobs="auto" if jobs is None else str(jobs), again=again, wandb=wandb, report=report,
    )  # fmt: skip
    _require(run_suite(str(suite), options, Console()), out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the suite's cells that `only` leaves out
        return load_results(out, load_suite(str(suite)).suite)


def compare(
    learner: Learner,
    *,
    suite: str | Path = "quick",
    only: Sequence[str] = (),
    seeds: int | None = None,
    out: str | Path = "runs",
    jobs: int | None = None,
) -> Path:
    """Trains your learner alone, and ranks it among the learners of a bundle, as `adaptbench compare` does.

    Args:
        learner: your learner: a class, or its dotted path.
        suite: a suite whose bundle ships, or the file of a bundle.
        only: KEY=VALUE pairs that select cells, such as "task=sinusoid".
        seeds: number of seeds, from 0; None for those of the suite.
        out: folder of the runs.
        jobs: runs at a time; None for one per core.

    Returns:
        The folder of the report; its tables are there as Markdown, CSV and LaTeX.

    Raises:
        ValueError: if the bundle or an option is wrong; then nothing is run.
        RunsFailed: if runs failed or were stopped; those that finished are kept.
    """
    name = _path_of(learner)
    options = RunOptions(
        learners=[name], only=only, seeds=seeds, out=Path(out), jobs="auto" if jobs is None else str(jobs), wandb="off"
    )
    _require(compare_learner(str(suite), options, None, Console()), out)
    return Path(out) / f"compare-{name.rpartition('.')[2]}"


def _path_of(learner: Learner) -> str:
    """The dotted path by which other processes import a class."""
    if isinstance(learner, str):
        return learner
    if learner.__module__ == "__main__":
        raise ValueError(
            f"Expected {learner.__name__} to lie in a file that other processes can import, but it was defined in the "
            "program or notebook itself; in a notebook, `%%writefile my_module.py` makes one of a cell."
        )
    return f"{learner.__module__}.{learner.__qualname__}"


def _require(code: int, out: str | Path) -> None:
    if code != SUCCESS:
        raise RunsFailed(f"Some runs were not finished; {out} has the log of each. The same call tries them again.")
