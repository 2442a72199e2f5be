"""Ctrl-C, a termination or a closed terminal: once to stop after a checkpoint, twice to stop now."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def interruption() -> Iterator[Callable[[], bool]]:
    """Provides a function that says whether Ctrl-C, SIGTERM or SIGHUP came; the second one interrupts.

    A closed terminal cannot be written to any more, so what is said after it goes nowhere. `nohup` stays in force.
    Python handles signals in the main thread only; elsewhere nothing is caught.
    """
    heard: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        if heard:
            raise KeyboardInterrupt
        heard.append(number)
        if number not in (signal.SIGINT, signal.SIGTERM):
            _forget_the_terminal()

    main = threading.current_thread() is threading.main_thread()
    asked = [each for each in SIGNALS if main and signal.getsignal(each) != signal.SIG_IGN]
    before = {each: signal.signal(each, hear) for each in asked}
    try:
        yield lambda: bool(heard)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _forget_the_terminal() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        if os.isatty(stream):
            os.dup2(nowhere, stream)
    os.close(nowhere)


def now_and_then(ask: Callable[[], bool], seconds: float = 1.0) -> Callable[[], bool]:
    """Returns a function that asks once in so many seconds, not after every step; a yes stays a yes."""
    last, answer = time.monotonic(), False

    def answered() -> bool:
        nonlocal last, answer
        if not answer and time.monotonic() - last > seconds:
            answer = ask()
            last = time.monotonic()
        return answer

    return answered


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
