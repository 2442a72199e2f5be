"""Reads Omniglot's archives from a folder that the user names, the cache folder, or the dataset's own repository.

Every source must have the right content digest, however it was packed. Archives are read but never extracted, so
they cannot write anywhere.
"""

import hashlib
import os
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from glob import glob
from pathlib import Path, PurePosixPath

import platformdirs

from adaptbench.datamodules.errors import DataUnavailable
from adaptbench.datamodules.locks import held
from adaptbench.datamodules.omniglot_download import download, failure

FOLDER_VARIABLE = "ADAPTBENCH_OMNIGLOT"
HOME = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"


@dataclass(frozen=True)
class Archive:
    """One of Omniglot's archives.

    Attributes:
        content: "background" or "evaluation" for the images of that set, or "runs" for the one-shot runs.
        md5: MD5 of the archive in its repository, in hexadecimal; only a download must match it.
        digest: `content_digest` of its members, in hexadecimal; every source must match it.
        home: URL of the folder to download it from.
    """

    content: str
    md5: str
    digest: str
    home: str = HOME

    @property
    def folder(self) -> str:
        """The folder that it extracts to; the names of images begin with it, those of runs do not."""
        return "all_runs" if self.content == "runs" else f"images_{self.content}"

    @property
    def name(self) -> str:
        """Its file name."""
        return f"{self.folder}.zip"

    @property
    def url(self) -> str:
        """Its URL."""
        return f"{self.home}/{self.name}"

    def holds(self, member: str) -> bool:
        """Returns whether a file belongs to Omniglot; operating systems add others, such as `__MACOSX/`."""
        path = PurePosixPath(member)
        if self.content == "runs":
            return re.fullmatch(r"run\d\d/(class_labels\.txt|(test|training)/\w+\.png)", member) is not None
        return path.suffix == ".png" and path.parts[0] == self.folder and not path.name.startswith(".")


OFFICIAL = (
    Archive(
        content="background",
        md5="68d2efa1b9178cc56df9314c21c6e718",
        digest="07356096b8076fcf915341f8715e94822249e2a4d5b999fd2d0f6cf9ebffebd5",
    ),
    Archive(
        content="evaluation",
        md5="6b91aef0f799c5bb55b94e3f2daec811",
        digest="f5165eb5f20d18e13c6515650b69a42a2c0507506969d410ba5e4a1c572bd542",
    ),
)

RUNS = Archive(
    content="runs",
    md5="e8996daecdf12afeeb4a53a179f06b19",
    digest="080cbe01c152842cf8f2f76c1dafe45024f2d483933089d8902429faf33166ae",
    home=f"{HOME}/one-shot-classification",
)


def cache_folder() -> Path:
    """Returns the folder for downloaded archives and decoded images, from the current environment variables."""
    return Path(platformdirs.user_cache_path("adaptbench")) / "omniglot"


def content_digest(members: Mapping[str, bytes]) -> str:
    """Returns a SHA-256 of names and contents, which does not depend on how they are packed.

    Args:
        members: contents by name, such as `images_background/Greek/character01/0394_01.png`.
    """
    digest = hashlib.sha256()
    for name in sorted(members):
        digest.update(name.encode() + b"\0" + hashlib.sha256(members[name]).digest())
    return digest.hexdigest()


def read_archive(archive: Archive) -> dict[str, bytes]:
    """Reads an archive's members from the folder named by the user, or from the cache folder after a download.

    If the environment variable names a folder, only that folder is used, and a fault there is an error.

    Returns:
        Verified contents by member name.

    Raises:
        DataUnavailable: if the archive is missing, damaged or another one, and cannot be downloaded.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    return _read_named(archive, Path(named).expanduser()) if named else _read_cached(archive, cache_folder())


class _Unusable(Exception):
    """A folder does not hold an intact archive; the message is a clause that says why."""


def _read_named(archive: Archive, folder: Path) -> dict[str, bytes]:
    try:
        return _read_folder(archive, folder)
    except _Unusable as fault:
        raise DataUnavailable(
            f"Looked for Omniglot in {folder} (named by {FOLDER_VARIABLE}), but {fault}; "
            f"put an intact {archive.name} there, or unset {FOLDER_VARIABLE} to have it downloaded."
        ) from fault


def _read_cached(archive: Archive, folder: Path) -> dict[str, bytes]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with held(folder / "download.lock"):
            return _read_or_download(archive, folder)
    except OSError as error:
        raise DataUnavailable(
            f"Looked for Omniglot's {archive.name} in {folder}, but this folder cannot be used "
            f"({error.strerror or error}); let the cache folder be writable (XDG_CACHE_HOME moves it), "
            f"or name a folder that holds the archive with {FOLDER_VARIABLE}."
        ) from error


def _read_or_download(archive: Archive, folder: Path) -> dict[str, bytes]:
    try:
        return _read_folder(archive, folder)
    except _Unusable as fault:
        missing = fault
    try:
        download(archive.url, folder / archive.name, archive.md5)
        return _read_folder(archive, folder)
    except (OSError, ValueError, _Unusable) as error:
        raise DataUnavailable(
            f"Looked for Omniglot in {folder}, but {missing}, and {archive.url} could not be downloaded "
            f"({failure(error)}); try again with a network connection, or put an intact {archive.name} "
            f"into a folder and name that folder with {FOLDER_VARIABLE}."
        ) from error


def _read_folder(archive: Archive, folder: Path) -> dict[str, bytes]:
    """Reads the zip file or, if that is not intact, the extracted folder."""
    faults = [] if folder.is_dir() else ["there is no such folder"]
    readers: dict[str, Callable[[Path, Archive], dict[str, bytes]]] = {
        archive.name: _read_zip,
        archive.folder: _read_extracted,
    }
    for name, read in readers.items():
        if (folder / name).exists():
            try:
                return _verified(archive, read(folder / name, archive))
            except Exception as error:  # a damaged zip raises almost anything, from zlib.error to UnicodeDecodeError
                faults.append(f"{name} there {_described(error)}")
    raise _Unusable(" and ".join(faults) or f"there is neither {archive.name} nor {archive.folder}/ in it")


def _read_zip(path: Path, archive: Archive) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist() if archive.holds(name)}


def _read_extracted(path: Path, archive: Archive) -> dict[str, bytes]:
    root = path if archive.content == "runs" else path.parent
    files = [path / name for name in glob("**", root_dir=path, recursive=True)]  # follows links, unlike rglob
    names = {file.relative_to(root).as_posix(): file for file in files if file.is_file()}
    return {name: file.read_bytes() for name, file in names.items() if archive.holds(name)}


def _verified(archive: Archive, members: dict[str, bytes]) -> dict[str, bytes]:
    found = content_digest(members)
    if found != archive.digest:
        raise _Unusable(
            f"holds {len(members)} images that are not the expected ones "
            f"(content digest {found[:12]}... instead of {archive.digest[:12]}...)"
        )
    return members


def _described(error: Exception) -> str:
    """Describes in one clause what is wrong with a source."""
    return str(error) if isinstance(error, _Unusable) else f"is damaged ({' '.join(str(error).split()) or repr(error)})"
