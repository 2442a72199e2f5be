"""Executes one run, from its spec to a published folder."""

import functools
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pandas as pd
import torch

from adaptbench.benchmarks.evaluation.adapters import Adapter, Chooses, Told, size_of, weights_of
from adaptbench.benchmarks.evaluation.evaluate import Evaluation, evaluate
from adaptbench.benchmarks.evaluation.guards import chance_guard, require_passed
from adaptbench.benchmarks.evaluation.pictured_functions import Pictured, fits
from adaptbench.benchmarks.runs.build import TaskShape, build_module, build_task, source_guards
from adaptbench.benchmarks.runs.callbacks import Curve, Row
from adaptbench.benchmarks.runs.checkpoints import Checkpoints
from adaptbench.benchmarks.runs.ddp import together
from adaptbench.benchmarks.runs.devices import CPU, Devices
from adaptbench.benchmarks.runs.environment import describe_machine
from adaptbench.benchmarks.runs.fitting import fit
from adaptbench.benchmarks.runs.trained import load_adapter
from adaptbench.benchmarks.store.integrity import RESULT, checksums, missing, seal
from adaptbench.benchmarks.store.store import SCRATCH, Store, write_json
from adaptbench.benchmarks.suites.description import describe, source_in_words
from adaptbench.benchmarks.suites.own_code import own_code
from adaptbench.benchmarks.suites.spec import Cell, RunSpec, Training, TrainingSpec
from adaptbench.datamodules.base import EpisodicDataModule
from adaptbench.datamodules.guards import Finding
from adaptbench.lit_modules.likelihoods import LIKELIHOODS
from adaptbench.lit_modules.transfer import TransferModule
from adaptbench.reports.format import (
    Candidate,
    Description,
    Environment,
    GuardFinding,
    Guards,
    PretrainingCandidate,
    Result,
    Times,
)
from adaptbench.reports.format_tables import CURVE
from adaptbench.reports.reading import Unreadable

NO_CHECKSUM = "0" * 64
"""Placeholder in a result until its own checksum is known."""


class NotFinite(RuntimeError):
    """The weights are no longer finite numbers."""


class OtherCode(RuntimeError):
    """The code of the user's own classes is not that which the run's id covers."""


def require_planned_code(spec: RunSpec) -> None:
    """Refuses code that was edited between the plan and the moment at which this process imported it.

    Raises:
        OtherCode: if it differs; a spec without a digest says nothing about code.
    """
    if spec.code and _imported_code(tuple(spec.components.items())) != spec.code:
        names = ", ".join(name for name in spec.components.values() if "." in name)
        raise OtherCode(f"the code of {names} is not that which this run was planned with; plan it again")


@functools.cache  # a process keeps the code that it has imported
def _imported_code(components: tuple[tuple[str, str], ...]) -> str:
    return own_code(**dict(components))


@dataclass
class Outcome:
    """What a run publishes.

    Attributes:
        examples_encoded: examples encoded in training.
        parameters: parameters of the adapter.
        train_seconds: wall-clock seconds of training; None if not known.
        train_cpu_seconds: CPU seconds of training; None if not known.
        transductive: whether a query's prediction may depend on other queries.
        pretrained: the run that trained the network, if it is another one.
        pretrainings: the candidates that it was chosen from, if there were several.
        chosen: the settings that were tried by cross-validation.
        evaluation: the results of the test; None for a pretraining.
        checkpoint: `model.ckpt`; None if the weights are another run's.
        curve: `curve.parquet`.
        fits: `fits.parquet`; None if predicted functions cannot be drawn.
        findings: what the guards of the adapter found, for `guards.json`.
    """

    examples_encoded: int
    parameters: int
    train_seconds: float | None
    train_cpu_seconds: float | None
    transductive: bool = False
    pretrained: str | None = None
    pretrainings: tuple[PretrainingCandidate, ...] = ()
    chosen: tuple[Candidate, ...] = ()
    evaluation: Evaluation | None = None
    checkpoint: Mapping[str, Any] | None = None
    curve: pd.DataFrame | None = None
    fits: pd.DataFrame | None = None
    findings: list[Finding] = field(default_factory=list)


