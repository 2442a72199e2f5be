"""The whole report: golden tables, what must not change, files, page and terminal."""

import io
import itertools
import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from reports import print_report, write_report
from reports.records import ENTRY_COLUMNS, RECORD_COLUMNS

GOLDEN = Path(__file__).parent / "golden"


def read_files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def read_entries(folder, task):
    return pd.read_csv(folder / f"table-{task}.csv", index_col=["learner", "train_classes", "ways", "shots"])


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
                folder.write_run(cell, scores=np.array(row), at_chance=np.mean(row) < 0.25)
    return folder


def test_golden_markdown(handmade, tmp_path):
    write_report(handmade.path, tmp_path / "out")
    for name in ("table-omniglot.md", "table-sinusoid.md"):
        assert (tmp_path / "out" / name).read_text(encoding="utf-8") == (GOLDEN / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["table-omniglot.csv", "results.csv"])
def test_golden_csv(handmade, tmp_path, name):
    """Everything equal, and numbers up to the last digits, in which versions of scipy may differ."""
    write_report(handmade.path, tmp_path / "out")
    found, expected = pd.read_csv(tmp_path / "out" / name), pd.read_csv(GOLDEN / name)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9)


def test_records_hold_every_metric_and_read_back(quick, tmp_path):
    report = write_report(quick.path, tmp_path / "out")
    records = pd.read_csv(report.records, float_precision="round_trip")
    assert tuple(records.columns) == RECORD_COLUMNS
    assert len(records) == len(quick.cells) * 2 * 2
    assert set(records["metric"]) == {"accuracy", "mse", "nll"}
    run = report.runs[0]
    assert records.loc[records["run_id"] == run.cell.run_id, "value"].tolist() == [score.value for score in run.scores]


def test_entries_agree_with_the_episodes(quick, tmp_path):
    report = write_report(quick.path, tmp_path / "out")
    entries = read_entries(tmp_path / "out", "omniglot")
    assert (*entries.index.names, *entries.columns) == ("learner", "train_classes", "ways", "shots", *(
        name for name in ENTRY_COLUMNS if name not in entries.index.names
    ))  # fmt: skip
    tables = [
        pd.read_parquet(quick.path / cell["run_id"] / "episodes.parquet")
        for cell in quick.find(learner="lstm", train_classes=200)
    ]
    mean = pd.concat(tables).query("ways == 5 and shots == 1")["accuracy"].mean()
    row = entries.loc[("lstm", 200, 5, 1)]
    assert row["mean"] == pytest.approx(mean)
    assert (row["seeds"], row["episodes"], row["status"]) == (2, 60, "finished")
    assert row["upper"] - row["lower"] == pytest.approx(2 * row["half_width"])
    assert report.n_finished == report.n_cells == 32


def test_best_is_the_highest_accuracy_and_the_lowest_error(quick, tmp_path):
    write_report(quick.path, tmp_path / "out")
    for task, pick in (("omniglot", "idxmax"), ("sinusoid", "idxmin")):
        entries = read_entries(tmp_path / "out", task).reset_index()
        for _, column in entries.groupby(["train_classes", "shots"], dropna=False):
            assert column.loc[column["best"], "learner"].tolist() == [
                column.loc[getattr(column["mean"], pick)(), "learner"]
            ]


def test_same_runs_give_the_same_bytes_in_another_process(quick, tmp_path):
    write_report(quick.path, tmp_path / "first")
    code = "import sys, pathlib; from reports import write_report; write_report(*map(pathlib.Path, sys.argv[1:]))"
    subprocess.run(
        [sys.executable, "-c", code, quick.path, tmp_path / "second"],
        env={**os.environ, "PYTHONHASHSEED": "7", "MPLBACKEND": "pdf"},
        check=True,
        timeout=120,
    )
    first, second = read_files(tmp_path / "first"), read_files(tmp_path / "second")
    assert [name for name in first if first[name] != second.get(name)] == []
    assert len(first) == len(second) == 12


def test_order_of_folders_and_rows_changes_nothing(quick, tmp_path):
    write_report(quick.path, tmp_path / "first")
    for cell in reversed(quick.cells):
        moved = quick.path / f".{cell['run_id']}"
        (quick.path / cell["run_id"]).rename(moved)
        path = moved / "episodes.parquet"
        pd.read_parquet(path).sample(frac=1, random_state=0).to_parquet(path, index=False)
        moved.rename(quick.path / cell["run_id"])
    write_report(quick.path, tmp_path / "second")
    assert read_files(tmp_path / "first") == read_files(tmp_path / "second")


def test_removing_runs_makes_only_their_entries_missing(quick, tmp_path):
    write_report(quick.path, tmp_path / "before")
    for cell in quick.find(learner="attention", train_classes=200):
        quick.remove(cell)
    write_report(quick.path, tmp_path / "after")
    before, after = (read_entries(tmp_path / name, "omniglot") for name in ("before", "after"))
    gone = [("attention", 200, 5, 1), ("attention", 200, 5, 5)]
    assert after.loc[gone, "status"].tolist() == ["missing", "missing"]
    assert after.loc[gone, "mean"].isna().all()
    pd.testing.assert_frame_equal(
        before.drop(index=gone).drop(columns="best"), after.drop(index=gone).drop(columns="best")
    )
    sinusoid = "table-sinusoid.md"
    assert (tmp_path / "before" / sinusoid).read_bytes() == (tmp_path / "after" / sinusoid).read_bytes()
    assert "*missing*" in (tmp_path / "after" / "table-omniglot.md").read_text(encoding="utf-8")


