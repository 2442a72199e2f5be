"""Checks a user's own classes before anything trains: one training step, shapes, gradients and guards."""

import warnings
from dataclasses import dataclass, field

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from adaptbench.benchmarks.evaluation.adapters import Adapter, Chooses, Told
from adaptbench.benchmarks.evaluation.guards import adapter_guards, require_passed
from adaptbench.benchmarks.runs.build import build_task
from adaptbench.benchmarks.runs.process import quiet
from adaptbench.benchmarks.suites.spec import Cell, TrainingSpec
from adaptbench.datamodules.base import EpisodicDataModule, EvalPart
from adaptbench.datamodules.episodes import EpisodeBatch, ExampleBatch, episodes_digest
from adaptbench.lit_modules.likelihoods import LIKELIHOODS
from adaptbench.lit_modules.training import TrainedModule, encode_all, evaluating

EPISODES = 3
"""Episodes that guards predict."""
NO_GRADIENT = "Expected a gradient to reach the weights of the {} `{}` but it reaches none."


@dataclass
class Checked:
    """What was found about a cell with own classes.

    Attributes:
        examples: shape of a batch of examples.
        features: shape of their features.
        prediction: shape of the predictions of some episodes, [B, Q, P].
        without_gradient: the weights that no gradient reached in a training step.
        weights: number of tensors of weights that train.
    """

    examples: tuple[int, ...] = ()
    features: tuple[int, ...] = ()
    prediction: tuple[int, ...] = ()
    without_gradient: list[str] = field(default_factory=list)
    weights: int = 0


def check_cell(spec: Cell, task: EpisodicDataModule, module: TrainedModule, adapter: Adapter) -> Checked:
    """Trains a cell's network for one step and predicts some episodes, as its run would.

    Args:
        spec: the cell.
        task: its task.
        module: its network, which is trained.
        adapter: what predicts its episodes.

    Raises:
        ValueError: if a class lacks what its kind must have.
        GuardFailed: if a prediction depends on what it must not depend on, or an own task leaks.
    """
    if "." in spec.training.task.name:
        _check_task(spec.training, task)
    found = Checked()
    _check_encoder(spec.training, task, module, found)
    _train_a_step(spec.training, task, module, found)
    module.eval()
    part: EvalPart = "val" if task.validates(spec.training.task.init_args) else "test"
    sizes = [task.eval_batch(part, size, EPISODES) for size in task.test.sizes]
    if isinstance(adapter, Chooses):
        adapter.choose(sizes)
    wanted = LIKELIHOODS[task.likelihood].outputs(task.targets)
    for batch in () if isinstance(adapter, Told) else sizes:
        prediction = adapter.predict(batch.without_targets())
        _require(f"predictions of `{spec.adapter}`", prediction, (*batch.query.shape, wanted))
        found.prediction = tuple(prediction.shape)
        require_passed(adapter_guards(adapter, batch, task.stream)[1])
    return found


