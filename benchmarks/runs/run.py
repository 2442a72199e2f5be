"""One run: from its spec to a published folder."""

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pytorch_lightning.loggers import Logger

from adaptbench.benchmarks.evaluation.adapters import Adapter, Chooses, Told, size_of
from adaptbench.benchmarks.evaluation.evaluate import evaluate, tell
from adaptbench.benchmarks.evaluation.guards import adapter_guards, chance_guard, require_passed
from adaptbench.benchmarks.evaluation.pictured_functions import Pictured, fits
from adaptbench.benchmarks.runs.build import TaskShape, build_module, build_task
from adaptbench.benchmarks.runs.callbacks import Curve
from adaptbench.benchmarks.runs.checkpoints import Checkpoints
from adaptbench.benchmarks.runs.ddp import together
from adaptbench.benchmarks.runs.devices import CPU, Devices
from adaptbench.benchmarks.runs.environment import describe_environment
from adaptbench.benchmarks.runs.fitting import fit
from adaptbench.benchmarks.runs.trained import load_adapter
from adaptbench.benchmarks.store.integrity import RESULT, seal
from adaptbench.benchmarks.store.store import SCRATCH, Store, write_json
from adaptbench.benchmarks.suites.description import describe
from adaptbench.benchmarks.suites.spec import Cell, PretrainSpec, RunSpec, Training, TransferSpec
from adaptbench.datamodules.base import EpisodicDataModule
from adaptbench.datamodules.guards import Finding
from adaptbench.lit_modules.likelihoods import LIKELIHOODS

MANIFEST_ONLY = ("tests", "metric", "higher_is_better", "remarks")
"""Attributes of a cell that its result does not repeat."""


class NotFinite(RuntimeError):
    """A training whose weights are no longer numbers."""


@dataclass
class Outcome:
    """What a run has to publish.

    Attributes:
        result: `result.json`, only what the spec determines.
        timings: seconds and milliseconds, for `environment.json`.
        checkpoint: `model.ckpt`; None where the weights are another run's.
        episodes: `episodes.parquet`.
        curve: `curve.parquet`.
        fits: `fits.parquet`, where predicted curves can be drawn.
        findings: what the guards of the adapter found, for `guards.json`.
    """

    result: dict[str, Any]
    timings: dict[str, float]
    checkpoint: Mapping[str, Any] | None = None
    episodes: pd.DataFrame | None = None
    curve: pd.DataFrame | None = None
    fits: pd.DataFrame | None = None
    findings: list[Finding] = field(default_factory=list)


