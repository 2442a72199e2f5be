"""The table of what the order of a support set does."""

import json

import pytest

from adaptbench.reports.report import write_report

pytestmark = pytest.mark.usefixtures("no_figures")


def tell(folder, values):
    """Adds the order sensitivity of each learner to its finished runs; `None` leaves it out."""
    for cell in folder.cells:
        file = folder.path / cell["run_id"] / "result.json"
        result = json.loads(file.read_text())
        value = values.get(cell["learner"])
        first = [row for row in result["scores"] if row["metric"] == cell["metric"]]
        rows = [{**row, "metric": "order_sensitivity", "value": value, "chance": None} for row in first]
        result["scores"] += [] if value is None else rows
        file.write_text(json.dumps(result))


def test_learners_of_sequences_have_a_table_of_their_own(quick, tmp_path):
    tell(quick, {"lstm": 0.25, "deep_sets": 0.0})
    report = write_report(quick.path, tmp_path, "quick")
    tables = {table.name: table for table in report.tables if table.name.startswith("order-")}
    assert set(tables) == {"order-omniglot", "order-sinusoid"}
    rows = dict(tables["order-omniglot"].rows)
    assert {cell.text for cell in rows["LSTM"]} == {"25.0"}
    assert {cell.text for cell in rows["Deep sets"]} == {"0.0"}
    assert all(cell.missing for cell in rows["Attention"])
    frame = tables["order-omniglot"].frame.set_index("learner")
    assert frame.loc["lstm", "order_sensitivity"].tolist() == pytest.approx([0.25] * len(rows["LSTM"]))


def test_nothing_is_said_where_order_does_not_matter(quick, tmp_path):
    tell(quick, {"deep_sets": 1e-6, "attention": 0.0})
    report = write_report(quick.path, tmp_path, "quick")
    assert not any(table.name.startswith("order-") for table in report.tables)
