"""How a network is trained: the budget, the callbacks and the devices that Lightning's Trainer is given."""

import time
from pathlib import Path

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.loggers import Logger

from adaptbench.benchmarks.runs.callbacks import BestWeights, Curve, ProgressFile
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
    logger: Logger | None = None,
) -> dict[str, float]:
    """Trains for the whole budget, or what is left of it after the checkpoint in the folder.

    Returns:
        The seconds since that checkpoint, by the clock and of this process.
    """
    callbacks: list[pl.Callback] = [curve, ProgressFile(folder), Generators()]
    if spec.budget.selection == "best":
        likelihood = LIKELIHOODS[task.likelihood]
        callbacks.append(BestWeights(likelihood.metric, likelihood.higher_is_better))
    trainer = pl.Trainer(
        **devices.trainer_arguments(spec.devices),
        strategy="auto" if spec.devices == 1 else "ddp",
        use_distributed_sampler=False,  # batches already differ between devices, and validation is the same on all
        max_steps=spec.steps,
        max_epochs=-1,
        callbacks=[*callbacks, AtomicCheckpoint(folder, checkpoints or Checkpoints())],
        plugins=environment
        or LightningEnvironment(),  # not SLURM's, which would requeue jobs behind the executor's back
        logger=logger or False,
        log_every_n_steps=spec.steps_per_epoch,
        gradient_clip_val=spec.optimization.clip,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    start, start_cpu = time.perf_counter(), time.process_time()
    try:
        trainer.fit(module, datamodule=task, ckpt_path=checkpoint_to_resume(folder), weights_only=True)
    finally:
        if torch.distributed.is_initialized():  # this process may train with others again, as another group
            torch.distributed.destroy_process_group()
    return {
        "train_seconds": time.perf_counter() - start,
        "train_cpu_seconds": time.process_time() - start_cpu,
    }
