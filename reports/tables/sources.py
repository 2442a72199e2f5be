"""The table of sources: what a network was pretrained on before it adapted to a task, chosen on validation episodes."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from adaptbench.reports.results.metrics import Metric
from adaptbench.reports.results.runs import Outcome, Run
from adaptbench.reports.tables.table import Column, Table, TableCell, cells_of, frame_of, headings_of


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
    """A row for each learner and source that validation chose from; None if every network has its task's own data.

    Args:
        outcomes: The outcomes of one task under one protocol.
        name: The comparison's name in file names.
    """
    by_learner: dict[tuple[str, int | None], list[Run]] = {}
    for run in (outcome for outcome in outcomes if isinstance(outcome, Run)):
        if any(each.source for each in run.result.pretrainings):
            by_learner.setdefault((run.cell.learner, run.cell.train_classes), []).append(run)
    rows = [row for runs in by_learner.values() for row in _sources(runs)]
    if not rows:
        return None
    cell, metric = rows[0].runs[0].cell, rows[0].metric
    return Table(
        name=f"sources-{name}",
        title=f"Sources of transfer: {cell.task} ({cell.protocol})",
        caption=(
            f"What networks were pretrained on before they adapt to {cell.task}; protocol: {cell.protocol}: the best "
            f"score on its validation episodes, {metric.heading}, a mean over seeds; how many seeds chose the source; "
            "and the CPU time of all pretrainings on it. Test episodes choose nothing."
        ),
        frame=frame_of(_COLUMNS, rows),
        columns=headings_of(_COLUMNS),
        rows=tuple((row.runs[0].cell.label, _cells(row)) for row in rows),
        corner="Learner",
        text_columns=(0,),
    )


def _sources(runs: Sequence[Run]) -> list[_Source]:
    cell = runs[0].cell
    metric = Metric.named(cell.metric, higher_is_better=cell.higher_is_better)
    names = dict.fromkeys(each.source for run in runs for each in run.result.pretrainings)
    return [_Source(runs, name, metric) for name in names]


def _cells(row: _Source) -> tuple[TableCell, ...]:
    source, _, *others = cells_of(_COLUMNS, row)
    return (source, TableCell(row.metric.value(row.score)), *others)


def _in_words(row: _Source) -> str:
    cell = row.runs[0].cell
    size = "unlimited" if cell.train_classes is None else str(cell.train_classes)
    return row.source or f"its own {size} {cell.class_word}"


_COLUMNS: tuple[Column[_Source], ...] = (
    Column("learner", lambda row: row.runs[0].cell.learner),
    Column("label", lambda row: row.runs[0].cell.label),
    Column("train_classes", lambda row: row.runs[0].cell.train_classes),
    Column("source", _in_words, "source", "s"),
    Column("validation", lambda row: row.score, "validation", "g"),
    Column("chosen", lambda row: row.chosen, "chosen by", "d"),
    Column("seeds", lambda row: len(row.runs), "of seeds", "d"),
    Column("cpu_seconds", lambda row: row.cpu_seconds, "CPU time in s", ",.1f"),
)