class _Gradients(Callback):
    """Lists the weights that train, and whether a gradient reached them."""

    def __init__(self) -> None:
        self.reached: dict[str, bool] = {}

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Looks at them."""
        weights = ((name, weight) for name, weight in pl_module.named_parameters() if weight.requires_grad)
        self.reached = {name: weight.grad is not None for name, weight in weights}


def _train_a_step(spec: TrainingSpec, task: EpisodicDataModule, module: TrainedModule, found: Checked) -> None:
    gradients = _Gradients()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quiet()
        trainer = pl.Trainer(
            fast_dev_run=True, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, callbacks=[gradients],
        )  # fmt: skip
        try:
            trainer.fit(module, datamodule=task)
        except RuntimeError as error:
            own = [(kind, name) for kind, name in spec.components.items() if kind != "task" and "." in name]
            if not own or "does not require grad" not in str(error):
                raise
            raise ValueError(NO_GRADIENT.format(*own[-1])) from error
    found.weights = len(gradients.reached)
    found.without_gradient = [name for name, reached in gradients.reached.items() if not reached]
    for kind, name in spec.components.items():
        theirs = [reached for weight, reached in gradients.reached.items() if weight.startswith(f"{kind}.")]
        if "." in name and theirs and not any(theirs):
            raise ValueError(NO_GRADIENT.format(kind, name))


def _check_encoder(spec: TrainingSpec, task: EpisodicDataModule, module: TrainedModule, found: Checked) -> None:
    inputs = _train_batch(task).inputs
    found.examples = tuple(inputs.shape)
    with evaluating(module):
        features = encode_all(module.encoder, inputs)
    _require(f"features of the encoder `{spec.encoder.name}`", features, (len(inputs), module.encoder.features))
    found.features = tuple(features.shape)


def _check_task(spec: TrainingSpec, task: EpisodicDataModule) -> None:
    """Refuses batches of other shapes, batches that change, and evaluation episodes that depend on the seed."""
    name = spec.task.name
    first, again = (_train_batch(task) for _ in range(2))
    pairs = zip(first, again, strict=True)
    if not all(torch.equal(one, other) for one, other in pairs if one is not None and other is not None):
        raise ValueError(f"Expected batch 0 of the task `{name}` to be the same whenever it is drawn, but it changes.")
    if isinstance(first, ExampleBatch):
        _require(f"examples of `{name}`", first.inputs, (len(first.inputs), *task.example_shape), floating=False)
    else:
        _check_episodes(name, task, first)
    other = build_task(spec.model_copy(update={"seed": spec.seed + 1}))
    for size in task.test.sizes:
        batch, same = (each.eval_batch("test", size, EPISODES) for each in (task, other))
        _check_episodes(name, task, batch)
        wanted = (EPISODES, size.queries * (size.ways or 1))
        if not task.stream and tuple(batch.query.shape) != wanted:
            got = f"{size.title} but got {tuple(batch.query.shape)}"
            raise ValueError(f"Expected the queries of the task `{name}` to be {wanted} at {got}.")
        if episodes_digest(batch) != episodes_digest(same):
            raise ValueError(f"Expected the test episodes of the task `{name}` to be the same for every seed.")
        float(task.chance(size))
    require_passed(task.guards())


def _train_batch(task: EpisodicDataModule) -> EpisodeBatch | ExampleBatch:
    return task.train_batch(0) if task.mode == "episodes" else task.example_batch(0)


def _check_episodes(name: str, task: EpisodicDataModule, batch: EpisodeBatch) -> None:
    if not isinstance(batch, EpisodeBatch):
        raise ValueError(f"Expected the task `{name}` to draw an EpisodeBatch but got {type(batch).__name__}.")
    _require(f"examples of `{name}`", batch.inputs, (len(batch.inputs), *task.example_shape), floating=False)
    for rows, targets, what in ((batch.support, batch.support_y, "support"), (batch.query, batch.query_y, "query")):
        _require(f"`{what}_y` of `{name}`", targets, (*rows.shape, task.targets))
        if rows.dtype != torch.int64 or not 0 <= int(rows.min()) <= int(rows.max()) < len(batch.inputs):
            raise ValueError(f"Expected `{what}` of the task `{name}` to hold int64 rows of its examples.")


def _require(what: str, found: object, shape: tuple[object, ...], *, floating: bool = True) -> None:
    """Refuses what is no tensor of a shape, or holds numbers of another type than float32, or not finite ones."""
    if not isinstance(found, Tensor) or tuple(found.shape) != shape:
        got = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(f"Expected the {what} to have shape {list(shape)} but got {got}.")
    if floating and (found.dtype != torch.float32 or not bool(found.isfinite().all())):
        got = str(found.dtype) if found.dtype != torch.float32 else "others"
        raise ValueError(f"Expected the {what} to be finite float32 numbers but got {got}.")
