"""Locks between processes that prepare the same data."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

PATIENCE_SECONDS = 3.0
"""A longer wait is said."""


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Holds the lock of a file; a long wait says on stderr for which."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=PATIENCE_SECONDS)
    except Timeout:
        print(f"waiting for another process, which holds {path}", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
