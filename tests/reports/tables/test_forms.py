"""Forms of learners at several budgets: the axis, the table and the figure of forms, what differs, and the costs."""

import json

import numpy as np
import pandas as pd
import pytest

from adaptbench.reports.comparison.comparison import axes_of, compare
from adaptbench.reports.comparison.forms import form_groups, learns_from
from adaptbench.reports.comparison.gains import gains
from adaptbench.reports.figures.forms import draw_forms
from adaptbench.reports.figures.scores import panel_columns
from adaptbench.reports.report import write_report
from adaptbench.reports.results.manifest import read_suite
from adaptbench.reports.results.runs import read_outcomes

BUDGETS = (50_000, 150_000, 450_000)
LABELS = {"lstm": ("LSTM, bound", "recurrent"), "random": ("LSTM, bound, start random", "recurrent")}
LABELS |= {"published": ("LSTM", "recurrent"), "sets": ("Deep sets", "sets")}
ARGUMENTS = {"lstm": {}, "random": {"start": "random"}, "published": {"binding": "concat", "start": "random"}}
CHANCE_UNTIL = {"lstm": 0, "random": 60_000, "published": 1_000_000, "sets": 0}


@pytest.fixture
def ablation(folder):
    """Three forms of a learner and another learner, at three budgets with two seeds, all finished."""
    for learner, (label, family) in LABELS.items():
        for budget in BUDGETS:
            for seed in (0, 1):
                cell = folder.plan("omniglot", learner, label, family, seed, 1028, key=budget)
                departs = {"departs_from": "lstm"} if learner in ("random", "published") else {}
                cell |= {"examples": budget, **departs}
                cell |= {"source": "Hochreiter et al. 2001"} if learner == "published" else {}
                guess = budget < CHANCE_UNTIL[learner]
                level = 0.2 if guess else 0.5 + np.log10(budget) / 20
                spread = np.linspace(-0.1, 0.1, 60) * np.array([1, -1])[seed]
                folder.write_run(cell, scores=level + spread, examples_encoded=budget, at_chance=guess)
                rate = 0.002 if learner == "lstm" else 0.001
                spec = {
                    "results_version": 5,
                    "kind": "episodic",
                    "learner": {"name": "deep_sets" if learner == "sets" else "lstm"},
                    "encoder": {"name": "strided", "init_args": {"filters": 32}},
                    "optimization": {"lr": rate, "clip": 1.0},
                    "budget": {"examples": budget, "epochs": 4},
                }
                spec["learner"]["init_args"] = ARGUMENTS.get(learner, {})
                (folder.path / cell["run_id"] / "spec.json").write_text(json.dumps(spec))
    return folder.write_suite()


def comparison_of(folder):
    (found,) = compare(read_outcomes(folder.path, read_suite(folder.path)))
    return found


def test_the_budget_is_an_axis(ablation):
    found = comparison_of(ablation)
    assert axes_of(found) == ("examples", "shots") and not found.warnings
    assert list(panel_columns(found, "examples").values()) == [[0, 2, 4], [1, 3, 5]]
    assert [found.settings[column].size_label for column in found.largest] == ["1028 characters, 450,000 examples"] * 2
    doubling = [gain for gain in gains(found) if gain.axis == "examples" and gain.learner == "lstm"]
    assert [gain.values for gain in doubling] == [BUDGETS] * 2 and all(gain.per_doubling for gain in doubling)


def test_slow_and_never_differ(ablation):
    found = comparison_of(ablation)
    (group,) = form_groups(found)
    assert [row[0].learner for row in group.entries] == ["lstm", "random", "published"]
    assert [learns_from(row, 5) for row in group.entries] == ["50,000", "150,000", "never"]


def test_a_budget_that_few_forms_were_run_with_decides_no_more_than_what_never_means(ablation):
    for cell in ablation.find(examples=450_000):
        if cell["learner"] in ("random", "lstm"):
            ablation.remove(cell)
    found = comparison_of(ablation)
    assert [found.settings[column].examples for column in found.largest] == [150_000] * 2
    (group,) = form_groups(found)
    assert [learns_from(row, found.largest[1]) for row in group.entries] == ["50,000", "150,000", "never"]


