"""Bundles: the same runs give the same bytes and read back; nothing that a stranger wrote into one is believed."""

import hashlib
import io
import json
import shutil
import stat
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adaptbench import load_results
from adaptbench.reports.errors import ReportError
from adaptbench.reports.report import write_report
from adaptbench.reports.sources.bundles import MOST_VALUES, built_in, code_of, gather, unpack, write_bundle

QUICK_BYTES = 1_000_000


@pytest.fixture(scope="module")
def packed(finished_quick, tmp_path_factory):
    """The bundle of the quick suite, which tests copy and forge."""
    path = tmp_path_factory.mktemp("bundle") / "quick.zip"
    write_bundle(*gather([finished_quick.path]), path, code={"mine": "raise SystemExit('executed')"}, card="# A card")
    return path


@pytest.fixture
def bundle(packed, tmp_path):
    return shutil.copy(packed, tmp_path / "quick.zip")


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def forge(path, changes):
    """Changes files of a bundle, by a function of their content, as one who can compute checksums."""
    found = members(path)
    found |= {name: change(found.get(name)) for name, change in changes.items()}
    index = json.loads(found["bundle.json"])
    index["files"] = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in found.items()
        if name != "bundle.json"
    }
    found["bundle.json"] = json.dumps(index).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in found.items():
            archive.writestr(name, content)


def table(change):
    """Changes a table in a bundle."""

    def changed(content):
        frame, buffer = pd.read_parquet(io.BytesIO(content)), io.BytesIO()
        change(frame).to_parquet(buffer, index=False)
        return buffer.getvalue()

    return changed


def better(frame):
    frame.loc[0, "nll"] += 0.1
    return frame


def twice(content):
    """The table with a second column of scores of the same name."""
    found, buffer = pq.read_table(io.BytesIO(content)), io.BytesIO()
    pq.write_table(found.append_column("nll", found.column("nll")), buffer)
    return buffer.getvalue()


def text(old, new):
    def changed(content):
        assert old.encode() in content
        return content.replace(old.encode(), new.encode(), 1)

    return changed


def test_the_same_runs_give_the_same_bytes(packed, finished_quick, tmp_path):
    write_bundle(
        *gather([finished_quick.path]),
        tmp_path / "again.zip",
        code={"mine": "raise SystemExit('executed')"},
        card="# A card",
    )
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()
    assert packed.stat().st_size < QUICK_BYTES


def test_runs_from_several_places_give_the_bytes_of_one(packed, quick, tmp_path):
    mine, theirs = (type(quick)(shutil.copytree(quick.path, tmp_path / name)) for name in ("mine", "theirs"))
    for number, cell in enumerate(quick.cells):
        (mine if number % 3 else theirs).remove(cell)
    write_bundle(*gather([theirs.path]), tmp_path / "theirs.zip")
    unpack(tmp_path / "theirs.zip", tmp_path / "unpacked")
    extras = {"code": {"mine": "raise SystemExit('executed')"}, "card": "# A card"}
    for number, roots in enumerate(([mine.path, tmp_path / "unpacked"], [tmp_path / "unpacked", mine.path])):
        write_bundle(*gather(roots), tmp_path / f"{number}.zip", **extras)
        assert (tmp_path / f"{number}.zip").read_bytes() == packed.read_bytes()


def test_the_latest_version_of_a_suite_says_which_runs_it_has(quick, tmp_path):
    manifest = json.loads((quick.path / "suites" / "quick.json").read_text())
    (tmp_path / "later" / "suites").mkdir(parents=True)
    later = tmp_path / "later" / "suites" / "quick.json"
    later.write_text(json.dumps({**manifest, "version": 2, "cells": manifest["cells"][1:]}))
    suite, folders = gather([quick.path, tmp_path / "later"])
    assert suite.version == 2 and [cell.run_id for cell in suite.cells] == [
        cell["run_id"] for cell in manifest["cells"][1:]
    ]
    assert {cell["run_id"] for cell in manifest["cells"]} <= folders.keys()
    later.rename(later.with_name("other.json"))
    later.with_name("other.json").write_text(json.dumps({**manifest, "name": "other"}))
    with pytest.raises(ReportError, match="Expected one suite but got other, quick"):
        gather([quick.path, tmp_path / "later"])


