"""TransferModule: pretrains a network on all training classes, or all training functions, at once."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adaptbench.datamodules.episodes import EpisodeBatch, ExampleBatch
from adaptbench.lit_modules.heads import ContextHead, HeadKind, make_head
from adaptbench.lit_modules.likelihoods import Likelihood
from adaptbench.lit_modules.optimization import Optimization
from adaptbench.lit_modules.prototypes import class_means
from adaptbench.lit_modules.training import TrainedModule, encode_all


class TransferModule(TrainedModule):
    """Pretrains encoder and head without episodes, as Baseline and Baseline++ of Chen et al. 2019 (arXiv 1904.04232).

    Classes are learned with cross-entropy, real targets with squared error. Validation classifies episodes of new
    classes by the nearest class mean (Snell et al. 2017, arXiv 1703.05175), without a head; with a cosine head,
    features are normalised first. For regression, validation scores the network's output, which ignores the support
    set.

    Args:
        encoder: from examples [M, *x] to features [M, D]; its attribute `features` is D.
        outputs: outputs of the head: training classes, or the width of a real target.
        likelihood: how the predictions of an adapted network are read.
        optimization: settings of the optimiser.
        label_smoothing: share of the probability that is spread over the classes of the loss.
        head: "linear" (Baseline) or "cosine" (Baseline++); classification only.
        head_scale: scale of a cosine head.
        groups: group of each output, such as its alphabet. Each group then has its own head on the shared trunk, and
            the loss compares an example only with the classes of its group (multi-task learning, Caruana 1997,
            Machine Learning 28:41). None for one classifier over all classes.
        context: width of the context, the parameters of an example's function, that a `ContextHead` gets; 0 for a head
            without a context. Regression only.
    """

    groups: Tensor | None

    def __init__(
        self,
        encoder: nn.Module,
        outputs: int,
        likelihood: Likelihood,
        optimization: Optimization,
        label_smoothing: float = 0.0,
        *,
        head: HeadKind = "linear",
        head_scale: float = 10.0,
        groups: Sequence[int] | None = None,
        context: int = 0,
    ) -> None:
        super().__init__(encoder, optimization)
        self.features = int(encoder.features)  # type: ignore[arg-type]  # nn.Module types every attribute as a tensor
        self.head: nn.Module = (
            ContextHead(self.features, outputs, width=context)
            if context
            else make_head(head, self.features, outputs, head_scale)
        )
        self.likelihood, self.label_smoothing = likelihood, label_smoothing
        self.cosine = head == "cosine"
        if likelihood.metric == "mse" and (self.cosine or groups is not None):
            raise ValueError("Expected a linear head and no groups of outputs for regression.")
        self.register_buffer("groups", None if groups is None else torch.tensor(groups), persistent=False)

    def with_new_weights(self) -> "TransferModule":
        """Copies the network, with new random weights from torch's global generator; this one does not change."""
        fresh = copy.deepcopy(self)
        for layer in fresh.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.BatchNorm2d | nn.BatchNorm1d):
                layer.reset_parameters()
        return fresh

    def training_step(self, batch: ExampleBatch, batch_idx: int) -> Tensor:
        """Returns the cross-entropy or squared error of the head."""
        features = self.encode_training(batch.inputs)
        if isinstance(self.head, ContextHead) and batch.functions is not None:
            output = self.head.of_functions(features, batch.functions)
        else:
            output = self.head(features)
        output = output.float()  # under autocast the network may return bfloat16
        if batch.targets.is_floating_point():
            loss = F.mse_loss(output, batch.targets)
            self.log_means("train", {"mse": loss.detach()}, len(output))
            return loss
        if self.groups is None:
            loss = F.cross_entropy(output, batch.targets, label_smoothing=self.label_smoothing)
        else:
            others = self.groups != self.groups[batch.targets].unsqueeze(1)
            output = output.masked_fill(others, -torch.inf)
            loss = _cross_entropy_among(output, batch.targets, ~others, self.label_smoothing)
        correct = (output.argmax(dim=-1) == batch.targets).float()
        self.log_means("train", {"nll": loss.detach(), "class_accuracy": correct}, len(output))
        return loss

    @torch.no_grad()
    def validation_step(self, batch: EpisodeBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Scores the validation episodes; the log averages over all numbers of shots."""
        features = encode_all(self.encoder, batch.inputs)
        if self.likelihood.metric == "mse":
            error = F.mse_loss(self.head(features)[batch.query], batch.query_y)
            self.log_means("val", {"mse": error}, len(batch.query))
            return
        if self.cosine:
            features = F.normalize(features, dim=-1)
        means, _ = class_means(features[batch.support], batch.support_y)
        score = self.likelihood.score(-torch.cdist(features[batch.query], means), batch.query_y)
        self.log_means("val", {self.likelihood.metric: score}, len(batch.query))


def _cross_entropy_among(logits: Tensor, targets: Tensor, known: Tensor, smoothing: float) -> Tensor:
    """Returns the cross-entropy with smoothing over only the known classes of each example, a mask [M, C]."""
    log_probability = logits.log_softmax(dim=-1)
    right = log_probability.gather(1, targets.unsqueeze(1)).squeeze(1)
    spread = log_probability.masked_fill(~known, 0.0).sum(dim=-1) / known.sum(dim=-1)
    return -((1 - smoothing) * right + smoothing * spread).mean()
