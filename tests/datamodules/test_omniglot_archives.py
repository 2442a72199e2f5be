"""Omniglot's archives: what is accepted, from where, and what is said when nothing is."""

import http.server
import shutil
import threading
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import pytest

from adaptbench.datamodules import omniglot_download
from adaptbench.datamodules.errors import DataUnavailable
from adaptbench.datamodules.omniglot_archives import OFFICIAL, cache_folder, content_digest, read_archive


@pytest.fixture
def named(lookalike, empty_cache, tmp_path, monkeypatch):
    """A folder of this test's own that holds the look-alike and is named by the environment."""
    folder = tmp_path / "named"
    shutil.copytree(lookalike.folder, folder)
    monkeypatch.setenv("ADAPTBENCH_OMNIGLOT", str(folder))
    return folder


@pytest.fixture
def server(monkeypatch):
    """A web server on this machine: `files` holds what it serves, `requests` the paths that were asked for."""
    state = SimpleNamespace(files={}, requests=[])

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            state.requests.append(self.path)
            body = state.files.get(self.path.strip("/"))
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("pooch.core.time", SimpleNamespace(sleep=lambda _: None))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.home = f"http://127.0.0.1:{running.server_port}"
        yield state
        running.shutdown()
        thread.join()


def pack(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)


def extract(folder, archive):
    with zipfile.ZipFile(folder / archive.name) as file:
        file.extractall(folder)
    (folder / archive.name).unlink()


def flip_byte(path):
    """Damages the first member's compressed bytes."""
    content = bytearray(path.read_bytes())
    content[150] ^= 0xFF
    path.write_bytes(content)


def refused(archive):
    """Reads an archive that must be refused, and returns the sentence."""
    with pytest.raises(DataUnavailable) as caught:
        read_archive(archive)
    sentence = str(caught.value)
    assert sentence.startswith("Looked for Omniglot")
    assert sentence.endswith(".") and "\n" not in sentence
    assert archive.name in sentence and "ADAPTBENCH_OMNIGLOT" in sentence
    return sentence


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.suffix != ".lock")


def test_content_digest_is_that_of_the_definition():
    # SHA-256 over name, zero byte, raw SHA-256 of the content, in the order of names.
    expected = "82c38eb8a4311ba9f6e9c55a93ca647e8b5ad1656b83298cd6c2dee951649d1b"
    assert content_digest({"b.png": b"2", "a.png": b"1"}) == expected


def test_zip_in_the_named_folder_is_read(named, lookalike):
    for archive in lookalike.archives:
        assert read_archive(archive) == lookalike.members[archive.content]


@pytest.mark.parametrize("linked", [(), ("Aleph",), ("Aleph", "Gimel", "Zayin")], ids=len)
def test_extracted_folder_is_read(linked, named, lookalike, tmp_path):
    extract(named, lookalike.archives[0])
    for alphabet in linked:
        place = named / "images_background" / alphabet
        place.rename(tmp_path / alphabet)
        place.symlink_to(tmp_path / alphabet)
    assert read_archive(lookalike.archives[0]) == lookalike.members["background"]


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_made_anew_in_other_order_is_read(named, lookalike, compression):
    members = lookalike.members["background"]
    pack(named / "images_background.zip", dict(reversed(members.items())), compression)
    assert read_archive(lookalike.archives[0]) == members


def test_what_operating_systems_add_is_passed_over(named, lookalike):
    members = lookalike.members["background"]
    added = {
        "__MACOSX/images_background/._a.png": b"",
        "images_background/._b.png": b"",
        "images_background/Aleph/": b"",
    }
    pack(named / "images_background.zip", members | added)
    assert read_archive(lookalike.archives[0]) == members


def test_good_extracted_folder_makes_up_for_a_damaged_zip(named, lookalike):
    archive = lookalike.archives[0]
    extract(named, archive)
    (named / archive.name).write_bytes(b"PK")
    assert read_archive(archive) == lookalike.members["background"]


def test_members_that_point_outside_are_not_written(named, lookalike, tmp_path):
    members = lookalike.members["background"] | {"../../escaped.png": b"", "images_background/../../escaped.png": b""}
    pack(named / "images_background.zip", members)
    refused(lookalike.archives[0])
    assert not list(tmp_path.parent.rglob("escaped.png"))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1000])


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, flip_byte, empty])
def test_damaged_zip_is_refused(named, lookalike, empty_cache, damage):
    damage(named / "images_background.zip")
    before = files_in(named)
    sentence = refused(lookalike.archives[0])
    assert str(named) in sentence and "images_background.zip there is damaged" in sentence
    assert files_in(named) == before and files_in(empty_cache) == []


