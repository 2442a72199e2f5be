"""Published numbers beside ours: same task, split, ways, shots, metric and family, and what the difference is.

The published numbers are in `data/published.csv`; `data/published_splits.csv` says which of our protocols stands for
which published splits, and how many training classes ours then has (100 fewer than published work where that has no
validation classes). A number on another split is never set beside ours.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple

from adaptbench.reports.comparison.comparison import Comparison, Entry

# What published.csv calls our families; our others have no published counterpart.
FAMILIES: Mapping[str, str] = {
    "recurrent": "rnn", "sets": "deepsets", "attention": "attention", "transfer": "transfer", "metric": "metric",
    "optimization": "optimization",
}  # fmt: skip

Induction = Literal["transductive", "inductive", "not stated"]


@dataclass(frozen=True)
class Published:
    """A published number.

    Args:
        method: What it is called where it is published.
        value: In our unit: accuracy as a fraction.
        error: The half width that is printed beside it, as printed; may be empty.
        kind: "original", or "reproduction" by others.
        induction: Whether queries were predicted together, as far as it is stated.
        note: What else has to be known about it.
        citation: Where it is published.
    """

    method: str
    value: float
    error: str
    kind: str
    induction: Induction
    note: str
    citation: str


@dataclass(frozen=True)
class LedgerRow:
    """One of our entries and one published number, or why there is none.

    Args:
        comparison: Where our entry stands.
        entry: Our entry.
        family: The family of its learner.
        split: The published split that our protocol stands for; empty where there is none.
        published: A number on the same split with a learner of the same family; None if there is none.
        reason: Why there is none, or empty.
    """

    comparison: Comparison
    entry: Entry
    family: str
    split: str
    published: Published | None
    reason: str = ""

    @property
    def difference(self) -> float | None:
        """Ours less the published one, in the stored unit."""
        if self.published is None or self.entry.interval is None:
            return None
        return self.entry.interval.mean - self.published.value


def ledger(comparisons: Sequence[Comparison], families: Mapping[str, str]) -> tuple[LedgerRow, ...]:
    """Every entry with a result, beside each published number that may be set beside it.

    Args:
        comparisons: Ours.
        families: The family of each of our learners.
    """
    return tuple(
        row
        for comparison in comparisons
        for entry in comparison.all_entries()
        if entry.interval is not None
        for row in _rows(comparison, entry, families[entry.learner])
    )


def _rows(comparison: Comparison, entry: Entry, family: str) -> list[LedgerRow]:
    counterparts = _splits().get((comparison.task, comparison.protocol), [])
    if not counterparts:
        reason = "no published number is known for this split"
        return [LedgerRow(comparison, entry, family, "", None, reason)]
    first = counterparts[0]
    if entry.setting.train_classes != first.train_classes:
        size = "unlimited" if first.train_classes is None else first.train_classes
        reason = f"the published split has {size} training classes"
        return [LedgerRow(comparison, entry, family, first.split, None, reason)]
    place = (FAMILIES.get(family, ""), entry.setting.ways, entry.setting.shots, comparison.metric)
    found = [
        LedgerRow(comparison, entry, family, each.split, published)
        for each in counterparts
        for published in _published().get((each.task, each.split, *place), [])
    ]
    reason = "no published number of this family at these ways and shots on this split"
    return found or [LedgerRow(comparison, entry, family, first.split, None, reason)]


class _Counterpart(NamedTuple):
    """A published task and split, and how many training classes ours has to have to stand beside it."""

    task: str
    split: str
    train_classes: int | None


@cache
def _splits() -> dict[tuple[str, str], list[_Counterpart]]:
    """What stands beside each of our tasks and protocols, in the order of the file."""
    found: dict[tuple[str, str], list[_Counterpart]] = {}
    for row in _read("published_splits.csv"):
        classes = int(row["train_classes"]) if row["train_classes"] else None
        counterpart = _Counterpart(row["published_task"], row["split"], classes)
        found.setdefault((row["task"], row["protocol"]), []).append(counterpart)
    return found


@cache
def _published() -> dict[tuple[str, str, str, int | None, int, str], list[Published]]:
    """Published numbers by task, split, family, ways, shots and metric, in the order of the file."""
    found: dict[tuple[str, str, str, int | None, int, str], list[Published]] = {}
    for row in _read("published.csv"):
        metric, value = _in_our_unit(row["metric"], float(row["value"]))
        shots = int("".join(re.findall(r"\d", row["shots"])))  # "instance-10th" is the tenth presentation
        ways = int(row["ways"]) if row["ways"] else None
        published = Published(
            row["method"], value, row["ci"], row["kind"], _induction(f"{row['method']} {row['protocol_note']}"),
            row["protocol_note"], row["citation"],
        )  # fmt: skip
        found.setdefault((row["task"], row["split"], row["family"], ways, shots, metric), []).append(published)
    return found


def _in_our_unit(metric: str, value: float) -> tuple[str, float]:
    if metric == "accuracy_pct":
        return "accuracy", value / 100
    if metric == "error_pct":
        return "accuracy", 1 - value / 100
    return metric, value


def _induction(text: str) -> Induction:
    """Reads from a method's name and notes whether it is transductive."""
    if re.search(r"non-transductive|inductive BN", text.partition(")")[0]):
        return "inductive"
    return "transductive" if "transductive" in text else "not stated"


def _read(name: str) -> list[dict[str, str]]:
    text = files("adaptbench.reports").joinpath("data", name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
