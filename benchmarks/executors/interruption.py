"""Ctrl-C: once to stop after a checkpoint, twice to stop now."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruption() -> Iterator[Callable[[], bool]]:
    """Provides a function that says whether Ctrl-C (or SIGTERM) came; the second one interrupts.

    Python handles signals in the main thread only; elsewhere nothing is caught.
    """
    heard: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        if heard:
            raise KeyboardInterrupt
        heard.append(number)

    main = threading.current_thread() is threading.main_thread()
    before = {each: signal.signal(each, hear) for each in SIGNALS} if main else {}
    try:
        yield lambda: bool(heard)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


class Stopping:
    """A Ray actor that knows whether runs were asked to stop; its module imports nothing heavy."""

    def __init__(self) -> None:
        self._asked = False

    def stop(self) -> None:
        """Asks them to stop."""
        self._asked = True

    def asked(self) -> bool:
        """Whether they were asked to stop."""
        return self._asked
