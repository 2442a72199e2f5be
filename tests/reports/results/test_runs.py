"""Manifests and run folders: whatever is wrong with one is said, and nothing is averaged that must not be."""

import json

import numpy as np
import pandas as pd
import pytest

from adaptbench.reports.comparison.comparison import compare
from adaptbench.reports.errors import ReportError
from adaptbench.reports.results.manifest import read_suite
from adaptbench.reports.results.runs import Problem, read_outcomes
from adaptbench.reports.tables.markup.markdown import to_markdown
from adaptbench.reports.tables.scores import score_table


def read(folder, suite=None):
    """The problems and comparisons of a runs folder."""
    outcomes = read_outcomes(folder.path, read_suite(folder.path, suite))
    return [outcome for outcome in outcomes if isinstance(outcome, Problem)], compare(outcomes)


def omniglot(comparisons):
    (comparison,) = (each for each in comparisons if each.task == "omniglot")
    return comparison


def markdown(folder):
    """The table of omniglot."""
    return to_markdown(score_table(omniglot(read(folder)[1])))


def entry(comparisons, learner, **setting):
    """The entry of a learner on omniglot."""
    comparison = omniglot(comparisons)
    for row in comparison.entries:
        for found in row:
            if found.learner == learner and all(getattr(found.setting, k) == v for k, v in setting.items()):
                return found
    raise LookupError(learner)


def damage_json(folder, cell, **changes):
    path = folder.path / cell["run_id"] / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


