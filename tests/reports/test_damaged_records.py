"""Records damaged at random: one run never takes the others with it, and its text is data wherever it goes."""

import csv
import io
import json
import re
import shutil
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from adaptbench.reports.comparison.comparison import compare
from adaptbench.reports.report import write_report
from adaptbench.reports.results.manifest import read_suite
from adaptbench.reports.results.runs import Run, read_outcomes
from adaptbench.reports.terminal import show_report

LEARNERS = {"lstm": ("LSTM", "recurrent"), "attention": ("Attention", "attention")}
HARMFUL = "=cmd|' /C calc'!A0\x1b]0;title\x07\x9b31m\u202e"
RAW = (
    "1e400", "-1e400", "1e308", "1e-320", "NaN", "-Infinity", str(10**30), str(-(2**63) - 1), "-1", "0", "0.5", "true",
    "null", '""', '"\\ud800"', '"../../x"', "[]", "{}", "[[]]", '{"a": {"b": [1]}}', f"{'[' * 9999}{']' * 9999}",
    f'"{"x" * 9999}"', json.dumps(HARMFUL),
)  # fmt: skip
"""JSON of values that a field may not or should not have."""
TABLES = ("episodes.parquet", "curve.parquet", "calibration.parquet", "fits.parquet")
NUMBERS = (float("nan"), float("inf"), -float("inf"), 1e308, -1e308, 1e-320, 2.0**63, -1.0, 0.5, 0.0)
BYTES = (b"", b"{", b"PAR1", b"\xff\xfe\x00", b"[" * 100_000)


def calibration(test):
    return {"ways": 5, "shots": test["shots"], "bin": range(15), "queries": 10, "confidence": 5.0, "correct": 5}


def fits(test):
    role = ["support", "query"]
    return {"shots": test["shots"], "function": 0, "role": role, "x": [0.0, 1.0], "y": 0.5, "prediction": [None, 0.4]}


@pytest.fixture(scope="session")
def whole(tmp_path_factory, make_folder):
    """Four finished runs of a task with a seed and a learner of each kind, with every file that a run can have."""
    folder = make_folder(tmp_path_factory.mktemp("whole") / "runs")
    for learner, names in LEARNERS.items():
        for seed in (0, 1):
            cell = folder.plan("omniglot", learner, *names, seed, 50)
            folder.write_run(cell)
            for name, make in (("calibration", calibration), ("fits", fits)):
                table = pd.concat([pd.DataFrame(make(test)) for test in cell["tests"]])
                table.to_parquet(folder.path / cell["run_id"] / f"{name}.parquet", index=False)
    return folder.write_suite()


@pytest.fixture(scope="session")
def damaged(whole, tmp_path_factory):
    """A copy of these runs for each example, the first of which is damaged."""
    copy = tmp_path_factory.mktemp("damaged") / "runs"

    def restore():
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(whole.path, copy)
        return SimpleNamespace(path=copy, run=copy / whole.cells[0]["run_id"])

    return restore


def places(value, path=()):
    """Every place in JSON: keys and indices on the way to it."""
    yield path
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in below:
        yield from places(each, (*path, key))


def damage_json(data, run):
    """Puts a value that does not belong there anywhere into a JSON file of the run, or takes a value out."""
    path = run / data.draw(st.sampled_from(["result.json", "environment.json", "spec.json"]), "file")
    content = json.loads(path.read_text())
    place = data.draw(st.sampled_from(list(places(content))[1:]), "place")
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    new = data.draw(st.sampled_from([None, *RAW]) | st.text().map(json.dumps), "value")
    if new is None:
        del inner[place[-1]]
    else:
        inner[place[-1]] = "@@"
    path.write_text(json.dumps(content).replace('"@@"', new or ""))


