"""Finished runs as data frames."""

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from adaptbench.reports.format import Machine, Score
from adaptbench.reports.results.manifest import Suite, read_suite
from adaptbench.reports.results.runs import Problem, Run, read_outcomes

RUN_COLUMNS = (
    "suite", "suite_version", "run_id", "task", "protocol", "part", "on", "ways", "shots", "queries", "train_classes",
    "learner", "label", "family", "seed", "metric", "higher_is_better", "value", "n_episodes", "episodes_digest",
    "chance", "at_chance", "diverged", "carried", "selection", "examples_encoded", "parameters", "train_seconds",
    "train_cpu_seconds", "predict_ms_per_episode", "transductive", "device", "git_commit", "git_dirty", "versions",
)  # fmt: skip
EPISODE_COLUMNS = (
    "run_id", "task", "protocol", "learner", "label", "seed", "train_classes", "ways", "shots", "episode", "metric",
    "value",
)  # fmt: skip
NULLABLE = ("ways", "shots", "queries", "train_classes", "carried")
"""Columns of integers that may be absent: ways in regression, training classes if they are unlimited, and so on."""


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
    | `train_seconds`, `train_cpu_seconds` | s | Time of training (for a strategy: of its pretraining), and CPU time. |
    | `predict_ms_per_episode` | ms | Mean time to adapt to an episode of this setting and predict its queries. |
    | `transductive` | | Whether a query's prediction may depend on other queries. |
    | `device`, `versions` | | "cpu" or the GPU's name; versions of Python and of packages. |
    | `git_commit`, `git_dirty` | | Commit of the code, and whether it had changes that were not committed. |

    Columns of `episodes`, a row for each run and test episode on unseen classes: `run_id`, `task`, `protocol`,
    `learner`, `label`, `seed`, `train_classes`, `ways` and `shots` as above, and

    | column | unit | meaning |
    |---|---|---|
    | `episode` | | Number of the episode among those of its setting; equal for every run. |
    | `metric` | | The metric that the task compares: "accuracy" or "mse". |
    | `value` | unit of the metric | The score of the run on the episode. |

    Args:
        folder: the folder that `adaptbench run` wrote.
        suite: the suite; None for the only one.

    Raises:
        ReportError: if there is no such manifest, or several and no `suite`, or it cannot be read.
    """
    wanted = read_suite(Path(folder), suite)
    outcomes = read_outcomes(Path(folder), wanted)
    runs = [outcome for outcome in outcomes if isinstance(outcome, Run)]
    problems = [outcome for outcome in outcomes if isinstance(outcome, Problem)]
    if problems:
        kinds = Counter(problem.kind for problem in problems)
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        reasons = "".join(
            f" {each.cell.run_id} is unreadable: {each.reason}" for each in problems if each.kind == "unreadable"
        )
        warnings.warn(f"{len(problems)} of {len(outcomes)} runs have no rows: {counts}.{reasons}", stacklevel=2)
    return Results(run_records(wanted, runs), episode_records(runs))


def run_records(suite: Suite, runs: Sequence[Run]) -> pd.DataFrame:
    """Returns a row for each run, setting and metric, in the order of the manifest, as `load_results` describes."""
    rows = [_record(suite, run, score) for run in runs for score in run.result.scores]
    return pd.DataFrame(rows, columns=list(RUN_COLUMNS)).astype(dict.fromkeys(NULLABLE, "Int64"))


def episode_records(runs: Sequence[Run]) -> pd.DataFrame:
    """Returns a row for each run and test episode, in the order of the manifest, as `load_results` describes."""
    frames = [
        pd.DataFrame(
            {
                **{name: getattr(run.cell, name) for name in EPISODE_COLUMNS[:6]},
                "train_classes": pd.array([run.cell.train_classes] * len(scores), dtype="Int64"),
                "ways": pd.array([setting.ways] * len(scores), dtype="Int64"),
                "shots": pd.array([setting.shots] * len(scores), dtype="Int64"),
                "episode": np.arange(len(scores)),
                "metric": run.cell.metric,
                "value": scores,
            }
        )
        for run in runs
        for setting, scores in run.episode_scores.items()
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(EPISODE_COLUMNS))


def versions(machine: Machine) -> str:
    """Package versions in one string, sorted by name."""
    return "; ".join(f"{name} {machine.versions[name]}" for name in sorted(machine.versions))


def _record(suite: Suite, run: Run, score: Score) -> dict[str, object]:
    cell, result, machine, times = run.cell, run.result, run.machine, run.times
    time = {(each.ways, each.shots): each.ms_per_episode for each in (times.predict if times else ())}
    return {
        **score.model_dump(exclude={"trials", "low", "high"}),
        **{name: getattr(cell, name) for name in ("run_id", "task", "protocol", "train_classes", "learner")},
        **{name: getattr(cell, name) for name in ("label", "family", "seed")},
        **{name: getattr(result, name) for name in ("selection", "examples_encoded", "parameters", "transductive")},
        "on": score.on,
        "suite": suite.name,
        "suite_version": suite.version,
        "train_seconds": times and times.train_seconds,
        "train_cpu_seconds": times and times.train_cpu_seconds,
        "predict_ms_per_episode": time.get((score.ways, score.shots)),
        "device": machine and machine.device,
        "git_commit": machine and machine.git_commit,
        "git_dirty": machine and machine.git_dirty,
        "versions": versions(machine) if machine else "",
    }