DAMAGES = {
    "no result": lambda path: (path / "result.json").unlink(),
    "half a result": lambda path: (path / "result.json").write_text('{"run_id": "ab'),
    "a list": lambda path: (path / "result.json").write_text("[1, 2]"),
    "nested too deep": lambda path: (path / "result.json").write_text("[" * 100_000),
    "not text": lambda path: (path / "result.json").write_bytes(b"\xff\xfe\x00"),
    "no episodes": lambda path: (path / "episodes.parquet").unlink(),
    "not parquet": lambda path: (path / "episodes.parquet").write_bytes(b"PAR1 and no more"),
    "other columns": lambda path: pd.DataFrame({"a": [1]}).to_parquet(path / "episodes.parquet"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_run_is_unreadable_and_the_rest_stands(quick, damage):
    cell = quick.find(task="omniglot", learner="attention", train_classes=50, seed=1)[0]
    damage(quick.path / cell["run_id"])
    problems, report = read(quick)
    assert [(problem.kind, problem.cell.run_id) for problem in problems] == [("unreadable", cell["run_id"])]
    assert entry(report, "attention", train_classes=50).status == "partial"
    assert entry(report, "attention", train_classes=200).status == "finished"


@pytest.mark.parametrize(
    "changes",
    [{"seed": 7}, {"task": "other"}, {"selection": 3}, {"examples_encoded": True}, {"scores": []}, {"scores": [1]}],
    ids=lambda changes: next(iter(changes)),
)
def test_result_that_contradicts_the_manifest_is_unreadable(quick, changes):
    cell = quick.cells[-1]
    damage_json(quick, cell, **changes)
    (problem,), _ = read(quick)
    assert problem.kind == "unreadable"
    assert "Expected" in problem.reason


def test_episodes_that_contradict_the_result_are_unreadable(quick):
    path = quick.path / quick.cells[-1]["run_id"] / "episodes.parquet"
    table = pd.read_parquet(path)
    table.assign(accuracy=table["accuracy"] / 2).to_parquet(path)
    (problem,), _ = read(quick)
    assert "average" in problem.reason


def test_run_without_environment_still_counts(quick):
    for cell in quick.cells:
        (quick.path / cell["run_id"] / "environment.json").unlink()
    problems, comparisons = read(quick)
    assert problems == []
    assert {found.status for found in omniglot(comparisons).all_entries()} == {"finished"}


@pytest.mark.parametrize("value", ["NaN", '"long"', "-1.0", "1e400"])
def test_a_damaged_time_is_said_and_costs_no_score(quick, value):
    cell = quick.cells[0]
    path = quick.path / cell["run_id"] / "environment.json"
    text = path.read_text()
    path.write_text(text.replace('"train_seconds": 12.5', f'"train_seconds": {value}'))
    assert path.read_text() != text
    outcomes = read_outcomes(quick.path, read_suite(quick.path))
    (run,) = (each for each in outcomes if each.cell.run_id == cell["run_id"])
    assert run.environment is None and run.result.scores
    assert run.lost[0].startswith("Expected field `times.train_seconds` of environment.json")
    assert all(each.environment and not each.lost for each in outcomes if each is not run)


def test_partial_folders_are_not_results(folder):
    folder.plan_quick().write_suite().finish(folder.cells[1:])
    other = folder.path / folder.cells[1]["run_id"]
    (folder.path / f".partial-{folder.cells[0]['run_id']}").mkdir()
    (folder.path / f".partial-{folder.cells[0]['run_id']}" / "result.json").write_bytes(
        (other / "result.json").read_bytes()
    )
    (problem,), _ = read(folder)
    assert problem.kind == "not finished"


def test_reasons_why_cells_are_missing(folder):
    folder.plan_quick()
    folder.unavailable = {"omniglot": "Omniglot is not on this machine."}
    failed, finished, lost = folder.find(task="sinusoid")[:3]
    folder.write_suite().finish([finished])
    folder.fail(failed, "RuntimeError: no memory", "Traceback ...")
    folder.fail(lost, "x")
    (folder.path / f".partial-{lost['run_id']}" / "failure.json").write_text("{")
    problems = {problem.cell.run_id: problem for problem in read(folder)[0]}
    assert problems[failed["run_id"]].kind == problems[lost["run_id"]].kind == "failed"
    assert problems[failed["run_id"]].reason == "RuntimeError: no memory"
    unavailable = [problem for problem in problems.values() if problem.cell.task == "omniglot"]
    assert {str(problem) for problem in unavailable} == {"data unavailable: Omniglot is not on this machine."}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"episodes_digest": "0" * 64}, "test episodes"),
        ({"examples_encoded": 50_000}, "examples encoded"),
        ({"selection": "best"}, "selection rules"),
        ({"transductive": True}, "transductive"),
        ({"queries": 3}, "numbers of queries"),
    ],
)
def test_learners_under_other_conditions_are_not_ranked(quick, changes, word):
    quick.finish(quick.find(task="omniglot", learner="lstm", train_classes=200), **changes)
    _, comparisons = read(quick)
    warnings = omniglot(comparisons).warnings
    assert warnings
    for warning in warnings:
        assert word in warning
        assert "200 characters" in warning
    best = {found.setting.train_classes for found in omniglot(comparisons).all_entries() if found.best}
    assert best == {50, 1028}
    assert entry(comparisons, "lstm", train_classes=200).status == "finished"


def test_budgets_that_differ_by_a_batch_are_the_same(quick):
    quick.finish(quick.find(learner="lstm"), examples_encoded=100_400)
    _, comparisons = read(quick)
    assert [comparison.warnings for comparison in comparisons] == [(), ()]


def test_seeds_under_other_conditions_are_not_averaged(quick):
    quick.finish(quick.find(task="omniglot", learner="lstm", train_classes=200, seed=1), episodes_digest="0" * 64)
    _, comparisons = read(quick)
    found = entry(comparisons, "lstm", train_classes=200)
    assert (found.status, found.interval) == ("not comparable", None)
    table = to_markdown(score_table(omniglot(comparisons)))
    assert "not comparable: over seeds, test episodes differ" in table


def test_diverged_seed_is_not_left_out_of_the_mean(quick):
    scores = np.full(60, np.nan)
    quick.write_run(quick.find(task="omniglot", learner="lstm", train_classes=200, seed=1)[0], scores=scores)
    found = entry(read(quick)[1], "lstm", train_classes=200)
    assert (found.status, found.diverged, found.at_chance) == ("finished", (1,), True)
    assert found.samples[1].tolist() == [found.chance] * 60
    assert found.interval.mean == pytest.approx((found.samples[0].mean() + found.chance) / 2)
    assert "1 of 2 diverged" in markdown(quick)


