"""The page: one HTML file with tables, interactive curves and every run, which needs no network."""

import base64
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.format import Machine
from adaptbench.reports.laboratory_format import Laboratory
from adaptbench.reports.page.laboratory import atlas, laboratory_data, packed_networks
from adaptbench.reports.page.packing import digest, pack, pack_compressed, template, vendored, vendored_script
from adaptbench.reports.page.page_data import page_data
from adaptbench.reports.results.manifest import Suite
from adaptbench.reports.results.names import protocol_name, task_name
from adaptbench.reports.results.records import versions
from adaptbench.reports.results.runs import Problem, Run
from adaptbench.reports.tables.table import Table
from adaptbench.reports.words.captions import note, signs
from adaptbench.reports.words.commands import entry_commands
from adaptbench.reports.words.headlines import headlines
from adaptbench.reports.words.sentences import best_sentence

PLOTLY, RUNTIME, MACHINE = "plotly-basic.min.js", "ort.wasm.min.js", "ort-wasm-simd.wasm"
SCRIPTS = ("page.js", "functions.js", "episodes.js", "atlas.js", "start.js")
MOST_CHARACTERS = 7_900_000
"""Characters of the whole page, so that it stays below 8 MB."""
ROOM_BESIDE = 3_500_000
"""Characters that the runtime of networks, the episodes and the text take, for which networks leave room."""
MOST_IMAGE_BYTES = 1_500_000
"""The total size of the static figures in the page."""
TERMS: Mapping[str, str] = {
    "protocol": "What decides how hard a task is: its data, how they are divided into training and test, and how "
    "episodes are drawn from them. Scores of different protocols cannot be compared.",
    "episode": "One small problem: a support set to learn from, and queries to answer. A 5-way 1-shot episode has five "
    "classes with one support example each.",
    "interval": "The 95 % interval of a mean, in brackets: what it could have been with other seeds and other test "
    "episodes. Of many such intervals, 95 % contain the mean of all seeds and episodes.",
    "rank": "The place of a learner's mean among all means of its column, 1 for the best. A rank says nothing about "
    "significance: ≈ marks learners that are not significantly different from the best.",
    "inductive": "Each query is answered from the support set alone, as if it were the only one.",
    "transductive": "The queries of an episode are answered together, so that each may help with the others. Scores "
    "are usually higher than inductive ones and cannot be compared with them.",
}
"""Words that readers of a first report ask about."""
_TERM = re.compile(rf"\b({'|'.join(TERMS)})s?\b", re.IGNORECASE)
MOST_ROWS = 2000
"""The most entries of the results table, so that browsers stay fast; the CSV files have all entries."""
MOST_LINKS, FEWEST_LINKS = 20_000, 5
"""The most links to runs in it, and the fewest of an entry."""


@dataclass(frozen=True)
class Section:
    """A comparison as the page shows it.

    Args:
        comparison: The comparison.
        tables: Its tables, the main one first.
        figures: The paths of its figures.
        name: Its name in file names.
        gain_sentences: The gains per doubling of classes and shots, in sentences.
        standings: Where the learner that the report is about stands, in sentences.
    """

    comparison: Comparison
    tables: tuple[Table, ...]
    figures: tuple[Path, ...]
    name: str
    gain_sentences: tuple[str, ...]
    standings: tuple[str, ...] = ()


