"""Finished runs as data frames."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from adaptbench.reports.format import Machine, Score
from adaptbench.reports.results.manifest import Suite
from adaptbench.reports.results.runs import Run

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
                "task": run.cell.called,
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
        "task": cell.called,
        "on": score.on,
        "suite": suite.name,
        "suite_version": suite.version,
        "train_seconds": run.train_seconds,
        "train_cpu_seconds": run.train_cpu_seconds,
        "predict_ms_per_episode": time.get((score.ways, score.shots)),
        "device": machine and machine.device,
        "git_commit": machine and machine.git_commit,
        "git_dirty": machine and machine.git_dirty,
        "versions": versions(machine) if machine else "",
    }