def test_diverged_seed_without_a_known_guess_has_no_mean(quick):
    cell = quick.find(task="omniglot", learner="lstm", train_classes=200, seed=1)[0]
    quick.write_run(cell, scores=np.full(60, np.nan), chance=None)
    quick.write_run(quick.find(task="omniglot", learner="lstm", train_classes=200, seed=0)[0], chance=None)
    found = entry(read(quick)[1], "lstm", train_classes=200)
    assert (found.status, found.interval) == ("diverged", None)


@pytest.mark.parametrize("seeds", [(1,), (0, 1)])
def test_training_that_diverged_scores_a_guess(quick, seeds):
    for cell in quick.find(task="omniglot", learner="lstm", train_classes=200):
        if cell["seed"] in seeds:
            quick.remove(cell)
            quick.fail(cell, "NotFinite: training diverged: its weights are no longer finite numbers")
    problems, comparisons = read(quick)
    found = entry(comparisons, "lstm", train_classes=200)
    assert len(problems) == len(seeds)
    assert (found.status, found.diverged, found.problems) == ("finished", seeds, ())
    assert all((found.samples[seed] == found.chance).all() for seed in seeds)
    assert found.test is not None and not (found.best or (found.alike and found.guesses))
    assert f"{len(seeds)} of 2 diverged" in markdown(quick)


@pytest.mark.parametrize("reason", ["Killed: signal 9", "OSError: no space left on device", "RuntimeError: NotFinite:"])
def test_run_that_failed_otherwise_is_unfinished(quick, reason):
    (cell,) = quick.find(task="omniglot", learner="lstm", train_classes=200, seed=1)
    quick.remove(cell)
    quick.fail(cell, reason)
    found = entry(read(quick)[1], "lstm", train_classes=200)
    assert (found.status, found.diverged, list(found.samples)) == ("partial", (), [0])


def test_collapsed_seed_is_named(folder):
    for seed, mean in enumerate((0.9, 0.91, 0.21)):
        cell = folder.plan("omniglot", "lstm", "LSTM", "rnn", seed, 50)
        folder.write_run(cell, scores=np.tile([mean - 0.02, mean + 0.02], 30), at_chance=mean < 0.3)
    folder.write_suite()
    found = entry(read(folder)[1], "lstm")
    assert (found.collapsed, found.at_chance, found.guesses) == ((2,), True, False)
    assert "seed 2 collapsed and others did not" in markdown(folder)


@pytest.mark.parametrize(("task", "score"), [("omniglot", 1.1), ("omniglot", -0.1), ("sinusoid", -0.1)])
def test_scores_out_of_range_are_refused(quick, task, score):
    quick.write_run(quick.find(task=task)[0], scores=np.full(60, score))
    (problem,), _ = read(quick)
    assert problem.kind == "unreadable" and "to lie in 0 to" in problem.reason


def test_no_manifest_says_where_it_was_looked_for(folder):
    with pytest.raises(ReportError, match=r"suites.*adaptbench run"):
        read_suite(folder.path)


def test_suite_is_chosen_or_named(quick):
    quick.write_suite("smoke")
    with pytest.raises(ReportError, match=r"several suites: quick, smoke"):
        read_suite(quick.path)
    with pytest.raises(ReportError, match=r"Did you mean `quick`\?"):
        read_suite(quick.path, "quik")
    assert read_suite(quick.path, "smoke").name == "smoke"


def test_manifest_with_two_runs_for_one_place_is_refused(folder):
    folder.plan_quick()
    folder.cells.append({**folder.cells[0], "run_id": "another"})
    folder.write_suite()
    with pytest.raises(ReportError, match="give the tasks labels, or the learners different names"):
        read_suite(folder.path)


@pytest.mark.parametrize(("name", "value"), [("run_id", "../x"), ("seed", "0"), ("tests", None), ("label", 3)])
def test_wrong_field_in_manifest_is_named(folder, name, value):
    folder.plan_quick()
    folder.cells[0][name] = value
    folder.write_suite()
    with pytest.raises(ReportError, match=name):
        read_suite(folder.path)
