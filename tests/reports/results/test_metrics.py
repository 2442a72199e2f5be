"""Metrics: those that are known, and a metric of a user's own."""

import json

import pandas as pd

from adaptbench.reports.report import write_report
from adaptbench.reports.results.metrics import Metric


def test_accuracy_is_stored_as_a_fraction_and_shown_in_per_cent():
    metric = Metric.named("accuracy", higher_is_better=True)
    assert (metric.heading, metric.value(0.5), metric.value(0.5, "+"), metric.sign) == (
        "Accuracy in %",
        "50.0",
        "+50.0",
        1,
    )
    assert not metric.logarithmic


def test_errors_are_compared_on_a_logarithm():
    metric = Metric.named("mse", higher_is_better=False)
    assert (metric.heading, metric.lower_label, metric.value(0.5), metric.sign) == ("MSE", "MSE", "0.500", -1)
    assert metric.logarithmic


def test_a_metric_of_a_users_own_is_shown_as_it_is_stored(quick, tmp_path):
    """Its name is its label, and the manifest gives its direction."""
    for cell in quick.find(task="omniglot"):
        cell["metric"] = "f1"
        run = quick.path / cell["run_id"]
        result = json.loads((run / "result.json").read_text().replace('"accuracy"', '"f1"'))
        (run / "result.json").write_text(json.dumps(result))
        episodes = pd.read_parquet(run / "episodes.parquet").rename(columns={"accuracy": "f1"})
        episodes.to_parquet(run / "episodes.parquet", index=False)
    quick.write_suite()
    report = write_report(quick.path, tmp_path / "out")
    assert len(report.runs) == len(quick.cells)
    table = report.main_tables[1]
    assert table.caption.startswith("f1 (higher is better) on Omniglot (Vinyals split, rotations in training), 5-way.")
    best = max((float(cell.text.split()[0]), cell.bold) for _, cells in table.rows for cell in cells[:1])
    assert best[0] < 1 and best[1]
    sentences = (tmp_path / "out" / "gains-omniglot.csv").read_text()
    assert "adds 0." in sentences and "points" not in sentences
