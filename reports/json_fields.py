"""Typed access to the fields of JSON objects, with errors that name the field and the file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar, cast

from adaptbench.reports.errors import ReportError

T = TypeVar("T")

_KIND_NAMES = {
    str: "a string", int: "an integer", float: "a number", bool: "true or false", list: "a list", dict: "an object",
}  # fmt: skip


def read_object(path: Path) -> dict[str, object]:
    """Reads a JSON file that holds one object.

    Args:
        path: The file to read.

    Raises:
        ReportError: The file cannot be read, is not JSON, or holds something other than an object.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ReportError(f"{path.name} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise ReportError(f"Expected {path.name} to hold an object but got {type(data).__name__}.")
    return data


def field(data: object, name: str, kind: type[T], file: str) -> T:
    """Takes one field of a JSON object and checks its type.

    Args:
        data: The object.
        name: The field's name.
        kind: The type wanted; ``float`` accepts integers too.
        file: The file's name, for the error.

    Raises:
        ReportError: `data` is no object, or the field is absent or of another type.
    """
    if not isinstance(data, Mapping):
        raise ReportError(f"Expected {file} to hold an object with field `{name}` but got {data!r}.")
    if name not in data:
        raise ReportError(f"Expected {file} to have a field `{name}` but it has none.")
    value = data[name]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return cast(T, float(value))
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ReportError(f"Expected field `{name}` of {file} to be {_KIND_NAMES[kind]} but got {value!r}.")
    return value


def optional_field(data: object, name: str, kind: type[T], file: str) -> T | None:
    """Takes one field that may be absent or null; otherwise as `field`."""
    if isinstance(data, Mapping) and data.get(name) is None:
        return None
    return field(data, name, kind, file)
