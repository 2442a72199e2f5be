"""The tables of transfer: the effect of each rule, the settings that were chosen, and the sources of pretraining."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from adaptbench.reports.comparison.comparison import compare
from adaptbench.reports.results.metrics import Metric
from adaptbench.reports.results.names import place_name
from adaptbench.reports.results.runs import Outcome, Run
from adaptbench.reports.tables.differences.against_first import (
    COMPARED_COLUMNS,
    Compared,
    against_first,
    compared_cells,
)
from adaptbench.reports.tables.table import (
    Column,
    Table,
    TableCell,
    cells_of,
    frame_of,
    headings_of,
    setting_columns,
    training_labels,
)
from adaptbench.reports.words.arguments import in_words

FAMILIES = ("transfer", "control")


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
    rows = against_first(found, range(len(found.settings)))
    compared = "ratio to" if found.metric.logarithmic else "difference from"
    headings = (f"{setting.episode_label}, {setting.size_label}" for setting in found.settings)
    return Table(
        name=f"transfer-{name}",
        title=f"Rules of transfer: {found.place}",
        caption=(
            f"Effect of each rule of transfer on {found.place}: {found.metric.heading}, "
            f"and the {compared} the first row, {found.entries[0][0].label}, with the ends "
            "of 95 % intervals. Bold: significantly different from the first row (paired tests, Holm-corrected over "
            "the table, 5 %). Control rows do not fine-tune: pretraining and gradient steps have to beat them."
        ),
        frame=frame_of(_RULE_COLUMNS, (each for row in rows for each in row)),
        groups=(("", 1), *((heading, 2) for heading in headings)),
        columns=(
            "what the rule changes",
            *(["mean", "ratio" if found.metric.logarithmic else "difference"] * len(found.settings)),
        ),
        rows=tuple(
            (
                row[0].entry.label,
                (TableCell(row[0].rule), *(cell for each in row for cell in compared_cells(each, found.metric))),
            )
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
    cell, shown = choices[0].run.cell, [choice for choice in choices if choice.share]
    labels = training_labels([choice.run.cell for choice in shown])
    return Table(
        name=f"chosen-{name}",
        title=f"Chosen settings: {place_name(*cell.group)}",
        caption=(
            "Settings chosen by cross-validation, for each number of support examples: on validation episodes, or by "
            "each test episode within its support set; never on test queries. A learning rate, or a source of the "
            "pretraining, is chosen by the score of its training on validation episodes. Share: of the test episodes."
        ),
        frame=frame_of(_CHOICE_COLUMNS, choices),
        columns=headings_of(_CHOICE_COLUMNS),
        rows=tuple((label, cells_of(_CHOICE_COLUMNS, each)) for label, each in zip(labels, shown, strict=True)),
        corner="Learner",
        text_columns=(2,),
    )


_RULE_COLUMNS: tuple[Column[Compared], ...] = (
    Column("learner", lambda each: each.entry.learner),
    Column("label", lambda each: each.entry.label),
    Column("family", lambda each: each.entry.runs[0].cell.family if each.entry.runs else ""),
    Column("rule", lambda each: each.rule),
    *setting_columns(lambda each: each.entry.setting),
    *COMPARED_COLUMNS,
    Column("significant", lambda each: each.test and each.test.significant),
    Column("diverged_episodes", lambda each: sum(run.diverged(each.entry.setting) for run in each.entry.runs)),
    Column("transductive", lambda each: each.entry.runs[0].result.transductive if each.entry.runs else None),
    Column("seeds", lambda each: each.entry.interval.n_seeds if each.entry.interval else 0),
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
        _Choice(
            run,
            None,
            {rate: each.lr, **({"source": each.source} if each.source else {})},
            each.score,
            float(each.run_id == run.result.pretrained),
        )
        for each in run.result.pretrainings
    ]
    return [*rates, *(_Choice(run, e.support, e.settings, e.score, e.share) for e in run.result.chosen)]


_CHOICE_COLUMNS: tuple[Column[_Choice], ...] = (
    Column("learner", lambda each: each.run.cell.learner),
    Column("label", lambda each: each.run.cell.label),
    Column("seed", lambda each: each.run.cell.seed, "seed", "d"),
    Column("train_classes", lambda each: each.run.cell.train_classes),
    Column("examples", lambda each: each.run.cell.examples),
    Column("support", lambda each: each.support, "support examples", lambda n: "any" if n is None else str(n)),
    Column("settings", lambda each: in_words(each.settings), "settings", "s"),
    Column("score", lambda each: each.score),
    Column("share", lambda each: each.share, "share", lambda share: f"{100 * share:.0f} %"),
)


class _Source(NamedTuple):
    """One source of pretraining of one learner, over its runs."""

    runs: Sequence[Run]
    source: str
    metric: Metric

    def best(self, run: Run) -> float:
        """The best validation score of a run's pretrainings on this source."""
        scores = [each.score for each in run.result.pretrainings if each.source == self.source]
        return max(scores) if self.metric.higher_is_better else min(scores)

    @property
    def score(self) -> float:
        """The mean of these scores over the runs."""
        return sum(map(self.best, self.runs)) / len(self.runs)

    @property
    def chosen(self) -> int:
        """How many runs adapted a pretraining on this source."""
        taken = [(run.result.pretrained, each) for run in self.runs for each in run.result.pretrainings]
        return sum(pretrained == each.run_id and each.source == self.source for pretrained, each in taken)

    @property
    def cpu_seconds(self) -> float | None:
        """The CPU seconds of all pretrainings on this source, a mean over the runs; None if some are not known."""
        tried = [
            (run, each.run_id) for run in self.runs for each in run.result.pretrainings if each.source == self.source
        ]
        known = [seconds for run, run_id in tried if (seconds := run.pretraining_cpu_seconds[run_id]) is not None]
        return sum(known) / len(self.runs) if len(known) == len(tried) else None