def test_pandas_alone_reads_it(packed, quick):
    found = members(packed)
    runs = pd.read_json(io.BytesIO(found["runs.jsonl"]), lines=True)
    episodes = pd.read_parquet(io.BytesIO(found["episodes.parquet"]))
    assert len(runs) == episodes["run_id"].nunique() == len(quick.cells)
    run_id = runs["result"][0]["run_id"]
    own = pd.read_parquet(quick.path / run_id / "episodes.parquet")
    mine = episodes[episodes["run_id"] == run_id]
    metric = quick.find(run_id=run_id)[0]["metric"]
    np.testing.assert_allclose(mine[metric].to_numpy(), own[metric].to_numpy(), rtol=1e-6)


def test_it_reads_as_the_folder_does(packed, quick):
    ours, theirs = load_results(quick.path), load_results(packed)
    pd.testing.assert_frame_equal(ours.runs, theirs.runs)
    pd.testing.assert_frame_equal(ours.episodes, theirs.episodes, rtol=1e-6)


def test_a_report_of_it_is_that_of_the_folder_and_runs_no_code(packed, quick, tmp_path):
    first, second = (write_report(source, tmp_path / name) for name, source in (("a", quick.path), ("b", packed)))
    for table in first.main_tables:
        assert (tmp_path / "a" / f"{table.name}.md").read_text() == (tmp_path / "b" / f"{table.name}.md").read_text()
    assert second.page.is_file()
    assert code_of(packed) == {"mine": "raise SystemExit('executed')"}


def test_scores_that_are_no_numbers_and_columns_of_other_tasks_come_back(folder, tmp_path):
    cell = folder.plan("sinusoid", "lstm", "LSTM", "recurrent", 0, None)
    folder.write_run(folder.plan("omniglot", "lstm", "LSTM", "recurrent", 0, 50))
    folder.write_suite().write_run(cell, scores=np.array([0.5, np.nan, np.inf]))
    write_bundle(*gather([folder.path]), tmp_path / "a.zip")
    unpack(tmp_path / "a.zip", tmp_path / "out")
    found = pd.read_parquet(tmp_path / "out" / cell["run_id"] / "episodes.parquet")
    pd.testing.assert_frame_equal(found, pd.read_parquet(folder.path / cell["run_id"] / "episodes.parquet"))


def test_suites_without_runs_are_refused(folder, tmp_path):
    folder.plan_quick().write_suite()
    with pytest.raises(ReportError, match="Expected finished runs of suite quick"):
        write_bundle(*gather([folder.path]), tmp_path / "a.zip")


LIES = {
    "a better score": ({"runs.jsonl": text('"value":0.', '"value":0.9')}, "but its episodes give"),
    "a better episode": ({"episodes.parquet": table(better)}, "but its episodes give"),
    "fewer episodes": ({"episodes.parquet": table(lambda frame: frame.iloc[1:])}, "episodes, as runs.jsonl says"),
    "no such metric": ({"episodes.parquet": table(lambda frame: frame.drop(columns="nll"))}, "to have nll of run"),
    "a run of nobody": (
        {"episodes.parquet": table(lambda frame: frame.assign(run_id="nobody"))},
        "Expected episodes.parquet to hold runs of runs.jsonl but got 'nobody'",
    ),
    "a path as a run": ({"runs.jsonl": text('"run_id":"', '"run_id":"../')}, "Expected field `result.run_id`"),
    "a path as a suite": (
        {"bundle.json": text('"name": "quick"', '"name": "../quick"')},
        "Expected field `suite.name`",
    ),
    "a formula": ({"bundle.json": text('"label": "LSTM"', '"label": "=1+1"')}, "to be plain but got '=1\\+1'"),
    "a formula as a version": ({"runs.jsonl": text('"numpy":', '"@SUM(A1)":')}, "to be plain but got '@SUM"),
    "a control character": ({"runs.jsonl": text('"numpy":', '"\\u001b[2J":')}, "to be plain"),
    "a command": ({"bundle.json": text('"command": ["quick"]', '"command": ["quick; rm"]')}, "to name a suite"),
    "a second line": ({"bundle.json": text('"command": ["quick"]', '"command": ["quick\\n"]')}, "to name a suite"),
    "a column twice": ({"episodes.parquet": twice}, "to have each column once but it has `nll` more than once"),
    "an option": ({"bundle.json": text('"command": ["quick"]', '"command": ["--slurm"]')}, "to name a suite"),
    "a number out of range": ({"runs.jsonl": text('"parameters":112000', '"parameters":-1')}, "greater than or equal"),
    "the same run twice": ({"runs.jsonl": lambda content: content + content.splitlines()[0]}, "once"),
    "another file": ({"../x": lambda _: b""}, "to hold the files of a bundle but got '../x'"),
    "code elsewhere": ({"code/../../x.py": lambda _: b""}, "to hold the files of a bundle"),
    "damage": ({"episodes.parquet": lambda content: content[:-9]}, "episodes.parquet cannot be read"),
    "no index": ({"bundle.json": lambda content: content.replace(b"suite", b"siute")}, "is not a bundle"),
}


