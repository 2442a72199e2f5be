"""The learning rates that the suite `rates` chose, and the suites that hold them.

To choose them again, run `adaptbench run rates`, copy `rates-*.csv` of its report to `reports/data/`, and write them
into the suites with `python -m adaptbench.benchmarks.suites.chosen_rates`. A suite that changes needs a new version.
"""

import csv
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any, NamedTuple

import yaml

from adaptbench.benchmarks.suites.registry import find, suite_files

SUITES = ("quick", "classes", "context", "protocols", "ablation", "sheets", "limits")
"""The suites that hold the chosen rates; the others have other budgets or numbers of ways, or choose for themselves."""

Rates = Mapping[tuple[str, str], float]
"""The rate of each task and form of a learner, by its label in tables."""


def chosen_rates() -> dict[tuple[str, str], float]:
    """Reads the rates that were chosen at the largest number of training classes."""
    chosen = sorted((row for row in _rows() if row["chosen"] == "True"), key=_classes)
    return {(row["task"], row["label"]): float(row["rate"]) for row in chosen}


def small_rates() -> str:
    """The rates that would be best with few training classes, beside the chosen ones, as a Markdown table."""
    rows, chosen = _rows(), chosen_rates()
    scores = {(row["task"], row["label"], _classes(row), float(row["rate"])): float(row["mean"]) for row in rows}
    largest = {row["task"]: max(_classes(each) for each in rows if each["task"] == row["task"]) for row in rows}
    lines = [
        "| task, training classes | learner | chosen rate | score there | best rate | score there | seeds agree |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        task, label, size = row["task"], row["label"], _classes(row)
        if row["chosen"] == "True" and size < largest[task]:
            tried = (chosen[task, label], float(row["rate"]))
            found = " | ".join(f"{rate:g} | {scores[task, label, size, rate]:.3g}" for rate in tried)
            agree = "no" if row["seeds_disagree"] == "True" else "yes"
            lines.append(f"| {task}, {row['train_classes']} | {label} | {found} | {agree} |")
    return "\n".join(lines)


def _rows() -> list[dict[str, str]]:
    """Every rate that was tried."""
    files = resources.files("adaptbench.reports").joinpath("data").iterdir()
    return [
        row
        for file in sorted(files, key=lambda each: each.name)
        if file.name.startswith("rates-")
        for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    ]


def _classes(row: Mapping[str, str]) -> float:
    """The training classes of a row; an empty number has no limit."""
    return float(row["train_classes"] or "inf")


def with_rates(text: str, rates: Rates) -> str:
    """Returns the text of a suite in which every learner has the rate of its form, if that was chosen.

    A learner that departs from all forms in some arguments gets the rate chosen under its own label, else that of the
    nearest form.

    Raises:
        ValueError: if a learner has no `optimization: {lr: ...}`, or shares it with one that needs another rate.
    """
    places: dict[tuple[int, int], float] = {}
    for name, node, rate in _learners(yaml.compose(text, yaml.SafeLoader), rates):
        if node is None:
            raise ValueError(f"Expected learner `{name}` to have `optimization: {{lr: {rate:g}}}` but it has no `lr`.")
        if places.setdefault((node.start_mark.index, node.end_mark.index), rate) != rate:
            raise ValueError(f"Expected an `lr` of its own for learner `{name}`, because it needs {rate:g}.")
    for (start, end), rate in sorted(places.items(), reverse=True):
        if float(text[start:end]) != rate:
            text = f"{text[:start]}{rate:g}{text[end:]}"
    return text


class _Learner(NamedTuple):
    """A learner of a suite, the place of its rate, and the rate that it should have."""

    name: str
    place: yaml.Node | None
    rate: float


def _learners(suite: yaml.Node | None, rates: Rates) -> Iterator[_Learner]:
    """Lists the learners whose form has a rate on their task."""
    for entry in _items(suite, "tasks"):
        task = _plain(entry, "task", "name")
        for key, learner in _items(entry, "learners"):
            component = _plain(learner, "learner")
            if component is not None:
                form, _ = find("learner", component["name"]).nearest_form(component.get("init_args", {}))
                labels = (_plain(learner, "label"), form.label)
                if rate := next((rates[task, label] for label in labels if (task, label) in rates), None):
                    yield _Learner(key.value, _at(learner, "optimization", "lr"), rate)


def _at(node: yaml.Node | None, *keys: str) -> yaml.Node | None:
    for key in keys:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        node = next((value for name, value in pairs if name.value == key), None)
    return node


def _items(node: yaml.Node | None, key: str) -> list[Any]:
    """The nodes in a list, or the pairs of nodes in a mapping."""
    found = _at(node, key)
    return [] if found is None else found.value


def _plain(node: yaml.Node | None, *keys: str) -> Any:  # noqa: ANN401 - YAML of any kind
    found = _at(node, *keys)
    return None if found is None else yaml.safe_load(yaml.serialize(found))


if __name__ == "__main__":
    for name in SUITES:
        path = suite_files()[name]
        before = path.read_text(encoding="utf-8")
        after = with_rates(before, chosen_rates())
        path.write_text(after, encoding="utf-8")
        print(f"{name}: {'unchanged' if after == before else 'changed; raise its version'}")
    print(small_rates())