def render_page(
    suite: Suite,
    runs: Sequence[Run],
    problems: Sequence[Problem],
    sections: Sequence[Section],
    published: Table,
    commands: str,
    notes: Sequence[str],
    laboratory: Laboratory,
    heading: str,
) -> str:
    """Renders the page; every string from a file is escaped.

    Args:
        suite: The suite.
        runs: Its finished runs.
        problems: Its other cells.
        sections: One for each comparison.
        published: The table of published numbers.
        commands: The commands that reproduce the report.
        notes: What is left out, with its reason, and what guards named.
        laboratory: What trained networks gave to the laboratories.
        heading: The title; if empty, the first headline sentence.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["terms"] = _explain
    named = {section.name: section.comparison for section in sections}
    parts = {"plotly": pack_compressed(vendored(PLOTLY)), "data": pack(_json(page_data(suite, runs, named)))}
    networks = packed_networks(laboratory, runs, MOST_CHARACTERS - ROOM_BESIDE - sum(map(len, parts.values())))
    if networks:
        parts |= {"runtime": pack_compressed(vendored(RUNTIME)), "machine": pack_compressed(vendored(MACHINE))}
    shown = {**laboratory_data(laboratory, suite, runs, networks), "atlas": atlas(suite, runs, named)}
    parts |= {"laboratory": pack(_json(shown)), **networks}
    scripts = [template(name) for name in SCRIPTS]
    libraries = [vendored_script(name) for name in (PLOTLY, *([RUNTIME] if networks else []))]
    rows = _rows(suite, sections)
    standings = [text for each in sections for text in each.standings]
    page = environment.from_string(template("page.html.j2"))
    content = dict(
        suite=suite,
        terms=TERMS,
        style=template("page.css"),
        scripts=scripts,
        policy=" ".join(f"'sha256-{digest(code)}'" for code in (*scripts, *libraries)),
        parts=parts,
        laboratory=shown,
        n_finished=len(runs),
        heading=heading,
        standings=standings,
        leads=[]
        if standings
        else [lead for each in sections if (lead := best_sentence(each.comparison, each.comparison.largest[0]))],
        headlines=[headline for section in sections for headline in headlines(section.comparison)],
        sections=sections,
        published=published,
        rows=rows[:MOST_ROWS],
        n_rows=len(rows),
        n_links=max(FEWEST_LINKS, MOST_LINKS // max(1, min(len(rows), MOST_ROWS))),
        problems=_group_problems(problems),
        machines=_group_environments(runs),
        n_commits=len({run.machine.git_commit for run in runs if run.machine and run.machine.git_commit}),
        commands=commands,
        notes=notes,
    )
    room = MOST_CHARACTERS - len(page.render(images={}, **content).encode())
    return page.render(images=_images(sections, room), **content)


def _rows(suite: Suite, sections: Sequence[Section]) -> list[dict[str, object]]:
    """The rows of the results table."""
    return [
        _row(suite, section.comparison, entry)
        for section in sections
        for entry in section.comparison.all_entries()
        if entry.planned_seeds
    ]


def _row(suite: Suite, comparison: Comparison, entry: Entry) -> dict[str, object]:
    found, setting = entry.interval, entry.setting
    return {
        "task": comparison.task_name,
        "protocol": protocol_name(comparison.task, comparison.protocol),
        "label": entry.label,
        "size": setting.size if setting.examples is None else f"{setting.size}, {setting.examples:,} examples",
        "size_order": 1e18 if setting.train_classes is None else setting.train_classes,
        "ways": "" if setting.ways is None else setting.ways,
        "shots": setting.shots,
        "metric": comparison.metric.label,
        "score": "" if found is None else comparison.metric.interval(found),
        "marks": "" if found is None else ",".join(signs(entry)),
        "mean": "" if found is None else repr(found.mean),
        "rank": "" if entry.rank is None else f"{entry.rank:g}",
        "best": entry.best,
        "status": entry.status,
        "note": note(entry),
        "runs": [(run.cell.seed, run.cell.run_id) for run in entry.runs],
        "command": entry_commands(suite, comparison, entry),
    }


def _json(data: object) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _images(sections: Sequence[Section], room: int) -> dict[str, list[tuple[str, str]]]:
    """The names and data URIs of each section's static figures, as long as they fit into so many characters."""
    left = min(MOST_IMAGE_BYTES, room * 3 // 4)
    found: dict[str, list[tuple[str, str]]] = {}
    for section in sections:
        for path in section.figures:
            if path.suffix == ".png" and path.stat().st_size <= left:
                left -= path.stat().st_size
                uri = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
                found.setdefault(section.name, []).append((path.stem, uri))
    return found


def _explain(text: str) -> Markup:
    """The text, escaped; the first use of each word of `TERMS` gets its meaning as a tooltip."""
    met: set[str] = set()

    def explained(match: re.Match[str]) -> str:
        term = match[1].lower()
        if term in met:
            return match[0]
        met.add(term)
        return f'<span data-term="{term}" tabindex="0" aria-describedby="tip">{match[0]}</span>'

    return Markup(_TERM.sub(explained, str(escape(text))))


def _group_problems(problems: Sequence[Problem]) -> list[dict[str, object]]:
    """Cells without a run, grouped by their reason."""
    groups: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in problems:
        groups.setdefault((problem.kind, problem.reason, problem.log), []).append(problem)
    return [
        {"kind": kind, "reason": reason, "log": log, "cells": [_place(problem) for problem in group]}
        for (kind, reason, log), group in groups.items()
    ]


def _place(problem: Problem) -> str:
    cell = problem.cell
    run = f"seed {cell.seed} (run {cell.run_id})"
    return f"{task_name(cell.called)}: {cell.label}, {cell.settings[0].size_label}, {run}"


def _group_environments(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Each environment in which runs were made, with the number of its runs."""
    counts = Counter(_machine(run.machine) for run in runs)
    names = ("processor", "device", "threads", "commit", "versions")
    return [dict(zip(names, key, strict=True)) | {"runs": str(count)} for key, count in sorted(counts.items())]


def _machine(machine: Machine | None) -> tuple[str, ...]:
    if machine is None:
        return ("not recorded",) * 5
    dirty = " (with uncommitted changes)" if machine.git_dirty else ""
    commit = (machine.git_commit or "not recorded") + dirty
    return machine.processor, machine.device, str(machine.threads), commit, versions(machine) or "not recorded"