def damage_table(data, run):
    """Puts values that do not belong there into a column of a table of the run, or takes rows or a column out."""
    path = run / data.draw(st.sampled_from(TABLES), "file")
    table = pd.read_parquet(path)
    name = data.draw(st.sampled_from(list(table)), "column")
    kind = data.draw(st.sampled_from(["number", "text", "rows", "column", "absent", "twice", "lists"]), "kind")
    if kind == "number":
        number = data.draw(st.sampled_from(NUMBERS), "number")
        one = pd.api.types.is_numeric_dtype(table[name]) and data.draw(st.booleans(), "one row")
        table[name] = table[name].astype("float64").where(table.index > 0, number) if one else number
    elif kind in ("text", "absent", "lists"):
        table[name] = {"text": HARMFUL, "absent": None, "lists": [[1]] * len(table)}[kind]
    elif kind == "twice":
        table = pd.concat([table, table])
    else:
        table = table.iloc[:0] if kind == "rows" else table.drop(columns=name)
    table.to_parquet(path, index=False)


def damage_bytes(data, run):
    """Replaces a file of the run by other bytes, cuts it, or takes it away."""
    path = run / data.draw(st.sampled_from(["result.json", "environment.json", "spec.json", *TABLES]), "file")
    how = data.draw(st.sampled_from([*BYTES, "cut", "folder", "gone"]), "bytes")
    content = path.read_bytes()
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how != "gone":
        path.write_bytes(content[: len(content) // 2] if how == "cut" else how)


def damage(data, run):
    data.draw(st.sampled_from([damage_json, damage_table, damage_bytes]), "damage")(data, run)


def check_others(whole, outcomes):
    """Every run but the first is read as before; the first is, too, or says in a sentence what is wrong."""
    first, *others = outcomes
    assert [each.cell.run_id for each in others if isinstance(each, Run)] == [c["run_id"] for c in whole.cells[1:]]
    if not isinstance(first, Run):
        assert first.kind in ("unreadable", "not finished") and (first.reason or first.kind == "not finished")
        assert first.reason.isprintable() and len(first.reason) < 400, first.reason


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_run_costs_no_other(whole, damaged, data):
    copy = damaged()
    damage(data, copy.run)
    outcomes = read_outcomes(copy.path, read_suite(copy.path))
    check_others(whole, outcomes)
    compare(outcomes)
    for each in outcomes:
        if isinstance(each, Run):
            _ = each.curve, each.fits, each.calibration
            assert all(text.isprintable() for text in each.lost)


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_run_costs_no_report(whole, damaged, data, tmp_path_factory):
    copy = damaged()
    damage(data, copy.run)
    report = write_report(copy.path, tmp_path_factory.mktemp("report"))
    check_others(whole, [*report.problems, *report.runs])
    assert report.page.is_file() and report.figures


def test_text_of_a_record_is_data_in_every_file_and_on_the_screen(folder, tmp_path):
    for learner, names in {HARMFUL: (HARMFUL, HARMFUL), **LEARNERS}.items():
        for size in (50, 200):
            cell = folder.plan("omniglot", learner, *names, 0, size, protocol="+1\x1b[2J")
            folder.write_run(cell)
            spec = {"learner": {"name": HARMFUL, "init_args": {HARMFUL: [HARMFUL]}}}
            (folder.path / cell["run_id"] / "spec.json").write_text(json.dumps(spec))
    folder.fail(folder.plan("omniglot", HARMFUL, "x", "y", 1, 50, protocol="+1\x1b[2J"), HARMFUL, log=HARMFUL)
    folder.write_suite()
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    report = show_report(folder.path, tmp_path / "out", suite=None, console=console)
    texts = [path for path in (tmp_path / "out").iterdir() if path.suffix in (".md", ".csv", ".tex", ".html", ".txt")]
    assert len(texts) > len(report.table_files)
    for text in [console.file.getvalue(), *(path.read_text(encoding="utf-8") for path in texts)]:
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)
    for path in (path for path in texts if path.suffix == ".csv"):
        with path.open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        numbers = re.compile(r"[-+]?\d[\d.e+-]*")
        assert [cell for cell in cells if cell[:1] in tuple("=+-@\t\r") and not numbers.fullmatch(cell)] == []
    assert "'=cmd" in report.records.read_text(encoding="utf-8")
