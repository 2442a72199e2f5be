"""Published numbers beside ours: like with like, and the difference only where nothing that is known differs.

`data/published.csv` holds the published numbers, also those of tasks that we do not have. `data/published_splits.csv`
maps our protocols to published splits and gives the number of training classes that ours must have. That number is 100
below the published one if the published split has no validation classes. Numbers on different splits, or on tests with
and without rotated characters, never stand side by side. Misquoted numbers stand beside none of ours.

A suite may name a file of its own (`SuiteNumber`).
"""

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple, cast

from pydantic import ValidationError

from adaptbench.reports.comparison.comparability import induction
from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.errors import ReportError
from adaptbench.reports.format import Finite, Name, Positive, Record, Text
from adaptbench.reports.plural import count_of
from adaptbench.reports.reading import sentence_of
from adaptbench.reports.results.runs import Run
from adaptbench.reports.selection import suggest

FAMILIES: Mapping[str, str] = {
    "recurrent": "rnn", "sets": "deepsets", "attention": "attention", "transfer": "transfer", "metric": "metric",
    "optimization": "optimization",
}  # fmt: skip
"""Our families by their names in published.csv; no numbers are published for the others."""
ENCODERS: Mapping[str, str] = {"mlp": "mlp", "conv4": "conv", "strided": "conv"}
"""Our encoders by their names in published.csv."""

Kind = Literal["original", "reproduction", "superseded", "misquoted"]
Induction = Literal["inductive", "transductive", "not stated"]
Rotations = Literal["none", "train", "all", ""]
Match = Literal["method", "family", "other"]


@dataclass(frozen=True)
class Published:
    """A published number.

    Args:
        method: The name of the method in the publication.
        learner: Our name of the same method; empty if we do not have it.
        family: The family of the method, as published.csv names it.
        value: The value in our stored unit: accuracy as a fraction.
        error: The half width as printed; may be empty.
        doubt: Why the number is doubtful, or empty.
        kind: "original"; "reproduction" by others; "superseded" by a later version; "misquoted" by later papers.
        induction: Whether queries were predicted together, if the source states it.
        rotations: The parts in which rotated characters are classes; empty if the task has none.
        encoder: "conv", "mlp", or "none" for raw pixels; empty if it does not apply.
        trained_on: The training classes, in words; may be empty.
        note: Remarks on the protocol.
        citation: The publication.
        source: The place where the number was found.
        key: The key of the publication in `data/published.bib`; empty for a number of the suite's own.
    """

    method: str
    learner: str
    family: str
    value: float
    error: str
    doubt: str
    kind: Kind
    induction: Induction
    rotations: Rotations
    encoder: str
    trained_on: str
    note: str
    citation: str
    source: str
    key: str


@dataclass(frozen=True)
class PublishedRow:
    """One of our entries beside one published number, or the reason why no number of its method stands beside it.

    Args:
        comparison: The comparison that holds our entry.
        entry: Our entry.
        family: The family of its learner.
        split: The published split that our protocol matches; empty if there is none.
        published: A number on the same split; None if the row gives a reason.
        match: Whether the number is of the same method, of another method of the same family, or of a method that we do
            not have; that last kind stands beside our best learner. Empty if the row gives a reason.
        differs_in: The terms in which the two are known to differ; only "method" if that does.
        reason: Why there is no number, or empty.
    """

    comparison: Comparison
    entry: Entry
    family: str
    split: str
    published: Published | None
    match: Match | Literal[""] = ""
    differs_in: tuple[str, ...] = ()
    reason: str = ""

    @property
    def shown(self) -> bool:
        """Whether readers see it: not if the number is superseded, or of another method of the same family."""
        return self.published is not None and self.match != "family" and self.published.kind != "superseded"

    @property
    def difference(self) -> float | None:
        """Our mean minus the published value, in the stored unit; None if the two differ in some term."""
        if self.published is None or self.entry.interval is None or self.differs_in:
            return None
        return self.entry.interval.mean - self.published.value


