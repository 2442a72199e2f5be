"""A folder of images as one memory-mapped array, decoded once and stored in the cache folder."""

import hashlib
import json
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import platformdirs
from PIL import Image, ImageOps, UnidentifiedImageError

from adaptbench.datamodules.decoded import decoded_once
from adaptbench.datamodules.errors import DataUnavailable

DECODING = 1  # version of the decoding; to be raised if the same files would give other pixels
STRAYS = ("__MACOSX", "lost+found")

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ImageClasses:
    """C classes of images, ordered by name.

    Attributes:
        pixels: [M, H, W] or [M, 3, H, W] uint8, one class after the other, memory-mapped and read-only.
        files: the path of each image in the folder.
        classes: the path of each class in the folder.
        starts: [C + 1] int64; the images of class c are those from `starts[c]` to before `starts[c + 1]`.
    """

    pixels: Pixels
    files: tuple[str, ...]
    classes: tuple[str, ...]
    starts: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """The number of images of each class, [C] int64."""
        return np.diff(self.starts)


def load_folder(folder: Path, size: int, *, colour: bool) -> ImageClasses:
    """Loads the images of a folder, from the cache if the same files have been decoded before.

    Images are cropped to a square around the centre and resized. What is transparent becomes white.

    Args:
        folder: the folder; each folder in it that holds images is a class.
        size: height and width in pixels.
        colour: whether images keep their colours; otherwise they are grey.

    Raises:
        DataUnavailable: if there are no images, one cannot be read, or the cache cannot be written.
    """
    files = image_files(folder)
    kind = "colour" if colour else "grey"
    made = {"decoding": DECODING, "digest": folder_digest(folder), "size": size, "kind": kind}
    key = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]
    path = Path(platformdirs.user_cache_path("adaptbench")) / "folders" / f"{key}.npy"
    pixels = decoded_once(
        path,
        lambda: _read(path, len(files)),
        lambda: _write(path, folder, list(files.values()), size, colour=colour),
    )
    names = [name.rpartition("/")[0] for name in files]
    classes, starts = np.unique(names, return_index=True)
    return ImageClasses(pixels, tuple(files), tuple(map(str, classes)), np.append(starts, len(names)))


def image_files(folder: Path) -> dict[str, Path]:
    """Finds the images that lie in the folders of a folder, by their path in it, ordered by class and name.

    Other files, hidden ones and images beside the classes are left out. Links are followed.

    Raises:
        DataUnavailable: if there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise DataUnavailable(f"Expected a folder of images but {folder} is none.")
    suffixes = Image.registered_extensions()
    found = {
        unicodedata.normalize("NFC", file.relative_to(folder).as_posix()): file
        for file in _files(folder, frozenset())
        if file.suffix.lower() in suffixes and file.parent != folder
    }
    if not found:
        raise DataUnavailable(f"Expected a folder for each class with its images in {folder} but found no image.")
    return dict(sorted(found.items(), key=lambda item: item[0].rpartition("/")[::2]))


def class_sizes(folder: Path) -> dict[str, int]:
    """Counts the images of each class of a folder, by its path in it, ordered by name.

    Raises:
        DataUnavailable: if there are no images.
    """
    return dict(Counter(name.rpartition("/")[0] for name in image_files(folder)))


def folder_digest(folder: Path) -> str:
    """Returns a digest of the names and contents of a folder's images.

    Raises:
        DataUnavailable: if there are no images, or one cannot be read.
    """
    digest = hashlib.blake2b(digest_size=8)
    for name, file in image_files(folder).items():
        status = file.stat()
        content = _content_digest(file, status.st_size, status.st_mtime_ns)
        digest.update(f"{name}\0{content}\0".encode())
    return digest.hexdigest()


@lru_cache(maxsize=200_000)
def _content_digest(file: Path, size: int, changed: int) -> str:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "blake2b").hexdigest()
    except OSError as error:
        raise DataUnavailable(f"{file} cannot be read: {error.strerror or error}.") from error


def _files(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    """Yields the files below a folder; a link to a folder above it is not followed."""
    real = folder.resolve()
    if real in above:
        return
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name in STRAYS:
            continue
        if path.is_dir():
            yield from _files(path, above | {real})
        elif path.is_file():
            yield path


def _read(path: Path, images: int) -> Pixels | None:
    """Maps the decoded images; returns None if they are missing or damaged."""
    try:
        header: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        pixels: Pixels = np.lib.format.open_memmap(path, mode="r")
        intact = header["sha256"] == hashlib.sha256(pixels.data).hexdigest() and len(pixels) == images
    except Exception:  # damaged files raise almost anything, and all of it means that the cache is unusable
        return None
    return pixels if intact else None


def _write(path: Path, folder: Path, files: Sequence[Path], size: int, *, colour: bool) -> None:
    """Decodes the images and writes the array, then its header; only the two together are valid."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        shape = (len(files), 3, size, size) if colour else (len(files), size, size)
        pixels = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        for row, file in enumerate(files):
            pixels[row] = _decode(file, size, colour=colour)
        pixels.flush()
        digest = hashlib.sha256(pixels.data).hexdigest()
        os.replace(partial, path)
        path.with_suffix(".json").write_text(json.dumps({"folder": str(folder), "sha256": digest}), encoding="utf-8")
    finally:
        partial.unlink(missing_ok=True)


def _decode(file: Path, size: int, *, colour: bool) -> Pixels:
    """Decodes an image to [H, W] or [3, H, W]."""
    try:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I") or image.mode == "F":  # more than 8 bits, which Pillow would clip
                image = Image.fromarray(_eight_bits(np.asarray(image)))
            if image.has_transparency_data:
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
            image = image.convert("RGB" if colour else "L")
            image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataUnavailable(f"{file} is not an image that can be read: {error}.") from error
    pixels: Pixels = np.asarray(image)
    return pixels.transpose(2, 0, 1) if colour else pixels


def _eight_bits(values: np.ndarray) -> Pixels:
    """Scales 16-bit grey levels, or whatever the largest value is, to 8 bits."""
    most = max(float(values.max()), 65535.0) if values.dtype.kind in "iu" else max(float(values.max()), 1.0)
    return np.clip(values.astype(np.float64) * (255 / most), 0, 255).round().astype(np.uint8)
