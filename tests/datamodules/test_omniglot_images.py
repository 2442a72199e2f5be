"""Omniglot's decoded images: right pixels in the right order, decoded once, never read damaged."""

import io
import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import adaptbench.datamodules.omniglot_images as omniglot_images
from adaptbench.datamodules.errors import DataUnavailable
from adaptbench.datamodules.omniglot_archives import content_digest
from adaptbench.datamodules.omniglot_images import load_images
from adaptbench.datamodules.omniglot_splits import vinyals


@pytest.fixture
def decoded(monkeypatch):
    """One entry for every drawing that is decoded."""
    calls = []
    decode = omniglot_images.decode_drawing
    monkeypatch.setattr(omniglot_images, "decode_drawing", lambda png, size: calls.append(size) or decode(png, size))
    return calls


def files_in(folder):
    return sorted(path.suffix for path in folder.iterdir())


def test_images_are_ink_on_background(lookalike_archives):
    images = load_images(28, lookalike_archives)
    assert images.pixels.shape == (40, 20, 28, 28)
    assert images.pixels.dtype == np.uint8
    assert (images.pixels.reshape(800, -1).max(axis=1) > 128).all()
    assert np.median(images.pixels) == 0


def test_full_size_keeps_every_pixel(lookalike, lookalike_archives):
    png = lookalike.members["evaluation"]["images_evaluation/Beth/character01/0001_03.png"]
    black = ~np.asarray(Image.open(io.BytesIO(png)))
    images = load_images(105, lookalike_archives)
    row = images.characters.index(("Beth", "character01"))
    np.testing.assert_array_equal(images.pixels[row, 2], black * np.uint8(255))


def test_characters_are_ordered_by_name_over_both_parts(lookalike_archives):
    images = load_images(28, lookalike_archives)
    assert list(images.characters) == sorted(images.characters)
    assert list(dict(images.characters)) == ["Aleph", "Beth", "Gimel", "Kaph", "Zayin"]
    evaluation = {a for (a, _), part in zip(images.characters, images.sets, strict=True) if part == "evaluation"}
    assert evaluation == {"Beth", "Kaph"}
    assert images.sets.count("background") == 24


def test_order_does_not_depend_on_the_file_system(lookalike, lookalike_archives, tmp_path, monkeypatch):
    expected = load_images(28, lookalike_archives)
    for members in lookalike.members.values():
        for name in np.random.default_rng(1).permutation(list(members)):
            path = tmp_path / "extracted" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(members[name])
    monkeypatch.setenv("ADAPTBENCH_OMNIGLOT", str(tmp_path / "extracted"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "second cache"))
    images = load_images(28, lookalike_archives[::-1])
    assert images.characters == expected.characters and images.sets == expected.sets
    np.testing.assert_array_equal(images.pixels, expected.pixels)
    assert images.digest == expected.digest


def test_images_are_read_only(lookalike_archives):
    images = load_images(28, lookalike_archives)
    with pytest.raises(ValueError, match="read-only"):
        images.pixels[0] = 0


def test_second_start_decodes_nothing_and_needs_no_archive(lookalike_archives, decoded, monkeypatch):
    first = load_images(28, lookalike_archives)
    assert len(decoded) == 800
    monkeypatch.setenv("ADAPTBENCH_OMNIGLOT", "gone")
    second = load_images(28, lookalike_archives)
    assert len(decoded) == 800
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert first.digest == second.digest


def test_digest_tells_sizes_apart(lookalike_archives):
    small, large = load_images(14, lookalike_archives), load_images(28, lookalike_archives)
    assert small.digest != large.digest
    assert small.pixels.shape[2:] == (14, 14)


def test_images_survive_pickling(lookalike_archives):
    images = load_images(28, lookalike_archives)
    again = pickle.loads(pickle.dumps(images))
    assert again.digest == images.digest
    np.testing.assert_array_equal(again.pixels, images.pixels)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path, position=-100):
    content = bytearray(path.read_bytes())
    content[position] ^= 0x01
    path.write_bytes(content)


def transpose_header(path):
    path.write_bytes(path.read_bytes().replace(b"(40, 20, ", b"(20, 40, "))


def claim_signed(path):
    path.write_bytes(path.read_bytes().replace(b"'|u1'", b"'|i1'"))


def rename_character(path):
    path.write_text(path.read_text().replace("Zayin", "Zayit"))


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        (".npy", cut),
        (".npy", flip),
        (".npy", transpose_header),
        (".npy", claim_signed),
        (".npy", lambda path: flip(path, 0)),
        (".npy", lambda path: path.write_bytes(b"PK\x03\x04")),
        (".npy", Path.unlink),
        (".json", cut),
        (".json", rename_character),
        (".json", lambda path: path.write_text("[]")),
        (".json", lambda path: path.write_bytes(b"\xff")),
        (".json", Path.unlink),
    ],
)
def test_damaged_cache_is_rebuilt(lookalike_archives, empty_cache, decoded, suffix, damage):
    first = np.array(load_images(28, lookalike_archives).pixels)
    (file,) = empty_cache.glob(f"images-*{suffix}")
    damage(file)
    second = load_images(28, lookalike_archives)
    assert len(decoded) == 1600
    np.testing.assert_array_equal(first, second.pixels)
    load_images(28, lookalike_archives)
    assert len(decoded) == 1600
    assert files_in(empty_cache) == [".json", ".lock", ".npy"]