class SuiteNumber(Record):
    """A line of the CSV file that a suite names; columns with a default may be absent, and their fields empty."""

    task: Name
    protocol: Text = ""
    method: Name
    learner: Text = ""
    ways: Positive | None = None
    shots: Positive
    metric: Literal["accuracy_pct", "error_pct", "mse"]
    value: Finite
    ci: Text = ""
    kind: Literal["original", "reproduction"] = "original"
    induction: Induction = "not stated"
    encoder: Text = ""
    trained_on: Text = ""
    split: Text = ""
    protocol_note: Text = ""
    citation: Name
    source: Text = ""

    @property
    def published(self) -> Published:
        """The number in our unit."""
        return Published(
            self.method, self.learner, "", _in_our_unit(self.metric, self.value)[1], self.ci, "", self.kind,
            self.induction, "", self.encoder, self.trained_on, self.protocol_note, self.citation, self.source, "",
        )  # fmt: skip

    @property
    def title(self) -> str:
        """Method and setting, such as "MAML (5-way 1-shot on birds)"."""
        return f"{self.method} ({f'{self.ways}-way ' if self.ways else ''}{self.shots}-shot on {self.task})"

    def belongs_to(self, comparison: Comparison, entry: Entry) -> bool:
        """Whether it stands beside an entry: of its learner, or the best one, with the most training classes."""
        ours = (comparison.task, entry.setting.ways, entry.setting.shots, comparison.metric.name)
        column = comparison.settings.index(entry.setting)
        if (self.task, self.ways, self.shots, _in_our_unit(self.metric, 0.0)[0]) != ours:
            return False
        if self.protocol not in ("", comparison.protocol) or column not in comparison.largest:
            return False
        return self.learner in _names(entry) if self.learner else entry is comparison.best_first(column)[0]


