"""The whole report: golden tables, what must not change, files, page and terminal."""

import io
import itertools
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from adaptbench.reports.comparison.comparison import compare
from adaptbench.reports.figures.scores import panel_columns
from adaptbench.reports.page.page import SCRIPTS
from adaptbench.reports.report import file_names, write_report
from adaptbench.reports.results.manifest import read_suite
from adaptbench.reports.results.metrics import Metric
from adaptbench.reports.results.records import RUN_COLUMNS
from adaptbench.reports.results.runs import read_outcomes
from adaptbench.reports.statistics.intervals import Interval
from adaptbench.reports.tables.markup.markdown import to_markdown
from adaptbench.reports.tables.scores import entry_columns, score_table
from adaptbench.reports.tables.table import RARE
from adaptbench.reports.terminal import print_report
from adaptbench.reports.words.headlines import headlines

GOLDEN = Path(__file__).parent / "golden"
COMPARED = ["best", "rank", "not_different", "difference", "difference_half_width", "p_value"]
"""Columns that depend on the other learners."""


def read_files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def comparisons(folder):
    """The comparisons of a runs folder by file name, without drawing anything."""
    found = compare(read_outcomes(folder.path, read_suite(folder.path)))
    return dict(zip(file_names(found), found, strict=True))


def entries(folder, task):
    """The entries of a task, by learner and setting."""
    return score_table(comparisons(folder)[task]).frame.set_index(["learner", "train_classes", "ways", "shots"])


def markdown(folder, task):
    return to_markdown(score_table(comparisons(folder)[task]))


@pytest.fixture
def handmade(folder):
    """Few episodes with round scores; the table of golden/table-omniglot.md can be checked by hand."""
    names = {"attention": ("Attention", "a"), "deep_sets": ("Deep sets", "b"), "my_net": ("my_net", "c")}
    folder.plan_quick(learners=names, sizes=(50, 1028)).write_suite()
    scores = {
        ("attention", 50): [[0.8, 0.9, 0.7, 1.0], [0.8, 0.9, 0.8, 0.9]],
        ("attention", 1028): [[0.9, 1.0, 0.9, 1.0], [1.0, 1.0, 0.9, 1.0]],
        ("deep_sets", 50): [[0.2, 0.2, 0.3, 0.1], [0.2, 0.3, 0.2, 0.1]],
        ("deep_sets", 1028): [[0.7, 0.9, 0.8, 0.8], None],
        ("my_net", 50): [None, None],
    }
    for (learner, size), seeds in scores.items():
        for cell, row in zip(folder.find(learner=learner, train_classes=size), seeds, strict=True):
            if row is None:
                folder.fail(cell, "RuntimeError: out of memory")
            else:
                folder.write_run(cell, scores=np.array(row), at_chance=bool(np.mean(row) < 0.25))
    return folder


@pytest.mark.parametrize("task", ["omniglot", "sinusoid"])
def test_golden_markdown(handmade, task):
    assert markdown(handmade, task) == (GOLDEN / f"table-{task}.md").read_text(encoding="utf-8")


def test_golden_files(handmade, tmp_path):
    """Everything equal, and numbers up to the last digits, in which versions of scipy may differ."""
    write_report(handmade.path, tmp_path / "out")
    gains = "gains-omniglot.md"
    assert (tmp_path / "out" / gains).read_text("utf-8") == (GOLDEN / gains).read_text("utf-8")
    for name in ("table-omniglot.csv", "results.csv"):
        found, expected = pd.read_csv(tmp_path / "out" / name), pd.read_csv(GOLDEN / name)
        pd.testing.assert_frame_equal(found, expected, rtol=1e-9)


def test_records_hold_every_metric_and_read_back(quick, tmp_path):
    report = write_report(quick.path, tmp_path / "out")
    records = pd.read_csv(report.records)
    assert pd.read_parquet(report.records.with_suffix(".parquet")).to_csv(index=False) == report.records.read_text(
        "utf-8"
    )
    assert tuple(records.columns) == RUN_COLUMNS
    assert len(records) == len(quick.cells) * 2 * 2
    assert set(records["metric"]) == {"accuracy", "mse", "nll"}
    run = report.runs[0]
    values = records.loc[records["run_id"] == run.cell.run_id, "value"]
    assert values.tolist() == pytest.approx([score.value for score in run.result.scores], rel=1e-12)


