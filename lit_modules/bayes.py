"""Bayes' rule: the exact predictors that no learner can beat, over all functions or over those of training."""

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor

from adaptbench.datamodules.choices import require_choice
from adaptbench.datamodules.episodes import EpisodeBatch
from adaptbench.lit_modules.controls import require_kind
from adaptbench.lit_modules.likelihoods import SCALE_FLOOR, with_scale
from adaptbench.lit_modules.transfer import TransferModule


class Bayes:
    """Predicts the exact posterior mean and standard deviation of a task of noisy functions.

    Raventos et al. 2023 (arXiv 2306.15063) compare a transformer with both: over the training functions it is the best
    memory, and over all functions the best generalisation.

    Args:
        network: the pretrained network, which is not used.
        targets: Y, width of a real target.
        knows: "all" for a prior over all functions, "training" for one over the run's own training functions.

    Attributes:
        posterior: from episodes and `knows` to mean and standard deviation, each [B, Q, Y]; the evaluation takes it
            from the task before `predict`.
    """

    parameters: ClassVar[int] = 0
    examples_encoded: ClassVar[int] = 0

    def __init__(self, network: TransferModule, targets: int, *, knows: str = "all") -> None:
        require_kind(network, "bayes", regression=True)
        require_choice("knows", knows, ("all", "training"))
        self.network, self.knows = network, knows
        self.posterior: Callable[[EpisodeBatch, str], tuple[Tensor, Tensor]] | None = None

    def carried(self, batch: EpisodeBatch) -> int:
        """The support set itself."""
        return batch.support.shape[1] * (batch.inputs[0].numel() + batch.support_y.shape[-1])

    def predict(self, batch: EpisodeBatch) -> Tensor:
        """Predicts mean and standard deviation of the queries, [B, Q, 2Y].

        Raises:
            ValueError: if the task has no exact posterior.
        """
        if self.posterior is None:
            raise ValueError("Expected a task with an exact posterior for the control `bayes` but got another one.")
        mean, scale = self.posterior(batch, self.knows)
        return with_scale(mean, scale.clamp(min=2 * SCALE_FLOOR)).float().to(batch.inputs.device)
