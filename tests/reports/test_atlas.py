"""The atlas: its sentences are those of the report's tables, its figures lie beside it, and it counts what was run."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from adaptbench.benchmarks.commands.atlas import _suite_row, write_atlas
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


def test_hours_left_are_those_of_like_cells():
    class Done:
        def __init__(self, task, learner, hours):
            self.cell = type("Cell", (), {"task": task, "learner": learner})
            self.all_cpu_seconds = 3600 * hours

    cells = [("a", "t", "x"), ("b", "t", "x"), ("c", "t", "y"), ("d", "t", "y"), ("e", "t", "z"), ("f", "u", "x")]
    runs = {"a": Done("t", "x", 1.0), "c": Done("t", "y", 3.0)}
    assert _suite_row("s", cells, runs) == "| `s` | 6 | 2 | 2.000 | 8.0 |"
    assert _suite_row("s", cells, {}) == "| `s` | 6 | 0 | not known | not known |"


@pytest.mark.slow
def test_the_page_that_ships_is_made_from_the_bundles_that_ship(tmp_path):
    assert write_atlas(tmp_path, list(built_in())).read_text() == (DOCS / "atlas.md").read_text()


def test_the_table_of_forms_in_the_docs_is_that_of_the_bundle(tmp_path):
    write_parts(["ablation"], tmp_path, ["forms-omniglot"])
    made = (tmp_path / "forms-omniglot.md").read_text(encoding="utf-8")
    assert made == (DOCS / "ablation" / "forms-omniglot.md").read_text(encoding="utf-8")
    rows = "\n".join(line for line in made.splitlines() if line.startswith("|"))
    copied = f"<!-- copy of docs/ablation/forms-omniglot.md -->\n\n{rows}\n"
    assert copied in (DOCS / "learners.md").read_text(encoding="utf-8")