def test_entries_agree_with_the_episodes(quick):
    found = entries(quick, "omniglot")
    assert set(found.index.names) | set(found.columns) == {
        column.key for column in entry_columns(comparisons(quick)["omniglot"]) if column.key not in RARE
    }
    tables = [
        pd.read_parquet(quick.path / cell["run_id"] / "episodes.parquet")
        for cell in quick.find(learner="lstm", train_classes=200)
    ]
    row = found.loc[("lstm", 200, 5, 1)]
    assert row["mean"] == pytest.approx(pd.concat(tables).query("ways == 5 and shots == 1")["accuracy"].mean())
    assert (row["seeds"], row["episodes"], row["status"]) == (2, 60, "finished")
    assert 0 < row["lower"] < row["mean"] < row["upper"] < 1


def test_best_is_the_highest_accuracy_and_the_lowest_error(quick):
    for task, pick in (("omniglot", "idxmax"), ("sinusoid", "idxmin")):
        table = entries(quick, task).reset_index()
        for _, column in table.groupby(["train_classes", "shots"], dropna=False):
            best = column.loc[getattr(column["mean"].astype(float), pick)(), "learner"]
            assert column.loc[column["best"], "learner"].tolist() == [best]
            assert column.loc[column["learner"] == best, "rank"].item() == 1
            assert not (column["best"] & column["not_different"]).any()


def test_same_runs_give_the_same_bytes_in_another_process(quick, tmp_path):
    write_report(quick.path, tmp_path / "first")
    code = (
        "import sys, pathlib; from adaptbench.reports.report import write_report; "
        "write_report(*map(pathlib.Path, sys.argv[1:]))"
    )
    subprocess.run(
        [sys.executable, "-c", code, quick.path, tmp_path / "second"],
        env={**os.environ, "PYTHONHASHSEED": "7", "MPLBACKEND": "pdf"},
        check=True,
        timeout=120,
    )
    first, second = read_files(tmp_path / "first"), read_files(tmp_path / "second")
    assert [name for name in first if first[name] != second.get(name)] == []
    assert set(first) == set(second)
    assert {"index.html", "results.parquet", "published.tex", "ranks-omniglot.pdf", "gains-sinusoid.csv"} <= set(first)


def test_order_of_folders_and_rows_changes_nothing(quick):
    before = comparisons(quick)
    for cell in reversed(quick.cells):
        moved = quick.path / f".{cell['run_id']}"
        (quick.path / cell["run_id"]).rename(moved)
        path = moved / "episodes.parquet"
        pd.read_parquet(path).sample(frac=1, random_state=0).to_parquet(path, index=False)
        moved.rename(quick.path / cell["run_id"])
    assert comparisons(quick) == before


def test_removing_runs_makes_only_their_entries_missing(quick):
    before, other = entries(quick, "omniglot"), markdown(quick, "sinusoid")
    for cell in quick.find(learner="attention", train_classes=200):
        quick.remove(cell)
    after = entries(quick, "omniglot")
    gone = [("attention", 200, 5, 1), ("attention", 200, 5, 5)]
    assert after.loc[gone, "status"].tolist() == ["missing", "missing"]
    assert after.loc[gone, "mean"].isna().all()
    kept, still = (table.drop(index=gone).drop(columns=COMPARED) for table in (before, after))
    pd.testing.assert_frame_equal(kept, still, check_dtype=False)
    assert markdown(quick, "sinusoid") == other
    assert markdown(quick, "omniglot").count("*missing*") == 2


def test_adding_a_learner_changes_no_other_number(quick):
    before = entries(quick, "omniglot")
    for seed, size in itertools.product((0, 1), (50, 200, 1028)):
        quick.finish([quick.plan("omniglot", "mine", "Mine", "mine", seed, size)])
    quick.write_suite()
    after = entries(quick, "omniglot")
    pd.testing.assert_frame_equal(before.drop(columns=COMPARED), after.loc[before.index].drop(columns=COMPARED))
    assert "mine" in after.index.get_level_values("learner")


def test_nothing_finished_still_gives_every_file(folder, tmp_path):
    folder.plan_quick()
    folder.unavailable = {"omniglot": "Omniglot is not on this machine."}
    folder.write_suite()
    report = write_report(folder.path, tmp_path / "out")
    assert {"index.html", "results.csv", "table-omniglot.tex", "figure-omniglot.pdf"} <= set(
        read_files(tmp_path / "out")
    )
    omniglot = markdown(folder, "omniglot")
    assert omniglot.count("*missing*<sup>a</sup>") == 4 * 6
    assert "data unavailable: Omniglot is not on this machine." in omniglot
    assert len(report.problems) == len(folder.cells)
    assert len(pd.read_csv(report.records)) == 0


