"""The tables of computation: costs, settings of training that differ, and numbers that learners carry over."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from adaptbench.reports.comparison.comparability import induction
from adaptbench.reports.comparison.comparison import Comparison, Entry, carried_over, mean_of
from adaptbench.reports.results.runs import Run
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
from adaptbench.reports.words.arguments import in_words, value_in_words

Row = Sequence[Entry]


def computation_table(comparison: Comparison, name: str) -> Table | None:
    """The table of computation, a row for each learner and budget; None if no run has finished."""
    split = [part for row in comparison.entries for part in _by_budget(row)]
    rows = [row for row in split if any(entry.runs for entry in row)]
    if not rows:
        return None
    runs = [run for row in rows for run in runs_of(row)]
    processors = sorted({run.machine.processor if run.machine else "not recorded" for run in runs})
    rates = max(len(run.result.pretrainings) for run in runs)
    tuning = f" If several trainings were tried (at most {rates}), training is that of the chosen one."
    columns = _COLUMNS if rates > 1 else tuple(column for column in _COLUMNS if column.key != "all_cpu_seconds")
    return Table(
        name=f"compute-{name}",
        title=f"Computation: {comparison.place}",
        caption=(
            f"Cost of each learner on {comparison.place}: means over its runs. "
            "The training of a fine-tuned network is its pretraining. Adaptation is the prediction of the queries of "
            f"one test episode, encoding included.{tuning if rates > 1 else ''} Processor: {', '.join(processors)}."
        ),
        frame=frame_of(columns, rows),
        columns=headings_of(columns),
        rows=tuple((row[0].label, cells_of(columns, row)) for row in rows),
        corner="Learner",
        text_columns=(headings_of(columns).index("prediction"),),
    )


def settings_table(comparison: Comparison, name: str) -> Table | None:
    """The settings of training that differ between learners; None if none does."""
    found = [_Settings(row[0], settings) for row in comparison.entries if (settings := _settings(row))]
    keys = list(dict.fromkeys(key for each in found for key in each.settings))
    differing = [key for key in keys if len({each.settings.get(key) for each in found}) > 1]
    if not differing:
        return None
    same = [f"{_in_words(key)} {found[0].settings[key]}" for key in keys if key not in differing]
    columns = [_setting_column(key) for key in differing]
    return Table(
        name=f"settings-{name}",
        title=f"Settings that differ: {comparison.place}",
        caption=(
            f"Settings of training that differ between the learners on {comparison.place}"
            f". Arguments are those of the learner, or of the strategy that adapts a pretraining, "
            "that the suite gives. The same for all: "
            f"{', '.join(same) or 'nothing else'}."
        ),
        frame=frame_of([Column("learner", lambda each: each.entry.learner), *columns], found),
        columns=headings_of(columns),
        rows=tuple((each.entry.label, cells_of(columns, each)) for each in found),
        corner="Learner",
        text_columns=tuple(range(len(columns))),
    )


class _Settings(NamedTuple):
    """The settings of a learner's training in words, by their dotted names."""

    entry: Entry
    settings: Mapping[str, str]


def _setting_column(key: str) -> Column[_Settings]:
    return Column(key, lambda each: each.settings.get(key), _in_words(key), "s")


def _in_words(key: str) -> str:
    """A dotted name in words, such as "encoder depth" for `encoder.init_args.depth`."""
    parts = [part for part in key.removeprefix("optimization.").split(".") if part not in ("init_args", "name")]
    return " ".join(_WORDS.get(word, word) for part in parts for word in part.split("_"))


_WORDS = {"lr": "learning rate", "val": "validation"}


NOT_COMPARED = ("results_version", "task", "test", "seed", "learner", "strategy", "rivals", "pretrained")
"""Parts of a spec that are no settings of training, or have a place of their own."""


def _settings(row: Row) -> dict[str, str]:
    """The settings of a learner's training by their dotted names, and its arguments; empty if they are not known."""
    found: dict[str, dict[str, None]] = {}
    for run in runs_of(row):
        for key, value in _settings_of(run).items():
            found.setdefault(key, {})[value] = None
    return {key: " or ".join(values) for key, values in found.items()}


def _settings_of(run: Run) -> dict[str, str]:
    if run.training is None:
        return {}
    content = run.training.model_dump(mode="json", exclude=set(NOT_COMPARED), exclude_none=True)
    found = _flat(content)
    found.pop("budget.examples", None)  # what was encoded stands in the table of computation
    rate = next((each.lr for each in run.result.pretrainings if each.run_id == run.result.pretrained), None)
    if rate is not None:
        found["optimization.lr"] = f"{rate:g}"
    return {**found, "arguments": (run.component and in_words(run.component.init_args)) or "defaults"}


