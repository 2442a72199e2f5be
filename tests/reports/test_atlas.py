"""The atlas: its sentences are those of the report's tables, its figures lie beside it, and it counts what was run."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from adaptbench.benchmarks.commands.atlas import _seconds, _suite_row, write_atlas
from adaptbench.benchmarks.executors.plan import Plan
from adaptbench.benchmarks.executors.time_left import Pace
from adaptbench.benchmarks.suites.suite import load_suite
from adaptbench.reports.report import write_parts
from adaptbench.reports.sources.bundles import built_in

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def page(folder, tmp_path):
    rng = np.random.default_rng(0)
    for seed in (0, 1, 2):
        for size in (10, 20, 50, 100):
            folder.plan("omniglot", "lstm", "LSTM", "rnn", seed, size)
    folder.write_suite("mine")
    for cell in folder.cells:
        mean = 0.98 - 0.8 * cell["train_classes"] ** -0.5
        folder.write_run(cell, scores=mean + rng.normal(0, 0.004) + rng.normal(0, 0.01, 60))
    (tmp_path / "docs").mkdir()
    return write_atlas(tmp_path / "docs", [str(folder.path)])


def test_each_sentence_is_that_of_the_row_that_it_names(page):
    text = page.read_text()
    found = re.findall(r'^- (.+)<!-- sentence of docs/(\S+) "(.+)" -->$', text, re.MULTILINE)
    assert len(found) == 2
    for sentence, path, filters in found:
        rows = pd.read_csv(page.parent / path, dtype=str)
        for name, value in (each.split("=") for each in filters.split()):
            rows = rows[rows[name] == value]
        assert rows["sentence"].tolist() == [sentence]
    assert "12 cells, of 3 seeds" in text
    for picture in re.findall(r"!\[.*\]\((.+)\)", text):
        assert (page.parent / picture).is_file()


def test_the_last_doubling_is_summed_up_for_each_setting(page):
    summary = r"^\*\*(.+)\*\*: .*?(\d+\.\d+)<!-- docs/(\S+) .* is significant for \d of 1"
    found = re.findall(summary, page.read_text(), re.MULTILINE)
    assert [setting for setting, *_ in found] == ["5-way 1-shot", "5-way 5-shot"]
    growth = pd.read_csv(page.parent / found[0][2])
    numbers = [float(number) for _, number, _ in found]
    assert numbers == pytest.approx((100 * growth["last_doubling"]).round(2).tolist())


def test_hours_left_are_those_of_like_runs():
    suite = load_suite("best")
    plan = Plan(suite, suite.cells(), {})
    first, *others = plan.runs()
    pace = Pace()
    pace.add(first, 3600.0)
    known = {first.spec.run_id: 3600.0}
    assert _suite_row("best", plan, known, known, pace) == f"| `best` | 6 | 1 | 1.000 | {len(others)}.0 |"


def test_the_hours_of_a_pretraining_count_once():
    cell = next(each for each in load_suite("quick").cells() if each.attributes.learner == "nearest_centroid")
    planned = Plan(load_suite("quick"), [cell], {}).runs()
    times = SimpleNamespace(train_cpu_seconds=20.0, test_seconds=1.0)
    run = SimpleNamespace(cell=cell.attributes, times=times, pretraining_cpu_seconds={})
    assert dict(_seconds(planned[1], run)) == {planned[0].spec.run_id: 20.0, planned[1].spec.run_id: 1.0}
    run.times = None
    assert not dict(_seconds(planned[1], run))


@pytest.mark.slow
def test_the_page_that_ships_is_made_from_the_bundles_that_ship(tmp_path):
    assert write_atlas(tmp_path, list(built_in())).read_text() == (DOCS / "atlas.md").read_text()


@pytest.mark.parametrize(
    ("suite", "page", "names"),
    [
        ("ablation", "learners.md", ["forms-omniglot", "forms-sinusoid"]),
        ("transfer", "transfer.md", ["transfer-omniglot", "sources-omniglot", "transfer-sinusoid"]),
    ],
)
def test_tables_of_the_docs_are_those_of_the_bundle(suite, page, names, tmp_path):
    write_parts([suite], tmp_path, names)
    for name in names:
        made = (tmp_path / f"{name}.md").read_text(encoding="utf-8")
        assert made == (DOCS / suite / f"{name}.md").read_text(encoding="utf-8")
        rows = "\n".join(line for line in made.splitlines() if line.startswith("|"))
        copied = f"<!-- copy of docs/{suite}/{name}.md -->\n\n{rows}\n"
        assert copied in (DOCS / page).read_text(encoding="utf-8")
