"""The table of published numbers beside ours."""

from collections import Counter
from collections.abc import Callable, Sequence

from adaptbench.reports.comparison.comparability import induction
from adaptbench.reports.comparison.published import Published, PublishedRow
from adaptbench.reports.tables.table import Column, Table, TableCell, frame_of, letter, setting_columns
from adaptbench.reports.words.captions import shorten


def published_table(rows: Sequence[PublishedRow]) -> Table:
    """Published numbers beside ours; the notes count entries without a counterpart by their reason."""
    reasons = Counter(row.reason for row in rows if row.published is None)
    return Table(
        name="published",
        title="Published numbers and ours",
        caption=(
            "Published numbers beside ours: same task, split, ways, shots, metric and family of learner; accuracy in "
            "%, difference ours minus published. Ours: mean with the ends of its 95 % interval over seeds and "
            "episodes, which covers neither other classes nor other training data. A dagger marks a "
            "published number whose source does not state whether queries were predicted together; ours are "
            "inductive unless marked otherwise. Budgets and networks differ: a difference is no error of either side."
        ),
        frame=frame_of(_COLUMNS, rows),
        columns=("setting", "ours", "published", "difference", "its split", "published by"),
        rows=tuple(
            (f"{row.entry.label} ({row.comparison.task})", _cells(row, row.published)) for row in rows if row.published
        ),
        notes=tuple(
            (letter(index), f"{count} of our entries have no counterpart: {reason}")
            for index, (reason, count) in enumerate(reasons.items())
        ),
        corner="Learner",
        text_columns=(0, 4, 5),
    )


def _cells(row: PublishedRow, published: Published) -> tuple[TableCell, ...]:
    entry, metric = row.entry, row.comparison.metric
    if entry.interval is None or row.difference is None:
        return ()
    kind = published.kind + ("" if published.induction == "not stated" else f", {published.induction}")
    ours, ends = metric.parts(entry.interval.mean, entry.interval.lower, entry.interval.upper)
    marks = ("†",) if published.induction == "not stated" else ()
    return (
        TableCell(entry.setting.episode_phrase),
        TableCell(ours, ends=ends),
        TableCell(f"{metric.value(published.value)}{_error(published.error)}", marks=marks),
        TableCell(metric.value(row.difference, sign="+")),
        TableCell(row.split),
        TableCell(f"{published.method} ({kind}; {shorten(published.citation, 60)})"),
    )


def _error(text: str) -> str:
    """The half width as published; anything but a plain number, such as a standard deviation, is in the CSV only."""
    return f" ± {text}" if text.replace(".", "", 1).isdigit() else ""


def _of_published(key: str, take: Callable[[Published], object]) -> Column[PublishedRow]:
    """A column of the published number; empty where there is none."""
    return Column(key, lambda row: row.published and take(row.published))


_COLUMNS: tuple[Column[PublishedRow], ...] = (
    Column("task", lambda row: row.comparison.task),
    Column("protocol", lambda row: row.comparison.protocol),
    Column("split", lambda row: row.split),
    Column("learner", lambda row: row.entry.learner),
    Column("family", lambda row: row.family),
    *setting_columns(lambda row: row.entry.setting),
    Column("metric", lambda row: row.comparison.metric.name),
    Column("ours", lambda row: row.entry.interval and row.entry.interval.mean),
    Column("lower", lambda row: row.entry.interval and row.entry.interval.lower),
    Column("upper", lambda row: row.entry.interval and row.entry.interval.upper),
    Column("ours_induction", lambda row: row.entry.conditions and induction(row.entry.conditions)),
    _of_published("published", lambda found: found.value),
    _of_published("published_error", lambda found: found.error),
    Column("difference", lambda row: row.difference),
    _of_published("method", lambda found: found.method),
    _of_published("kind", lambda found: found.kind),
    _of_published("induction", lambda found: found.induction),
    _of_published("citation", lambda found: found.citation),
    _of_published("note", lambda found: found.note),
    Column("reason", lambda row: row.reason),
)