def _flat(content: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Nested values in words, by dotted names."""
    found: dict[str, str] = {}
    for key, value in content.items():
        own = _flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value_in_words(value)}
        found |= own
    return found


def _by_budget(row: Row) -> list[Row]:
    budgets = dict.fromkeys(entry.setting.examples for entry in row)
    return [[entry for entry in row if entry.setting.examples == budget] for budget in budgets]


def carried_table(comparison: Comparison, name: str) -> Table | None:
    """The numbers carried over beside the score, with the most training classes; None if no run says how many."""
    entries = [[row[column] for column in comparison.largest] for row in comparison.entries]
    shown = [row for row in entries if any(carried_over(entry) is not None for entry in row)]
    if not shown:
        return None
    settings = [comparison.settings[column] for column in comparison.largest]
    silent = [row[0].label for row in entries if row not in shown and any(entry.interval for entry in row)]
    return Table(
        name=f"carried-{name}",
        title=f"Numbers carried over: {comparison.place}",
        caption=(
            f"What learners carry over from the support set on {comparison.place}, {settings[0].size_label}"
            f": how many numbers queries get of it (a context, a state, keys and values, weights "
            f"that are generated or moved), and {comparison.metric.heading} with the ends of 95 % intervals."
            f"{' Not shown, because they do not say how many: ' + '; '.join(silent) + '.' if silent else ''}"
        ),
        frame=frame_of(_CARRIED_COLUMNS, (entry for row in shown for entry in row)),
        groups=tuple((setting.episode_label, 2) for setting in settings),
        columns=("numbers", "mean") * len(settings),
        rows=tuple((row[0].label, tuple(cell for e in row for cell in _carried(e, comparison))) for row in shown),
        corner="Learner",
    )


def _carried(entry: Entry, comparison: Comparison) -> tuple[TableCell, TableCell]:
    numbers, found = carried_over(entry), entry.interval
    known = ABSENT if numbers is None else TableCell(f"{numbers:,.0f}")
    if found is None:
        return known, TableCell(entry.status, missing=True)
    text, ends = comparison.metric.parts(found.mean, found.lower, found.upper)
    return known, TableCell(text, ends=ends)


def runs_of(row: Row) -> tuple[Run, ...]:
    """The runs of a learner, each once although a run is tested at several settings."""
    return tuple({run.cell.run_id: run for entry in row for run in entry.runs}.values())


def _mean(take: Callable[[Run], float | None]) -> Callable[[Row], float | None]:
    """The mean of a number over the runs that recorded it."""
    return lambda row: mean_of(take(run) for run in runs_of(row))


_COLUMNS: tuple[Column[Row], ...] = (
    Column("learner", lambda row: row[0].learner),
    Column("label", lambda row: row[0].label),
    Column("parameters", _mean(lambda run: run.result.parameters), "parameters", ",.0f"),
    Column("examples_encoded", _mean(lambda run: run.result.examples_encoded), "examples encoded", ",.0f"),
    Column("train_seconds", _mean(lambda run: run.train_seconds), "training in s", ",.1f"),
    Column("train_cpu_seconds", _mean(lambda run: run.train_cpu_seconds), "CPU time in s", ",.1f"),
    Column("all_cpu_seconds", _mean(lambda run: run.all_cpu_seconds), "with all tried", ",.1f"),
    Column(
        "predict_ms_per_episode",
        _mean(lambda run: run.times.predict_ms_per_episode if run.times else None),
        "adaptation in ms",
        ".3g",
    ),
    Column(
        "prediction",
        lambda row: " and ".join(sorted({induction(run.result) for run in runs_of(row)})),
        "prediction",
        "s",
    ),
    Column("runs", lambda row: len(runs_of(row)), "runs", "d"),
)
_CARRIED_COLUMNS: tuple[Column[Entry], ...] = (
    Column("learner", lambda entry: entry.learner),
    Column("label", lambda entry: entry.label),
    *setting_columns(lambda entry: entry.setting),
    Column("carried", carried_over),
    Column("mean", lambda entry: entry.interval and entry.interval.mean),
    Column("lower", lambda entry: entry.interval and entry.interval.lower),
    Column("upper", lambda entry: entry.interval and entry.interval.upper),
    Column("seeds", lambda entry: entry.interval.n_seeds if entry.interval else 0),
)
