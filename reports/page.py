"""The page: one HTML file that holds the tables and figures and needs no network."""

import base64
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from reports.comparison import Comparison
from reports.figures import panel_columns
from reports.headlines import headlines
from reports.layout import TableLayout
from reports.manifest import Suite
from reports.records import versions
from reports.runs import Problem, Run


@dataclass(frozen=True)
class Section:
    """A comparison as the page shows it; `image` is the PNG of its figure and `name` the stem of its files."""

    comparison: Comparison
    layout: TableLayout
    image: bytes
    name: str

    @property
    def source(self) -> str:
        """The figure as a data URI."""
        return f"data:image/png;base64,{base64.b64encode(self.image).decode('ascii')}"

    @property
    def wide(self) -> bool:
        """Whether the figure has several panels and is better scrolled than shrunk on a phone."""
        return len(panel_columns(self.comparison)) > 1


def render_page(suite: Suite, runs: Sequence[Run], problems: Sequence[Problem], sections: Sequence[Section]) -> str:
    """Renders the page; every string that came from a file is escaped.

    Args:
        suite: The suite.
        runs: Its finished runs.
        problems: Its other cells.
        sections: One for each comparison.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = files("reports").joinpath("templates/page.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        suite=suite,
        n_finished=len(runs),
        headlines=[headline for section in sections for headline in headlines(section.comparison)],
        sections=sections,
        problems=_group_problems(problems),
        machines=_group_environments(runs),
        commits=sorted({str(run.environment.get("git_commit") or "") for run in runs} - {""}),
        run_command=f"adaptbench run {shlex.quote(suite.name)}",
    )


def _group_problems(problems: Sequence[Problem]) -> list[dict[str, object]]:
    """Cells that failed for the same reason, together."""
    groups: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in problems:
        groups.setdefault((problem.kind, problem.reason, problem.log), []).append(problem)
    return [
        {"kind": kind, "reason": reason, "log": log, "cells": [_place(problem) for problem in group]}
        for (kind, reason, log), group in groups.items()
    ]


def _place(problem: Problem) -> str:
    cell = problem.cell
    size = "unlimited" if cell.train_classes is None else cell.train_classes
    return f"{cell.task}: {cell.label}, {size} {cell.class_word}, seed {cell.seed} (run {cell.run_id})"


def _group_environments(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Each environment that runs were made in, with how many."""
    counts: dict[tuple[str, ...], int] = {}
    for run in runs:
        key = _environment(run.environment)
        counts[key] = counts.get(key, 0) + 1
    names = ("processor", "device", "threads", "commit", "versions")
    return [dict(zip(names, key, strict=True)) | {"runs": str(count)} for key, count in sorted(counts.items())]


def _environment(environment: Mapping[str, object]) -> tuple[str, ...]:
    def text(name: str) -> str:
        return "not recorded" if environment.get(name) is None else str(environment[name])

    dirty = " (with uncommitted changes)" if environment.get("git_dirty") else ""
    commit = text("git_commit") + dirty
    return text("processor"), text("device"), text("threads"), commit, versions(environment) or "not recorded"