def test_empty_suite_is_an_empty_report(folder, tmp_path):
    report = write_report(folder.write_suite().path, tmp_path / "out")
    assert (report.suite.cells, report.main_tables, report.figures) == ((), (), ())
    assert report.page.exists()


def test_names_of_files_have_what_protocols_differ_in(folder):
    for split in ("random, seed 0", "vinyals"):
        folder.plan("omniglot", "lstm", "LSTM", "rnn", 0, 50, protocol=f"{split}, augmented, trained in bfloat16")
    folder.plan("sinusoid", "lstm", "LSTM", "rnn", 0, 50)
    folder.write_suite().finish()
    assert list(comparisons(folder)) == ["omniglot-random-seed-0", "omniglot-vinyals", "sinusoid"]


def test_protocols_of_one_task_have_tables_of_their_own(folder):
    for protocol in ("within alphabets", "across alphabets", "across/alphabets"):
        folder.plan("omniglot", "lstm", "LSTM", "rnn", 0, 50, protocol=protocol)
    folder.write_suite()
    names = ["omniglot-within-alphabets", "omniglot-across-alphabets", "omniglot-across-alphabets-2"]
    assert list(comparisons(folder)) == names


def test_several_ways_and_unlimited_classes_have_columns_and_panels(folder, tmp_path):
    tests = [(5, 1), (20, 1), (20, 5), (5, 5)]
    for seed, size in itertools.product((0, 1, 2), (None, 50)):
        folder.plan("omniglot", "lstm", "LSTM", "rnn", seed, size, tests=tests)
    folder.write_suite().finish()
    report = write_report(folder.path, tmp_path / "out")
    (table,) = report.main_tables
    assert table.groups == (("50 characters", 4), ("unlimited characters", 4))
    assert table.columns[:4] == ("5-way 1-shot", "5-way 5-shot", "20-way 1-shot", "20-way 5-shot")
    panels = panel_columns(report.comparisons[0], "classes")
    assert list(panels.values()) == [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert list(panel_columns(report.comparisons[0], "ways").values()) == [[0, 2], [1, 3], [4, 6], [5, 7]]
    assert "ways-omniglot.png" in {path.name for path in report.figures}


def test_learners_at_chance_are_marked_and_never_best(quick):
    quick.finish(quick.find(task="omniglot", train_classes=50), at_chance=True)
    table = entries(quick, "omniglot")
    marked = table[table["at_chance"]]
    assert len(marked) == 8
    assert not marked["best"].any()
    assert markdown(quick, "omniglot").count("<sup>†</sup>") == 8 + 1


@pytest.mark.parametrize(
    ("mean", "lower", "upper", "metric", "expected"),
    [
        (0.934, 0.926, 0.941, "accuracy", "93.4 [92.6, 94.1]"),
        (0.98, 0.41, 0.9994, "accuracy", "98.0 [41.0, 99.9]"),
        (0.99999, 0.99978, 1.0, "accuracy", "99.999 [99.978, 100.000]"),
        (1.0, 0.995, 1.0, "accuracy", "100.0 [99.5, 100.0]"),
        (0.2, 0.2, 0.2, "accuracy", "20.0 [20.0, 20.0]"),
        (0.0461, 0.0421, 0.0513, "mse", "0.046 [0.042, 0.051]"),
        (0.015, 0.002, 0.6, "mse", "0.015 [0.002, 0.600]"),
        (0.000123, 0.000078, 0.000168, "mse", "0.00012 [0.00008, 0.00017]"),
        (4.25, 2.75, 6.5, "mse", "4.25 [2.75, 6.50]"),
        (1.2e9, 8.6e8, 1.5e9, "mse", "1.20e+09 [8.60e+08, 1.50e+09]"),
        (-1.2, -1.5, -0.9, "nll", "-1.20 [-1.50, -0.90]"),
    ],
)
def test_numbers_keep_the_digits_that_matter(mean, lower, upper, metric, expected):
    found = Metric.named(metric, higher_is_better=metric == "accuracy")
    assert found.interval(Interval(mean, lower, upper, 0.1, 2, 600)) == expected


def test_headlines_rank_the_largest_training_set(quick):
    for cell in quick.find(task="omniglot", learner="attention", train_classes=1028, seed=1):
        quick.remove(cell)
    first, second = headlines(comparisons(quick)["omniglot"])
    assert first.place == "Accuracy on Omniglot, 5-way 1-shot with 1028 characters"
    table = entries(quick, "omniglot")
    best = table.loc[(slice(None), 1028, 5, 1), :].sort_values("mean")["label"].iloc[-1]
    assert first.winner.startswith(best)
    assert first.score.endswith(" %")
    assert "Attention (1 of 2 seeds)" in first.winner + first.others
    assert second.place.startswith("Accuracy on Omniglot, 5-way 5-shot")


class Page(HTMLParser):
    """Collects the tags, links and sources of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.ids = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        self.ids += [value for name, value in attrs if name == "id"]


def test_page_is_self_contained(quick, tmp_path):
    quick.remove(quick.cells[0])
    report = write_report(quick.path, tmp_path / "out")
    text = report.page.read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags.count("img") == sum(figure.suffix == ".png" for figure in report.figures) > 2
    outside = {address for address in page.addresses if not address.startswith(("#", "data:image/png;base64,"))}
    assert outside == set()
    assert {address[1:] for address in page.addresses if address.startswith("#") and "#run-" not in address} <= set(
        page.ids
    )
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("script") == len(SCRIPTS)
    assert not {"link", "iframe"} & set(page.tags)
    assert "https://" not in text and "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert str(tmp_path) not in text
    assert "adaptbench run quick" in text
    assert "git checkout 0123456789abcdef" in text


def test_page_escapes_everything(folder, tmp_path):
    bad = "<script>alert(1)</script>"
    folder.plan_quick(learners={bad: (f'{bad}" onload="x', bad), "lstm": ("LSTM", "rnn")})
    folder.plan(f"task {bad}", bad, bad, bad, 0, 50, protocol=bad)
    folder.unavailable = {"omniglot": bad}
    folder.write_suite().finish(folder.find(task="sinusoid"))
    folder.fail(folder.find(task="omniglot")[0], bad, bad)
    text = write_report(folder.path, tmp_path / "out").page.read_text(encoding="utf-8")
    assert Page(text).tags.count("script") == len(SCRIPTS)
    assert bad not in text
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_terminal_shows_the_quick_suite_in_any_width(quick, tmp_path, width):
    quick.finish(quick.find(train_classes=50), at_chance=True)
    for cell in quick.find(train_classes=200, seed=1):
        quick.remove(cell)
    report = write_report(quick.path, tmp_path / "out")
    console = Console(width=width, file=io.StringIO(), color_system=None)
    print_report(report, console)
    text = console.file.getvalue()
    main = report.main_tables[1]
    table = text[text.index("Omniglot (") : text.index("Accuracy in %")]
    assert max(map(len, table.splitlines())) <= width
    for label, cells in main.rows:
        assert all(re.search(rf"\b{word}\b", table) for word in re.split(r"[ -]", label))
        for cell in cells:
            assert cell.text in table and cell.ends in table
    assert "28 of 32 runs finished, " in text
    assert str(report.page) in text


def test_terminal_prints_markup_as_it_stands(folder, tmp_path):
    folder.plan_quick(learners={"[red]x[/red]": ("[red]x[/red]", "a")}).write_suite().finish()
    console = Console(width=100, file=io.StringIO(), color_system=None)
    print_report(write_report(folder.path, tmp_path / "out"), console)
    assert "[red]x[/red]" in console.file.getvalue()


def test_reports_never_import_torch_or_what_writes_runs():
    code = (
        "import sys, reports; "
        "print(*({'torch', 'pytorch_lightning', 'datamodules', 'lit_modules', 'benchmarks'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""


def test_a_report_can_be_written_over_an_older_one(folder, tmp_path):
    folder.plan_quick(sizes=()).write_suite().finish()
    write_report(folder.path, tmp_path / "out")
    first = read_files(tmp_path / "out")
    folder.remove(folder.cells[0])
    write_report(folder.path, tmp_path / "out")
    assert read_files(tmp_path / "out") != first
    folder.finish(folder.cells[:1])
    write_report(folder.path, tmp_path / "out")
    assert read_files(tmp_path / "out") == first


def test_files_of_an_earlier_report_go_and_a_users_own_stay(folder, tmp_path):
    """A suite that has lost a task, reported into the same folder."""
    folder.plan_quick(sizes=(50,)).write_suite().finish()
    out = tmp_path / "report"
    write_report(folder.path, out)
    (out / "table-mine.md").write_text("a user's own")
    folder.cells = [cell for cell in folder.cells if cell["task"] == "sinusoid"]
    folder.write_suite()
    write_report(folder.path, out)
    left, fresh = read_files(out), tmp_path / "fresh"
    write_report(folder.path, fresh)
    assert left.pop("table-mine.md") == b"a user's own"
    assert left == read_files(fresh)
