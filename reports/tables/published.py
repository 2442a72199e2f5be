"""The table of published numbers beside ours."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from adaptbench.reports.comparison.comparability import induction
from adaptbench.reports.comparison.published import LedgerRow
from adaptbench.reports.results.settings import episode_phrase
from adaptbench.reports.tables.layout import Sheet, TableCell, TableLayout, letter
from adaptbench.reports.words.numbers import number, scale, shorten


def ledger_sheet(rows: Sequence[LedgerRow]) -> Sheet:
    """Published numbers beside ours; entries without a counterpart are counted by their reason in the notes."""
    matched = [row for row in rows if row.published is not None]
    reasons: dict[str, int] = {}
    for row in rows:
        if row.published is None:
            reasons[row.reason] = reasons.get(row.reason, 0) + 1
    layout = TableLayout(
        title="Published numbers and ours",
        caption=(
            "Published numbers beside ours: same task, split, ways, shots, metric and family of learner; accuracy in "
            "%, difference ours less published. Ours: mean ± half width of the 95 % interval. A dagger marks a "
            "published number whose source does not state whether queries were predicted together; ours are "
            "inductive unless marked otherwise. Budgets and networks differ: a difference is no error of either side."
        ),
        groups=(),
        columns=("setting", "ours", "published", "difference", "its split", "published by"),
        rows=tuple((f"{row.entry.label} ({row.comparison.task})", _ledger_cells(row)) for row in matched),
        notes=tuple(
            (letter(index), f"{count} of our entries have no counterpart: {reason}")
            for index, (reason, count) in enumerate(reasons.items())
        ),
        corner="Learner",
        text_columns=(0, 4, 5),
    )
    return Sheet("ledger", layout, pd.DataFrame([_ledger_record(row) for row in rows], columns=list(LEDGER_COLUMNS)))


LEDGER_COLUMNS = (
    "task", "protocol", "split", "learner", "family", "train_classes", "ways", "shots", "metric", "ours", "half_width",
    "ours_induction", "published", "published_error", "difference", "method", "kind", "induction", "citation", "note",
    "reason",
)  # fmt: skip


def _ledger_cells(row: LedgerRow) -> tuple[TableCell, ...]:
    published, entry, metric = row.published, row.entry, row.comparison.metric
    if published is None or entry.interval is None or row.difference is None:
        return ()
    digits = 1 if metric == "accuracy" else 3
    kind = published.kind + ("" if published.induction == "not stated" else f", {published.induction}")
    texts = (
        episode_phrase(entry.setting.ways, entry.setting.shots, row.comparison.shots_word),
        number(entry.interval, metric),
        f"{published.value * scale(metric):.{digits}f}{_error(published.error)}",
        f"{row.difference * scale(metric):+.{digits}f}",
        row.split,
        f"{published.method} ({kind}; {shorten(published.citation, 60)})",
    )
    marks = ("†",) if published.induction == "not stated" else ()
    return tuple(TableCell(text, False, marks if index == 2 else ()) for index, text in enumerate(texts))


def _error(text: str) -> str:
    """The half width as published; what is no plain number, such as a standard deviation, is left to the CSV."""
    return f" ± {text}" if text.replace(".", "", 1).isdigit() else ""


def _ledger_record(row: LedgerRow) -> dict[str, Any]:
    entry, published = row.entry, row.published
    return {
        "task": row.comparison.task,
        "protocol": row.comparison.protocol,
        "split": row.split,
        "learner": entry.learner,
        "family": row.family,
        "train_classes": entry.setting.train_classes,
        "ways": entry.setting.ways,
        "shots": entry.setting.shots,
        "metric": row.comparison.metric,
        "ours": entry.interval and entry.interval.mean,
        "half_width": entry.interval and entry.interval.half_width,
        "ours_induction": entry.conditions and induction(entry.conditions),
        "published": published and published.value,
        "published_error": published and published.error,
        "difference": row.difference,
        "method": published and published.method,
        "kind": published and published.kind,
        "induction": published and published.induction,
        "citation": published and published.citation,
        "note": published and published.note,
        "reason": row.reason,
    }
