"""Reads the JSON files of a folder of runs; errors are one sentence."""

import reprlib
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from adaptbench.reports.errors import ReportError
from adaptbench.reports.format import FORMAT_VERSION, File, Record, visible

R = TypeVar("R", bound=Record)
MOST_BYTES = 2**28
"""No JSON file of a folder of runs is larger: a manifest of 200,000 runs has about half of it."""


class Unreadable(ReportError):
    """A file is missing, damaged or of another format version; the message says which field is wrong."""

    def __init__(self, message: str) -> None:
        super().__init__(visible(message))


class NewerFormat(Unreadable):
    """A later version of adaptbench wrote the file."""


def read(path: Path, kind: type[R]) -> R:
    """Reads a JSON file.

    Args:
        path: The file.
        kind: The type of its content.

    Raises:
        Unreadable: The file is missing, or its content is of another type or format version.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise Unreadable(f"Expected {path.name} to have at most {MOST_BYTES:,} bytes.")
        content = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"{path.name} cannot be read: {error}.") from error
    return read_bytes(content, kind, path.name)


def read_bytes(content: bytes, kind: type[R], name: str) -> R:
    """Reads the content of a JSON file.

    Args:
        content: The content.
        kind: The type of the content.
        name: The name of the file, for errors.

    Raises:
        Unreadable: The content is of another type or format version.
    """
    try:
        found = kind.model_validate_json(content)
    except ValidationError as error:
        _check_version(content, kind, name)
        raise Unreadable(sentence_of(error, name)) from error
    if isinstance(found, File) and not (
        "format_version" in found.model_fields_set and found.format_version == FORMAT_VERSION
    ):
        _check_version(content, kind, name)
    return found


class _Version(Record):
    format_version: int = 0


def _check_version(content: bytes, kind: type[Record], file: str) -> None:
    """Refuses content of another format version; content that is not JSON has no version."""
    try:
        version = _Version.model_validate_json(content).format_version if issubclass(kind, File) else FORMAT_VERSION
    except ValidationError:
        return
    if version == FORMAT_VERSION:
        return
    written = f"format version {version}" if version else "no format version"
    advice = "update adaptbench" if version > FORMAT_VERSION else "run the suite again with this version of adaptbench"
    sentence = f"Expected {file} to have format version {FORMAT_VERSION} but it has {written}; {advice}."
    raise (NewerFormat if version > FORMAT_VERSION else Unreadable)(sentence)


def sentence_of(error: ValidationError, file: str) -> str:
    """Returns the first error as a sentence: file, field, what was expected, and the value, shortened."""
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    if first["type"] == "json_invalid":
        return f"{file} cannot be read: {first['msg']}."
    if first["type"] == "missing":
        return f"Expected {file} to have a field `{where}` but it has none."
    what = f"field `{where}` of {file}" if where else file
    expected = first["msg"].partition(" should ")[2] or first["msg"]
    return f"Expected {what} to {expected} but got {reprlib.repr(first['input'])}."
