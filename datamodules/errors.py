"""Errors that a caller of a task may want to handle."""


class DataUnavailable(RuntimeError):
    """A task's data is not available; the message says what was looked for, where, and what to do."""
