"""Images that are decoded once and kept in the cache folder."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from adaptbench.datamodules.errors import DataUnavailable
from adaptbench.datamodules.locks import held

Found = TypeVar("Found")


def decoded_once(path: Path, read: Callable[[], Found | None], write: Callable[[], None]) -> Found:
    """Reads decoded images, and makes them first if they are not there; of several processes, one makes them.

    What is there is only read, so its folder need not be writable.

    Args:
        path: the file in which they lie; its lock lies beside it.
        read: reads them; returns None if they are missing or damaged.
        write: makes them.

    Raises:
        DataUnavailable: if they cannot be written, or read differently from what was written.
    """
    try:
        if (found := read()) is not None:
            return found
        path.parent.mkdir(parents=True, exist_ok=True)
        with held(path.with_suffix(".lock")):
            if (found := read()) is None:  # otherwise made by another process while this one waited
                write()
                found = read()
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error
    if found is None:
        raise _unwritable(path, "what was written there reads differently")
    return found


def _unwritable(path: Path, reason: str) -> DataUnavailable:
    return DataUnavailable(
        f"Decoded images could not be kept in {path.parent} ({reason}); make room and let it be writable, or move the "
        "cache folder with XDG_CACHE_HOME."
    )
