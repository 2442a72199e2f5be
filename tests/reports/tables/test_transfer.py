"""What each rule of transfer is worth, which settings were chosen, and where episodes diverged."""

import json

import pandas as pd
import pytest

from adaptbench.reports.report import About, write_report

pytestmark = pytest.mark.usefixtures("no_figures")

RULES = {"all": ("All weights", "transfer"), "rate": ("Larger rate", "transfer"), "nearest": ("Nearest", "control")}
STRATEGIES = {
    "all": {"name": "fine_tuning", "init_args": {"moves": "all", "lr": 0.001}},
    "rate": {"name": "fine_tuning", "init_args": {"moves": "all", "lr": 0.01, "l2_sp": 0.1}},
    "nearest": {"name": "nearest_centroid", "init_args": {}},
}
CHOSEN = [
    {"support": 5, "settings": {"lr": 0.001, "moves": "head"}, "score": 0.7, "share": 0.0},
    {"support": 5, "settings": {"lr": 0.01, "moves": "all"}, "score": 0.8, "share": 1.0},
]


@pytest.fixture
def rules(folder):
    """A suite of rules, all finished, with what each strategy is."""
    folder.plan_quick(learners=RULES, sizes=(50,)).write_suite().finish()
    for cell in folder.cells:
        (folder.path / cell["run_id"] / "spec.json").write_text(
            json.dumps({"results_version": 4, "strategy": STRATEGIES[cell["learner"]]})
        )
    return folder


def change(folder, cell, **fields):
    path = folder.path / cell["run_id"] / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_each_row_says_what_it_changes_and_what_that_is_worth(rules, tmp_path):
    write_report(rules.path, tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "transfer-omniglot.csv").set_index(["learner", "shots"])
    assert table.loc[("all", 1), "rule"] == "fine_tuning: moves all, lr 0.001"
    assert table.loc[("rate", 1), "rule"] == "lr 0.01, l2_sp 0.1"
    assert table.loc[("nearest", 1), "rule"] == "nearest_centroid"
    for learner in ("rate", "nearest"):
        worth = table.loc[(learner, 5), "mean"] - table.loc[("all", 5), "mean"]
        assert table.loc[(learner, 5), "difference"] == pytest.approx(worth)
    text = (tmp_path / "out" / "transfer-omniglot.md").read_text()
    assert r"lr 0.01, l2\_sp 0.1" in text and "All weights" in text


def test_what_was_chosen_has_a_table(rules, tmp_path):
    write_report(rules.path, tmp_path / "out")
    assert not (tmp_path / "out" / "chosen-omniglot.md").exists()
    change(rules, rules.find(task="omniglot", learner="rate", seed=0)[0], chosen=CHOSEN)
    write_report(rules.path, tmp_path / "out")
    assert len(pd.read_csv(tmp_path / "out" / "chosen-omniglot.csv")) == 2
    text = (tmp_path / "out" / "chosen-omniglot.md").read_text()
    assert "lr 0.01, moves all" in text and "100 %" in text and "lr 0.001" not in text


def with_times(folder, cell, run_id, seconds):
    """Writes where and how long a pretraining ran, as for a cell."""
    source, target = folder.path / cell["run_id"] / "environment.json", folder.path / run_id / "environment.json"
    environment = json.loads(source.read_text())
    target.parent.mkdir(exist_ok=True)
    times = {**environment["times"], "train_cpu_seconds": seconds}
    target.write_text(json.dumps({**environment, "times": times}))


def test_computation_counts_all_pretrainings_that_were_tried(rules, tmp_path):
    write_report(rules.path, tmp_path / "out")
    assert "with all tried" not in (tmp_path / "out" / "compute-omniglot.md").read_text()
    rates = [{"run_id": f"rate-{i}", "lr": lr, "score": 0.7} for i, lr in enumerate((0.005, 0.01, 0.02))]
    for cell in rules.find(task="omniglot", learner="rate"):
        change(rules, cell, pretrained="rate-1", pretrainings=rates)
        for index, seconds in enumerate((100.0, 200.0, 300.0)):
            with_times(rules, cell, f"rate-{index}", seconds)
    write_report(rules.path, tmp_path / "out")
    text = (tmp_path / "out" / "compute-omniglot.md").read_text()
    assert "several trainings were tried (at most 3), training is that of the chosen one" in text
    costs = pd.read_csv(tmp_path / "out" / "compute-omniglot.csv").set_index("learner")
    assert costs["all_cpu_seconds"].to_dict() == {"all": 12.0, "rate": 600.0, "nearest": 12.0}
    assert costs["train_cpu_seconds"].to_dict()["rate"] == 12.0


