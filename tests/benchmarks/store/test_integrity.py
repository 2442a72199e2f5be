"""Checksums, archives and the doctor: what is damaged is found, and nothing is written outside."""

import functools
import io
import json
import shutil
import tarfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from adaptbench.benchmarks.cli import app
from adaptbench.benchmarks.commands.runs.doctor import examine
from adaptbench.benchmarks.executors.plan import make_plan
from adaptbench.benchmarks.runs import run as run_module
from adaptbench.benchmarks.runs.run import execute
from adaptbench.benchmarks.store.archive import pack, unpack
from adaptbench.benchmarks.store.integrity import checksums, seal
from adaptbench.benchmarks.store.redaction import without_secrets
from adaptbench.benchmarks.store.store import write_json
from adaptbench.benchmarks.suites.suite import load_suite
from adaptbench.reports.format import FORMAT_VERSION, Result


@pytest.fixture
def published(store, episodic):
    return execute(episodic(), store)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


FILES = ("spec.json", "model.ckpt", "episodes.parquet", "curve.parquet", "fits.parquet", "guards.json", "result.json")


def test_every_damage_is_found(store, published):
    run_id = published.name
    assert store.damage(run_id) is None
    assert set(json.loads((published / "result.json").read_text())["files"]) == set(FILES) - {"result.json"}
    for name in FILES:
        path = published / name
        sound = path.read_bytes()
        flip(path)
        assert store.damage(run_id), name
        path.write_bytes(sound[:-20])
        assert store.damage(run_id, thorough=False), name
        path.unlink()
        assert store.damage(run_id, thorough=False), name
        path.write_bytes(sound)


def reseal(folder):
    """Seals the result again with the checksums of the files that are there, as somebody who hides damage would."""
    result = Result.model_validate_json((folder / "result.json").read_bytes())
    write_json(folder / "result.json", seal(result.model_copy(update={"files": checksums(folder)})))


@pytest.mark.parametrize("name", ["model.ckpt", "curve.parquet", "episodes.parquet", "spec.json", "guards.json"])
def test_a_run_without_what_its_kind_must_hold_is_damaged_and_never_published(name, store, published, episodic):
    (published / name).unlink()
    reseal(published)
    assert store.damage(published.name) == f"{name} is not among its files"
    (complaint,) = examine(store)
    assert complaint.kind == "damaged" and name in complaint.text


def test_a_folder_that_is_emptied_under_a_run_is_not_published(store, episodic, monkeypatch):
    write = run_module._write_tables
    monkeypatch.setattr(
        run_module, "_write_tables", lambda folder, outcome: (write(folder, outcome), (folder / "model.ckpt").unlink())
    )
    with pytest.raises(FileNotFoundError, match=r"model\.ckpt was removed from \.partial-"):
        execute(episodic(), store)
    assert not store.is_published(episodic().run_id)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("spec.json", None, "spec.json is that of run"),
        ("curve.parquet", b"PAR1", "curve.parquet cannot be read"),
        ("fits.parquet", b"", "fits.parquet cannot be read"),
        ("guards.json", b"[]", "Expected guards.json"),
    ],
)
def test_the_doctor_reads_what_the_checksums_only_hash(name, content, said, store, published, episodic):
    (published / name).write_bytes(episodic(seed=1).model_dump_json().encode() if content is None else content)
    reseal(published)
    assert store.damage(published.name) is None
    (complaint,) = examine(store)
    assert complaint.kind == "incomplete" and complaint.wrong and said in complaint.text


def places(value, path=()):
    """Every place in JSON below the whole: keys and indices on the way to it."""
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(each, (*path, key))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_json_of_a_run_ends_the_doctor(data, store, published):
    path = published / data.draw(st.sampled_from(["spec.json", "guards.json", "environment.json", "result.json"]))
    sound = {each: each.read_bytes() for each in (path, published / "result.json")}
    content = json.loads(path.read_text())
    *way, last = data.draw(st.sampled_from(list(places(content))))
    inner = functools.reduce(lambda found, key: found[key], way, content)
    new = data.draw(
        st.sampled_from(["1e400", "-1", "9" * 5000, '"\\ud800"', "[]", "{}", "null", "true", '"x.Y"', "[" * 9999])
    )
    inner[last] = "@@"
    path.write_text(json.dumps(content).replace('"@@"', new))
    if path.name != "result.json":
        reseal(published)
    for complaint in examine(store):
        assert complaint.kind in ("damaged", "incomplete", "newer") and complaint.text.isprintable()
        assert len(complaint.name) < 200
    for each, before in sound.items():
        each.write_bytes(before)


def test_a_run_without_a_seal_is_named(store, published):
    path = published / "result.json"
    content = json.loads(path.read_text())
    for taken in ("files", "sha256"):
        path.write_text(json.dumps({name: value for name, value in content.items() if name != taken}))
        (complaint,) = examine(store)
        assert complaint.kind == "damaged" and f"a field `{taken}`" in complaint.text


def test_a_pretraining_that_is_gone_is_missed(store, transfer):
    spec = transfer()
    execute(spec.pretrained, store)
    execute(spec, store)
    assert list(examine(store)) == []
    shutil.rmtree(store.published(spec.pretrained.run_id))
    (complaint,) = examine(store)
    assert complaint.kind == "incomplete" and f"run {spec.pretrained.run_id}, which trained for it" in complaint.text


