"""The table of published numbers beside ours."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from adaptbench.reports.comparison.comparability import induction
from adaptbench.reports.comparison.published import Published, PublishedRow, encoder_of
from adaptbench.reports.tables.table import ABSENT, Column, Table, TableCell, frame_of, letter, setting_columns
from adaptbench.reports.words.captions import shorten


def published_table(rows: Sequence[PublishedRow]) -> Table:
    """Published numbers beside ours; the notes count what readers do not see, by its reason."""
    return Table(
        name="published",
        title="Published numbers and ours",
        caption=(
            "Published numbers beside ours: same task, split, rotations in the test, ways, shots, metric and method; "
            "accuracy in %, difference ours minus published. Ours: mean with the ends of its 95 % interval over "
            f"{_over(rows)}, which covers neither other classes nor other training data. There is no difference if the "
            "two are known to differ in a term, which is named. A number of a method that we do not have stands beside "
            "our best learner. Ours are inductive unless marked otherwise. A double dagger marks a doubtful number. "
            "Budgets and networks differ: a difference is no error of either side."
        ),
        frame=frame_of(_COLUMNS, rows),
        columns=_HEADINGS,
        rows=tuple(
            (f"{row.entry.label} ({row.comparison.task_name})", _cells(row, row.published))
            for row in rows
            if row.published and row.shown
        ),
        notes=tuple((letter(index), text) for index, text in enumerate(_unseen(rows))),
        corner="Learner",
        text_columns=(0, *range(4, len(_HEADINGS))),
    )


_HEADINGS = (
    "setting", "ours", "published", "difference", "differs in", "method", "prediction", "split", "trained on",
    "published by",
)  # fmt: skip


def _over(rows: Sequence[PublishedRow]) -> str:
    """What the intervals of ours cover."""
    one_seed = {row.entry.interval.n_seeds == 1 for row in rows if row.entry.interval is not None}
    if one_seed == {True}:
        return "episodes of one seed"
    return f"seeds and episodes{', or over episodes where there is one seed' if True in one_seed else ''}"


def _unseen(rows: Sequence[PublishedRow]) -> Iterator[str]:
    """Why entries have no counterpart, and how many numbers the CSV has besides."""
    for reason, count in Counter(row.reason for row in rows if row.reason).items():
        yield f"{count} of our entries have no counterpart: {reason}"
    if hidden := sum(row.published is not None and not row.shown for row in rows):
        yield f"the CSV has {hidden} more, of other methods of the same family or superseded by a later version"


def _cells(row: PublishedRow, published: Published) -> tuple[TableCell, ...]:
    entry, metric = row.entry, row.comparison.metric
    if entry.interval is None:
        return ()
    ours, ends = metric.parts(entry.interval.mean, entry.interval.lower, entry.interval.upper)
    number = f"{metric.value(published.value)}{_error(published.error)}"
    return (
        TableCell(entry.setting.episode_phrase),
        TableCell(ours, ends=ends),
        TableCell(number, marks=("‡",) if published.doubt else (), cite=published.key),
        ABSENT if row.difference is None else TableCell(metric.value(row.difference, sign="+")),
        TableCell(", ".join(row.differs_in)),
        TableCell(f"{published.method} ({published.kind})"),
        TableCell(published.induction),
        TableCell(row.split),
        TableCell(published.trained_on),
        TableCell(shorten(published.citation, 60)),
    )


def _error(text: str) -> str:
    """The half width as published; anything but a plain number, such as a standard deviation, is in the CSV only."""
    return f" ± {text}" if text.replace(".", "", 1).isdigit() else ""


def _of_published(key: str, take: Callable[[Published], object]) -> Column[PublishedRow]:
    """A column of the published number; empty where there is none."""
    return Column(key, lambda row: row.published and take(row.published))


_COLUMNS: tuple[Column[PublishedRow], ...] = (
    Column("task", lambda row: row.comparison.called),
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
    Column("ours_encoder", lambda row: encoder_of(row.entry)),
    _of_published("published", lambda found: found.value),
    _of_published("published_error", lambda found: found.error),
    _of_published("doubt", lambda found: found.doubt),
    Column("difference", lambda row: row.difference),
    Column("differs_in", lambda row: ", ".join(row.differs_in)),
    Column("match", lambda row: row.match),
    _of_published("method", lambda found: found.method),
    _of_published("kind", lambda found: found.kind),
    _of_published("induction", lambda found: found.induction),
    _of_published("rotations", lambda found: found.rotations),
    _of_published("encoder", lambda found: found.encoder),
    _of_published("trained_on", lambda found: found.trained_on),
    _of_published("citation", lambda found: found.citation),
    _of_published("source", lambda found: found.source),
    _of_published("note", lambda found: found.note),
    Column("reason", lambda row: row.reason),
)
