"""Several sources in one report: what came from where, what may be compared, and what is left out."""

import json

import pytest

from adaptbench.reports.comparison.comparison import compare
from adaptbench.reports.errors import ReportError
from adaptbench.reports.report import About, write_report
from adaptbench.reports.results.runs import Problem, Run
from adaptbench.reports.selection import parse_only
from adaptbench.reports.sources.bundles import gather, write_bundle
from adaptbench.reports.sources.loading import load_results
from adaptbench.reports.sources.sources import opened, read_sources

OURS = {"lstm": ("LSTM", "recurrent"), "attention": ("Attention", "attention")}


def reading(*names, suite=None):
    with opened(names) as sources:
        return read_sources(sources, suite)


@pytest.fixture
def make(folder, tmp_path):
    """Makes a folder of runs of omniglot by its name, all finished."""

    def made(name, learners, seeds=(0, 1), **changes):
        runs = type(folder)(tmp_path / name)
        for learner, (label, family) in learners.items():
            for seed in seeds:
                runs.plan("omniglot", learner, label, family, seed, 50)
        return runs.write_suite().finish(**changes)

    return made


@pytest.fixture
def theirs(make, tmp_path):
    """A bundle of our learners."""
    write_bundle(*gather([make("theirs", OURS).path]), tmp_path / "theirs.zip")
    return tmp_path / "theirs.zip"


@pytest.fixture
def mine(make):
    """Runs of a user's own learner; her manifest wants ours, too."""
    runs = make("mine", {"mine": ("Mine", "own")})
    for learner, (label, family) in OURS.items():
        for seed in (0, 1):
            runs.plan("omniglot", learner, label, family, seed, 50)
    return runs.write_suite()


def test_own_runs_and_a_bundle_stand_in_one_table(mine, theirs, tmp_path):
    report = write_report([mine.path, theirs], tmp_path / "out", about=About("mine", "adaptbench compare Mine"))
    (comparison,) = report.comparisons
    assert [row[0].label for row in comparison.entries] == ["Mine", "LSTM", "Attention"]
    assert all(entry.rank is not None for entry in comparison.all_entries()) and not report.problems
    assert f"Sources: {mine.path}: Mine; bundle {theirs} (version 1, 2026-11-28): LSTM, Attention." in (
        report.main_tables[0].caption
    )
    assert len(report.standings) == 2 and all("Mine" in text for text in report.standings)
    pairs = (tmp_path / "out" / "pairs-omniglot.md").read_text()
    assert "against LSTM" in pairs and "against Attention" in pairs and "against Mine" not in pairs
    page = report.page.read_text(encoding="utf-8")
    assert "<h1>Mine among the learners of suite quick</h1>" in page
    assert page.index('class="headlines"') < page.index(f"<li>{report.standings[0]}</li>")
    said = (tmp_path / "out" / "standings.md").read_text(encoding="utf-8")
    assert len(said.splitlines()) == 2 and said.startswith("- On Omniglot, ") and "Mine has the best accuracy" in said
    assert "standings.md" in (tmp_path / "out" / "files.txt").read_text()
    assert f"{theirs}" in report.records.read_text()
    with pytest.warns(UserWarning, match="No rows of 4 of 6 runs: 4 of learners without a finished run"):
        load_results(mine.path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"episodes_digest": "a" * 64}, "test episodes differ"),
        ({"examples_encoded": 50_000}, "examples encoded differ"),
        ({"selection": "best"}, "selection rules differ"),
    ],
)
def test_rows_that_cannot_be_compared_are_not_and_the_reason_is_said(make, theirs, tmp_path, changes, reason):
    runs = make("mine", {"mine": ("Mine", "own")}, **changes)
    (comparison,) = compare(reading(runs.path, theirs).outcomes)
    assert all(entry.rank is None for entry in comparison.all_entries())
    assert reason in comparison.warnings[0] and "Mine" in comparison.warnings[0]