@pytest.mark.parametrize("content", [None, "{", "{}"])
def test_a_lost_record_of_the_machine_is_said_and_costs_no_sound_run(content, store, published):
    path = published / "environment.json"
    path.unlink() if content is None else path.write_text(content)
    assert store.damage(published.name) is None
    (complaint,) = examine(store, repair=True)
    assert complaint.kind == "incomplete" and complaint.wrong and "its scores are intact" in complaint.text
    assert "deep_sets on sinusoid (noise-free) seed 0" in complaint.name
    assert store.is_published(published.name)


def test_the_doctor_says_what_is_wrong_and_repairs_what_loses_nothing(store, published, episodic):
    assert list(examine(store)) == []
    failed, damaged = store.begin("failed"), store.begin("damaged")
    store.note_failure("failed", "it broke", "log")
    (damaged / "last.ckpt").write_bytes(b"no checkpoint")
    (store.root / "suites").mkdir()
    (store.root / ".probe-1").touch()
    flip(published / "model.ckpt")
    with store.claimed("held", on_loss=lambda: None):
        found = {(each.kind, each.path.name): each.text for each in examine(store, repair=True)}
    assert found.keys() == {
        ("locked", "held"), ("failed", failed.name), ("damaged", "last.ckpt"), ("damaged", published.name),
        ("leftover", ".probe-1"),
    }  # fmt: skip
    assert "model.ckpt has another checksum" in found["damaged", published.name]
    assert "it broke" in found["failed", failed.name]
    assert not store.is_published(published.name)
    execute(episodic(), store)
    store.tidy()
    assert {each.kind for each in examine(store)} == {"failed", "unfinished"}


def test_the_doctor_reads_the_manifests_and_what_their_reports_leave_out(published, store, write_suite):
    suite = make_plan(load_suite(str(write_suite(learners=("deep_sets",)))))
    store.write_manifest(suite.manifest([]))
    assert list(examine(store)) == []
    path = store.root / "suites" / "tiny.json"
    manifest = json.loads(path.read_text())
    manifest["cells"][0]["metric"] = "accuracy"
    path.write_text(json.dumps(manifest))
    (complaint,) = examine(store, repair=True)
    assert complaint.kind == "unreadable" and "the report of tiny leaves it out" in complaint.text
    assert store.is_published(published.name), "its own files are intact"
    path.write_text("{")
    (complaint,) = examine(store)
    assert (complaint.kind, complaint.path) == ("damaged", path)


def test_a_manifest_of_a_later_version_is_left_alone(store, write_suite):
    path = store.root / "suites" / "tiny.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"format_version": FORMAT_VERSION + 1, "news": 1}))
    arguments = ["--out", str(store.root), "--wandb", "off", "--jobs", "1"]
    result = CliRunner().invoke(app, ["run", str(write_suite(learners=("deep_sets",))), *arguments])
    assert result.exit_code == 2 and result.stderr.count("update adaptbench") == 1
    assert "news" in path.read_text() and not list(store.root.glob("[!s]*"))
    assert [complaint.kind for complaint in examine(store)] == ["newer"]


def test_no_folder_of_runs_is_said(tmp_path):
    result = CliRunner().invoke(app, ["doctor", str(tmp_path / "nowhere")])
    assert result.exit_code == 2 and "Expected a folder of runs" in result.stderr


def rewrite(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_run_of_a_later_version_is_neither_damaged_nor_touched(published, store, write_suite, monkeypatch):
    suite = write_suite(learners=("deep_sets",))
    rewrite(published / "result.json", format_version=FORMAT_VERSION + 1)
    (complaint,) = examine(store, repair=True)
    assert complaint.kind == "newer" and complaint.wrong and complaint.text.endswith("update adaptbench")
    result = CliRunner().invoke(app, ["run", str(suite), "--out", str(store.root), "--wandb", "off", "--jobs", "1"])
    assert result.exit_code == 2 and result.stderr.count("update adaptbench") == 1
    assert store.is_published(published.name)


def test_a_run_of_an_earlier_version_is_damaged_and_says_so(published, store):
    rewrite(published / "result.json", format_version=0)
    assert store.damage(published.name, thorough=False).endswith("run the suite again with this version of adaptbench")


def test_fields_that_nobody_knows_are_part_of_the_checksum(published, store):
    rewrite(published / "result.json", later=1)
    assert store.damage(published.name, thorough=False) is None
    assert store.damage(published.name) == "result.json has another checksum than it had"


def test_an_archive_brings_a_folder_over(published, tmp_path):
    unpack(pack(published), tmp_path / "copy")
    assert {path.name: path.read_bytes() for path in (tmp_path / "copy").iterdir()} == {
        path.name: path.read_bytes() for path in published.iterdir()
    }


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/b", "..", "link"])
def test_an_archive_cannot_write_outside_its_folder(name, tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(name)
        if name == "link":
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member, io.BytesIO())
    with pytest.raises(ValueError, match="plain files"):
        unpack(buffer.getvalue(), tmp_path / "inside")
    assert list(tmp_path.iterdir()) == []


def test_no_archive_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="archive"):
        unpack(b"nothing of the kind", tmp_path)


def test_secrets_of_the_environment_are_blanked(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    monkeypatch.setenv("HARMLESS", "visible-value")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "visible")
    assert without_secrets("with 0123456789abcdef and visible-value") == "with *** and visible-value"
