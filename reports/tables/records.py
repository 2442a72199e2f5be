"""Finished runs and comparisons as tidy tables."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.results.manifest import Suite
from adaptbench.reports.results.runs import Run, Score
from adaptbench.reports.words.numbers import note

RECORD_COLUMNS = (
    "suite", "suite_version", "run_id", "task", "protocol", "split", "ways", "shots", "queries", "train_classes",
    "learner", "label", "family", "seed", "metric", "higher_is_better", "value", "n_episodes", "episodes_digest",
    "chance", "at_chance", "selection", "examples_encoded", "parameters", "train_seconds", "train_cpu_seconds",
    "predict_ms_per_episode", "transductive", "device", "git_commit", "git_dirty", "versions",
)  # fmt: skip

ENTRY_COLUMNS = (
    "task", "protocol", "learner", "label", "train_classes", "ways", "shots", "metric", "higher_is_better", "status",
    "mean", "half_width", "lower", "upper", "interval", "episodes_half_width", "seeds", "planned_seeds", "episodes",
    "chance", "at_chance", "rank", "best", "note",
)  # fmt: skip

# Absent ways (regression) and unlimited classes are empty fields, not floats.
_NULLABLE = ("ways", "shots", "queries", "train_classes", "seeds", "planned_seeds", "episodes")


def long_records(suite: Suite, runs: Sequence[Run]) -> pd.DataFrame:
    """One row for each run, setting and metric, in the order of the manifest."""
    return _table((_record(suite, run, score) for run in runs for score in run.scores), RECORD_COLUMNS)


def entry_records(comparison: Comparison) -> pd.DataFrame:
    """One row for each entry of a comparison; scores in their stored unit (accuracy as a fraction)."""
    return _table((_entry_record(comparison, entry) for entry in comparison.all_entries()), ENTRY_COLUMNS)


def to_csv(table: pd.DataFrame) -> str:
    """The table as CSV: absent values are empty fields, numbers are written so that they read back unchanged."""
    return table.to_csv(index=False, lineterminator="\n")


def versions(environment: Mapping[str, object]) -> str:
    """Package versions in one string, sorted by name."""
    found = environment.get("versions")
    if not isinstance(found, Mapping):
        return ""
    return "; ".join(f"{name} {found[name]}" for name in sorted(found))


def _table(rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> pd.DataFrame:
    table = pd.DataFrame(list(rows), columns=list(columns))
    return table.astype({name: "Int64" for name in _NULLABLE if name in columns})


def _record(suite: Suite, run: Run, score: Score) -> dict[str, object]:
    cell, environment = run.cell, run.environment
    recorded = ("train_seconds", "train_cpu_seconds", "predict_ms_per_episode", "device", "git_commit", "git_dirty")
    return {
        "suite": suite.name,
        "suite_version": suite.version,
        "run_id": cell.run_id,
        "task": cell.task,
        "protocol": cell.protocol,
        "split": score.split,
        "ways": score.setting.ways,
        "shots": score.setting.shots,
        "queries": score.queries,
        "train_classes": cell.train_classes,
        "learner": cell.learner,
        "label": cell.label,
        "family": cell.family,
        "seed": cell.seed,
        "metric": score.metric,
        "higher_is_better": score.higher_is_better,
        "value": score.value,
        "n_episodes": score.n_episodes,
        "episodes_digest": score.episodes_digest,
        "chance": score.chance,
        "at_chance": score.at_chance,
        "selection": run.selection,
        "examples_encoded": run.examples_encoded,
        "parameters": run.parameters,
        "transductive": run.transductive,
        "versions": versions(environment),
        **{name: environment.get(name) for name in recorded},
    }


def _entry_record(comparison: Comparison, entry: Entry) -> dict[str, object]:
    found = entry.interval
    return {
        "task": comparison.task,
        "protocol": comparison.protocol,
        "learner": entry.learner,
        "label": entry.label,
        "train_classes": entry.setting.train_classes,
        "ways": entry.setting.ways,
        "shots": entry.setting.shots,
        "metric": comparison.metric,
        "higher_is_better": comparison.higher_is_better,
        "status": entry.status,
        "mean": found and found.mean,
        "half_width": found and found.half_width,
        "lower": found and found.lower,
        "upper": found and found.upper,
        "interval": found and found.kind,
        "episodes_half_width": found and found.episodes_half_width,
        "seeds": found.n_seeds if found else 0,
        "planned_seeds": len(entry.planned_seeds),
        "episodes": found and found.n_episodes,
        "chance": entry.chance,
        "at_chance": entry.at_chance,
        "rank": entry.rank,
        "best": entry.best,
        "note": note(entry),
    }