def test_missing_member_is_refused(named, lookalike):
    pack(named / "images_background.zip", dict(list(lookalike.members["background"].items())[1:]))
    assert "holds 479 images that are not the expected ones" in refused(lookalike.archives[0])


def test_changed_image_in_an_extracted_folder_is_refused(named, lookalike):
    extract(named, lookalike.archives[0])
    flip_byte(next(named.rglob("*.png")))
    assert "images_background there holds 480 images that are not the expected ones" in refused(lookalike.archives[0])


def test_file_missing_from_the_named_folder_is_named_and_not_downloaded(named, lookalike, server):
    archive = replace(lookalike.archives[1], home=server.home)
    (named / archive.name).unlink()
    sentence = refused(archive)
    assert str(named) in sentence and "neither images_evaluation.zip nor images_evaluation/" in sentence
    assert server.requests == []


def test_named_folder_that_does_not_exist_is_refused(lookalike, empty_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPTBENCH_OMNIGLOT", str(tmp_path / "nowhere"))
    sentence = refused(lookalike.archives[0])
    assert str(tmp_path / "nowhere") in sentence and "there is no such folder" in sentence


def test_cache_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert tmp_path / "elsewhere" in cache_folder().parents


def test_archive_in_the_cache_folder_is_not_downloaded(lookalike, empty_cache, server):
    archive = replace(lookalike.archives[0], home=server.home)
    shutil.copytree(lookalike.folder, empty_cache)
    assert read_archive(archive) == lookalike.members["background"]
    assert server.requests == []


@pytest.mark.parametrize("before", [None, b"damaged"])
def test_download_fills_the_cache_folder(lookalike, empty_cache, server, before):
    archive = replace(lookalike.archives[0], home=server.home)
    server.files[archive.name] = (lookalike.folder / archive.name).read_bytes()
    if before:
        empty_cache.mkdir(parents=True)
        (empty_cache / archive.name).write_bytes(before)
    assert read_archive(archive) == read_archive(archive) == lookalike.members["background"]
    assert server.requests == [f"/{archive.name}"]
    assert files_in(empty_cache) == [archive.name]


def test_rest_of_a_killed_download_is_removed(lookalike, empty_cache, server):
    archive = replace(lookalike.archives[0], home=server.home)
    server.files[archive.name] = (lookalike.folder / archive.name).read_bytes()
    (empty_cache / ".download").mkdir(parents=True)
    (empty_cache / ".download" / "half").write_bytes(b"half")
    read_archive(archive)
    assert files_in(empty_cache) == [archive.name]


def test_server_without_the_file_is_asked_three_times(lookalike, empty_cache, server):
    sentence = refused(replace(lookalike.archives[0], home=server.home))
    assert str(empty_cache) in sentence and server.home in sentence and "the server answered 404" in sentence
    assert len(server.requests) == 3
    assert files_in(empty_cache) == []


def test_a_refusal_is_remembered_for_a_while(lookalike, empty_cache, server, monkeypatch):
    archive = replace(lookalike.archives[0], home=f"{server.home}/away")
    sentences = {refused(archive) for _ in range(3)}
    assert len(sentences) == 1 and len(server.requests) == 3, "three tries of one download"
    monkeypatch.setattr(omniglot_download, "REFUSAL_SECONDS", 0.0)
    refused(archive)
    assert len(server.requests) == 6


def test_truncated_download_is_refused(lookalike, empty_cache, server):
    archive = replace(lookalike.archives[0], home=server.home)
    server.files[archive.name] = (lookalike.folder / archive.name).read_bytes()[:-1]
    assert "does not have the expected MD5 checksum" in refused(archive)
    assert files_in(empty_cache) == []


def test_no_network_is_said(lookalike, empty_cache, server):
    sentence = refused(replace(lookalike.archives[0], home="http://127.0.0.1:1"))
    assert str(empty_cache) in sentence and "no connection to the server" in sentence
    assert files_in(empty_cache) == []


def test_cache_folder_that_cannot_be_written_is_said(lookalike, tmp_path, empty_cache, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert "XDG_CACHE_HOME" in refused(lookalike.archives[0])


def test_official_archives_come_from_the_dataset_s_own_repository():
    assert [archive.url.rsplit("/", 1) for archive in OFFICIAL] == [
        ["https://raw.githubusercontent.com/brendenlake/omniglot/master/python", f"images_{part}.zip"]
        for part in ("background", "evaluation")
    ]