@pytest.mark.parametrize(("changes", "complaint"), LIES.values(), ids=LIES.keys())
def test_a_forged_bundle_is_refused_in_one_line(changes, complaint, bundle, tmp_path):
    forge(bundle, changes)
    with pytest.raises(ReportError, match=complaint) as error:
        unpack(bundle, tmp_path / "out")
    assert "\n" not in str(error.value) and not list(tmp_path.glob("out/*"))


def test_counts_of_right_queries_that_contradict_the_accuracy_are_refused(tmp_path):
    path = shutil.copy(built_in()["best"], tmp_path / "best.zip")
    unpack(path, tmp_path / "honest")
    forge(path, {"calibration.parquet": table(lambda frame: frame.assign(correct=frame["correct"] // 2))})
    with pytest.raises(ReportError, match=r"calibration\.parquet counts 0\.49\d* of its queries as right"):
        unpack(path, tmp_path / "forged")


def test_a_link_is_refused(bundle, tmp_path):
    found = members(bundle)
    with zipfile.ZipFile(bundle, "w") as archive:
        for name, content in found.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (stat.S_IFLNK if name == "card.md" else stat.S_IFREG) << 16
            archive.writestr(entry, content)
    with pytest.raises(ReportError, match=r"to hold plain files but 'card\.md' is a link"):
        unpack(bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_markup_in_a_label_is_escaped(bundle, tmp_path):
    label = "<img src=x onerror=alert(1)>"
    forge(bundle, {"bundle.json": lambda content: content.replace(b'"label": "LSTM"', f'"label": "{label}"'.encode())})
    page = write_report(bundle, tmp_path / "out").page
    texts = {path: path.read_text(encoding="utf-8") for path in (page, *(tmp_path / "out").glob("*.md"))}
    assert len(texts) > 5 and not [path for path, text in texts.items() if "<img src=x" in text]
    assert all("&lt;img src=x" in texts[path] for path in (page, tmp_path / "out" / "table-omniglot.md"))


def test_another_byte_is_found(bundle, tmp_path):
    found = members(bundle)
    with zipfile.ZipFile(bundle, "w") as archive:
        for name, content in found.items():
            archive.writestr(name, content + b" " if name == "card.md" else content)
    with pytest.raises(ReportError, match=r"card\.md .* to have the checksum"):
        unpack(bundle, tmp_path / "out")


def test_files_that_are_none_are_refused(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK nothing")
    with pytest.raises(ReportError, match="cannot be read as a bundle"):
        unpack(path, tmp_path / "out")


HUGE = pa.DictionaryArray.from_arrays(pa.array(np.zeros(MOST_VALUES + 1, "int8")), ["x"])
BOMBS = {
    "rows": ({"run_id": HUGE}, "to have at most 50,000,000 values"),
    "columns": ({"run_id": ["x"], **{f"c{n}": [0] for n in range(9)}}, "to have its own columns and `run_id`"),
    "no run": ({"step": [0]}, "`run_id` is not so"),
    "nesting": ({"run_id": ["x"], "step": [[0]]}, "`step` has others"),
    "texts": ({"run_id": ["x"], "part": ["y" * 65]}, "at most 64 characters"),
    "a number for a run": ({"run_id": [1]}, "`run_id`"),
}


@pytest.mark.parametrize(("columns", "complaint"), BOMBS.values(), ids=BOMBS.keys())
def test_a_table_that_unpacks_to_too_much_is_refused(columns, complaint, bundle, tmp_path):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    assert len(buffer.getvalue()) < 200_000
    forge(bundle, {"curve.parquet": lambda _: buffer.getvalue()})
    with pytest.raises(ReportError, match=complaint):
        unpack(bundle, tmp_path / "out")
