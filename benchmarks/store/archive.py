"""Packs a run's folder into bytes, to send it to a node that does not share the folder."""

import io
import tarfile
from pathlib import Path


def pack(folder: Path) -> bytes:
    """Packs the files of a folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, arcname=path.name, recursive=False)
    return buffer.getvalue()


def unpack(content: bytes, folder: Path) -> None:
    """Unpacks files into a folder and nowhere else.

    Raises:
        ValueError: if the archive has anything but files with plain names; then nothing is written.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            members = archive.getmembers()
            for member in members:
                if not member.isfile() or member.name != Path(member.name).name or member.name in ("", ".", ".."):
                    raise ValueError(f"Expected an archive of plain files but got `{member.name}`.")
            folder.mkdir(parents=True, exist_ok=True)
            for member in members:
                content_of = archive.extractfile(member)  # a `filter` of `extractall` is unknown before Python 3.11.4
                assert content_of is not None
                (folder / member.name).write_bytes(content_of.read())
    except tarfile.TarError as error:
        raise ValueError(f"Expected a tar archive but got other content: {error}.") from error
