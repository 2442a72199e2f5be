"""Writes `docs/suite_keys.md`, the keys of a suite, from the models that read it."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adaptbench.benchmarks.suites.suite import Suite

HEAD = """# Keys of a suite

A suite is a YAML file. `python -m adaptbench.benchmarks.suites.keys docs` makes this page from the models that read it;
unknown keys are refused. [Bring your own](own.md) has examples, `benchmarks/suites/` the suites that ship.
"""
TITLES = {
    "Suite": "The file",
    "TaskEntry": "An entry of `tasks`",
    "LearnerEntry": "An entry of `learners`",
    "Component": "A class: `task`, `learner`, `strategy`, `otherwise`",
    "Encoder": "`encoder`",
    "TrainEpisodes": "`train`",
    "EvalEpisodes": "`test`",
    "Budget": "`budget`",
    "TrainerOptions": "`trainer`",
    "Optimization": "`optimization`",
    "Pretraining": "`pretraining`",
}
"""Where the keys of each model stand."""


def markdown() -> str:
    """The page: a table for each model."""
    root = Suite.model_json_schema()
    models = {"Suite": root, **root["$defs"]}
    return "\n".join([HEAD, *(_section(title, models[name]) for name, title in TITLES.items())])


def _section(title: str, model: Mapping[str, Any]) -> str:
    meanings = _meanings(model["description"])
    rows = [
        f"| `{key}` | {_kind(field)} | {_default(key, field, model)} | {meanings[key]} |".replace("  ", " ")
        for key, field in model["properties"].items()
    ]
    return "\n".join([f"## {title}\n", "| key | type | default | meaning |", "|---|---|---|---|", *rows, ""])


def _meanings(docstring: str) -> dict[str, str]:
    """The attributes that a docstring describes."""
    _, _, attributes = docstring.partition(re.search(r"(Attributes|Args):\n", docstring)[0])  # type: ignore[index]
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", attributes, re.MULTILINE)
    return {name: " ".join(meaning.split()).replace("|", "\\|") for name, meaning in found}


def _kind(field: Mapping[str, Any]) -> str:
    """The type of a value, in words."""
    if "anyOf" in field:
        return " or ".join(_kind(each) for each in field["anyOf"])
    if "allOf" in field or "$ref" in field:
        name = (field.get("$ref") or field["allOf"][0]["$ref"]).rpartition("/")[2]
        return f"[{name}](#{re.sub(r'[^a-z0-9_ -]', '', TITLES[name].lower()).replace(' ', '-')})"
    if "enum" in field or "const" in field:
        return " or ".join(f'"{each}"' for each in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}))}"
    if field.get("type") == "object":
        return (
            f"name: {_kind(field['additionalProperties'])}"
            if isinstance(field.get("additionalProperties"), dict)
            else "names and values"
        )
    return {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false", "null": "null"}.get(
        field.get("type", ""), "any"
    )


def _default(key: str, field: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    if key in model.get("required", ()):
        return "required"
    return f"`{field['default']}`".replace("None", "null") if field.get("default") not in (None, "", [], {}) else ""


if __name__ == "__main__":
    Path(sys.argv[1], "suite_keys.md").write_text(markdown(), encoding="utf-8")
