"""TransferModule: pretrains a network on all training classes, or all training functions, at once."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.episodes import EpisodeBatch, ExampleBatch
from lit_modules.likelihoods import Likelihood
from lit_modules.optimization import Optimization
from lit_modules.training import TrainedModule, encode_all


class TransferModule(TrainedModule):
    """Pretrains encoder and head as Baseline of Chen et al. 2019 (arXiv 1904.04232) does, without episodes.

    Classes are learned with cross-entropy, real targets with squared error. Validation classifies episodes of new
    classes by the nearest class mean (Snell et al. 2017, arXiv 1703.05175), which needs no head; for regression it
    scores the network as it is, which ignores the support set.

    Args:
        encoder: from examples [M, *x] to features [M, D]; its attribute `features` is D.
        outputs: outputs of the head: training classes, or the width of a real target.
        likelihood: how an adapted network's predictions are read.
        optimization: settings of the optimiser.
        label_smoothing: share of the probability spread over all classes.
    """

    def __init__(
        self,
        encoder: nn.Module,
        outputs: int,
        likelihood: Likelihood,
        optimization: Optimization,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(encoder, optimization)
        self.features = int(encoder.features)  # type: ignore[arg-type]  # nn.Module types every attribute as a tensor
        self.head = nn.Linear(self.features, outputs)
        self.likelihood, self.label_smoothing = likelihood, label_smoothing

    def training_step(self, batch: ExampleBatch, batch_idx: int) -> Tensor:
        """Cross-entropy or squared error of the head."""
        output = self.head(self.encode_training(batch.inputs))
        if batch.targets.is_floating_point():
            loss = F.mse_loss(output, batch.targets)
            self.log_means("train", {"mse": loss.detach()}, len(output))
            return loss
        loss = F.cross_entropy(output, batch.targets, label_smoothing=self.label_smoothing)
        correct = (output.argmax(dim=-1) == batch.targets).float()
        self.log_means("train", {"nll": loss.detach(), "class_accuracy": correct}, len(output))
        return loss

    @torch.no_grad()
    def validation_step(self, batch: EpisodeBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Scores the validation episodes, all numbers of shots together."""
        features = encode_all(self.encoder, batch.inputs)
        if self.likelihood.metric == "mse":
            error = F.mse_loss(self.head(features)[batch.query], batch.query_y)
            self.log_means("val", {"mse": error}, len(batch.query))
            return
        means = batch.support_y.transpose(1, 2) @ features[batch.support] / batch.support_y.sum(dim=1).unsqueeze(-1)
        score = self.likelihood.score(-torch.cdist(features[batch.query], means), batch.query_y)
        self.log_means("val", {self.likelihood.metric: score}, len(batch.query))
