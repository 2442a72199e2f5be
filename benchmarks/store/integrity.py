"""Checksums of a run's files: written with its result, and looked at again later."""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

RESULT = "result.json"
UNSEALED = (RESULT, "environment.json")
"""Files without a checksum of their own: the one that holds them, and the one with times, which differ every time."""
BLOCK = 1 << 20


def canonical(value: object) -> str:
    """The one JSON text of a value in a run's files."""
    return json.dumps(value, sort_keys=True, indent=1) + "\n"


def seal(folder: Path, result: Mapping[str, Any], scratch: Collection[str] = ()) -> dict[str, Any]:
    """Adds checksums to a result: of each other file that the spec determines, and of the result itself.

    Args:
        folder: the run's folder, with all its files but `result.json`.
        result: what `result.json` shall hold.
        scratch: names of files that are not published.
    """
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name not in (*UNSEALED, *scratch)
    }
    content = {**result, "files": files}
    return {**content, "sha256": hashlib.sha256(canonical(content).encode()).hexdigest()}


def damage(folder: Path, thorough: bool = True) -> str | None:
    """Says what is wrong with a published folder, in one sentence without a full stop; None where all is well.

    Args:
        folder: the published folder.
        thorough: whether to read every file; otherwise what is absent, truncated or no JSON is found, and no more.
    """
    try:
        result = _read(folder / RESULT)
        if thorough:
            _read(folder / "environment.json")
        if result.get("run_id") != folder.name:
            return f"{RESULT} is that of run {result.get('run_id')}"
        if "files" not in result:
            return None  # published before results held checksums
        return _first_damaged(folder, result["files"], thorough) or (_unlike_itself(result) if thorough else None)
    except (ValueError, OSError, TypeError, KeyError, AttributeError) as error:
        return f"its files cannot be read: {' '.join(str(error).split())}"


def _read(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_bytes())
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} holds no JSON object")
    return content


def _first_damaged(folder: Path, files: Mapping[str, Any], thorough: bool) -> str | None:
    for name, wanted in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is gone"
        size = path.stat().st_size
        if size != wanted["bytes"]:
            return f"{name} has {size} bytes and had {wanted['bytes']}"
        if thorough and _sha256(path) != wanted["sha256"]:
            return f"{name} has another checksum than it had"
    return None


def _unlike_itself(result: Mapping[str, Any]) -> str | None:
    content = {key: value for key, value in result.items() if key != "sha256"}
    found = hashlib.sha256(canonical(content).encode()).hexdigest()
    return None if found == result.get("sha256") else f"{RESULT} has another checksum than it had"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
