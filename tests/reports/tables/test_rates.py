"""The table of learning rates: means of validation scores, the best of them, and what is doubtful about it."""

import json

import numpy as np
import pandas as pd
import pytest

from adaptbench.reports.report import write_report

pytestmark = pytest.mark.usefixtures("no_figures")

RATES = (0.001, 0.002, 0.004)


@pytest.fixture
def try_rates(folder):
    """Plans a learner with two seeds, and writes the validation scores of its rates by seed."""

    def make(*scores, task="omniglot", sizes=(50,)):
        folder.cells.clear()
        folder.plan_quick(learners={"lstm": ("LSTM", "recurrent")}, sizes=sizes).write_suite().finish()
        for seed, own in enumerate(scores):
            for cell in folder.find(task=task, seed=seed):
                path = folder.path / cell["run_id"] / "result.json"
                tried = [
                    {"run_id": f"{cell['run_id']}-{index}", "lr": lr, "score": score}
                    for index, (lr, score) in enumerate(zip(RATES, own, strict=True))
                ]
                changed = {"pretrainings": tried, "pretrained": tried[0]["run_id"]}
                path.write_text(json.dumps(json.loads(path.read_text()) | changed))
        return folder

    return make


def table(folder, out, task="omniglot"):
    write_report(folder.path, out)
    return pd.read_csv(out / f"rates-{task}.csv"), (out / f"rates-{task}.md").read_text()


def test_the_best_mean_over_seeds_is_chosen(try_rates, tmp_path):
    frame, text = table(try_rates((0.80, 0.90, 0.84), (0.81, 0.83, 0.85)), tmp_path / "out")
    assert frame["mean"].tolist() == pytest.approx([0.805, 0.865, 0.845])
    assert frame["chosen"].tolist() == [False, True, False]
    assert frame["seeds_disagree"].all() and not frame["at_end"].any()
    assert frame["seed_scores"].tolist() == ["0.8 0.81", "0.9 0.83", "0.84 0.85"]
    assert "| LSTM | 80.5 | **86.5**<sup>s</sup> | 84.5 | 2 |" in text and "<sup>e</sup>" not in text


def test_an_end_of_the_grid_is_marked(try_rates, tmp_path):
    frame, text = table(try_rates((0.7, 0.8, 0.9), (0.7, 0.8, 0.9)), tmp_path / "out")
    assert frame["at_end"].all() and not frame["seeds_disagree"].any()
    assert "**90.0**<sup>e</sup>" in text and "a rate beyond it may be better" in text


def test_errors_have_a_geometric_mean(try_rates, tmp_path):
    frame, _ = table(try_rates((0.01, 0.1, 1.0), (1.0, 0.1, 0.04), task="sinusoid"), tmp_path / "out", "sinusoid")
    assert frame["mean"].tolist() == pytest.approx([0.1, 0.1, 0.2])
    frame, _ = table(try_rates((0.01, 0.2, 1.0), (1.0, 0.04, 0.5), task="sinusoid"), tmp_path / "out", "sinusoid")
    assert frame["chosen"].tolist() == [False, True, False]


def test_each_size_has_a_row_and_each_rate_the_commit_that_trained_it(try_rates, tmp_path):
    folder = try_rates((0.7, 0.8, 0.75), (0.7, 0.8, 0.75), sizes=(50, 200))
    cell = folder.find(task="omniglot", seed=0, train_classes=200)[0]
    candidate = folder.path / f"{cell['run_id']}-1"
    candidate.mkdir()
    environment = json.loads((folder.path / cell["run_id"] / "environment.json").read_text())
    environment["machine"]["git_commit"] = "f" * 40
    (candidate / "environment.json").write_text(json.dumps(environment))
    frame, text = table(folder, tmp_path / "out")
    made = frame.set_index(["train_classes", "rate"])["git_commit"].dropna()
    assert made.to_dict() == {(200, 0.002): "f" * 40}
    assert "LSTM, 50 characters" in text and "LSTM, 200 characters" in text


def test_test_scores_have_no_part_in_it(try_rates, tmp_path):
    folder = try_rates((0.7, 0.8, 0.75), (0.7, 0.8, 0.75))
    before, _ = table(folder, tmp_path / "a")
    for cell in folder.find(task="omniglot"):
        rates = json.loads((folder.path / cell["run_id"] / "result.json").read_text())["pretrainings"]
        folder.write_run(cell, scores=np.linspace(0.0, 0.02, 60))
        path = folder.path / cell["run_id"] / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"pretrainings": rates}))
    after, _ = table(folder, tmp_path / "b")
    pd.testing.assert_frame_equal(before, after)


def test_a_suite_without_a_choice_has_no_such_table(quick, tmp_path):
    write_report(quick.path, tmp_path / "out")
    assert not list((tmp_path / "out").glob("rates-*"))


def test_no_rate_is_chosen_for_a_learner_that_only_guesses(try_rates, tmp_path):
    frame, text = table(try_rates((0.2, 0.22, 0.198), (0.2, 0.2, 0.198)), tmp_path / "out")
    assert not frame["chosen"].any()
    assert "| LSTM | 20.0 | 21.0<sup>g</sup> | 19.8 | 2 |" in text and "so none is chosen" in text
    frame, _ = table(try_rates((0.2, 0.23, 0.198), (0.199, 0.21, 0.2)), tmp_path / "out")
    assert frame["chosen"].tolist() == [False, True, False]
