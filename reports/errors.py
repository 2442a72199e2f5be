"""The error of reports for wrong arguments and unreadable files."""


class ReportError(ValueError):
    """A report cannot be made from these arguments or files; the message says how to solve it."""