def execute(
    spec: RunSpec,
    store: Store,
    follow: Callable[[Sequence[Row]], None] | None = None,
    devices: Devices = CPU,
    checkpoints: Checkpoints | None = None,
) -> Path:
    """Trains from the last checkpoint, if there is one, tests and publishes.

    Args:
        spec: what to run; its candidates must have been published.
        store: where to publish.
        follow: called with the rows of the learning curve: those of a checkpoint, then those of each epoch.
        devices: where it trains; tests use the first device.
        checkpoints: when to write checkpoints.

    Returns:
        The published folder.

    Raises:
        NotFinite: if training diverged.
        Interrupted: if it was asked to stop.
        CheckpointDamaged: if the checkpoint of an earlier try cannot be read.
        GuardFailed: if a guard found a leak, in the data before training or in the adapter when it is tested.
        OtherCode: if the user's own classes are not those that the run's id covers.
        FileNotFoundError: if a file was removed that a run of its kind must have.
    """
    if store.is_published(spec.run_id):
        return store.published(spec.run_id)
    require_planned_code(spec)
    folder = store.begin(spec.run_id)
    started = datetime.now(UTC)
    torch.use_deterministic_algorithms(devices.kind != "cpu")
    task = build_task(spec.training)
    findings = task.guards()
    if spec.kind == "transfer":
        findings += source_guards(spec, task)
    _write_guards(folder, findings)
    require_passed(findings)
    if spec.kind == "transfer" or (spec.kind == "episodic" and spec.rivals):
        outcome = _adapt(spec, task, store, device=devices.first)
    else:
        outcome = _train(
            spec, task, folder=folder, follow=follow, devices=devices, checkpoints=checkpoints or Checkpoints()
        )
    _write_tables(folder, outcome)
    _write_guards(folder, findings + outcome.findings)
    write_json(folder / "spec.json", spec)
    environment = Environment(
        machine=describe_machine(devices), times=_times(outcome, started), data_digest=task.data_digest
    )
    write_json(folder / "environment.json", environment)
    write_json(folder / RESULT, _result(spec, outcome, folder))
    if lacking := missing(folder):
        raise FileNotFoundError(f"{lacking} was removed from {folder.name} while the run was at work")
    return store.publish(spec.run_id)


def _write_guards(folder: Path, findings: Sequence[Finding]) -> None:
    write_json(folder / "guards.json", Guards(findings=tuple(GuardFinding(**each._asdict()) for each in findings)))


def _times(outcome: Outcome, started: datetime) -> Times:
    return Times(
        started=started.replace(microsecond=0),
        finished=datetime.now(UTC).replace(microsecond=0),
        train_seconds=outcome.train_seconds,
        train_cpu_seconds=outcome.train_cpu_seconds,
        test_seconds=None if outcome.evaluation is None else outcome.evaluation.seconds,
        predict=() if outcome.evaluation is None else outcome.evaluation.times,
    )


def _result(spec: RunSpec, outcome: Outcome, folder: Path) -> Result:
    result = Result(
        **describe(spec).model_dump(include=set(Description.model_fields)),
        kind=spec.kind,
        selection=spec.training.budget.selection,
        examples_encoded=outcome.examples_encoded,
        parameters=outcome.parameters,
        transductive=outcome.transductive,
        scores=() if outcome.evaluation is None else outcome.evaluation.scores,
        pretrained=outcome.pretrained,
        pretrainings=outcome.pretrainings,
        chosen=outcome.chosen,
        files=checksums(folder, SCRATCH),
        sha256=NO_CHECKSUM,
    )
    return seal(result)


def _train(
    spec: Training,
    task: EpisodicDataModule,
    *,
    folder: Path,
    follow: Callable[[Sequence[Row]], None] | None,
    devices: Devices,
    checkpoints: Checkpoints,
) -> Outcome:
    shape = TaskShape.of(task)
    module = build_module(spec, shape)
    curve = Curve(follow)
    with together(spec, folder, devices) as environment:
        time = fit(
            module, spec, task, folder=folder, curve=curve, devices=devices, environment=environment,
            checkpoints=checkpoints,
        )  # fmt: skip
    if not all(bool(torch.isfinite(tensor).all()) for tensor in module.state_dict().values()):
        raise NotFinite("training diverged: its weights are no longer finite numbers")
    weights = {name: tensor.cpu() for name, tensor in module.state_dict().items()}
    outcome = Outcome(
        examples_encoded=int(module.examples_encoded),
        parameters=weights_of(module),
        train_seconds=time.seconds,
        train_cpu_seconds=time.cpu_seconds,
        checkpoint={"state_dict": weights, "task_shape": asdict(shape)},
        curve=pd.DataFrame(curve.rows, columns=[column.name for column in CURVE]),
    )
    if spec.kind == "episodic":
        adapter: Any = module.to(devices.first)
        _test(outcome, adapter, task, devices.first)
    return outcome