def read_numbers(text: str, name: str) -> tuple[SuiteNumber, ...]:
    """Reads the published numbers of a suite.

    Args:
        text: The CSV file; may be empty.
        name: Its name, for errors.

    Raises:
        ReportError: It is no CSV file, a column is not known, or a line is wrong.
    """
    reader, known = csv.DictReader(io.StringIO(text)), SuiteNumber.model_fields
    try:
        columns, rows = reader.fieldnames or (), [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise ReportError(f"Expected {name} to be a CSV file but got at line {reader.line_num}: {error}.") from error
    if strange := [column for column in columns if column not in known]:
        raise ReportError(f"{name} has an unknown column `{strange[0]}`. {suggest(strange[0], known)}")
    found = []
    for line, row in rows:
        where = f"line {line} of {name}"
        if None in row:
            raise ReportError(f"Expected {where} to have a field for each column but it has more.")
        try:
            found.append(SuiteNumber.model_validate_strings({column: field for column, field in row.items() if field}))
        except ValidationError as error:
            raise ReportError(sentence_of(error, where)) from error
    return tuple(found)


def unmatched(numbers: Collection[SuiteNumber], rows: Sequence[PublishedRow]) -> list[str]:
    """Names the published numbers of a suite that stand beside none of its results, in a note; none if all do."""
    beside = {row.published for row in rows}
    left = [each.title for each in numbers if each.published not in beside]
    how_many = f"{count_of(len(left), 'published number')} of the suite"
    return [f"{how_many}, beside none of its results: {'; '.join(left)}."] if left else []


def published_rows(
    comparisons: Sequence[Comparison], families: Mapping[str, str], numbers: Collection[SuiteNumber] = ()
) -> tuple[PublishedRow, ...]:
    """Every entry with a result, once for each published number; then the reason if readers see none of these.

    Args:
        comparisons: Our comparisons.
        families: The family of each of our learners.
        numbers: The published numbers of the suite itself.
    """
    return tuple(
        row
        for comparison in comparisons
        for entry in comparison.all_entries()
        if entry.interval is not None
        for row in _with_numbers(numbers, comparison, entry, families[entry.learner])
    )


def _with_numbers(
    numbers: Collection[SuiteNumber], comparison: Comparison, entry: Entry, family: str
) -> list[PublishedRow]:
    """The rows of an entry with our published numbers and with those of the suite."""
    own = []
    for number in (each for each in numbers if each.belongs_to(comparison, entry)):
        match: Match = "method" if number.learner else "other"
        place = _Counterpart(comparison.task, number.split, "", None)
        differs_in = _different_terms(number.published, place, entry) if number.learner else ("method",)
        own.append(PublishedRow(comparison, entry, family, number.split, number.published, match, differs_in))
    ours = _rows(comparison, entry, family)
    return [*(row for row in ours if not (own and row.reason)), *own]


def _rows(comparison: Comparison, entry: Entry, family: str) -> list[PublishedRow]:
    counterparts = _splits().get((comparison.task, comparison.protocol), [])
    if not counterparts:
        reason = "no published number is known for this split"
        return [PublishedRow(comparison, entry, family, "", None, reason=reason)]
    first = counterparts[0]
    wanted = replace(entry.setting, train_classes=first.train_classes)
    if entry.setting != wanted:
        reason = f"the published split has {wanted.size} training classes"
        return [PublishedRow(comparison, entry, family, first.split, None, reason=reason)]
    found = [row for each in counterparts for row in _beside(each, comparison, entry, family)]
    if not any(row.shown for row in found):
        reason = "no published number of this method at these ways and shots on this split"
        found.append(PublishedRow(comparison, entry, family, first.split, None, reason=reason))
    return found


class _Counterpart(NamedTuple):
    """A published task and split, the rotations of ours, and the number of training classes that ours must have."""

    task: str
    split: str
    rotations: Rotations
    train_classes: int | None


def _beside(each: _Counterpart, comparison: Comparison, entry: Entry, family: str) -> Iterator[PublishedRow]:
    """Our entry beside the numbers of a published split that had the same test."""
    place = (each.task, each.split, entry.setting.ways, entry.setting.shots, comparison.metric.name)
    for published in _published().get(place, []):
        match = _match(published, each, comparison, entry, FAMILIES.get(family, ""))
        if match:
            differs_in = ("method",) if match == "other" else _different_terms(published, each, entry)
            yield PublishedRow(comparison, entry, family, each.split, published, match, differs_in)


def _match(
    published: Published, each: _Counterpart, comparison: Comparison, entry: Entry, family: str
) -> Match | Literal[""]:
    """In what a published number matches our entry; empty if the two do not belong side by side."""
    if published.kind == "misquoted" or (published.rotations == "all") != (each.rotations == "all"):
        return ""
    if (each.task, each.split) not in _splits_with_our_methods():
        best = comparison.best_first(comparison.settings.index(entry.setting))[0]
        return "other" if entry is best else ""
    if published.learner and published.learner in _names(entry):
        return "method"
    return "family" if published.family == family else ""


def _names(entry: Entry) -> set[str]:
    """The names of a learner: in the suite, and of its component."""
    return {entry.learner, *(run.component.name for run in entry.runs if run.component)}


def _different_terms(published: Published, each: _Counterpart, entry: Entry) -> tuple[str, ...]:
    """The terms besides the test and the method in which a published number is known to differ from our entry."""
    ours = induction(entry.conditions) if entry.conditions else ""
    different = {
        "rotations in training": published.rotations != each.rotations,
        "encoder": bool(published.encoder) and published.encoder != encoder_of(entry),
        "order or steps of adaptation": any(_adapts_otherwise(published, run) for run in entry.runs),
        "what pretraining is told": any(_is_told(run) for run in entry.runs),
        "prediction": published.induction not in ("not stated", ours),
    }
    return tuple(term for term, differs in different.items() if differs)


def _adapts_otherwise(published: Published, run: Run) -> bool:
    """Whether our MAML is of another order than a published one, or takes another number of steps than it names.

    Published MAML is of second order unless its name says otherwise; of a suite's own number only its name tells.
    """
    if run.component is None or run.component.name != "maml":
        return False
    arguments = run.component.init_args
    steps = re.search(r"(\d+) (?:grad )?steps?\b", published.method)
    order = re.search(r"(1st|first)[- ]order|FOMAML|(2nd|second)[- ]order", published.method, re.IGNORECASE)
    known, first = order is not None or bool(published.key), order is not None and order[2] is None
    ours = arguments.get("test_steps") or arguments.get("steps", 1)
    return (known and first != arguments.get("first_order", True)) or (steps is not None and int(steps[1]) != ours)


def _is_told(run: Run) -> bool:
    """Whether its pretraining gets amplitude and phase of each function, which no published one does."""
    terms = run.training.pretraining if run.training else None
    return terms is not None and terms.get("objective") == "context"


def encoder_of(entry: Entry) -> str:
    """The kind of encoder that an entry's runs used, as published.csv names it; empty if it is not known."""
    training = entry.runs[0].training if entry.runs else None
    name = training.encoder.name if training and training.encoder else ""
    return ENCODERS.get(name, name)


@cache
def _splits() -> dict[tuple[str, str], list[_Counterpart]]:
    """The counterparts of each of our tasks and protocols, in the order of the file."""
    found: dict[tuple[str, str], list[_Counterpart]] = {}
    for row in _read("published_splits.csv"):
        classes = int(row["train_classes"]) if row["train_classes"] else None
        counterpart = _Counterpart(row["published_task"], row["split"], cast(Rotations, row["rotations"]), classes)
        found.setdefault((row["task"], row["protocol"]), []).append(counterpart)
    return found


@cache
def _splits_with_our_methods() -> frozenset[tuple[str, str]]:
    """The published tasks and splits with a number of a method that we have."""
    return frozenset((row["task"], row["split"]) for row in _read("published.csv") if row["learner"])


@cache
def _published() -> dict[tuple[str, str, int | None, int, str], list[Published]]:
    """Published numbers by task, split, ways, shots and metric, in the order of the file."""
    found: dict[tuple[str, str, int | None, int, str], list[Published]] = {}
    for row in _read("published.csv"):
        metric, value = _in_our_unit(row["metric"], float(row["value"]))
        shots = int("".join(re.findall(r"\d", row["shots"])))  # "instance-10th" is the tenth presentation
        ways = int(row["ways"]) if row["ways"] else None
        published = Published(
            row["method"], row["learner"], row["family"], value, row["ci"], row["doubt"], cast(Kind, row["kind"]),
            cast(Induction, row["induction"]), cast(Rotations, row["rotations"]), row["encoder"], row["trained_on"],
            row["protocol_note"], row["citation"], row["source"], cite_key(row["citation"], row["year"]),
        )  # fmt: skip
        found.setdefault((row["task"], row["split"], ways, shots, metric), []).append(published)
    return found


def cite_key(citation: str, year: str) -> str:
    """The key of a publication: the first word of its citation and the year, such as "finn2017"."""
    return f"{re.sub(r'[^a-z0-9]', '', citation.partition(' ')[0].partition('/')[0].lower())}{year}"


def bibliography() -> str:
    """BibTeX entries of everything that `published.csv` cites."""
    return files("adaptbench.reports").joinpath("data", "published.bib").read_text(encoding="utf-8")


def _in_our_unit(metric: str, value: float) -> tuple[str, float]:
    if metric == "accuracy_pct":
        return "accuracy", value / 100
    if metric == "error_pct":
        return "accuracy", 1 - value / 100
    return metric, value


def _read(name: str) -> list[dict[str, str]]:
    text = files("adaptbench.reports").joinpath("data", name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
