"""Ctrl-C: once to stop in order, twice to stop now."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Remembers the first Ctrl-C (or SIGTERM) while it is entered, and lets the second one interrupt."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """Whether somebody asked to stop."""
        return self.asked

    def __enter__(self) -> "Interruption":
        """Listens, where signals can be heard at all."""
        if threading.current_thread() is threading.main_thread():
            self._before = {each: signal.signal(each, self._hear) for each in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listens no more."""
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


class Stopping:
    """Knows whether runs on other machines shall stop; an actor there, which imports nothing heavy."""

    def __init__(self) -> None:
        self._asked = False

    def stop(self) -> None:
        """From now on, they shall."""
        self._asked = True

    def asked(self) -> bool:
        """Whether they shall."""
        return self._asked
