"""Comparisons as tidy tables."""

import pandas as pd

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.words.numbers import note

ENTRY_COLUMNS = (
    "task", "protocol", "learner", "label", "train_classes", "ways", "shots", "metric", "higher_is_better", "status",
    "mean", "half_width", "lower", "upper", "interval", "episodes_half_width", "seeds", "planned_seeds", "episodes",
    "chance", "at_chance", "rank", "best", "note",
)  # fmt: skip

# Absent ways (regression) and unlimited classes are empty fields, not floats.
_NULLABLE = ("ways", "shots", "train_classes", "seeds", "planned_seeds", "episodes")


def entry_records(comparison: Comparison) -> pd.DataFrame:
    """One row for each entry of a comparison; scores in their stored unit (accuracy as a fraction)."""
    rows = [_entry_record(comparison, entry) for entry in comparison.all_entries()]
    return pd.DataFrame(rows, columns=list(ENTRY_COLUMNS)).astype(dict.fromkeys(_NULLABLE, "Int64"))


def to_csv(table: pd.DataFrame) -> str:
    """The table as CSV: absent values are empty fields, numbers are written so that they read back unchanged."""
    return table.to_csv(index=False, lineterminator="\n")


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
