"""Omniglot's drawings as one memory-mapped array, decoded once and stored in the cache folder."""

import hashlib
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from adaptbench.datamodules.decoded import decoded_once
from adaptbench.datamodules.omniglot_archives import OFFICIAL, Archive, cache_folder, read_archive

DECODING = 1  # version of the decoding; to be raised if the same archives would give other pixels

Pixels = npt.NDArray[np.uint8]
Character = tuple[str, str]


@dataclass(frozen=True, eq=False)
class OmniglotImages:
    """C characters, each drawn by N people, ordered by name.

    Attributes:
        pixels: [C, N, size, size] uint8, memory-mapped and read-only; ink is 255 on a background of 0.
        characters: (alphabet, character) of each of the C rows.
        sets: "background" or "evaluation" for each of the C rows.
        digest: hash of pixels, names and sources, which results record.
    """

    pixels: Pixels
    characters: tuple[Character, ...]
    sets: tuple[str, ...]
    digest: str


def load_images(size: int = 28, archives: Sequence[Archive] = OFFICIAL) -> OmniglotImages:
    """Loads the images, from the cache folder if they have been decoded before.

    Decoded images in the cache were verified when they were made, so the archives are then not needed. Several
    processes may call this at once: one decodes, the others wait for it.

    Args:
        size: height and width in pixels; the originals have 105.
        archives: the archives to combine.

    Raises:
        ValueError: if `size` is not a positive integer, or some characters have more drawings than others.
        DataUnavailable: if an archive is missing and cannot be downloaded, or the cache folder cannot be written.
    """
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ValueError(f"Expected argument `size` to be a positive integer but got {size!r}.")
    sources = {archive.content: archive.digest for archive in archives}
    expected = {"decoding": DECODING, "size": size, "sources": sources}
    path = cache_folder() / f"images-{size}-{_sha256(expected)[:12]}.npy"
    return decoded_once(path, lambda: _read_cache(path, expected), lambda: _write_cache(path, expected, archives))


def _read_cache(path: Path, expected: dict[str, Any]) -> OmniglotImages | None:
    """Maps the decoded images; returns None if they are missing, damaged or from other archives."""
    try:
        header = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        digest = header.pop("digest")
        pixels: Pixels = np.lib.format.open_memmap(path, mode="r")
        intact = pixels.dtype == np.uint8 and list(pixels.shape) == header["shape"]
        if not intact or digest != _sha256(header, pixels) or header["made"] != expected:
            return None
        characters = tuple((alphabet, character) for alphabet, character, _ in header["characters"])
        sets = tuple(lake_set for _, _, lake_set in header["characters"])
    except Exception:  # damaged files raise almost anything, and all of it means that the cache is unusable
        return None
    return OmniglotImages(pixels, characters, sets, digest)


def _write_cache(path: Path, made: dict[str, Any], archives: Sequence[Archive]) -> None:
    """Decodes the images, and writes the array and its header atomically; only the two together are valid."""
    drawings = _by_character(archives)
    pixels = _decode(list(drawings.values()), made["size"])
    header: dict[str, Any] = {"made": made, "shape": pixels.shape, "characters": list(drawings)}
    header["digest"] = _sha256(header, pixels)
    _replace(path, lambda file: np.save(file, pixels))
    _replace(path.with_suffix(".json"), lambda file: file.write(json.dumps(header).encode()))


def _replace(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes a file atomically; the temporary name is fixed, so a later writer clears up after a crash."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _by_character(archives: Sequence[Archive]) -> dict[tuple[str, str, str], list[bytes]]:
    """Groups the PNG files by (alphabet, character, set); characters and drawings are ordered by name."""
    members = {name: (archive.content, png) for archive in archives for name, png in read_archive(archive).items()}
    groups: dict[tuple[str, str, str], list[bytes]] = {}
    for name in sorted(members, key=lambda name: name.split("/")[1:]):
        _, alphabet, character, _ = name.split("/")
        lake_set, png = members[name]
        groups.setdefault((alphabet, character, lake_set), []).append(png)
    if len({len(drawings) for drawings in groups.values()}) != 1:
        raise ValueError("Expected argument `archives` to hold equally many drawings of every character.")
    return groups


def _decode(drawings: Sequence[Sequence[bytes]], size: int) -> Pixels:
    """Decodes [C, N] PNG files to [C, N, size, size], with a progress bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    pixels = np.empty((len(drawings), len(drawings[0]), size, size), dtype=np.uint8)
    rows = track(drawings, "Decoding Omniglot", console=console, transient=True, disable=not sys.stderr.isatty())
    for row, pngs in enumerate(rows):
        for column, png in enumerate(pngs):
            pixels[row, column] = decode_drawing(png, size)
    return pixels


def decode_drawing(png: bytes, size: int) -> Pixels:
    """Decodes black ink on white paper to ink = 255 on 0; Lanczos resizing keeps thin strokes."""
    from PIL import Image

    grey = Image.open(io.BytesIO(png)).convert("L")
    return 255 - np.asarray(grey.resize((size, size), Image.Resampling.LANCZOS))


def _sha256(header: dict[str, Any], pixels: Pixels | None = None) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    if pixels is not None:
        digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()
