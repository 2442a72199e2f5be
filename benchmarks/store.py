"""Where runs are kept: one folder a run, published by one atomic rename."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

CHECKPOINT = "last.ckpt"
PARTIAL = ".partial-"


class Store:
    """A folder of runs.

    A run is written under a hidden partial folder, which also holds its checkpoint, and renamed when it is complete; so
    a folder with a run's own name is a finished run.

    Args:
        root: the folder, made where it is missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def published(self, run_id: str) -> Path:
        """Where a finished run is, or will be."""
        return self.root / run_id

    def partial(self, run_id: str) -> Path:
        """Where an unfinished run is kept."""
        return self.root / f"{PARTIAL}{run_id}"

    def is_published(self, run_id: str) -> bool:
        """Whether a run has finished."""
        return (self.published(run_id) / "result.json").is_file()

    def begin(self, run_id: str) -> Path:
        """Makes the partial folder, or finds the one of an earlier try; a failure noted there is forgotten."""
        folder = self.partial(run_id)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "failure.json").unlink(missing_ok=True)
        return folder

    def publish(self, run_id: str) -> Path:
        """Renames a complete partial folder; if the run was published meanwhile, that one stays."""
        partial, final = self.partial(run_id), self.published(run_id)
        for name in (CHECKPOINT, f"{CHECKPOINT}.new", "progress"):
            (partial / name).unlink(missing_ok=True)
        for file in partial.iterdir():
            _flush(file)
        try:
            partial.rename(final)
        except OSError:
            if not self.is_published(run_id):
                raise
            shutil.rmtree(partial)
        _flush(self.root)
        return final

    def note_failure(self, run_id: str, reason: str, log: str) -> None:
        """Leaves a note of why a run failed for the report; a folder that cannot be written to is none the worse."""
        try:
            folder = self.partial(run_id)
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / "failure.json", {"reason": reason, "log": log})
        except OSError:
            return

    def failure(self, run_id: str) -> str | None:
        """Reads the reason why a run failed, if it did."""
        try:
            return str(json.loads((self.partial(run_id) / "failure.json").read_text(encoding="utf-8"))["reason"])
        except (OSError, ValueError, KeyError):
            return None

    def write_manifest(self, suite: str, manifest: Mapping[str, Any]) -> None:
        """Writes what a suite wants, whether finished or not, for reports to compare with what is there."""
        folder = self.root / "suites"
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / f"{suite}.json", manifest)

    def read_json(self, run_id: str, name: str) -> dict[str, Any]:
        """Reads a JSON file of a finished run."""
        content: dict[str, Any] = json.loads((self.published(run_id) / name).read_text(encoding="utf-8"))
        return content

    def pretrained(self, run_id: str) -> str | None:
        """The run whose network a finished run adapted; None if it trained its own or is not finished."""
        if not self.is_published(run_id):
            return None
        needed = self.read_json(run_id, "result.json").get("pretrained")
        return None if needed is None else str(needed)

    def load_checkpoint(self, run_id: str) -> Mapping[str, Any]:
        """Reads a finished run's weights and the shape of its task."""
        checkpoint: Mapping[str, Any] = torch.load(
            self.published(run_id) / "model.ckpt", map_location="cpu", weights_only=True
        )
        return checkpoint


def write_json(path: Path, value: object) -> None:
    """Writes canonical JSON atomically: sorted keys, the same bytes every time."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.write_text(json.dumps(value, sort_keys=True, indent=1) + "\n", encoding="utf-8")
    _flush(new)
    new.replace(path)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