def test_other_versions_of_the_results_are_not_compared(make, theirs):
    runs = make("mine", {"mine": ("Mine", "own")})
    for path in runs.path.glob("*/spec.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "results_version": 99}))
    (comparison,) = compare(reading(runs.path, theirs).outcomes)
    assert "versions of the results differ (4: LSTM, Attention; 99: Mine)" in comparison.warnings[0]


def test_a_learner_that_means_something_else_has_a_row_of_its_own(make, theirs, tmp_path):
    runs = make("mine", {"lstm": ("LSTM", "recurrent")})
    for cell in runs.cells:
        runs.remove(cell)
        cell["run_id"] = "f" + cell["run_id"][1:]
    runs.write_suite().finish()
    found = reading(runs.path, theirs)
    assert [cell.label for cell in found.suite.cells[::2]] == ["LSTM", f"LSTM ({theirs})", "Attention"]
    assert f"lstm of {theirs} differs from that of an earlier source" in found.notes[0]


def test_of_the_same_run_the_first_source_counts(make, theirs):
    runs = make("mine", {"lstm": ("LSTM", "recurrent")}, at_chance=True)
    found = reading(runs.path, theirs)
    own = [each for each in found.outcomes if isinstance(each, Run) and each.cell.learner == "lstm"]
    assert len(own) == 2 and all(run.source.name == str(runs.path) for run in own)
    assert sum("has other scores" in note for note in found.notes) == 2


def test_runs_that_no_manifest_lists_are_named(make):
    runs = make("mine", {"mine": ("Mine", "own"), "lstm": ("LSTM", "recurrent")})
    runs.cells = runs.find(learner="lstm")
    found = reading(runs.write_suite().path)
    assert len(found.outcomes) == 2
    assert "2 runs: mine on omniglot, seed 0 (run " in found.notes[0]


def test_of_many_runs_that_no_manifest_lists_three_are_named(make):
    runs = make("mine", {"mine": ("Mine", "own"), "lstm": ("LSTM", "recurrent")}, seeds=range(9))
    runs.cells = runs.find(learner="lstm")
    (note,) = reading(runs.write_suite().path).notes
    assert "9 runs: " in note and note.count("mine on omniglot") == 3 and note.endswith("; and 6 more.")


def test_only_selects_cells(quick, tmp_path):
    report = write_report(
        quick.path, tmp_path / "out", only=parse_only(["task=omniglot", "train_classes=50", "ways=5"])
    )
    assert {cell.task for cell in report.suite.cells} == {"omniglot"} and len(report.suite.cells) == 8
    with pytest.raises(ReportError, match=r"No cell of suite `quick` has learner=gru\."):
        reading(quick.path).only({"learner": ["gru"]})


def test_what_is_neither_is_refused(tmp_path):
    with pytest.raises(ReportError, match="Expected a folder of runs or a bundle but nowhere is neither"):
        reading("nowhere")


def test_a_suite_is_chosen_for_all_sources(make, theirs):
    runs = make("mine", {"mine": ("Mine", "own")})
    runs.write_suite("another")
    assert reading(runs.path, theirs).suite.name == "quick"
    with pytest.raises(ReportError, match="several suites"):
        reading(runs.path)


def test_runs_that_are_part_of_another_suite_count(make, theirs, tmp_path):
    runs = make("mine", {"mine": ("Mine", "own"), **OURS})
    runs.write_suite("larger")
    (runs.path / "suites" / "quick.json").unlink()
    for cell in runs.find(learner="lstm"):
        runs.remove(cell)
    found = reading(runs.path, theirs, suite="larger").outcomes
    assert {each.cell.learner: str(each.source) for each in found if isinstance(each, Run)}.keys() == {"mine", *OURS}
    with opened([theirs]) as (bundle,):
        wanted, folders = gather([runs.path, bundle.folder], "larger")
    assert wanted.name == "larger" and {cell.run_id for cell in wanted.cells} == folders.keys()
    stranger = make("stranger", {"other": ("Other", "own")}).path
    with pytest.raises(ReportError, match="larger"):
        reading(runs.path, stranger, suite="larger")


def test_unfinished_cells_of_learners_that_have_begun_are_told(make, theirs):
    runs = make("mine", {"mine": ("Mine", "own")})
    runs.remove(runs.cells[0])
    problems = [each for each in reading(runs.path, theirs).outcomes if isinstance(each, Problem)]
    assert [(each.cell.learner, each.cell.seed) for each in problems] == [("mine", 0)]


def test_cells_that_no_bundle_has_are_counted_and_have_no_row(make, tmp_path):
    runs = make("partly", {**OURS, "never": ("Never run", "own")})
    for cell in runs.find(learner="never"):
        runs.remove(cell)
    write_bundle(*gather([runs.path]), tmp_path / "partly.zip")
    report = write_report(tmp_path / "partly.zip", tmp_path / "out")
    (comparison,) = report.comparisons
    assert [row[0].label for row in comparison.entries] == ["LSTM", "Attention"]
    assert not report.problems
    assert "2 of 6 cells left out because the bundle has no run of them." in report.notes
