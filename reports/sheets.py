"""The tables beside the main one: gains per doubling, pairs, computation, transfer, published numbers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.ablation import ablation, choices
from reports.comparability import induction
from reports.comparison import Comparison, Entry
from reports.gains import Gain
from reports.layout import TableCell, TableLayout, lay_out, letter
from reports.ledger import LedgerRow
from reports.order import order_frame, order_layout
from reports.ranking import Pair
from reports.records import entry_records
from reports.runs import Outcome, Run
from reports.sentences import gain_sentence
from reports.shots import episode_phrase, plural
from reports.words import metric_name, number, number_text, scale, shorten, shots_label, size_label


@dataclass(frozen=True)
class Sheet:
    """A table as every format writes it.

    Args:
        name: The stem of its files.
        layout: For Markdown, LaTeX, the page and the terminal.
        frame: For CSV and W&B, with numbers in their stored unit.
    """

    name: str
    layout: TableLayout
    frame: pd.DataFrame


def sheets(
    comparison: Comparison, name: str, outcomes: Iterable[Outcome], doublings: Sequence[Gain]
) -> tuple[Sheet, ...]:
    """Every table of a comparison, the main one first; those that would be empty are left out.

    Args:
        comparison: The comparison.
        name: Its name in file names.
        outcomes: The outcomes that it is made of.
        doublings: Its gains per doubling.
    """
    found = [Sheet(f"table-{name}", lay_out(comparison), entry_records(comparison))]
    if doublings:
        found.append(_gain_sheet(comparison, doublings, name))
    if any(comparison.pairs):
        found.append(_pair_sheet(comparison, name))
    if any(entry.runs for entry in comparison.all_entries()):
        found.append(_compute_sheet(comparison, name))
    order = order_layout(comparison)
    if order is not None:
        found.append(Sheet(f"order-{name}", order, order_frame(comparison)))
    own = tuple(outcomes)
    for stem, table in {"transfer": ablation(own), "chosen": choices(own)}.items():
        if table is not None:
            found.append(Sheet(f"{stem}-{name}", *table))
    return tuple(found)


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


def _gain_sheet(comparison: Comparison, found: Sequence[Gain], name: str) -> Sheet:
    columns = list(dict.fromkeys((gain.axis, _held(gain, comparison)) for gain in found))
    by_place = {(gain.learner, gain.axis, _held(gain, comparison)): gain for gain in found}
    labels = {gain.learner: gain.label for gain in found}
    words = {"classes": f"training {comparison.class_word}", "shots": plural(comparison.shots_word, 2)}
    counts = {axis: sum(column[0] == axis for column in columns) for axis, _ in columns}
    unit = "factor of the error" if found[0].relative else "points"
    layout = TableLayout(
        title=f"Gain per doubling: {comparison.task} ({comparison.protocol})",
        caption=(
            f"What each doubling does to {metric_name(comparison)} on {comparison.task}; "
            f"protocol: {comparison.protocol}: {unit} with the half width (or ends) of the 95 % interval. "
            "Bold: can be told from no change (5 %, uncorrected)."
        ),
        groups=tuple((f"doubling the {words[axis]}", count) for axis, count in counts.items()),
        columns=tuple(held for _, held in columns),
        rows=tuple(
            (label, tuple(_gain_cell(by_place.get((learner, *column))) for column in columns))
            for learner, label in labels.items()
        ),
        notes=(),
    )
    return Sheet(f"gains-{name}", layout, pd.DataFrame([_gain_record(gain, comparison) for gain in found]))


def _held(gain: Gain, comparison: Comparison) -> str:
    if gain.axis == "classes":
        return shots_label(gain.fixed, with_ways=True, word=comparison.shots_word)
    ways = "" if gain.fixed.ways is None else f"{gain.fixed.ways}-way, "
    return f"{ways}{size_label(gain.fixed, comparison.class_word)}"


def _gain_cell(gain: Gain | None) -> TableCell:
    if gain is None or gain.per_doubling is None:
        return TableCell("—" if gain is None else "not comparable", False, (), missing=True)
    found = gain.per_doubling
    if gain.relative:
        low, high = (_factor(found.estimate + sign * found.half_width) for sign in (-1, 1))
        return TableCell(f"{_factor(found.estimate)} ({low} to {high})", found.significant, ())
    sign = "+" if found.estimate >= 0 else ""
    return TableCell(sign + number_text(found.estimate, found.half_width, "accuracy"), found.significant, ())


def _factor(logarithm: float) -> str:
    return f"{math.exp(min(logarithm, 100.0)):.2g}"


def _gain_record(gain: Gain, comparison: Comparison) -> dict[str, Any]:
    found = gain.per_doubling
    return {
        "learner": gain.learner,
        "axis": gain.axis,
        "train_classes": None if gain.axis == "classes" else gain.fixed.train_classes,
        "ways": gain.fixed.ways,
        "shots": None if gain.axis == "shots" else gain.fixed.shots,
        "values": " ".join(map(str, gain.values)),
        "scale": "log error" if gain.relative else comparison.metric,
        "per_doubling": found and found.estimate,
        "half_width": found and found.half_width,
        "p_value": found and found.p_value,
        "seeds": found and found.n_seeds,
        "no_gain_shown_from": gain.ends_at,
        "sentence": gain_sentence(gain, comparison),
    }


def _pair_sheet(comparison: Comparison, name: str) -> Sheet:
    labels = [row[0].label for row in comparison.entries]
    sign = 1.0 if comparison.higher_is_better else -1.0
    wins = {(i, j): 0 for i in range(len(labels)) for j in range(len(labels))}
    tested = dict(wins)
    for pair in (pair for pairs in comparison.pairs for pair in pairs):
        better, worse = (pair.first, pair.second) if sign * pair.difference > 0 else (pair.second, pair.first)
        wins[better, worse] += pair.told_apart
        for place in ((pair.first, pair.second), (pair.second, pair.first)):
            tested[place] += 1
    layout = TableLayout(
        title=f"Pairs: {comparison.task} ({comparison.protocol})",
        caption=(
            f"At how many settings of {comparison.task} ({comparison.protocol}) the learner of a row is better than, "
            "cannot be told apart from, and is worse than the learner of a column: paired tests over seeds and "
            "episodes, Holm-corrected over the pairs of a setting, 5 %."
        ),
        groups=(),
        columns=tuple(labels),
        rows=tuple(
            (label, tuple(_pair_cell(wins, tested, i, j) for j in range(len(labels)))) for i, label in enumerate(labels)
        ),
        notes=(),
        corner="better / alike / worse",
    )
    return Sheet(f"pairs-{name}", layout, pd.DataFrame(_pair_records(comparison)))


def _pair_cell(wins: Mapping[tuple[int, int], int], tested: Mapping[tuple[int, int], int], i: int, j: int) -> TableCell:
    if not tested[i, j]:
        return TableCell("—", False, (), missing=True)
    alike = tested[i, j] - wins[i, j] - wins[j, i]
    return TableCell(f"{wins[i, j]} / {alike} / {wins[j, i]}", wins[i, j] == tested[i, j], ())


def _pair_records(comparison: Comparison) -> list[dict[str, Any]]:
    return [
        _pair_record(comparison, entry_setting_index, pair)
        for entry_setting_index, pairs in enumerate(comparison.pairs)
        for pair in pairs
    ]


def _pair_record(comparison: Comparison, column: int, pair: Pair) -> dict[str, Any]:
    setting = comparison.settings[column]
    return {
        "train_classes": setting.train_classes,
        "ways": setting.ways,
        "shots": setting.shots,
        "first": comparison.entries[pair.first][0].learner,
        "second": comparison.entries[pair.second][0].learner,
        "difference": pair.difference,
        "half_width": pair.half_width,
        "p_value": pair.p_value,
        "p_holm": pair.corrected,
        "told_apart": pair.told_apart,
        "seeds": pair.n_seeds,
    }


def _compute_sheet(comparison: Comparison, name: str) -> Sheet:
    records = [_compute_record(row) for row in comparison.entries if any(entry.runs for entry in row)]
    runs = [run for row in comparison.entries for run in runs_of(row)]
    processors = sorted({str(run.environment.get("processor", "not recorded")) for run in runs})
    rates = max((sum("pretraining_lr" in each for each in run.chosen) for run in runs), default=0)
    tuning = f" Where rates of pretraining were tried, up to {rates}, the chosen one is counted." if rates > 1 else ""
    layout = TableLayout(
        title=f"Computation: {comparison.task} ({comparison.protocol})",
        caption=(
            f"What each learner costs on {comparison.task}; protocol: {comparison.protocol}: means over its runs. "
            "Training of a fine-tuned network is its pretraining; adaptation is predicting the queries of one test "
            f"episode, encoding included.{tuning} Processor: {', '.join(processors)}."
        ),
        groups=(),
        columns=(
            *("parameters", "examples encoded", "training in s", "of the processor", "adaptation in ms"),
            *("prediction", "runs"),
        ),
        rows=tuple((str(record["label"]), _compute_cells(record)) for record in records),
        notes=(),
        corner="Learner",
    )
    return Sheet(f"compute-{name}", layout, pd.DataFrame(records))


def runs_of(row: Sequence[Entry]) -> tuple[Run, ...]:
    """The runs of a learner, each once: a run is tested at several settings."""
    return tuple({run.cell.run_id: run for entry in row for run in entry.runs}.values())


def _compute_record(row: Sequence[Entry]) -> dict[str, Any]:
    runs = runs_of(row)
    return {
        "learner": row[0].learner,
        "label": row[0].label,
        "parameters": _mean([run.parameters for run in runs]),
        "examples_encoded": _mean([run.examples_encoded for run in runs]),
        "train_seconds": _mean([run.environment.get("train_seconds") for run in runs]),
        "train_cpu_seconds": _mean([run.environment.get("train_cpu_seconds") for run in runs]),
        "predict_ms_per_episode": _mean([run.environment.get("predict_ms_per_episode") for run in runs]),
        "prediction": " and ".join(sorted({induction(run) for run in runs})),
        "runs": len(runs),
    }


def _mean(values: Sequence[object]) -> float | None:
    known = [float(value) for value in values if isinstance(value, int | float)]
    return sum(known) / len(known) if known else None


def _compute_cells(record: Mapping[str, Any]) -> tuple[TableCell, ...]:
    def text(name: str, form: str) -> TableCell:
        missing = record[name] is None
        return TableCell("—" if missing else format(record[name], form), False, (), missing)

    return (
        text("parameters", ",.0f"), text("examples_encoded", ",.0f"), text("train_seconds", ",.1f"),
        text("train_cpu_seconds", ",.1f"), text("predict_ms_per_episode", ".3g"), text("prediction", "s"),
        text("runs", "d"),
    )  # fmt: skip
