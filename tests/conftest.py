"""A small look-alike of Omniglot, and an empty cache folder, for all tests."""

import hashlib
import io
import os
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from adaptbench.datamodules.omniglot_archives import HOME, Archive, cache_folder, content_digest
from adaptbench.datamodules.omniglot_images import load_images

# Read at the start, because tests of the look-alike name another folder.
REAL_FOLDER = os.environ.get("ADAPTBENCH_OMNIGLOT")

# Alphabets of the two parts alternate in the order of their names; 24 and 16 characters.
ALPHABETS = {"background": {"Aleph": 10, "Gimel": 8, "Zayin": 6}, "evaluation": {"Beth": 7, "Kaph": 9}}
DRAWINGS = 20


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Computes with one thread, as runs do."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def one_name():
    """Sees in the end that no file of ours was imported by a second name, under which its classes would differ."""
    yield
    bare = ("benchmarks", "datamodules", "lit_modules", "reports")
    assert not [name for name in sys.modules if name.partition(".")[0] in bare]


@dataclass(frozen=True)
class LookAlike:
    """Generated archives in Omniglot's layout.

    Attributes:
        folder: holds both zips.
        archives: to be passed to `load_images` in the place of the official ones.
        members: PNG files by name, for each part.
    """

    folder: Path
    archives: tuple[Archive, ...]
    members: dict[str, dict[str, bytes]]


@pytest.fixture(scope="session")
def lookalike(tmp_path_factory):
    """A `LookAlike` with 40 characters of 20 drawings, each a jittered copy of the character's own stroke."""
    folder = tmp_path_factory.mktemp("lookalike")
    rng = np.random.default_rng(0)
    members = {part: draw_part(rng, part, alphabets) for part, alphabets in ALPHABETS.items()}
    return LookAlike(folder, tuple(pack(folder, part, members[part]) for part in members), members)


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """The program's cache folder for Omniglot, empty and of this test only; no folder is named by the environment."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ADAPTBENCH_OMNIGLOT", raising=False)
    return cache_folder()


@pytest.fixture
def lookalike_archives(lookalike, empty_cache, monkeypatch):
    """The look-alike's archives, to be found through the environment, with an empty cache folder."""
    monkeypatch.setenv("ADAPTBENCH_OMNIGLOT", str(lookalike.folder))
    return lookalike.archives


@pytest.fixture(scope="session")
def real_cache(tmp_path_factory):
    """A cache folder, for `XDG_CACHE_HOME`, in which the real Omniglot is decoded."""
    if not REAL_FOLDER:
        pytest.skip("needs the real Omniglot in the folder named by ADAPTBENCH_OMNIGLOT")
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("real")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.setenv("ADAPTBENCH_OMNIGLOT", REAL_FOLDER)
        load_images()
    return folder


def draw_part(rng, part, alphabets):
    members = {}
    for alphabet, characters in alphabets.items():
        for number in range(1, characters + 1):
            stroke = rng.uniform(20, 85, size=(5, 2))
            for drawing in range(1, DRAWINGS + 1):
                name = f"images_{part}/{alphabet}/character{number:02d}/{number:04d}_{drawing:02d}.png"
                members[name] = draw(stroke + rng.normal(0, 3, size=stroke.shape))
    return members


def draw(stroke):
    """Draws one line in black on white as a 1-bit PNG of 105 x 105 pixels."""
    image = Image.new("1", (105, 105), 1)
    ImageDraw.Draw(image).line([tuple(point) for point in stroke], fill=0, width=3)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def pack(folder, part, members):
    path = folder / f"images_{part}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name), content)
    return Archive(part, hashlib.md5(path.read_bytes()).hexdigest(), content_digest(members), HOME)