def _adapt(spec: Cell, task: EpisodicDataModule, store: Store, device: torch.device) -> Outcome:
    """Tests what another run trained: a pretraining that is adapted, or the best of several trainings."""
    candidates = _judged(spec, task, store, device) if spec.rivals else ()
    best = _best(candidates, task).run_id if candidates else spec.training.run_id
    adapter, network, _ = load_adapter(spec.with_candidate(best), store, device)
    trained = _times_of(best, store)
    outcome = Outcome(
        examples_encoded=int(getattr(adapter, "examples_encoded", network.examples_encoded)),
        parameters=size_of(adapter, network),
        train_seconds=None if trained is None else trained.train_seconds,
        train_cpu_seconds=None if trained is None else trained.train_cpu_seconds,
        pretrained=best,
        pretrainings=candidates,
    )
    if isinstance(adapter, Chooses):
        batches = (task.eval_batch("val", size, task.val_episodes) for size in task.test.sizes)
        adapter.choose(batch.to(device) for batch in batches)
    _test(outcome, adapter, task, device)
    return outcome


def _times_of(run_id: str, store: Store) -> Times | None:
    """The times of a published run; None if they are lost."""
    try:
        return store.environment(run_id).times
    except Unreadable:
        return None


def _judged(
    spec: Cell, task: EpisodicDataModule, store: Store, device: torch.device
) -> tuple[PretrainingCandidate, ...]:
    """Returns the candidates with their scores on validation episodes of the task."""
    found = []
    for each in spec.candidates:
        own = each.task == spec.training.task
        score = _validation_score(each, task, store) if own else _score_of_source(spec, each, task, store, device)
        source = "" if own else source_in_words(each)
        found.append(PretrainingCandidate(run_id=each.run_id, lr=each.optimization.lr, score=score, source=source))
    return tuple(found)


def _score_of_source(
    spec: Cell, source: TrainingSpec, task: EpisodicDataModule, store: Store, device: torch.device
) -> float:
    """Returns the score of a pretraining on another task, on the episodes that pretrainings on this one validate on."""
    network = cast(TransferModule, load_adapter(spec.with_candidate(source.run_id), store, device).network)
    batches = [task.eval_batch("val", size, task.val_episodes).to(device) for size in task.test.sizes]
    return float(torch.stack([network.validation_score(batch).mean() for batch in batches]).mean())


def _best(candidates: tuple[PretrainingCandidate, ...], task: EpisodicDataModule) -> PretrainingCandidate:
    finite = [each for each in candidates if math.isfinite(each.score)]
    if not finite:
        raise NotFinite("no training to choose from has a finite validation score")
    return (max if LIKELIHOODS[task.likelihood].higher_is_better else min)(finite, key=lambda each: each.score)


def _validation_score(spec: Training, task: EpisodicDataModule, store: Store) -> float:
    """Returns the validation score of the weights that a training published."""
    likelihood = LIKELIHOODS[task.likelihood]
    curve = pd.read_parquet(store.published(spec.run_id) / "curve.parquet")
    values = curve.loc[(curve["part"] == "val") & (curve["metric"] == likelihood.metric), "value"]
    if spec.budget.selection == "last":
        return float(values.iloc[-1])
    return float(values.max() if likelihood.higher_is_better else values.min())


def _test(outcome: Outcome, adapter: Adapter, task: EpisodicDataModule, device: torch.device) -> None:
    outcome.evaluation = evaluate(adapter, task, device)
    outcome.findings = list(outcome.evaluation.findings)
    require_passed(outcome.findings)
    outcome.transductive = bool(getattr(adapter, "transductive", False))
    if isinstance(adapter, Chooses):
        outcome.chosen = tuple(Candidate(**choice._asdict()) for choice in adapter.choices())
    if isinstance(task, Pictured) and not isinstance(adapter, Told):
        outcome.fits = fits(adapter, task, device)
    outcome.findings.append(chance_guard(outcome.evaluation.scores))


def _write_tables(folder: Path, outcome: Outcome) -> None:
    if outcome.checkpoint is not None:
        buffer = io.BytesIO()
        torch.save(outcome.checkpoint, buffer)
        (folder / "model.ckpt").write_bytes(buffer.getvalue())
    tested = outcome.evaluation
    tables = {
        "curve": outcome.curve,
        "episodes": None if tested is None else tested.episodes,
        "calibration": None if tested is None else tested.calibration,
        "fits": outcome.fits,
    }
    for name, table in tables.items():
        if table is not None:
            table.to_parquet(folder / f"{name}.parquet", index=False)
