"""The options of the command `adaptbench run`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from adaptbench.benchmarks.executors.options import ExecutorOptions
from adaptbench.benchmarks.tracking.wandb_logger import Mode, default_mode


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The options of `adaptbench run`, as typed.

    Attributes:
        only: KEY=VALUE pairs that select cells.
        learners: dotted paths of learners to add.
        rates: learning rates of these, of which validation chooses; the default one if empty.
        encoder: the encoder under every learner; None for those of the suite.
        seeds: number of seeds, from 0; None for those of the suite.
        jobs: a number, or "auto".
        out: folder of the runs.
        wandb: "auto", "online", "offline" or "off".
        device: "auto", "cpu" or "cuda".
        again: whether finished runs are computed again.
        dry_run: whether to say only what would be done.
        report: whether to end with a report.
        wandb_models: whether to upload the weights to W&B.
        retry: how often a failed run is tried again.
        runs_per_gpu: number of runs that share a GPU.
        bundles: other folders of runs and bundles, whose runs count as finished.
        executor: where runs are executed; its devices follow from `jobs` and `device`.
    """

    only: Sequence[str] = ()
    learners: Sequence[str] = ()
    rates: Sequence[float] = ()
    encoder: str | None = None
    seeds: int | None = None
    jobs: str = "auto"
    out: Path = Path("runs")
    wandb: str = "auto"
    device: str = "auto"
    again: bool = False
    dry_run: bool = False
    report: bool = True
    wandb_models: bool = False
    retry: int = 0
    runs_per_gpu: int = 1
    bundles: Sequence[str] = ()
    executor: ExecutorOptions = field(default_factory=ExecutorOptions)

    @property
    def settings(self) -> list[str]:
        """The options that move numbers, as typed, beside learners and cells."""
        rates = ["--rates", ",".join(map(str, self.rates))] if self.rates else []
        encoder = ["--encoder", self.encoder] if self.encoder else []
        return [*rates, *encoder, *([] if self.seeds is None else ["--seeds", str(self.seeds)])]


def kind_of(options: RunOptions) -> Literal["cpu", "cuda"]:
    """The kind of device that runs have.

    Raises:
        ValueError: if `--device` is wrong, or there is none.
    """
    import torch

    text = options.device
    if options.executor.name != "local" and text in ("auto", "cpu", "cuda"):
        kind: Literal["cpu", "cuda"] = "cuda" if options.executor.gpus else "cpu"  # not this machine's devices
        if text not in ("auto", kind):
            raise ValueError(
                f"Expected `--device {kind}` with `--executor {options.executor.name}` and `--gpus "
                f"{options.executor.gpus:g}` but got `{text}`."
            )
        return kind
    if text == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if text not in ("cpu", "cuda"):
        raise ValueError(f"Expected `--device` to be `auto`, `cpu` or `cuda` but got `{text}`.")
    if text == "cuda" and not torch.cuda.is_available():
        raise ValueError("Expected a CUDA device for `--device cuda` but torch found none.")
    return cast(Literal["cpu", "cuda"], text)


def wandb_of(options: RunOptions) -> Mode:
    """How W&B is used.

    Raises:
        ValueError: if `--wandb` is wrong.
    """
    if options.wandb == "auto":
        return "off" if options.dry_run else default_mode()
    if options.wandb not in ("online", "offline", "off"):
        raise ValueError(f"Expected `--wandb` to be `auto`, `online`, `offline` or `off` but got `{options.wandb}`.")
    return cast(Mode, options.wandb)
