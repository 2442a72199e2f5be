"""Says for whom a command waits."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

PATIENCE_SECONDS = 3.0
"""A longer wait says for whom."""


@contextmanager
def waiting_for(whom: str, console: Console) -> Iterator[None]:
    """Says for whom a command waits: a spinner in a terminal, elsewhere a line if the wait is long."""
    text = Text.assemble(("waiting ", "yellow"), f"for {whom}")
    if console.is_terminal:
        with console.status(text):
            yield
        return
    timer = threading.Timer(PATIENCE_SECONDS, console.print, [text], {"soft_wrap": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
