"""The report of a suite in W&B: its curves, scores and tables."""

import importlib
import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from adaptbench.reports.comparison.comparison import Comparison, compare
from adaptbench.reports.comparison.gains import gains
from adaptbench.reports.errors import ReportError
from adaptbench.reports.report import file_names
from adaptbench.reports.results.manifest import Suite, read_suite
from adaptbench.reports.results.runs import read_outcomes
from adaptbench.reports.tables.markup.markdown import escape_markdown, to_markdown
from adaptbench.reports.tables.scores import score_table
from adaptbench.reports.words.sentences import best_sentence, gain_sentence


def build_dashboard(runs: Path, entity: str, project: str, suite: str | None = None, out: Path | None = None) -> str:
    """Creates the report in W&B, or writes it as JSON if W&B does not accept it.

    Args:
        runs: The folder that `adaptbench run` wrote.
        entity: The user or team in W&B; empty for the default one.
        project: The project in W&B.
        suite: The suite; None for the only one there.
        out: The JSON file; `dashboard-SUITE.json` in the folder by default.

    Returns:
        The outcome in a sentence.

    Raises:
        ReportError: The suite cannot be read, or the extra `dashboard` is not installed.
    """
    try:
        v2: Any = importlib.import_module("wandb_workspaces.reports.v2")
    except ImportError as error:
        raise ReportError("Expected wandb-workspaces to be installed: pip install -e '.[dashboard]'.") from error
    wanted = read_suite(Path(runs), suite)
    comparisons = compare(read_outcomes(Path(runs), wanted))
    report = v2.Report(
        entity=entity,
        project=project,
        title=f"{wanted.name} (version {wanted.version})",
        description=wanted.description,
        blocks=_blocks(v2, wanted, comparisons, entity, project),
    )
    trouble = _save(report)
    if trouble is None:
        return f"W&B has the report: {report.url}"
    path = out or Path(runs) / f"dashboard-{wanted.name}.json"
    path.write_text(json.dumps(_plain(report), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return f"W&B did not take the report ({trouble}); {path} holds what would be created."


def _save(report: Any) -> str | None:  # noqa: ANN401 - the library has no annotations
    """Saves a report; returns what went wrong."""
    try:
        report.save()
    except Exception as error:  # whatever W&B raises: not logged in, not reachable, not allowed
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return None


def _plain(value: Any) -> Any:  # noqa: ANN401
    """The parts of a report that are set, with their types, as JSON values; equal for equal runs."""
    if is_dataclass(value):
        set_ = {field.name: getattr(value, field.name) for field in fields(value) if not field.name.startswith("_")}
        kept = {name: _plain(each) for name, each in set_.items() if each not in (None, "", [], {}, (None, None))}
        return {"type": type(value).__name__, **kept}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _blocks(v2: Any, suite: Suite, comparisons: tuple[Comparison, ...], entity: str, project: str) -> list[Any]:  # noqa: ANN401
    blocks: list[Any] = [v2.P(suite.description), v2.TableOfContents()]
    for name, comparison in zip(file_names(comparisons), comparisons, strict=True):
        best = best_sentence(comparison, len(comparison.settings) - 1)
        said = [best, *(gain_sentence(gain, comparison) for gain in gains(comparison) if gain.axis == "classes")]
        wanted = {"suite": suite.name, "task": comparison.task, "protocol": comparison.protocol}
        runset = _runset(v2, entity, project, f"{suite.name}: {comparison.called}", wanted)
        runset.groupby = ["config.cell.label"]
        blocks += [
            v2.H2(f"{comparison.called} ({comparison.protocol})"),
            v2.MarkdownBlock("\n".join(f"- {escape_markdown(sentence)}" for sentence in said if sentence)),
            v2.PanelGrid(runsets=[runset], panels=_panels(v2, comparison)),
            v2.MarkdownBlock(to_markdown(score_table(comparison))),
            v2.PanelGrid(
                runsets=[_runset(v2, entity, project, f"{suite.name}: report", {"suite": suite.name})],
                panels=[v2.WeavePanelSummaryTable(table_name=f"tables/table-{name}")],
            ),
        ]
    return blocks


def _runset(v2: Any, entity: str, project: str, name: str, wanted: dict[str, str]) -> Any:  # noqa: ANN401
    """The runs whose configuration has these values under `cell`."""
    filters = " and ".join(f"Config('cell.{key}') == {value!r}" for key, value in wanted.items())
    return v2.Runset(entity=entity, project=project, name=name, filters=filters)


def _panels(v2: Any, comparison: Comparison) -> list[Any]:  # noqa: ANN401
    """Learning curves, and the test score at each ways and shots: against training classes, or as bars."""
    metric, log = comparison.metric.name, comparison.metric.logarithmic
    panels: list[Any] = [
        v2.LinePlot(title=f"{split} {metric}", x="Step", y=[f"{split}/{metric}"], log_y=log)
        for split in ("train", "val")
    ]
    sizes = {setting.train_classes for setting in comparison.settings}
    for ways, shots in dict.fromkeys((setting.ways, setting.shots) for setting in comparison.settings):
        key = f"test/{metric}/{f'{ways}-way ' if ways else ''}{shots}-shot"
        if len(sizes) > 1:
            x = v2.Config("cell.train_classes")
            panels.append(v2.ScatterPlot(title=key, x=x, y=v2.SummaryMetric(key), log_x=True, log_y=log))
        else:
            panels.append(v2.BarPlot(title=key, metrics=[v2.SummaryMetric(key)]))
    return panels