def test_the_table_says_what_each_form_changes_and_costs(ablation, tmp_path):
    write_report(ablation.path, tmp_path)
    table = pd.read_csv(tmp_path / "forms-omniglot.csv").set_index(["learner", "shots"])
    assert set(table["examples"]) == {450_000} and "sets" not in table.index
    assert table.loc[("random", 1), "change"] == "start random"
    assert table.loc[("published", 1), "change"] == "binding concat, start random"
    assert table.loc[("published", 5), "learns_from"] == "never"
    worth = table.loc[("published", 5), "mean"] - table.loc[("lstm", 5), "mean"]
    assert table.loc[("published", 5), "difference"] == pytest.approx(worth)
    text = (tmp_path / "forms-omniglot.md").read_text()
    assert "Hochreiter et al. 2001" in text and "150,000" in text
    scores = (tmp_path / "table-omniglot.md").read_text()
    assert "1028 characters, 50,000 examples" in scores


def test_the_figure_has_a_panel_for_each_learner_with_forms(ablation, finished_quick):
    found = comparison_of(ablation)
    (panel,) = draw_forms(found, found.settings[-1]).axes
    means = [[row[column].interval.mean * 100 for column in (1, 3, 5)] for row in found.entries[:3]]
    drawn = [line.get_ydata().tolist() for line in panel.get_lines()]
    assert all(any(each == pytest.approx(line) for line in drawn if len(line) == 3) for each in means)
    other = comparison_of_first(finished_quick)
    assert draw_forms(other, other.settings[-1]) is None


def comparison_of_first(folder):
    return compare(read_outcomes(folder.path, read_suite(folder.path)))[0]


def test_costs_have_a_row_for_each_budget(ablation, tmp_path):
    report = write_report(ablation.path, tmp_path)
    table = pd.read_csv(tmp_path / "compute-omniglot.csv")
    assert table.loc[table["learner"] == "random", "examples_encoded"].tolist() == list(BUDGETS)
    stems = {path.stem for path in report.figures}
    assert {"cost-omniglot", "forms-1-omniglot", "forms-2-omniglot", "shots-omniglot"} <= stems


def test_what_differs_between_learners_is_named_and_the_rest_is_said_to_be_the_same(ablation, tmp_path):
    write_report(ablation.path, tmp_path)
    table = pd.read_csv(tmp_path / "settings-omniglot.csv").set_index("learner")
    assert list(table.columns) == ["optimization.lr", "arguments"]
    assert table["optimization.lr"].to_dict() == {"lstm": 0.002, "random": 0.001, "published": 0.001, "sets": 0.001}
    text = (tmp_path / "settings-omniglot.md").read_text()
    assert "encoder filters 32" in text and "clip 1.0" in text
    for cell in ablation.find(learner="sets"):
        path = ablation.path / cell["run_id"] / "spec.json"
        spec = json.loads(path.read_text())
        trained = {name: spec.pop(name) for name in ("optimization", "encoder", "budget")}
        pretrained = {**trained, "kind": "pretrain", "label_smoothing": 0.1}
        strategy = {"name": "fine_tuning", "init_args": {"head_start": "class_means"}}
        path.write_text(json.dumps({"results_version": 5, "pretrained": pretrained, "strategy": strategy}))
    write_report(ablation.path, tmp_path)
    table = pd.read_csv(tmp_path / "settings-omniglot.csv").set_index("learner")
    assert table.loc["sets", ["kind", "label_smoothing", "arguments"]].tolist() == [
        "pretrain",
        0.1,
        "head_start class_means",
    ]


def test_the_commands_reproduce_one_budget(ablation, tmp_path):
    write_report(ablation.path, tmp_path)
    assert "--only examples=150000" in (tmp_path / "index.html").read_text()