def execute(
    spec: RunSpec,
    store: Store,
    logger: Logger | None = None,
    devices: Devices = CPU,
    checkpoints: Checkpoints | None = None,
) -> Path:
    """Trains and tests, or goes on from the last checkpoint, and publishes.

    Args:
        spec: what to run; the pretrained network of a `TransferSpec` must have been published.
        store: where to publish.
        logger: a Lightning logger that follows the training.
        devices: where it trains; tests use the first.
        checkpoints: when to write checkpoints.

    Returns:
        The published folder.

    Raises:
        NotFinite: if training diverged.
        Interrupted: if it was asked to stop.
        CheckpointDamaged: if the checkpoint of an earlier try cannot be read.
        GuardFailed: if a guard found a leak, in the data before training, or in the adapter before its test.
    """
    if store.is_published(spec.run_id):
        return store.published(spec.run_id)
    folder = store.begin(spec.run_id)
    started = datetime.now(UTC)
    torch.use_deterministic_algorithms(devices.kind != "cpu")
    task = build_task(spec.training)
    findings = task.guards()
    require_passed(findings)
    if spec.kind == "transfer":
        outcome = _adapt(spec, task, store, device=devices.first)
    else:
        outcome = _train(
            spec, task, folder=folder, logger=logger, devices=devices, checkpoints=checkpoints or Checkpoints()
        )
    _write(folder, outcome)
    findings += outcome.findings
    write_json(folder / "guards.json", {"findings": [finding._asdict() for finding in findings]})
    write_json(folder / "spec.json", spec.model_dump(mode="json"))
    environment = describe_environment(devices)
    write_json(
        folder / "environment.json",
        {
            **environment,
            **outcome.timings,
            "data_digest": task.data_digest,
            "started": started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )
    write_json(folder / RESULT, seal(folder, {"run_id": spec.run_id, **outcome.result}, SCRATCH))
    return store.publish(spec.run_id)


def _train(
    spec: Training,
    task: EpisodicDataModule,
    *,
    folder: Path,
    logger: Logger | None,
    devices: Devices,
    checkpoints: Checkpoints,
) -> Outcome:
    shape = TaskShape.of(task)
    module = build_module(spec, shape)
    curve = Curve()
    with together(spec, folder, devices) as environment:
        timings = fit(
            module, spec, task, folder=folder, curve=curve, devices=devices, environment=environment,
            checkpoints=checkpoints, logger=logger,
        )  # fmt: skip
    if not all(bool(torch.isfinite(tensor).all()) for tensor in module.state_dict().values()):
        raise NotFinite("training diverged: its weights are no longer finite numbers")
    encoded = int(module.examples_encoded)
    weights = {name: tensor.cpu() for name, tensor in module.state_dict().items()}
    checkpoint = {"state_dict": weights, "task_shape": asdict(shape)}
    outcome = Outcome(
        result={"kind": spec.kind, "examples_encoded": encoded, "selection": spec.budget.selection},
        timings=timings,
        checkpoint=checkpoint,
        curve=pd.DataFrame(curve.rows, columns=["step", "examples_encoded", "split", "metric", "value"]),
    )
    if spec.kind == "episodic":
        adapter: Any = module.to(devices.first)
        _test(outcome, spec, adapter, task=task, parameters=size_of(adapter, module), device=devices.first)
    return outcome


def _adapt(spec: TransferSpec, task: EpisodicDataModule, store: Store, device: torch.device) -> Outcome:
    candidates = _judged(spec, task, store) if spec.rivals else []
    best = next((str(each["run_id"]) for each in candidates if each["share"]), spec.pretrained.run_id)
    adapter, network, _ = load_adapter(spec.with_pretraining(best), store, device)
    pretraining = store.read_json(best, "environment.json")
    outcome = Outcome(
        result={
            "kind": spec.kind,
            "pretrained": best,
            **({"pretrainings": candidates} if candidates else {}),
            "examples_encoded": int(getattr(adapter, "examples_encoded", network.examples_encoded)),
            "selection": spec.pretrained.budget.selection,
        },
        timings={name: pretraining[name] for name in ("train_seconds", "train_cpu_seconds") if name in pretraining},
    )
    if isinstance(adapter, Chooses):
        batches = (task.eval_batch("val", size, task.val_episodes) for size in task.test.sizes)
        adapter.choose(batch.to(device) for batch in batches)
    _test(outcome, spec, adapter, task=task, parameters=size_of(adapter, network), device=device)
    return outcome


def _judged(spec: TransferSpec, task: EpisodicDataModule, store: Store) -> list[dict[str, Any]]:
    """A record for each candidate of the pretraining, of which the best on validation has the whole share."""
    scores = {each.run_id: _validation_score(each, task, store) for each in spec.candidates}
    best = (max if LIKELIHOODS[task.likelihood].higher_is_better else min)(scores, key=lambda run_id: scores[run_id])
    return [
        {
            "run_id": each.run_id,
            "pretraining_lr": each.optimization.lr,
            "score": scores[each.run_id],
            "share": float(each.run_id == best),
        }
        for each in spec.candidates
    ]


def _validation_score(spec: PretrainSpec, task: EpisodicDataModule, store: Store) -> float:
    """The validation score of the weights that a pretraining published."""
    likelihood = LIKELIHOODS[task.likelihood]
    curve = pd.read_parquet(store.published(spec.run_id) / "curve.parquet")
    values = curve.loc[(curve["split"] == "val") & (curve["metric"] == likelihood.metric), "value"]
    if spec.budget.selection == "last":
        return float(values.iloc[-1])
    return float(values.max() if likelihood.higher_is_better else values.min())


def _test(
    outcome: Outcome,
    spec: Cell,
    adapter: Adapter,
    *,
    task: EpisodicDataModule,
    parameters: int,
    device: torch.device,
) -> None:
    batch = task.eval_batch("test", task.test.sizes[0], task.test.episodes)
    tell(adapter, task, task.test.sizes[0])
    outcome.findings = adapter_guards(adapter, batch.to(device), task.stream)
    require_passed(outcome.findings)
    evaluation = evaluate(adapter, task, device)
    if isinstance(adapter, Chooses):
        outcome.result["chosen"] = adapter.as_records()
    if isinstance(task, Pictured) and not isinstance(adapter, Told):
        outcome.fits = fits(adapter, task, device)
    outcome.findings.append(chance_guard(evaluation.scores))
    attributes = {key: value for key, value in describe(spec).items() if key not in MANIFEST_ONLY}
    together = bool(getattr(adapter, "transductive", False))
    outcome.result |= {**attributes, "parameters": parameters, "transductive": together, "scores": evaluation.scores}
    outcome.episodes = evaluation.episodes
    outcome.timings |= {
        "test_seconds": evaluation.seconds,
        "predict_ms_per_episode": 1000 * evaluation.seconds / len(evaluation.episodes),
    }


def _write(folder: Path, outcome: Outcome) -> None:
    if outcome.checkpoint is not None:
        buffer = io.BytesIO()
        torch.save(outcome.checkpoint, buffer)
        (folder / "model.ckpt").write_bytes(buffer.getvalue())
    tables = {"curve": outcome.curve, "episodes": outcome.episodes, "fits": outcome.fits}
    for name, table in tables.items():
        if table is not None:
            table.to_parquet(folder / f"{name}.parquet", index=False)
