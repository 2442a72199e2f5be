"""Checksums of a run's files: written into its result, and checked later."""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path

from adaptbench.reports.format import Checksum, Result
from adaptbench.reports.reading import NewerFormat, read

RESULT = "result.json"
UNSEALED = (RESULT, "environment.json")
"""Files without a checksum in the result: the result itself, and the environment, whose times always differ."""


def canonical(value: object) -> str:
    """Returns the JSON text of a value as a run's files have it."""
    return json.dumps(value, sort_keys=True, indent=1) + "\n"


def checksums(folder: Path, scratch: Collection[str] = ()) -> dict[str, Checksum]:
    """Computes the checksum of each published file that the spec determines, except the result.

    Args:
        folder: the run's folder, with all files except `result.json`.
        scratch: names of files that are not published.
    """
    return {
        path.name: Checksum(bytes=path.stat().st_size, sha256=_sha256(path))
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name not in (*UNSEALED, *scratch)
    }


def seal(result: Result) -> Result:
    """Puts the checksum of a result into it."""
    return result.model_copy(update={"sha256": _own_checksum(result.model_dump(mode="json"))})


def damage(folder: Path, thorough: bool = True) -> str | None:
    """Says what is wrong with a published folder, in a sentence without a full stop; None if nothing is.

    Args:
        folder: the published folder.
        thorough: whether to read every file, and to miss those that a run of its kind must have; otherwise only missing
            and truncated files and broken JSON are found.

    Raises:
        NewerFormat: a later version of adaptbench wrote the run, so it is not damaged.
    """
    try:
        result = read(folder / RESULT, Result)
        if result.run_id != folder.name:
            return f"{RESULT} is that of run {result.run_id}"
        if thorough and (lacking := sorted(result.required - result.files.keys())):
            return f"{lacking[0]} is not among its files"
        found = _first_damaged(folder, result.files, thorough)
        if found is None and thorough and _own_checksum(json.loads((folder / RESULT).read_bytes())) != result.sha256:
            return f"{RESULT} has another checksum than it had"
        return found
    except NewerFormat:
        raise
    except (ValueError, OSError) as error:
        return f"its files cannot be read: {' '.join(str(error).removesuffix('.').split())}"


def missing(folder: Path) -> str | None:
    """Names a file that a complete but unpublished folder lacks; None if it lacks none."""
    result = read(folder / RESULT, Result)
    wanted = {"environment.json", *result.required, *result.files}
    return next((name for name in sorted(wanted) if not (folder / name).is_file()), None)


def _own_checksum(result: Mapping[str, object]) -> str:
    content = {name: value for name, value in result.items() if name != "sha256"}
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def _first_damaged(folder: Path, files: Mapping[str, Checksum], thorough: bool) -> str | None:
    for name, wanted in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is gone"
        size = path.stat().st_size
        if size != wanted.bytes:
            return f"{name} has {size} bytes and had {wanted.bytes}"
        if thorough and _sha256(path) != wanted.sha256:
            return f"{name} has another checksum than it had"
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