def test_sources_have_a_table_with_their_cost(rules, tmp_path):
    for seed, taken in ((0, "glyphs-0"), (1, "own-1")):
        (cell,) = rules.find(task="omniglot", learner="rate", seed=seed)
        tried = [
            {"run_id": f"own-{seed}", "lr": 0.01, "score": 0.7 + 0.1 * seed},
            {"run_id": f"slow-{seed}", "lr": 0.001, "score": 0.6},
            {"run_id": f"glyphs-{seed}", "lr": 0.01, "score": 0.75, "source": "Glyphs, 9 characters"},
        ]
        change(rules, cell, pretrained=taken, pretrainings=tried)
        for each in tried:
            with_times(rules, cell, each["run_id"], 50.0)
    write_report(rules.path, tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "sources-omniglot.csv").set_index("source")
    assert list(table.index) == ["its own 50 characters", "Glyphs, 9 characters"]
    assert table["validation"].tolist() == pytest.approx([0.75, 0.75]) and table["chosen"].tolist() == [1, 1]
    assert table["cpu_seconds"].tolist() == [100.0, 50.0] and set(table["seeds"]) == {2}
    text = (tmp_path / "out" / "sources-omniglot.md").read_text()
    assert "| Larger rate | Glyphs, 9 characters | 75.0 | 1 | 2 | 50.0 |" in text
    assert "source Glyphs, 9 characters" in (tmp_path / "out" / "chosen-omniglot.md").read_text()


def test_budgets_have_rows_of_their_own(folder, tmp_path):
    for learner in ("all", "rate"):
        for examples in (100, 200):
            cell = folder.plan("omniglot", learner, *RULES[learner], 0, 50, key=examples)
            folder.write_run(cell)
            cell["examples"] = examples
            tried = [
                {"run_id": f"{learner}-own", "lr": 0.01, "score": examples / 1000},
                {"run_id": f"{learner}-glyphs", "lr": 0.01, "score": 0.9, "source": "Glyphs"},
                {"run_id": f"{learner}-slow", "lr": 0.001, "score": 0.01},
            ]
            change(folder, cell, pretrained=tried[1]["run_id"], pretrainings=tried)
    folder.write_suite()
    write_report(folder.path, tmp_path, about=About("all", "adaptbench compare"))
    frames = {name: pd.read_csv(tmp_path / f"{name}-omniglot.csv") for name in ("sources", "chosen", "rates", "pairs")}
    assert all(set(frame["examples"]) == {100, 200} for frame in frames.values())
    own = frames["sources"][frames["sources"]["source"] == "its own 50 characters"]
    assert own["validation"].tolist() == [0.1, 0.2, 0.1, 0.2] and set(own["seeds"]) == {1}
    for name in ("sources", "chosen", "rates"):
        text = (tmp_path / f"{name}-omniglot.md").read_text()
        assert all(f"| All weights, 50 characters, {examples} examples |" in text for examples in (100, 200))


def test_diverged_episodes_are_noted(rules, tmp_path):
    cell = rules.find(task="omniglot", learner="rate", seed=0)[0]
    path = rules.path / cell["run_id"] / "result.json"
    scores = json.loads(path.read_text())["scores"]
    change(rules, cell, scores=[{**score, "diverged": 3} if score["shots"] == 1 else score for score in scores])
    write_report(rules.path, tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "transfer-omniglot.csv").set_index(["learner", "shots"])
    assert table["diverged_episodes"].to_dict()[("rate", 1)] == 3 and table["diverged_episodes"].sum() == 3
    main = (tmp_path / "out" / "table-omniglot.md").read_text()
    assert "diverged in 3 test episodes, which are scored as a guess" in main


def test_a_control_that_trains_nothing_can_be_compared(rules, tmp_path):
    for cell in rules.find(learner="nearest"):
        change(rules, cell, examples_encoded=0)
    report = write_report(rules.path, tmp_path / "out")
    assert not any(comparison.warnings for comparison in report.comparisons)
    for cell in rules.find(learner="rate"):
        change(rules, cell, examples_encoded=7)
    report = write_report(rules.path, tmp_path / "out")
    warnings = [text for comparison in report.comparisons for text in comparison.warnings]
    assert any("examples encoded differ" in text for text in warnings)
