"""The tables of transfer: what each rule of fine-tuning is worth, and which settings were chosen."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from adaptbench.reports.comparison.comparison import Comparison, Entry, compare
from adaptbench.reports.results.runs import Outcome, Run
from adaptbench.reports.results.settings import shots_label, size_label
from adaptbench.reports.statistics.ranking import Pair
from adaptbench.reports.tables.layout import TableCell, TableLayout
from adaptbench.reports.words.numbers import metric_name, number, number_text

FAMILIES = ("transfer", "control")
NO_RULES = ("episodes_at_once",)
"""Arguments of strategies that change no result."""


def ablation(outcomes: Iterable[Outcome]) -> tuple[TableLayout, pd.DataFrame] | None:
    """A row for each rule of transfer, with what it changes and its difference from the first row.

    Args:
        outcomes: The outcomes of one task under one protocol.

    Returns:
        The table, and the same as numbers in their stored unit; None where there are not two rows.
    """
    transfer = [outcome for outcome in outcomes if outcome.cell.family in FAMILIES]
    if len({outcome.cell.learner for outcome in transfer}) < 2:
        return None
    (found,) = compare(transfer)
    rules = [rule_of(row, found.entries[0]) for row in found.entries]
    layout = TableLayout(
        title=f"Rules of transfer: {found.task} ({found.protocol})",
        caption=(
            f"What each rule of transfer is worth on {found.task}; protocol: {found.protocol}: {metric_name(found)}, "
            f"and the difference from the first row, {found.entries[0][0].label}, with half widths of 95 % intervals. "
            "Bold: a difference that can be told from none (paired tests, Holm-corrected over a column's pairs, 5 %). "
            "Control rows are no fine-tuning: they say what pretraining and gradient steps have to beat."
        ),
        groups=(("", 1), *((_setting(found, column), 2) for column in range(len(found.settings)))),
        columns=("what the rule changes", *(["mean", "difference"] * len(found.settings))),
        rows=tuple(
            (row[0].label, (TableCell(rules[index], False, ()), *_cells(found, index)))
            for index, row in enumerate(found.entries)
        ),
        notes=(),
        warnings=found.warnings,
        corner="Rule",
        text_columns=(0,),
    )
    frame = pd.DataFrame(
        [
            _record(found, index, column, rules[index])
            for index in range(len(found.entries))
            for column in range(len(found.settings))
        ]
    )
    return layout, frame


def choices(outcomes: Iterable[Outcome]) -> tuple[TableLayout, pd.DataFrame] | None:
    """A row for each setting that some run chose by cross-validation; None where none did."""
    runs = [outcome for outcome in outcomes if isinstance(outcome, Run)]
    records = [record for run in runs for record in _choice_records(run)]
    if not records:
        return None
    cell = runs[0].cell
    taken = [record for record in records if record["share"]]
    layout = TableLayout(
        title=f"Settings that were chosen: {cell.task} ({cell.protocol})",
        caption=(
            "Settings chosen by cross-validation, for each number of support examples: on episodes of the validation "
            "part, or by each test episode within its support set; never by queries of the test. A learning rate of "
            "the pretraining is chosen by the pretraining's validation score. Share: of the test episodes."
        ),
        groups=(),
        columns=("seed", "support examples", "settings", "share"),
        rows=tuple(
            (str(record["label"]), tuple(TableCell(text, False, ()) for text in _choice(record))) for record in taken
        ),
        notes=(),
        corner="Learner",
        text_columns=(2,),
    )
    return layout, pd.DataFrame(records)


def rule_of(row: Sequence[Entry], first: Sequence[Entry]) -> str:
    """What a row's strategy sets otherwise than the first row's, in words; empty where nothing is known of it."""
    name, arguments = _strategy(row)
    base_name, base = _strategy(first)
    if row is first or name != base_name:
        return f"{name}{': ' if arguments else ''}{_in_words(arguments)}"
    changed = {key: value for key, value in arguments.items() if base.get(key) != value and key not in NO_RULES}
    dropped = {key: "as usual" for key in base if key not in arguments}
    return _in_words(changed | dropped)


def _strategy(row: Sequence[Entry]) -> tuple[str, Mapping[str, Any]]:
    for run in (run for entry in row for run in entry.runs):
        if run.spec is not None and run.spec.strategy is not None:
            return run.spec.strategy.name, run.spec.strategy.init_args
    return "", {}


def _in_words(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {_value_in_words(value)}" for key, value in arguments.items() if key not in NO_RULES)


def _value_in_words(value: Any) -> str:  # noqa: ANN401 - JSON of any kind
    """As short as can be: alternatives with `or`, arguments of arguments in brackets."""
    if isinstance(value, Mapping):
        return f"({_in_words(value)})"
    if isinstance(value, list):
        return " or ".join(map(_value_in_words, value))
    return value if isinstance(value, str) else json.dumps(value)


def _choice_records(run: Run) -> list[dict[str, Any]]:
    """What a run chose from: learning rates of the pretraining, and settings of its strategy."""
    cell, result = run.cell, run.result
    own = {"learner": cell.learner, "label": cell.label, "seed": cell.seed, "train_classes": cell.train_classes}
    rates: list[tuple[int | None, Mapping[str, Any], float, float]] = [
        (None, {"pretraining_lr": each.lr}, each.score, float(each.run_id == result.pretrained))
        for each in result.pretrainings
    ]
    settings = [(each.support, each.settings, each.score, each.share) for each in result.chosen]
    return [
        {**own, "support": support, "settings": _in_words(tried), "score": score, "share": share}
        for support, tried, score, share in (*rates, *settings)
    ]


def _choice(record: Mapping[str, Any]) -> tuple[str, ...]:
    support = record["support"]
    return (
        str(record["seed"]),
        "any" if support is None else str(support),
        str(record["settings"]),
        f"{100 * float(record['share']):.0f} %",
    )


def _setting(found: Comparison, column: int) -> str:
    setting = found.settings[column]
    shots = shots_label(setting, with_ways=True, word=found.shots_word)
    return f"{shots}, {size_label(setting, found.class_word)}"


def _cells(found: Comparison, index: int) -> list[TableCell]:
    cells = []
    for column, entry in enumerate(found.entries[index]):
        if entry.interval is None:
            cells += [TableCell(entry.status, False, (), missing=True), TableCell("—", False, (), missing=True)]
            continue
        cells.append(TableCell(number(entry.interval, found.metric), False, ()))
        pair = _from_first(found, index, column)
        if pair is None:
            cells.append(TableCell("—", False, (), missing=True))
        else:
            text = number_text(-pair.difference, pair.half_width, found.metric)
            cells.append(TableCell(f"+{text}" if pair.difference <= 0 else text, pair.told_apart, ()))
    return cells


def _from_first(found: Comparison, index: int, column: int) -> Pair | None:
    return next((pair for pair in found.pairs[column] if (pair.first, pair.second) == (0, index)), None)


def _record(found: Comparison, index: int, column: int, rule: str) -> dict[str, Any]:
    entry, pair, setting = found.entries[index][column], _from_first(found, index, column), found.settings[column]
    run = entry.runs[0] if entry.runs else None
    return {
        "learner": entry.learner,
        "label": entry.label,
        "family": run.cell.family if run else "",
        "rule": rule,
        "train_classes": setting.train_classes,
        "ways": setting.ways,
        "shots": setting.shots,
        "mean": entry.interval and entry.interval.mean,
        "half_width": entry.interval and entry.interval.half_width,
        "difference": pair and -pair.difference,
        "difference_half_width": pair and pair.half_width,
        "p_holm": pair and pair.corrected,
        "told_apart": pair and pair.told_apart,
        "diverged_episodes": sum(run.diverged(setting) for run in entry.runs),
        "transductive": run.result.transductive if run else None,
        "seeds": entry.interval.n_seeds if entry.interval else 0,
    }
