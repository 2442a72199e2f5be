"""The tables of transfer: the effect of each rule of fine-tuning, and the settings that were chosen."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from adaptbench.reports.comparison.comparison import Comparison, Entry, compare
from adaptbench.reports.results.runs import Outcome, Run
from adaptbench.reports.statistics.contrasts import Contrast, compare_with_first
from adaptbench.reports.tables.gains import contrast_cell
from adaptbench.reports.tables.table import (
    ABSENT,
    Column,
    Table,
    TableCell,
    cells_of,
    frame_of,
    headings_of,
    setting_columns,
)
from adaptbench.reports.words.arguments import in_words, rule_of

FAMILIES = ("transfer", "control")


class _Place(NamedTuple):
    """An entry, what its rule changes, in words, and the test against the first row if there is one."""

    entry: Entry
    rule: str
    test: Contrast | None

    @property
    def run(self) -> Run | None:
        """A run of the entry."""
        return next(iter(self.entry.runs), None)


def transfer_table(outcomes: Iterable[Outcome], name: str) -> Table | None:
    """A row for each rule of transfer, with what it changes and the difference from the first row.

    Args:
        outcomes: The outcomes of one task under one protocol.
        name: The comparison's name in file names.

    Returns:
        The table; None if there are fewer than two rules.
    """
    transfer = [outcome for outcome in outcomes if outcome.cell.family in FAMILIES]
    if len({outcome.cell.learner for outcome in transfer}) < 2:
        return None
    (found,) = compare(transfer)
    rows = _places(found)
    compared = "ratio to" if found.metric.logarithmic else "difference from"
    headings = (f"{setting.episode_label}, {setting.size_label}" for setting in found.settings)
    return Table(
        name=f"transfer-{name}",
        title=f"Rules of transfer: {found.task} ({found.protocol})",
        caption=(
            f"Effect of each rule of transfer on {found.task}; protocol: {found.protocol}: {found.metric.heading}, "
            f"and the {compared} the first row, {found.entries[0][0].label}, with the ends "
            "of 95 % intervals. Bold: significantly different from the first row (paired tests, Holm-corrected over "
            "the table, 5 %). Control rows do not fine-tune: pretraining and gradient steps have to beat them."
        ),
        frame=frame_of(_RULE_COLUMNS, (place for row in rows for place in row)),
        groups=(("", 1), *((heading, 2) for heading in headings)),
        columns=(
            "what the rule changes",
            *(["mean", "ratio" if found.metric.logarithmic else "difference"] * len(found.settings)),
        ),
        rows=tuple(
            (row[0].entry.label, (TableCell(row[0].rule), *(cell for place in row for cell in _cells(place, found))))
            for row in rows
        ),
        warnings=found.warnings,
        corner="Rule",
        text_columns=(0,),
    )


def choice_table(outcomes: Iterable[Outcome], name: str) -> Table | None:
    """A row for each setting that some run chose by cross-validation; None if none did."""
    runs = [outcome for outcome in outcomes if isinstance(outcome, Run)]
    choices = [choice for run in runs for choice in _choices(run)]
    if not choices:
        return None
    cell = choices[0].run.cell
    return Table(
        name=f"chosen-{name}",
        title=f"Chosen settings: {cell.task} ({cell.protocol})",
        caption=(
            "Settings chosen by cross-validation, for each number of support examples: on validation episodes, or by "
            "each test episode within its support set; never on test queries. A learning rate is chosen by the "
            "validation score of the training. Share: of the test episodes."
        ),
        frame=frame_of(_CHOICE_COLUMNS, choices),
        columns=headings_of(_CHOICE_COLUMNS),
        rows=tuple((each.run.cell.label, cells_of(_CHOICE_COLUMNS, each)) for each in choices if each.share),
        corner="Learner",
        text_columns=(2,),
    )


def _places(found: Comparison) -> list[list[_Place]]:
    """The rows of the table, with the comparisons with the first row where entries of a column can be compared."""
    columns = [
        {index: entry.samples for index, entry in enumerate(column) if entry.rank is not None}
        for column in zip(*found.entries, strict=True)
    ]
    tests = compare_with_first(columns, relative=found.metric.logarithmic)
    return [
        [_Place(entry, rule_of(row, found.entries[0]), own.get(index)) for entry, own in zip(row, tests, strict=True)]
        for index, row in enumerate(found.entries)
    ]


def _cells(place: _Place, found: Comparison) -> tuple[TableCell, TableCell]:
    """The mean, and the difference from the first row or the ratio to it."""
    own, test, metric = place.entry.interval, place.test, found.metric
    if own is None:
        return TableCell(place.entry.status, missing=True), ABSENT
    text, ends = metric.parts(own.mean, own.lower, own.upper)
    mean = TableCell(text, ends=ends)
    return mean, ABSENT if test is None else contrast_cell(test, metric)


_RULE_COLUMNS: tuple[Column[_Place], ...] = (
    Column("learner", lambda place: place.entry.learner),
    Column("label", lambda place: place.entry.label),
    Column("family", lambda place: place.run.cell.family if place.run else ""),
    Column("rule", lambda place: place.rule),
    *setting_columns(lambda place: place.entry.setting),
    Column("mean", lambda place: place.entry.interval and place.entry.interval.mean),
    Column("lower", lambda place: place.entry.interval and place.entry.interval.lower),
    Column("upper", lambda place: place.entry.interval and place.entry.interval.upper),
    Column("difference", lambda place: place.test and place.test.estimate),
    Column("difference_lower", lambda place: place.test and place.test.lower),
    Column("difference_upper", lambda place: place.test and place.test.upper),
    Column("p_holm", lambda place: place.test and place.test.p_value),
    Column("significant", lambda place: place.test and place.test.significant),
    Column("diverged_episodes", lambda place: sum(run.diverged(place.entry.setting) for run in place.entry.runs)),
    Column("transductive", lambda place: place.run and place.run.result.transductive),
    Column("seeds", lambda place: place.entry.interval.n_seeds if place.entry.interval else 0),
)


class _Choice(NamedTuple):
    """A candidate that a run tried: settings of its strategy, or a learning rate of its training."""

    run: Run
    support: int | None
    settings: Mapping[str, Any]
    score: float
    share: float


def _choices(run: Run) -> list[_Choice]:
    """The candidates of a run."""
    rate = "pretraining_lr" if run.result.kind == "transfer" else "optimization_lr"
    rates = [
        _Choice(run, None, {rate: each.lr}, each.score, float(each.run_id == run.result.pretrained))
        for each in run.result.pretrainings
    ]
    return [*rates, *(_Choice(run, e.support, e.settings, e.score, e.share) for e in run.result.chosen)]


def _any(support: int | None) -> str:
    return "any" if support is None else str(support)


_CHOICE_COLUMNS: tuple[Column[_Choice], ...] = (
    Column("learner", lambda each: each.run.cell.learner),
    Column("label", lambda each: each.run.cell.label),
    Column("seed", lambda each: each.run.cell.seed, "seed", "d"),
    Column("train_classes", lambda each: each.run.cell.train_classes),
    Column("support", lambda each: each.support, "support examples", _any),
    Column("settings", lambda each: in_words(each.settings), "settings", "s"),
    Column("score", lambda each: each.score),
    Column("share", lambda each: each.share, "share", lambda share: f"{100 * share:.0f} %"),
)
