"""Published numbers beside ours: same task, split, ways, shots, metric and family, with the difference.

`data/published.csv` holds the published numbers. `data/published_splits.csv` maps our protocols to published splits and
gives the number of training classes that ours must have. That number is 100 below the published one if the published
split has no validation classes. Numbers on different splits are never compared.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple

from adaptbench.reports.comparison.comparison import Comparison, Entry

FAMILIES: Mapping[str, str] = {
    "recurrent": "rnn", "sets": "deepsets", "attention": "attention", "transfer": "transfer", "metric": "metric",
    "optimization": "optimization",
}  # fmt: skip
"""Our families by their names in published.csv; no numbers are published for the others."""

Induction = Literal["transductive", "inductive", "not stated"]


@dataclass(frozen=True)
class Published:
    """A published number.

    Args:
        method: The name of the method in the publication.
        value: The value in our stored unit: accuracy as a fraction.
        error: The half width as printed; may be empty.
        kind: "original", or "reproduction" by others.
        induction: Whether queries were predicted together, if the source states it.
        note: Remarks on the protocol.
        citation: The publication.
    """

    method: str
    value: float
    error: str
    kind: str
    induction: Induction
    note: str
    citation: str


@dataclass(frozen=True)
class PublishedRow:
    """One of our entries beside one published number, or the reason why there is none.

    Args:
        comparison: The comparison that holds our entry.
        entry: Our entry.
        family: The family of its learner.
        split: The published split that our protocol matches; empty if there is none.
        published: A number on the same split by a learner of the same family; None if there is none.
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
        """Our mean minus the published value, in the stored unit."""
        if self.published is None or self.entry.interval is None:
            return None
        return self.entry.interval.mean - self.published.value


def published_rows(comparisons: Sequence[Comparison], families: Mapping[str, str]) -> tuple[PublishedRow, ...]:
    """Every entry with a result, once for each published number that is comparable.

    Args:
        comparisons: Our comparisons.
        families: The family of each of our learners.
    """
    return tuple(
        row
        for comparison in comparisons
        for entry in comparison.all_entries()
        if entry.interval is not None
        for row in _rows(comparison, entry, families[entry.learner])
    )


def _rows(comparison: Comparison, entry: Entry, family: str) -> list[PublishedRow]:
    counterparts = _splits().get((comparison.task, comparison.protocol), [])
    if not counterparts:
        reason = "no published number is known for this split"
        return [PublishedRow(comparison, entry, family, "", None, reason)]
    first = counterparts[0]
    wanted = replace(entry.setting, train_classes=first.train_classes)
    if entry.setting != wanted:
        reason = f"the published split has {wanted.size} training classes"
        return [PublishedRow(comparison, entry, family, first.split, None, reason)]
    place = (FAMILIES.get(family, ""), entry.setting.ways, entry.setting.shots, comparison.metric.name)
    found = [
        PublishedRow(comparison, entry, family, each.split, published)
        for each in counterparts
        for published in _published().get((each.task, each.split, *place), [])
    ]
    reason = "no published number of this family at these ways and shots on this split"
    return found or [PublishedRow(comparison, entry, family, first.split, None, reason)]


class _Counterpart(NamedTuple):
    """A published task and split, and the number of training classes that our entry must have."""

    task: str
    split: str
    train_classes: int | None


@cache
def _splits() -> dict[tuple[str, str], list[_Counterpart]]:
    """The counterparts of each of our tasks and protocols, in the order of the file."""
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
    """Reads from a method's name and notes whether it predicts queries together."""
    if re.search(r"non-transductive|inductive BN", text.partition(")")[0]):
        return "inductive"
    return "transductive" if "transductive" in text else "not stated"


def _read(name: str) -> list[dict[str, str]]:
    text = files("adaptbench.reports").joinpath("data", name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
