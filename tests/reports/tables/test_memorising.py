"""The table of memorising: tests on training beside the usual one, and never mixed with it."""

import json

import pandas as pd
import pytest

from adaptbench.reports.report import write_report
from adaptbench.reports.sources.loading import load_results

pytestmark = pytest.mark.usefixtures("no_figures")


def add_tests(folder, gains):
    """Adds to every finished run tests on training, whose scores are the usual ones and so much more."""
    for cell in folder.cells:
        file = folder.path / cell["run_id"] / "result.json"
        result = json.loads(file.read_text())
        table = pd.read_parquet(file.with_name("episodes.parquet"))
        frames = [table.assign(on="unseen")]
        for on, gain in gains.items():
            gain = gain if cell["metric"] == "mse" else -gain  # an accuracy of 1 cannot be higher
            more = table.assign(**{"on": on, cell["metric"]: table[cell["metric"]] + gain})
            frames.append(more)
            result["scores"] += [
                {**row, "part": "train", "on": on, "value": row["value"] + gain}
                for row in result["scores"]
                if row["metric"] == cell["metric"] and row["part"] == "test"
            ]
        file.write_text(json.dumps(result))
        pd.concat(frames).to_parquet(file.with_name("episodes.parquet"), index=False)


def test_the_gap_stands_in_a_table_of_its_own_and_no_other_moves(quick, tmp_path):
    before = {table.name: table for table in write_report(quick.path, tmp_path / "before", "quick").tables}
    add_tests(quick, {"seen": 0.01, "held_out_drawings": 0.005})
    report = write_report(quick.path, tmp_path / "after", "quick")
    after = {table.name: table for table in report.tables}
    assert set(after) - set(before) == {"memorising-omniglot", "memorising-sinusoid"}
    for name, table in before.items():
        assert after[name].rows == table.rows, name
    table = after["memorising-sinusoid"]
    assert table.columns == (
        "unseen", "seen", "held-out drawings", "gap, seen", "gap, held-out drawings"
    )  # fmt: skip
    assert table.frame["gap_seen"].tolist() == pytest.approx([0.01] * len(table.rows))
    assert table.frame["gap_held_out_drawings"].tolist() == pytest.approx([0.005] * len(table.rows))
    assert (table.frame["seen"] - table.frame["unseen"]).tolist() == pytest.approx([0.01] * len(table.rows))
    runs = load_results(quick.path, "quick").runs
    assert set(runs["on"]) == {"unseen", "seen", "held_out_drawings"}
    assert (runs["part"] == "test").equals(runs["on"] == "unseen")


def test_runs_without_such_tests_have_no_such_table(quick, tmp_path):
    assert not [table for table in write_report(quick.path, tmp_path, "quick").tables if "memor" in table.name]
