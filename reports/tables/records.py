"""Finished runs as a tidy table, and tables as CSV."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from adaptbench.reports.results.manifest import Suite
from adaptbench.reports.results.runs import Run, Score
from adaptbench.reports.tables.table import Column, frame_of


class _Record(NamedTuple):
    """The source of a row."""

    suite: Suite
    run: Run
    score: Score


def long_records(suite: Suite, runs: Sequence[Run]) -> pd.DataFrame:
    """One row for each run, setting and metric, in the order of the manifest."""
    return frame_of(RECORD_COLUMNS, (_Record(suite, run, score) for run in runs for score in run.scores))


def to_csv(frame: pd.DataFrame) -> str:
    """The frame as CSV: absent values are empty fields, and numbers read back unchanged."""
    return frame.to_csv(index=False, lineterminator="\n")


def versions(environment: Mapping[str, object]) -> str:
    """Package versions in one string, sorted by name."""
    found = environment.get("versions")
    if not isinstance(found, Mapping):
        return ""
    return "; ".join(f"{name} {found[name]}" for name in sorted(found))


RECORD_COLUMNS: tuple[Column[_Record], ...] = (
    Column("suite", lambda row: row.suite.name),
    Column("suite_version", lambda row: row.suite.version),
    Column("run_id", lambda row: row.run.cell.run_id),
    Column("task", lambda row: row.run.cell.task),
    Column("protocol", lambda row: row.run.cell.protocol),
    Column("split", lambda row: row.score.split),
    Column("ways", lambda row: row.score.setting.ways),
    Column("shots", lambda row: row.score.setting.shots),
    Column("queries", lambda row: row.score.queries),
    Column("train_classes", lambda row: row.run.cell.train_classes),
    Column("learner", lambda row: row.run.cell.learner),
    Column("label", lambda row: row.run.cell.label),
    Column("family", lambda row: row.run.cell.family),
    Column("seed", lambda row: row.run.cell.seed),
    Column("metric", lambda row: row.score.metric),
    Column("higher_is_better", lambda row: row.score.higher_is_better),
    Column("value", lambda row: row.score.value),
    Column("n_episodes", lambda row: row.score.n_episodes),
    Column("episodes_digest", lambda row: row.score.episodes_digest),
    Column("chance", lambda row: row.score.chance),
    Column("at_chance", lambda row: row.score.at_chance),
    Column("selection", lambda row: row.run.selection),
    Column("examples_encoded", lambda row: row.run.examples_encoded),
    Column("parameters", lambda row: row.run.parameters),
    Column("train_seconds", lambda row: row.run.environment.get("train_seconds")),
    Column("train_cpu_seconds", lambda row: row.run.environment.get("train_cpu_seconds")),
    Column("predict_ms_per_episode", lambda row: row.run.environment.get("predict_ms_per_episode")),
    Column("transductive", lambda row: row.run.transductive),
    Column("device", lambda row: row.run.environment.get("device")),
    Column("git_commit", lambda row: row.run.environment.get("git_commit")),
    Column("git_dirty", lambda row: row.run.environment.get("git_dirty")),
    Column("versions", lambda row: versions(row.run.environment)),
)
