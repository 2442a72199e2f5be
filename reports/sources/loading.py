"""Finished runs of a source as two data frames, for Python users."""

import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from adaptbench.reports.plural import count_of
from adaptbench.reports.results.records import episode_records, run_records
from adaptbench.reports.results.runs import Problem, Run
from adaptbench.reports.sources.sources import opened, read_sources


class Results(NamedTuple):
    """The result of `load_results`.

    Attributes:
        runs: a row for each run, setting and metric.
        episodes: a row for each run and test episode.
    """

    runs: pd.DataFrame
    episodes: pd.DataFrame


def load_results(folder: str | Path, suite: str | None = None) -> Results:
    """Loads the finished runs of a suite.

    Runs that are unfinished, failed or unreadable have no rows; a warning says how many, and why one is unreadable.

    Columns of `runs`, a row for each run, setting (ways, shots) and metric:

    | column | unit | meaning |
    |---|---|---|
    | `suite`, `suite_version` | | The suite and the version of its definition. |
    | `run_id` | | Name of the run's folder. |
    | `task`, `protocol` | | The task, and what decides its difficulty besides the columns below. |
    | `part` | | Part of the task's classes or functions: "test"; "train" if they are not unseen. |
    | `on` | | "unseen", or what the test on training classes is about: "seen" or "held_out_drawings". |
    | `ways` | classes | Classes in an episode; absent in regression. |
    | `shots` | examples | Support examples of each class, or of the function. |
    | `queries` | examples | Query examples of each class, or of the function. |
    | `train_classes` | classes | Training classes or functions; absent if they are unlimited. |
    | `learner`, `label`, `family` | | What adapts: its name, its name in tables, and its family. |
    | `seed` | | Seed of weights and training episodes. |
    | `metric`, `higher_is_better` | | The metric and its direction. |
    | `value` | unit of the metric | Mean over episodes; an accuracy is a fraction, mse a squared target. |
    | `n_episodes` | episodes | Test episodes in the mean. |
    | `episodes_digest` | | Hash of the episodes: equal if runs met the same ones. |
    | `chance`, `at_chance` | unit of the metric | Value of a guess; whether the run is no better than it. |
    | `diverged` | episodes | Episodes in which the adapter diverged, which are scored as a guess. |
    | `carried` | numbers | What the run carries over from a support set to its queries; absent if it does not say. |
    | `selection` | | Which weights were kept: "last", or "best" on validation. |
    | `examples_encoded` | examples | Examples encoded in training. |
    | `parameters` | | Parameters of the network, or those that a strategy adapts. |
    | `train_seconds`, `train_cpu_seconds` | s | Time of training or pretraining; 0 if it uses neither. |
    | `predict_ms_per_episode` | ms | Mean time to adapt to an episode of this setting and predict its queries. |
    | `transductive` | | Whether a query's prediction may depend on other queries. |
    | `device`, `versions` | | "cpu" or the GPU's name; versions of Python, the C library and packages. |
    | `git_commit`, `git_dirty` | | Commit of the code, and whether it had changes that were not committed. |

    Columns of `episodes`, a row for each run and test episode on unseen classes: `run_id`, `task`, `protocol`,
    `learner`, `label`, `seed`, `train_classes`, `ways` and `shots` as above, and

    | column | unit | meaning |
    |---|---|---|
    | `episode` | | Number of the episode among those of its setting; equal for every run. |
    | `metric` | | The metric that the task compares: "accuracy" or "mse". |
    | `value` | unit of the metric | The score of the run on the episode. |

    Args:
        folder: the folder that `adaptbench run` wrote, a bundle, or a suite whose bundle ships with this package.
        suite: the suite; None for the only one.

    Raises:
        ReportError: if there is no such manifest, or several and no `suite`, or it cannot be read.
    """
    with opened([folder]) as sources:
        reading = read_sources(sources, suite)
        outcomes = reading.outcomes
        runs = [outcome for outcome in outcomes if isinstance(outcome, Run)]
        problems = [outcome for outcome in outcomes if isinstance(outcome, Problem)]
        if problems:
            begun = {run.cell.learner for run in runs}
            kinds = Counter(
                "of learners without a finished run"
                if begun and each.kind == "not finished" and each.cell.learner not in begun
                else each.kind
                for each in problems
            )
            counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
            reasons = "".join(
                f" {each.cell.run_id} is unreadable: {each.reason}" for each in problems if each.kind == "unreadable"
            )
            warnings.warn(
                f"No rows of {len(problems)} of {count_of(len(outcomes), 'run')}: {counts}.{reasons}", stacklevel=2
            )
        return Results(run_records(reading.suite, runs), episode_records(runs))
