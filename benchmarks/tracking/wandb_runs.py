"""Mirrors runs and the report of a suite in W&B, live or afterwards, and marks the mirrored runs."""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from adaptbench.benchmarks.store.store import Store
from adaptbench.benchmarks.suites.description import describe
from adaptbench.benchmarks.suites.spec import RunSpec, read_spec
from adaptbench.benchmarks.tracking import PROJECT
from adaptbench.benchmarks.tracking.wandb_logger import FINISH_SECONDS, WandbMirror
from adaptbench.datamodules.locks import held
from adaptbench.reports.format import Result

LONGEST_TAG = 64
"""W&B refuses longer tags."""
MOST_TROUBLES = 2
"""Failures in a row after which the other runs are not tried."""


@dataclass(frozen=True)
class Target:
    """Where runs go in W&B.

    Attributes:
        suite: name of the suite, by which W&B groups runs.
        mode: online or offline.
        folder: an id of the folder of the runs (`folder_id`), which sets its runs apart from those of other people in
            the same project; empty for none.
        project: the project; that of the environment by default, as everywhere in W&B.
        entity: user or team; None for W&B's default.
        models: whether to upload weights as artifacts.
    """

    suite: str
    mode: Literal["online", "offline"]
    folder: str = ""
    project: str = field(default_factory=lambda: os.environ.get("WANDB_PROJECT") or PROJECT)
    entity: str | None = field(default_factory=lambda: os.environ.get("WANDB_ENTITY") or None)
    models: bool = False

    def id_of(self, name: str) -> str:
        """The id in W&B of a run, or of the report; another in every project, because offline files are told by it."""
        where = f"{self.folder} {self.entity or ''} {self.project}"
        return f"{name}-{hashlib.sha256(where.encode()).hexdigest()[:8]}" if self.folder else name

    def settings(self, name: str, job_type: str, tags: Iterable[str], config: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of Lightning's `WandbLogger`."""
        return {
            "project": self.project,
            **({"entity": self.entity} if self.entity else {}),
            "group": self.suite,
            "name": name,
            "job_type": job_type,
            "tags": list(dict.fromkeys(tag[:LONGEST_TAG] for tag in (self.suite, *tags) if tag)),
            "config": dict(config),
        }


def folder_id(root: Path, anew: bool = False) -> str:
    """Returns the id of a folder of runs in W&B, which is made when it is first asked for, or anew."""
    path = root / "wandb" / "folder"
    if anew or not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with held(path.with_suffix(".lock")):
            if anew or not path.is_file():
                path.write_text(secrets.token_hex(4), encoding="ascii")
    return path.read_text(encoding="ascii")


def open_mirror(spec: RunSpec, name: str, root: Path, target: Target) -> WandbMirror:
    """Starts the W&B run of a run; its configuration is the spec and `cell`, for panels and filters."""
    cell = describe(spec)
    attributes = cell.model_dump(include={"task", "protocol", "learner", "label", "family", "seed", "train_classes"})
    config = {**spec.model_dump(mode="json"), "cell": {"suite": target.suite, **attributes}}
    tags = (cell.task, cell.learner, cell.family)
    return WandbMirror(target.id_of(spec.run_id), root, target.mode, target.settings(name, spec.kind, tags, config))


def close_mirror(
    mirror: WandbMirror, store: Store, run_id: str, target: Target, seconds: float | None = None
) -> str | None:
    """Sends the results, and the weights if asked, of a finished run to W&B, which is marked once it has them.

    Args:
        mirror: the run in W&B.
        store: where the run is.
        run_id: its id.
        target: where it goes in W&B.
        seconds: how long to wait; by default as long as a live run may.

    Returns:
        What went wrong with W&B; None if nothing did.
    """
    weights = store.published(run_id) / "model.ckpt"
    if target.models and weights.is_file():
        mirror.log_file(weights, name=f"model-{run_id}", kind="model")
        seconds = FINISH_SECONDS
    result, mark = store.result(run_id), _mark(store, run_id, target)
    mirror.log_scores(by_shots(result))
    mark.parent.mkdir(parents=True, exist_ok=True)
    return mirror.close(summarise(result), seconds=seconds or mirror.patience, then=mark.touch)


def summarise(result: Result) -> dict[str, float]:
    """Flattens the scores of a result into names such as `test/accuracy/5-way 1-shot`."""
    scores: dict[str, float] = {"examples_encoded": result.examples_encoded}
    for score in result.scores:
        ways = f"{score.ways}-way " if score.ways else ""
        part = score.part if score.on == "unseen" else score.on
        scores[f"{part}/{score.metric}/{ways}{score.shots}-shot"] = score.value
    return scores


def by_shots(result: Result) -> list[dict[str, float]]:
    """The test scores on unseen classes, a row for each number of shots: how fast a run adapts."""
    rows: dict[int, dict[str, float]] = {}
    for score in result.scores:
        if (score.part, score.on) == ("test", "unseen"):
            ways = f"{score.ways}-way " if score.ways else ""
            rows.setdefault(score.shots, {"scores/shots": score.shots})[f"scores/{ways}{score.metric}"] = score.value
    return [rows[shots] for shots in sorted(rows)]


def mirror_afterwards(
    store: Store, names: Mapping[str, str], target: Target, say: Callable[[str], None]
) -> dict[str, str | None]:
    """Mirrors finished runs in W&B from their files, except those that are mirrored already.

    Args:
        store: where the runs are.
        names: names of the runs in W&B, by run id; unfinished runs are left out.
        target: where they go in W&B.
        say: called with the name of each run that is mirrored.

    Returns:
        For each run that was tried, what went wrong with W&B; None if nothing did. After some failures in a row the
        other runs are not tried.
    """
    found: dict[str, str | None] = {}
    for run_id, name in names.items():
        if not store.is_published(run_id) or is_mirrored(store, run_id, target):
            continue
        say(name)
        found[run_id] = _mirror_one(store, run_id, name, target)
        last = list(found.values())[-MOST_TROUBLES:]
        if len(last) == MOST_TROUBLES and all(trouble is not None for trouble in last):
            break
    return found


def is_mirrored(store: Store, run_id: str, target: Target) -> bool:
    """Whether a run is mirrored there in this mode; a run that is online need not be written offline."""
    return any(_mark(store, run_id, replace(target, mode=mode)).exists() for mode in {target.mode, "online"})


def forget_mirrored(store: Store, run_id: str, target: Target) -> None:
    """Removes the marks of a run, so that it is mirrored again."""
    for mode in ("online", "offline"):
        _mark(store, run_id, replace(target, mode=mode)).unlink(missing_ok=True)


def close_suite(target: Target, root: Path, tables: Mapping[str, pd.DataFrame], files: Sequence[Path]) -> str | None:
    """Logs tables, figures and page of a suite's report to W&B as a run, and marks the report once W&B has it.

    Args:
        target: where it goes in W&B.
        root: folder of the runs.
        tables: the tables, by name.
        files: the figures (PNG) and the page (HTML).

    Returns:
        What went wrong with W&B; None if nothing did.
    """
    settings = target.settings(f"{target.suite} report", "report", ("report",), {"cell": {"suite": target.suite}})
    mirror = WandbMirror(target.id_of(report_of(target)), root, target.mode, settings)
    mirror.log_report(tables, files)
    forget_mirrored(store := Store(root), report_of(target), target)
    (mark := _mark(store, report_of(target), target)).parent.mkdir(parents=True, exist_ok=True)
    summary = {"tables": len(tables), "figures": sum(file.suffix == ".png" for file in files)}
    return mirror.close(summary, then=mark.touch)


def report_of(target: Target) -> str:
    """The id of a suite's report, in the place of a run's."""
    return f"report-{target.suite}"


def _mirror_one(store: Store, run_id: str, name: str, target: Target) -> str | None:
    try:
        store.result(run_id)
        spec = read_spec(store.published(run_id))
        path = store.published(run_id) / "curve.parquet"
        curve = pd.read_parquet(path) if path.is_file() else pd.DataFrame()
        rows: list[Any] = curve.to_dict("records")
    except (OSError, ValueError) as error:
        return f"its files cannot be read: {' '.join(str(error).split())}"
    mirror = open_mirror(spec, name, store.root, target)
    mirror.log_curve(rows)
    return close_mirror(mirror, store, run_id, target, seconds=FINISH_SECONDS)


def _mark(store: Store, run_id: str, target: Target) -> Path:
    folder = store.root / "wandb" / "mirrored" / target.mode
    if (target.project, target.entity) != (PROJECT, None):
        folder /= f"{target.entity or ''}.{target.project}"  # no run's id has a dot
    return folder / run_id
