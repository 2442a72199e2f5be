"""Cards of learners, strategies and tasks: made from docstrings, signatures, the registry and results that ship."""

import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown
from rich.text import Text

from adaptbench.benchmarks.suites.registry import KINDS, Named, find, load
from adaptbench.lit_modules.embedding import EmbeddingLearner
from adaptbench.reports.comparison.comparison import Comparison, compare
from adaptbench.reports.format import Component
from adaptbench.reports.plural import count_of
from adaptbench.reports.results.runs import Run
from adaptbench.reports.selection import suggest
from adaptbench.reports.sources.bundles import built_in
from adaptbench.reports.sources.sources import opened, read_sources
from adaptbench.reports.tables.computation import carried_table, computation_table
from adaptbench.reports.tables.markup.markdown import escape_markdown, to_markdown
from adaptbench.reports.tables.scores import score_table

CARDS = ("learner", "strategy", "task")
"""The kinds of components that have cards."""
PAGE = "cards.md"
GUESS = "is no better than a guess"
LONGEST = 60
"""Letters of a default that are shown; a longer one is an object of the class's own."""
HEAD = """# Cards

`python -m adaptbench.benchmarks.commands.card docs` makes this page from docstrings and the registry.
`adaptbench show --card lstm` adds the results that ship: scores with intervals, cost, what was carried over, and
where it was no better than a guess.
"""
_SECTION = re.compile(r"^(Args|Attributes|Class attributes|Equation|Raises|Returns):$", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(\w[\w, ]*): ", re.MULTILINE)


def card(name: str) -> str:
    """Makes the card of a learner, strategy or task, with the results that ship, as Markdown.

    Raises:
        ValueError: if there is no such component.
    """
    kind = next((kind for kind in CARDS if name in KINDS[kind]), None)
    if kind is None:
        known = [each for kind in CARDS for each in KINDS[kind]]
        raise ValueError(f"Expected a learner, strategy or task but got `{name}`. {suggest(name, known)}")
    return "\n".join([_card(kind, name, "#"), *_results(kind, name)])


def show_card(name: str, console: Console) -> None:
    """Prints a card: rendered on a terminal, otherwise as Markdown.

    Raises:
        ValueError: if there is no such component.
    """
    text = card(name)
    console.print(Markdown(text) if console.is_terminal else Text(text), soft_wrap=not console.is_terminal)


def page() -> str:
    """Makes the page of all cards, without results; those of learn2learn are those of our own forms."""
    names = [(kind, name) for kind in CARDS for name in KINDS[kind] if not name.endswith("_learn2learn")]
    return "\n".join([HEAD, *(_card(kind, name, "##") for kind, name in names)])


def _card(kind: str, name: str, level: str) -> str:
    named, made = find(kind, name), load(kind, name)
    sections = _sections(made)
    about = [f"{kind} `{name}`", *([f"family {named.family}"] if named.family else []), named.summary]
    lines = [f"{level} {named.label}", "", f"*{'; '.join(about)}*", "", sections[""], ""]
    lines += [f"Equation: `{equation}`", ""] if (equation := " ".join(sections.get("Equation", "").split())) else []
    lines += [f"Reference: {named.reference}.", ""] if named.reference else []
    carried = getattr(made, "carried", None)
    if carried is not None and carried is not EmbeddingLearner.carried:
        lines += [f"Carries over: {_first_line(carried)}", ""]
    return "\n".join([*lines, *_forms(named), *_arguments(made, sections)])


def _forms(named: Named) -> list[str]:
    if not any(form.init_args or form.source for form in named.forms):
        return []
    rows = [
        (
            form.label,
            ", ".join(f"`{key}: {value}`" for key, value in form.init_args.items()),
            form.source or "built here",
        )
        for form in named.forms
    ]
    return _grid(("name in tables", "arguments", "published"), rows)


def _arguments(made: type, sections: Mapping[str, str]) -> list[str]:
    meanings = dict(_entries(sections.get("Args", "")))
    rows = [
        (f"`{name}`", f"`{default}`" if len(default) <= LONGEST else "its own", meanings.get(name, ""))
        for name, parameter in inspect.signature(made).parameters.items()
        if parameter.default is not inspect.Parameter.empty
        for default in [repr(parameter.default)]
    ]
    return _grid(("argument", "default", "meaning"), rows) if rows else []


def _grid(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    cells = [head, tuple("---" for _ in head), *rows]
    return [*(f"| {' | '.join(each.replace('|', chr(92) + '|') for each in row)} |" for row in cells), ""]


def _sections(made: type) -> dict[str, str]:
    """The sections of a docstring; a class that leaves its arguments to its base has the base's text below its own."""
    own, *bases = (_split(each) for each in made.__mro__ if each.__module__.startswith("adaptbench.") and each.__doc__)
    base = next((each for each in bases if "Args" in each), {}) if "Args" not in own else {}
    return {**base, **own, "": "\n\n".join(filter(None, (own[""], base.get(""))))}


def _split(made: type) -> dict[str, str]:
    first, *others = _SECTION.split(inspect.cleandoc(made.__doc__ or ""))
    return {
        name: text.strip("\n")
        for name, text in {"": first, **dict(zip(others[::2], others[1::2], strict=True))}.items()
    }


def _entries(section: str) -> Iterator[tuple[str, str]]:
    _, *parts = _ENTRY.split(section)
    for names, text in zip(parts[::2], parts[1::2], strict=True):
        for name in names.split(", "):
            yield name, " ".join(text.split())


def _first_line(made: object) -> str:
    return (inspect.getdoc(made) or "").partition("\n\n")[0].replace("\n", " ")


def _results(kind: str, name: str) -> Iterator[str]:
    """Yields the tables of the bundles that ship, cut to the rows of a component or to the tables of a task."""
    for suite in built_in():
        with opened([suite]) as sources:
            outcomes = read_sources(sources).outcomes
            own = {each.cell.label for each in outcomes if isinstance(each, Run) and _is(each, kind, name)}
            for comparison in compare(outcomes) if own else ():
                labels = {row[0].label for row in comparison.entries} & own
                if labels and kind != "task":
                    yield from _tables(comparison, f"{suite}, {sources[0].made}", labels)
                elif comparison.task == name:
                    yield from _tables(comparison, f"{suite}, {sources[0].made}", None)


def _is(run: Run, kind: str, name: str) -> bool:
    if kind == "task":
        return run.cell.task == name
    component = getattr(run.spec, kind, None)
    return isinstance(component, Component) and component.name == name


def _tables(comparison: Comparison, source: str, labels: set[str] | None) -> Iterator[str]:
    yield f"## {comparison.task} ({escape_markdown(comparison.protocol)}), from `{source}`\n"
    entries = [entry for entry in comparison.all_entries() if labels is None or entry.label in labels]
    failures = [
        f"{entry.label} at {entry.setting} "
        + (f"diverged with {count_of(len(entry.diverged), 'seed')}" if entry.diverged else GUESS)
        for entry in entries
        if entry.diverged or entry.at_chance
    ]
    yield f"Known failures: {escape_markdown('; '.join(failures)) or 'none in these results'}.\n"
    for table in (score_table(comparison), computation_table(comparison, ""), carried_table(comparison, "")):
        if table is not None:
            rows = tuple(row for row in table.rows if labels is None or row[0] in labels)
            marks = {mark for _, cells in rows for cell in cells for mark in cell.marks}
            notes = tuple(each for each in table.notes if each[0] in marks)
            yield to_markdown(replace(table, rows=rows, notes=notes))


if __name__ == "__main__":
    Path(sys.argv[1], PAGE).write_text(page(), encoding="utf-8")
