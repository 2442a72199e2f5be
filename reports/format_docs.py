"""Writes `docs/format.md` and `docs/format.schema.json`: `python -m adaptbench.reports.format_docs docs`."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from adaptbench.reports.bundle_format import Bundle, BundledRun, Statement, Tolerances
from adaptbench.reports.format import FORMAT_VERSION, Environment, Failure, Guards, Manifest, Result, Spec
from adaptbench.reports.format_tables import TABLES, Column
from adaptbench.reports.laboratory_format import Laboratory

FILES: tuple[type[BaseModel], ...] = (
    Manifest, Result, Environment, Guards, Spec, Failure, Laboratory, Bundle, BundledRun, Statement, Tolerances,
)  # fmt: skip
TABLE_OF = {
    "episodes.parquet": "a row for each test episode; absent in a pretraining",
    "calibration.parquet": "a row for each size of test episodes and bin; in tasks of classification only",
    "curve.parquet": "a row for each epoch, part and metric; absent if the run trained nothing itself",
    "fits.parquet": "predicted functions beside the true ones; in tasks of regression only",
}
HEAD = f"""# What a folder of runs holds

`python -m adaptbench.reports.format_docs docs` makes this page and the JSON Schema in
[format.schema.json](format.schema.json) from the docstrings of `reports/format.py`, `bundle_format.py` and
`laboratory_format.py`. This is format version {FORMAT_VERSION}; files of another version are refused. Fields that a
version does not know are ignored.
`adaptbench.load_results` gives the scores as two data frames, runs and episodes.

```
runs/
  suites/SUITE.json        what a suite wants
  RUN/                     a finished run
    result.json            its scores and checksums
    episodes.parquet       its score on every test episode
    calibration.parquet    how often it was right, by the probability that it gave; classification only
    curve.parquet          its learning curve; absent if another run was trained for it
    fits.parquet           functions that it predicted, where they can be drawn
    model.ckpt             its weights and the shape of its task, for torch.load; absent if they are another run's
    environment.json       machine and times
    guards.json            what the guards found
    spec.json              what determines it
  .partial-RUN/            an unfinished run
    failure.json           why its last try failed
    last.ckpt              the checkpoint that it continues from
    log.txt, progress      what it printed, and the share of its training that is done
  .damaged-RUN/            a damaged run, kept until it is computed again
  .lock-RUN                the process that works on a run
  .slurm/                  submitit's files while SLURM has jobs, and afterwards if one failed
  dashboard-SUITE.json     of `adaptbench dashboard` without a login
  laboratory-SUITE.json    what trained networks answer in the page, of `adaptbench report --laboratory`
  compare-LEARNER/         the report of `adaptbench compare`
  report-SUITE/            tables, figures and page; `files.txt` lists them
  wandb/                   W&B's files, the id of this folder in W&B (`folder`), and which runs it has (`mirrored/`)
```

A bundle (`adaptbench submit runs`) is a zip file with the runs of one suite. It has `bundle.json`, a line of JSON for
each run in `runs.jsonl`, and the tables below with a first column `run_id`. Many different numbers are kept in single
precision. `card.md` and `code/` are for readers.
"""


def markdown() -> str:
    """The page: a table for each file, for each kind of record in it, and for each table of a run."""
    parts = [HEAD, "## JSON files\n"]
    parts += [_section(model) for model in _models()]
    parts += ["## Tables\n"]
    parts += [_table(name, columns) for name, columns in TABLES.items()]
    return "\n".join(parts)


def schema() -> str:
    """The JSON Schema of every JSON file, by the name of its type."""
    _, found = models_json_schema(
        [(model, "serialization") for model in FILES], title=f"adaptbench, format version {FORMAT_VERSION}"
    )
    return json.dumps(found, indent=1, sort_keys=True) + "\n"


def write(folder: Path) -> None:
    """Writes both files."""
    (folder / "format.md").write_text(markdown(), encoding="utf-8")
    (folder / "format.schema.json").write_text(schema(), encoding="utf-8")


def _models() -> Iterator[type[BaseModel]]:
    """The types of the files, each followed by the types of its parts that have not come yet."""
    seen: dict[type[BaseModel], None] = {}

    def visit(model: type[BaseModel]) -> None:
        if model not in seen:
            seen[model] = None
            for field in model.model_fields.values():
                for part in _parts(field.annotation):
                    visit(part)

    for model in FILES:
        visit(model)
    yield from seen


def _parts(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _parts(argument)


def _section(model: type[BaseModel]) -> str:
    lines = [f"### {model.__name__}", "", _line(model.__doc__), "", "| field | type | meaning |", "|---|---|---|"]
    lines += [
        f"| `{name}` | {_type(model, name)} | {_line(field.description)} |"
        for name, field in model.model_fields.items()
    ]
    return "\n".join([*lines, ""])


def _type(model: type[BaseModel], name: str) -> str:
    """The type of a field in the words of JSON Schema."""
    found = model.model_json_schema(mode="serialization")
    place = found["$defs"][model.__name__] if "$ref" in found else found
    return _in_words(place["properties"][name])


def _in_words(found: dict[str, Any]) -> str:
    if "$ref" in found:
        return str(found["$ref"]).rpartition("/")[2].replace("JsonValue", "any JSON value")
    if "anyOf" in found:
        return " or ".join(map(_in_words, found["anyOf"]))
    if "enum" in found:
        return " or ".join(f'"{value}"' for value in found["enum"])
    if found.get("type") == "array":
        return f"list of {_in_words(found['items'])}"
    if found.get("type") == "object":
        values = found.get("patternProperties", {"": found.get("additionalProperties", {})}).values()
        return f"object of {' or '.join(map(_in_words, values))}"
    return str(found.get("format") or found.get("type") or "any JSON value")


def _line(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def _table(name: str, columns: tuple[Column, ...]) -> str:
    lines = [f"### `{name}`", "", f"{TABLE_OF[name][0].upper()}{TABLE_OF[name][1:]}.", ""]
    lines += ["| column | kind | unit | meaning |", "|---|---|---|---|"]
    lines += [f"| `{each.name}` | {each.kind} | {each.unit} | {each.meaning} |" for each in columns]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    write(Path(sys.argv[1]))