def source_table(outcomes: Iterable[Outcome], name: str) -> Table | None:
    """A row for each training and source that validation chose from; None if every network has its task's own data."""
    trained: dict[tuple[str, tuple[int | None, int | None]], list[Run]] = {}
    for run in (outcome for outcome in outcomes if isinstance(outcome, Run)):
        if any(each.source for each in run.result.pretrainings):
            trained.setdefault((run.cell.learner, run.cell.settings[0].training), []).append(run)
    rows = [row for runs in trained.values() for row in _sources(runs)]
    if not rows:
        return None
    cell, metric = rows[0].runs[0].cell, rows[0].metric
    labels = training_labels([row.runs[0].cell for row in rows])
    return Table(
        name=f"sources-{name}",
        title=f"Sources of transfer: {place_name(*cell.group)}",
        caption=(
            f"What networks were pretrained on before they adapt to {place_name(*cell.group)}: the best "
            f"score on its validation episodes, {metric.heading}, a mean over seeds; how many seeds chose the source; "
            "and the CPU time of all pretrainings on it. Test episodes choose nothing."
        ),
        frame=frame_of(_SOURCE_COLUMNS, rows),
        columns=headings_of(_SOURCE_COLUMNS),
        rows=tuple((label, _source_cells(row)) for label, row in zip(labels, rows, strict=True)),
        corner="Learner",
        text_columns=(0,),
    )


def _sources(runs: Sequence[Run]) -> list[_Source]:
    cell = runs[0].cell
    metric = Metric.named(cell.metric, higher_is_better=cell.higher_is_better)
    names = dict.fromkeys(each.source for run in runs for each in run.result.pretrainings)
    return [_Source(runs, name, metric) for name in names]


def _source_cells(row: _Source) -> tuple[TableCell, ...]:
    source, _, *others = cells_of(_SOURCE_COLUMNS, row)
    return (source, TableCell(row.metric.value(row.score)), *others)


def _source_in_words(row: _Source) -> str:
    return row.source or f"its own {row.runs[0].cell.settings[0].classes_label}"


_SOURCE_COLUMNS: tuple[Column[_Source], ...] = (
    Column("learner", lambda row: row.runs[0].cell.learner),
    Column("label", lambda row: row.runs[0].cell.label),
    Column("train_classes", lambda row: row.runs[0].cell.train_classes),
    Column("examples", lambda row: row.runs[0].cell.examples),
    Column("source", _source_in_words, "source", "s"),
    Column("validation", lambda row: row.score, "validation", "g"),
    Column("chosen", lambda row: row.chosen, "chosen by", "d"),
    Column("seeds", lambda row: len(row.runs), "of seeds", "d"),
    Column("cpu_seconds", lambda row: row.cpu_seconds, "CPU time in s", ",.1f"),
)
