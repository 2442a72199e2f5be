"""The card in a bundle says by which options of `run` the bundle's part of a suite is chosen."""

import io
import json
import re
import shlex
import zipfile

import pytest
from rich.console import Console

from adaptbench.benchmarks.commands.bundles.submit import submit_runs
from adaptbench.benchmarks.commands.part import part_of
from adaptbench.benchmarks.suites.suite import load_suite
from adaptbench.reports.results.manifest import values_of
from adaptbench.reports.selection import parse_only, select


def cells_of(suite):
    return [cell.attributes for cell in load_suite(suite).cells()]


def chosen(suite, options):
    """The runs that options choose, by id."""
    only = parse_only(shlex.split(options)[1::2])
    return {cell.run_id for cell in select(cells_of(suite), only, values_of, suite)}


@pytest.mark.parametrize(("suite", "alone"), [("limits", True), ("ablation", False)])
def test_the_options_of_the_card_choose_what_the_bundle_has(suite, alone, tmp_path):
    """And more where not every learner has every budget."""
    submit_runs([suite], None, only={}, out=tmp_path / "a.zip", console=Console(file=io.StringIO()))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        card, runs = (archive.read(name).decode() for name in ("card.md", "runs.jsonl"))
    (options,) = re.findall(r"^- Its runs are among those that `(--only .+)` chooses\.$", card, re.MULTILINE)
    results = [json.loads(line)["result"] for line in runs.splitlines()]
    packed = {result["run_id"] for result in results if result["scores"]}
    assert packed <= chosen(suite, options) and (not alone or chosen(suite, options) <= packed)


def test_runs_of_learners_without_a_finished_run_are_counted_apart(tmp_path):
    console = Console(file=io.StringIO())
    submit_runs(["published"], None, only={}, out=tmp_path / "a.zip", console=console)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        packed = {json.loads(line)["result"]["run_id"] for line in archive.read("runs.jsonl").splitlines()}
        cells = json.loads(archive.read("bundle.json"))["suite"]["cells"]
    begun = {cell["learner"] for cell in cells if cell["run_id"] in packed}
    others = [cell["learner"] for cell in cells if cell["learner"] not in begun]
    assert others and f"{len(others)} are of {len({*others})} learners without a" in console.file.getvalue()


def test_a_whole_suite_and_one_that_does_not_ship_have_no_part():
    cells = cells_of("smoke")
    assert part_of("smoke", cells) == part_of("mine", cells[:1]) == ""
    first = [cell for cell in cells if cell.learner == "lstm" and cell.seed == 0]
    assert "--only learner=lstm" in part_of("smoke", first)