def test_rest_of_a_killed_writer_does_no_harm(lookalike_archives, empty_cache):
    load_images(28, lookalike_archives)
    (file,) = empty_cache.glob("*.npy")
    file.rename(file.with_name(f".{file.name}.partial"))
    load_images(28, lookalike_archives)
    assert files_in(empty_cache) == [".json", ".lock", ".npy"]


def test_failed_write_leaves_nothing(lookalike_archives, empty_cache, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataUnavailable, match=r"No space left on device.*XDG_CACHE_HOME.*\.$"):
        load_images(28, lookalike_archives)
    assert files_in(empty_cache) == [".lock"]


def test_interrupted_decoding_leaves_nothing(lookalike_archives, empty_cache, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(omniglot_images, "decode_drawing", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_images(28, lookalike_archives)
    assert files_in(empty_cache) == [".lock"]


def test_missing_data_leaves_nothing(lookalike_archives, empty_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPTBENCH_OMNIGLOT", str(tmp_path))
    with pytest.raises(DataUnavailable, match=r"neither images_background\.zip nor"):
        load_images(28, lookalike_archives)
    assert files_in(empty_cache) == [".lock"]


def test_threads_at_once_decode_once(lookalike_archives, decoded):
    together = threading.Barrier(4)

    def load(_):
        together.wait()
        return load_images(28, lookalike_archives).digest

    with ThreadPoolExecutor(4) as pool:
        digests = set(pool.map(load, range(4)))
    assert len(digests) == 1
    assert len(decoded) == 800


def test_processes_at_once_get_the_same_images(lookalike_archives, empty_cache):
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        first, second = pool.map(load_images, [28, 28], [lookalike_archives] * 2)
    assert first.digest == second.digest == load_images(28, lookalike_archives).digest
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert files_in(empty_cache) == [".json", ".lock", ".npy"]


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "28", None])
def test_bad_size_is_refused(lookalike_archives, size):
    with pytest.raises(ValueError, match=r"^Expected argument `size` to be a positive integer but got .*\.$"):
        load_images(size, lookalike_archives)


def test_characters_with_fewer_drawings_are_refused(lookalike, lookalike_archives, tmp_path, monkeypatch):
    shutil.copytree(lookalike.folder, tmp_path / "fewer")
    members = dict(list(lookalike.members["background"].items())[1:])
    (tmp_path / "fewer" / "images_background.zip").unlink()
    for name, content in members.items():
        path = tmp_path / "fewer" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    monkeypatch.setenv("ADAPTBENCH_OMNIGLOT", str(tmp_path / "fewer"))
    background = replace(lookalike_archives[0], digest=content_digest(members))
    with pytest.raises(ValueError, match="equally many drawings"):
        load_images(28, (background, lookalike_archives[1]))


def test_nothing_is_printed_where_there_is_no_terminal(lookalike_archives, capfd):
    load_images(28, lookalike_archives)
    assert capfd.readouterr() == ("", "")


def test_loading_imports_neither_torch_nor_the_network(lookalike_archives):
    code = (
        "import adaptbench.datamodules.omniglot_images, sys; print({'torch', 'pooch', 'requests'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.fixture
def real(real_cache, monkeypatch):
    """The real Omniglot, and the seconds that it took to load."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(real_cache))
    started = time.perf_counter()
    images = load_images()
    return images, time.perf_counter() - started


def test_real_omniglot_is_complete(real):
    images, _ = real
    assert images.pixels.shape == (1623, 20, 28, 28)
    assert images.sets.count("background") == 964
    assert len({alphabet for alphabet, _ in images.characters}) == 50
    assert 15 < images.pixels.mean() < 30  # about 8 % ink


def test_real_omniglot_starts_in_under_a_second(real):
    assert real[1] < 1


def test_real_omniglot_splits_as_published(real):
    images, _ = real
    split = vinyals(images.characters)
    assert (len(split.train), len(split.val), len(split.test)) == (1028, 172, 423)
    train, test = ({images.characters[row] for row in rows} for rows in (split.train, split.test))
    assert {c for a, c in train if a == "Gurmukhi"} == {f"character{number:02d}" for number in range(1, 42)}
    assert {c for a, c in test if a == "Gurmukhi"} == {f"character{number:02d}" for number in range(42, 46)}


def test_header_is_readable_by_others(lookalike_archives, empty_cache):
    load_images(28, lookalike_archives)
    (file,) = empty_cache.glob("*.json")
    header = json.loads(file.read_text())
    assert header["shape"] == [40, 20, 28, 28]
    assert header["characters"][0] == ["Aleph", "character01", "background"]
