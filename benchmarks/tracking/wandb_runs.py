"""What W&B is told of a run and of a suite, live or afterwards, and which runs it has been told of."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from adaptbench.benchmarks.store.store import Store
from adaptbench.benchmarks.suites.description import describe
from adaptbench.benchmarks.suites.spec import RUN_SPEC, RunSpec
from adaptbench.benchmarks.tracking.wandb_logger import WandbMirror
from adaptbench.reports.format import Result

PROJECT = "adaptbench"
LONGEST_TAG = 64
"""W&B refuses longer tags."""
MOST_TROUBLES = 2
"""After so many runs in a row that W&B refused, the rest are left for the next time."""


@dataclass(frozen=True)
class Target:
    """Where in W&B runs go.

    Attributes:
        suite: name of the suite, by which W&B groups runs.
        mode: online or offline.
        project: the project.
        entity: user or team; None for W&B's default.
        models: whether weights go along as artifacts.
    """

    suite: str
    mode: Literal["online", "offline"]
    project: str = PROJECT
    entity: str | None = None
    models: bool = False

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


def open_mirror(spec: RunSpec, name: str, root: Path, target: Target) -> WandbMirror:
    """Starts the W&B run of a run: its configuration is the spec, and `cell`, by which panels and filters pick runs."""
    cell = describe(spec)
    attributes = cell.model_dump(include={"task", "learner", "family", "seed", "train_classes"})
    config = {**spec.model_dump(mode="json"), "cell": {"suite": target.suite, **attributes}}
    tags = (cell.task, cell.learner, cell.family)
    return WandbMirror(spec.run_id, root, target.mode, target.settings(name, spec.kind, tags, config))


def close_mirror(mirror: WandbMirror, store: Store, run_id: str, target: Target) -> str | None:
    """Tells W&B a finished run's results, and its weights if asked, and notes that it was told.

    Returns:
        What went wrong with W&B; None if nothing did.
    """
    weights = store.published(run_id) / "model.ckpt"
    if target.models and weights.is_file():
        mirror.log_file(weights, name=f"model-{run_id}", kind="model")
    trouble = mirror.close(summarise(store.result(run_id)))
    if trouble is None:
        mark = _mark(store, run_id, target.mode)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    return trouble


def summarise(result: Result) -> dict[str, float]:
    """Flattens the scores of a result into names such as `test/accuracy/5-way 1-shot`."""
    scores: dict[str, float] = {"examples_encoded": result.examples_encoded}
    for score in result.scores:
        ways = f"{score.ways}-way " if score.ways else ""
        scores[f"{score.part}/{score.metric}/{ways}{score.shots}-shot"] = score.value
    return scores


def mirror_afterwards(
    store: Store, names: Mapping[str, str], target: Target, say: Callable[[str], None]
) -> dict[str, str | None]:
    """Mirrors finished runs into W&B from their files alone, those that it was told of already left out.

    Args:
        store: where the runs are.
        names: how to call each run, by run id; runs that are not finished are left out.
        target: where in W&B they go.
        say: told each run that is mirrored.

    Returns:
        For each run that was tried, what went wrong with W&B; None where nothing did. After some troubles in a row the
        rest is not tried.
    """
    found: dict[str, str | None] = {}
    for run_id, name in names.items():
        if not store.is_published(run_id) or is_mirrored(store, run_id, target.mode):
            continue
        say(name)
        found[run_id] = _mirror_one(store, run_id, name, target)
        last = list(found.values())[-MOST_TROUBLES:]
        if len(last) == MOST_TROUBLES and all(trouble is not None for trouble in last):
            break
    return found


def is_mirrored(store: Store, run_id: str, mode: str) -> bool:
    """Whether W&B was told of a run in this mode; what is online need not be written offline."""
    return any(_mark(store, run_id, each).exists() for each in {mode, "online"})


def close_suite(target: Target, root: Path, tables: Mapping[str, pd.DataFrame], files: Sequence[Path]) -> str | None:
    """Ends a suite with a run that holds its report: tables, figures and the page.

    Args:
        target: where in W&B it goes.
        root: folder of the runs.
        tables: the tables, by name.
        files: the figures (PNG) and the page (HTML).

    Returns:
        What went wrong with W&B; None if nothing did.
    """
    settings = target.settings(f"{target.suite} report", "report", ("report",), {"cell": {"suite": target.suite}})
    mirror = WandbMirror(f"report-{target.suite}", root, target.mode, settings)
    mirror.log_report(tables, files)
    return mirror.close({"tables": len(tables), "figures": sum(file.suffix == ".png" for file in files)})


def _mirror_one(store: Store, run_id: str, name: str, target: Target) -> str | None:
    try:
        store.result(run_id)
        spec = RUN_SPEC.validate_json((store.published(run_id) / "spec.json").read_bytes())
        curve = _curve(store.published(run_id) / "curve.parquet")
    except (OSError, ValueError) as error:
        return f"its files cannot be read: {' '.join(str(error).split())}"
    mirror = open_mirror(spec, name, store.root, target)
    for step, metrics in curve.items():
        mirror.log_metrics({**metrics, "trainer/global_step": step}, step)
    return close_mirror(mirror, store, run_id, target)


def _curve(path: Path) -> dict[int, dict[str, float]]:
    """What training logged, under the names that it has live, by step; empty where the run trained nothing."""
    if not path.is_file():
        return {}
    found: dict[int, dict[str, float]] = {}
    for row in pd.read_parquet(path).to_dict("records"):
        found.setdefault(int(row["step"]), {})[f"{row['part']}/{row['metric']}"] = float(row["value"])
    return found


def _mark(store: Store, run_id: str, mode: str) -> Path:
    return store.root / "wandb" / "mirrored" / mode / run_id
