"""The main table of a comparison: the scores of learners by training classes and shots."""

from collections.abc import Mapping
from itertools import groupby

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.tables.table import Column, Table, TableCell, frame_of, letter, setting_columns
from adaptbench.reports.words.captions import ALIKE_MARK, ALIKE_NOTE, CHANCE_MARK, CHANCE_NOTE, caption, note, signs


def score_table(comparison: Comparison, name: str = "") -> Table:
    """The table of scores."""
    entries, settings = comparison.all_entries(), comparison.settings
    texts = list(dict.fromkeys(text for entry in entries if (text := note(entry))))
    marks = {text: letter(index) for index, text in enumerate(texts)}
    alike = [(ALIKE_MARK, ALIKE_NOTE)] if any(entry.alike for entry in entries) else []
    chance = [(CHANCE_MARK, CHANCE_NOTE)] if any(entry.interval and entry.at_chance for entry in entries) else []
    with_ways = len({setting.ways for setting in settings}) > 1
    return Table(
        name=f"table-{name}",
        title=f"{comparison.place}",
        caption=caption(comparison),
        frame=frame_of(entry_columns(comparison), entries),
        groups=tuple((label, len(list(run))) for label, run in groupby(setting.size_label for setting in settings)),
        columns=tuple(setting.episode_label if with_ways else setting.shots_label for setting in settings),
        rows=tuple(
            (row[0].label, tuple(_cell(entry, comparison, marks) for entry in row)) for row in comparison.entries
        ),
        notes=(*alike, *chance, *((mark, text) for text, mark in marks.items())),
        warnings=comparison.warnings,
    )


def entry_columns(comparison: Comparison) -> tuple[Column[Entry], ...]:
    """The columns of an entry; scores in their stored unit (accuracy as a fraction)."""
    return (
        Column("task", lambda _: comparison.called),
        Column("protocol", lambda _: comparison.protocol),
        Column("learner", lambda entry: entry.learner),
        Column("label", lambda entry: entry.label),
        *setting_columns(lambda entry: entry.setting),
        Column("metric", lambda _: comparison.metric.name),
        Column("higher_is_better", lambda _: comparison.metric.higher_is_better),
        Column("status", lambda entry: entry.status),
        Column("mean", lambda entry: entry.interval and entry.interval.mean),
        Column("lower", lambda entry: entry.interval and entry.interval.lower),
        Column("upper", lambda entry: entry.interval and entry.interval.upper),
        Column("interval", lambda entry: entry.interval and entry.interval.kind),
        Column("episodes_half_width", lambda entry: entry.interval and entry.interval.episodes_half_width),
        Column("seeds", lambda entry: entry.interval.n_seeds if entry.interval else 0),
        Column("planned_seeds", lambda entry: len(entry.planned_seeds)),
        Column("diverged_seeds", lambda entry: len(entry.diverged)),
        Column("episodes", lambda entry: entry.interval and entry.interval.n_episodes),
        Column("chance", lambda entry: entry.chance),
        Column("at_chance", lambda entry: entry.at_chance),
        Column("rank", lambda entry: entry.rank),
        Column("best", lambda entry: entry.best),
        Column("not_different", lambda entry: entry.alike),
        Column("difference", lambda entry: entry.test and entry.test.difference),
        Column("difference_half_width", lambda entry: entry.test and entry.test.half_width),
        Column("p_value", lambda entry: entry.test and entry.test.p_value),
        Column("note", note),
    )


def _cell(entry: Entry, comparison: Comparison, marks: Mapping[str, str]) -> TableCell:
    letters = (marks[text],) if (text := note(entry)) else ()
    if entry.interval is None:
        return TableCell("—" if entry.status == "not planned" else entry.status, marks=letters, missing=True)
    found = entry.interval
    text, ends = comparison.metric.parts(found.mean, found.lower, found.upper)
    return TableCell(text, entry.best, (*signs(entry), *letters), ends=ends)
