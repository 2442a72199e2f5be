"""The card in a bundle says by which options of `run` the bundle's part of a suite is chosen."""

import io
import json
import random
import re
import shlex
import zipfile

import pytest
from rich.console import Console

from adaptbench.benchmarks.commands.bundles.submit import submit_runs
from adaptbench.benchmarks.commands.part import parts_of
from adaptbench.benchmarks.executors.plan import select_cells
from adaptbench.benchmarks.suites.suite import load_suite
from adaptbench.reports.selection import parse_only
from adaptbench.reports.sources.bundles import built_in


def cells_of(suite):
    return [cell.attributes for cell in load_suite(suite).cells()]


def chosen(suite, options):
    """The runs that options of `run` choose, by id."""
    return {cell.spec.run_id for cell in select_cells(load_suite(suite), parse_only(shlex.split(options)[1::2]))}


@pytest.mark.slow
@pytest.mark.parametrize("suite", built_in())
def test_the_parts_of_the_card_are_what_the_bundle_has(suite, tmp_path):
    """Each once, even where not every learner has every number of classes, budget or number of ways."""
    submit_runs([suite], None, only={}, out=tmp_path / "a.zip", console=Console(file=io.StringIO()))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        card, runs = (archive.read(name).decode() for name in ("card.md", "runs.jsonl"))
    parts = [chosen(suite, options) for options in re.findall(r"^- Part of it: `(.+)`$", card, re.MULTILINE)]
    results = [json.loads(line)["result"] for line in runs.splitlines()]
    packed = {result["run_id"] for result in results if result["scores"]}
    assert set().union(*parts or [chosen(suite, "")]) == packed
    assert sum(map(len, parts)) in (0, len(packed))


def test_runs_of_learners_without_a_finished_run_are_counted_apart(tmp_path):
    console = Console(file=io.StringIO())
    submit_runs(["published"], None, only={}, out=tmp_path / "a.zip", console=console)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        packed = {json.loads(line)["result"]["run_id"] for line in archive.read("runs.jsonl").splitlines()}
        cells = json.loads(archive.read("bundle.json"))["suite"]["cells"]
    begun = {cell["learner"] for cell in cells if cell["run_id"] in packed}
    others = [cell["learner"] for cell in cells if cell["learner"] not in begun]
    assert others and f"{len(others)} are of {len({*others})} learners without a" in console.file.getvalue()


def test_a_whole_suite_and_one_that_does_not_ship_have_no_parts():
    cells = cells_of("smoke")
    assert parts_of("smoke", cells) == parts_of("mine", cells[:1]) == parts_of("smoke", []) == []
    own = cells[0].model_copy(update={"learner": "Sound", "run_id": "0" * 16})
    assert parts_of("smoke", [own]) == parts_of("smoke", [*cells[:3], own]) == []


@pytest.mark.parametrize(
    ("suite", "n_cells"), [("smoke", 1), ("smoke", 2), ("smoke", 7), ("smoke", 12), ("smoke", 15), ("candidates", 3)]
)
def test_any_cells_of_a_suite_are_chosen_by_their_parts(suite, n_cells):
    cells = random.Random(n_cells).sample(cells_of(suite), n_cells)
    parts = [chosen(suite, options) for options in parts_of(suite, cells)]
    assert set().union(*parts) == {cell.run_id for cell in cells} and sum(map(len, parts)) == n_cells
