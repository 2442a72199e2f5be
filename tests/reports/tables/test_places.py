"""Places between two exact predictors: known places, their intervals, the columns that tell none, and the figure."""

import json

import numpy as np
import pytest

from adaptbench.reports.comparison.comparison import compare
from adaptbench.reports.comparison.places import places
from adaptbench.reports.figures.scores import draw_places
from adaptbench.reports.figures.styles import line_styles
from adaptbench.reports.results.manifest import read_suite
from adaptbench.reports.results.runs import read_outcomes
from adaptbench.reports.tables.differences.places import place_table

MEMORY = {16: 2.0, 64: 1.0, 256: 0.5, 1024: 0.3}
BEST = 0.3
PLACES = {16: 0.1, 64: 0.9, 256: 1.0, 1024: 1.0}


@pytest.fixture
def compared(folder):
    rng = np.random.default_rng(0)
    strategies = {"bayes": {}, "bayes_training": {"knows": "training"}}
    easy = np.exp(rng.normal(0, 0.3, 60))
    for learner in ("lstm", *strategies):
        for seed in (0, 1, 2):
            for size in MEMORY:
                folder.plan("sinusoid", learner, learner, "any", seed, size)
    folder.write_suite()
    for cell in folder.cells:
        size, learner = cell["train_classes"], cell["learner"]
        mean = {
            "bayes": BEST,
            "bayes_training": MEMORY[size],
            "lstm": MEMORY[size] + PLACES[size] * (BEST - MEMORY[size]),
        }[learner]
        noise = 0 if learner == "bayes" else rng.normal(0, 0.005, 60)
        folder.write_run(cell, scores=mean * easy / easy.mean() + noise)
        if learner in strategies:
            spec = {"results_version": 4, "strategy": {"name": "bayes", "init_args": strategies[learner]}}
            (folder.path / cell["run_id"] / "spec.json").write_text(json.dumps(spec))
    suite = read_suite(folder.path)
    (comparison,) = compare(read_outcomes(folder.path, suite))
    return comparison, suite


def test_a_place_is_found_where_the_two_predictors_differ(compared):
    comparison, _ = compared
    found = [place for place in places(comparison) if place.setting.shots == 5]
    assert [(place.learner, place.setting.train_classes) for place in found] == [
        ("lstm", 16),
        ("lstm", 64),
        ("lstm", 256),
    ]
    for place in found:
        assert place.value == pytest.approx(PLACES[place.setting.train_classes], abs=0.03)
        assert place.lower < place.value < place.upper < place.value + 0.2


def test_the_table_says_from_where_on_a_learner_generalises(compared):
    comparison, _ = compared
    table = place_table(comparison, places(comparison), "sinusoid")
    assert table.columns[0] == "16, 5 shots"
    assert table.rows[0][0] == "lstm"
    assert table.rows[0][1][0].text == "0.10"
    sentence = table.frame["sentence"][0]
    assert sentence.startswith("lstm, 5-shot: it is nearer to Bayes over all functions than ")
    assert sentence.endswith("with 64 and 256 functions.")


def test_without_exact_predictors_there_is_no_place(quick, tmp_path):
    suite = read_suite(quick.path)
    for comparison in compare(read_outcomes(quick.path, suite)):
        assert places(comparison) == ()
        assert place_table(comparison, (), "any") is None
        assert draw_places(comparison, line_styles(suite), ()) is None


def test_the_figure_has_both_limits_and_the_learner(compared):
    comparison, suite = compared
    panel = draw_places(comparison, line_styles(suite), places(comparison)).axes[0]
    drawn = [np.asarray(line.get_ydata(), dtype=float).tolist() for line in panel.get_lines()]
    assert [0.0, 0.0] in drawn and [1.0, 1.0] in drawn
    assert pytest.approx([0.1, 0.9, 1.0], abs=0.03) in drawn
