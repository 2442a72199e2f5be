"""Trains a network with Lightning's Trainer."""

from pathlib import Path

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from adaptbench.benchmarks.runs.callbacks import BestWeights, Curve, ProgressFile, Stopwatch
from adaptbench.benchmarks.runs.checkpoints import AtomicCheckpoint, Checkpoints, Generators, checkpoint_to_resume
from adaptbench.benchmarks.runs.devices import CPU, Devices
from adaptbench.benchmarks.suites.spec import Training
from adaptbench.datamodules.base import EpisodicDataModule
from adaptbench.lit_modules.likelihoods import LIKELIHOODS
from adaptbench.lit_modules.training import TrainedModule


def fit(
    module: TrainedModule,
    spec: Training,
    task: EpisodicDataModule,
    *,
    folder: Path,
    curve: Curve,
    devices: Devices = CPU,
    environment: LightningEnvironment | None = None,
    checkpoints: Checkpoints | None = None,
) -> Stopwatch:
    """Trains for the whole budget, or what is left of it after the checkpoint in the folder.

    Returns:
        The stopwatch with the time of training, including the time before the checkpoint.
    """
    stopwatch = Stopwatch()
    callbacks: list[pl.Callback] = [stopwatch, curve, ProgressFile(folder), Generators()]
    if spec.budget.selection == "best":
        likelihood = LIKELIHOODS[task.likelihood]
        callbacks.append(BestWeights(likelihood.metric, likelihood.higher_is_better))
    trainer = pl.Trainer(
        **devices.trainer_arguments(spec.trainer),
        strategy="auto" if spec.devices == 1 else "ddp",
        use_distributed_sampler=False,  # training batches already differ between devices; validation is equal on all
        max_steps=spec.steps,
        max_epochs=-1,
        callbacks=[*callbacks, AtomicCheckpoint(folder, checkpoints or Checkpoints())],
        # not SLURM's environment, which would requeue jobs by itself
        plugins=[environment or LightningEnvironment(), devices.precision(spec.trainer)],
        logger=False,  # the curve has all that is logged
        gradient_clip_val=spec.optimization.clip,
        num_sanity_val_steps=0,
        limit_val_batches=1.0 if task.validates(spec.task.init_args) else 0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    stopwatch.start()
    try:
        trainer.fit(module, datamodule=task, ckpt_path=checkpoint_to_resume(folder), weights_only=True)
    finally:
        if torch.distributed.is_initialized():  # this process may train in another group later
            torch.distributed.destroy_process_group()
    stopwatch.stop()
    return stopwatch
