"""Calibration of the learners of a suite: its error, its table and its figure."""

import numpy as np
import pandas as pd
import pytest

from adaptbench.reports.comparison.calibration import Calibration, calibrations, pooled
from adaptbench.reports.comparison.comparison import compare
from adaptbench.reports.figures.reliability import draw_reliability
from adaptbench.reports.figures.styles import line_styles
from adaptbench.reports.report import write_report
from adaptbench.reports.results.manifest import read_suite
from adaptbench.reports.results.runs import read_outcomes


def keep(folder, cell, right, sure=0.9, queries=100):
    """Keeps a calibration in which every query has the same probability."""
    rows = [
        {"ways": 5, "shots": shots, "bin": place, "queries": 0, "confidence": 0.0, "correct": 0}
        for shots in (1, 5)
        for place in range(15)
    ]
    table = pd.DataFrame(rows)
    table.loc[table["bin"] == int(15 * sure), ["queries", "confidence", "correct"]] = queries, sure * queries, right
    table.to_parquet(folder.path / cell["run_id"] / "calibration.parquet", index=False)


def read(folder):
    suite = read_suite(folder.path)
    (omniglot,) = (each for each in compare(read_outcomes(folder.path, suite)) if each.task == "omniglot")
    return suite, omniglot


def test_the_error_is_the_distance_in_each_bin_weighted_by_queries():
    both_ways = Calibration(np.array([10.0, 30.0]), np.array([2.0, 27.0]), np.array([4.0, 21.0]))
    assert both_ways.error == pytest.approx((2 + 6) / 40)
    assert pooled([both_ways, both_ways]).error == pytest.approx(both_ways.error)
    probability, share = pooled([both_ways, both_ways]).reliability
    assert probability.tolist() == pytest.approx([0.2, 0.9]) and share.tolist() == pytest.approx([0.4, 0.7])
    assert both_ways.reliability[0].tolist() == pytest.approx([0.9]), "ten queries tell nothing"


def test_the_table_has_the_mean_over_seeds_with_the_lowest_and_the_highest(quick, tmp_path):
    for cell in quick.find(task="omniglot", learner="lstm"):
        keep(quick, cell, right=80 if cell["seed"] == 0 else 50)
    report = write_report(quick.path, tmp_path)
    (table,) = (each for each in report.tables if each.name.startswith("calibration-"))
    rows = dict(table.rows)
    assert {(cell.text, cell.ends) for cell in rows["LSTM"]} == {("25.0", "[10.0, 40.0]")}
    assert all(cell.missing for cell in rows["Attention"])
    frame = pd.read_csv(tmp_path / "calibration-omniglot.csv").set_index("learner")
    assert frame.loc["lstm", "expected_calibration_error"].tolist() == pytest.approx([0.25] * 6)
    assert (frame.loc["lstm", "seeds"] == 2).all() and (frame.loc["attention", "seeds"] == 0).all()
    assert "reliability-omniglot" in {path.stem for path in report.figures}


def test_the_figure_has_a_panel_for_each_learner_that_kept_probabilities(quick):
    for learner in ("lstm", "attention"):
        for cell in quick.find(task="omniglot", learner=learner):
            keep(quick, cell, right=80)
    suite, omniglot = read(quick)
    figure = draw_reliability(omniglot, line_styles(suite))
    panels = [panel for panel in figure.axes if panel.get_visible()]
    assert [panel.get_title() for panel in panels] == ["LSTM", "Attention"]
    lines = [line for line in panels[0].lines if len(line.get_xdata()) == 1]
    assert [line.get_xydata().tolist() for line in lines] == [[pytest.approx([0.9, 0.8])]] * 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"PAR1"),
        lambda path: pd.read_parquet(path).drop(columns="correct").to_parquet(path),
        lambda path: pd.read_parquet(path).iloc[:0].to_parquet(path),
    ],
)
def test_a_damaged_file_costs_its_seed_and_nothing_else(quick, damage, tmp_path):
    cells = quick.find(task="omniglot", learner="lstm")
    for cell in cells:
        keep(quick, cell, right=80)
    damage(quick.path / cells[0]["run_id"] / "calibration.parquet")
    report = write_report(quick.path, tmp_path)
    assert len(report.runs) == len(quick.cells)
    _, omniglot = read(quick)
    assert sorted(len(calibrations(entry)) for entry in omniglot.entries[0]) == [1, 1, 2, 2, 2, 2]


def test_runs_without_probabilities_have_neither(quick, tmp_path):
    report = write_report(quick.path, tmp_path)
    assert not any(table.name.startswith("calibration-") for table in report.tables)
    assert not any(path.stem.startswith("reliability-") for path in report.figures)
