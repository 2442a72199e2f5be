"""The one error that reports raise about what they were asked for or what they were given to read."""


class ReportError(ValueError):
    """A report cannot be made from these arguments or files; the sentence says what to do about it."""