def test_adding_a_learner_changes_no_other_number(quick, tmp_path):
    write_report(quick.path, tmp_path / "before")
    for seed, size in itertools.product((0, 1), (50, 200, 1028)):
        quick.finish([quick.plan("omniglot", "mine", "Mine", "mine", seed, size)])
    quick.write_suite()
    write_report(quick.path, tmp_path / "after")
    before, after = (read_entries(tmp_path / name, "omniglot") for name in ("before", "after"))
    pd.testing.assert_frame_equal(before.drop(columns="best"), after.loc[before.index].drop(columns="best"))
    assert "mine" in after.index.get_level_values("learner")


def test_nothing_finished_still_gives_every_file(folder, tmp_path):
    folder.plan_quick()
    folder.unavailable = {"omniglot": "Omniglot is not on this machine."}
    folder.write_suite()
    report = write_report(folder.path, tmp_path / "out")
    assert len(read_files(tmp_path / "out")) == 12
    omniglot = (tmp_path / "out" / "table-omniglot.md").read_text(encoding="utf-8")
    assert omniglot.count("*missing*<sup>a</sup>") == 4 * 6
    assert "data unavailable: Omniglot is not on this machine." in omniglot
    assert len(report.problems) == len(folder.cells)
    assert len(pd.read_csv(report.records)) == 0


def test_empty_suite_is_an_empty_report(folder, tmp_path):
    report = write_report(folder.write_suite().path, tmp_path / "out")
    assert (report.n_cells, report.tables, report.figures) == (0, (), ())
    assert report.page.exists()


def test_protocols_of_one_task_have_tables_of_their_own(folder, tmp_path):
    for protocol in ("within alphabets", "across alphabets", "across/alphabets"):
        folder.plan("omniglot", "lstm", "LSTM", "rnn", 0, 50, protocol=protocol)
    folder.write_suite().finish()
    write_report(folder.path, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").glob("*.md")} == {
        "table-omniglot-within-alphabets.md",
        "table-omniglot-across-alphabets.md",
        "table-omniglot-across-alphabets-2.md",
    }


def test_several_ways_and_unlimited_classes_have_columns_and_panels(folder, tmp_path):
    tests = [(5, 1), (20, 1), (20, 5), (5, 5)]
    for seed, size in itertools.product((0, 1, 2), (None, 50)):
        folder.plan("omniglot", "lstm", "LSTM", "rnn", seed, size, tests=tests)
    folder.write_suite().finish()
    (layout,) = write_report(folder.path, tmp_path / "out").layouts
    assert layout.groups == (("50 characters", 4), ("unlimited characters", 4))
    assert layout.columns[:4] == ("5-way 1-shot", "5-way 5-shot", "20-way 1-shot", "20-way 5-shot")


def test_learners_at_chance_are_marked_and_never_best(quick, tmp_path):
    quick.finish(quick.find(task="omniglot", train_classes=50), at_chance=True)
    report = write_report(quick.path, tmp_path / "out")
    marked = [entry for entry in report.comparisons[1].all_entries() if entry.at_chance]
    assert len(marked) == 8
    assert not any(entry.best for entry in marked)
    table = (tmp_path / "out" / "table-omniglot.md").read_text(encoding="utf-8")
    assert table.count("<sup>†</sup>") == 8 + 1


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
    text = write_report(quick.path, tmp_path / "out").page.read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags.count("img") == 2
    assert {address.partition(",")[0] for address in page.addresses} == {"data:image/png;base64", "#missing"}
    assert len(page.ids) == len(set(page.ids))
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert "http://" not in text and "https://" not in text
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
    assert "script" not in Page(text).tags
    assert "&lt;script&gt;" in text


def test_terminal_shows_the_quick_suite_in_100_columns(quick, tmp_path):
    quick.finish(quick.find(train_classes=50), at_chance=True)
    for cell in quick.find(train_classes=200, seed=1):
        quick.remove(cell)
    report = write_report(quick.path, tmp_path / "out")
    console = Console(width=100, file=io.StringIO(), color_system=None)
    print_report(report, console)
    text = console.file.getvalue()
    layout = report.layouts[1]
    table = text[text.index("omniglot (") : text.index("Accuracy in %")]
    assert max(map(len, table.splitlines())) <= 100
    for _, cells in layout.rows:
        for cell in cells:
            assert cell.text in table
    assert "28 of 32 runs finished." in text
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


def test_a_report_can_be_written_over_an_older_one(quick, tmp_path):
    write_report(quick.path, tmp_path / "out")
    first = read_files(tmp_path / "out")
    shutil.rmtree(quick.path / quick.cells[0]["run_id"])
    write_report(quick.path, tmp_path / "out")
    quick.finish(quick.cells[:1])
    write_report(quick.path, tmp_path / "out")
    assert read_files(tmp_path / "out") == first
