"""The table of what each learner costs."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from adaptbench.reports.comparison.comparability import induction
from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.results.runs import Run
from adaptbench.reports.tables.layout import Sheet, TableCell, TableLayout


def compute_sheet(comparison: Comparison, name: str) -> Sheet:
    """The table of what each learner costs."""
    records = [_compute_record(row) for row in comparison.entries if any(entry.runs for entry in row)]
    runs = [run for row in comparison.entries for run in runs_of(row)]
    processors = sorted({run.machine.processor if run.machine else "not recorded" for run in runs})
    rates = max((len(run.result.pretrainings) for run in runs), default=0)
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
    times = [run.times for run in runs if run.times is not None]
    return {
        "learner": row[0].learner,
        "label": row[0].label,
        "parameters": _mean([run.result.parameters for run in runs]),
        "examples_encoded": _mean([run.result.examples_encoded for run in runs]),
        "train_seconds": _mean([time.train_seconds for time in times]),
        "train_cpu_seconds": _mean([time.train_cpu_seconds for time in times]),
        "predict_ms_per_episode": _mean([time.predict_ms_per_episode for time in times]),
        "prediction": " and ".join(sorted({induction(run.result) for run in runs})),
        "runs": len(runs),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
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
