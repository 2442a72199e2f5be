"""Errors of tasks that a caller may want to handle."""


class DataUnavailable(RuntimeError):
    """A task's data cannot be had; the message is one sentence: what was looked for, where, and what to do."""
