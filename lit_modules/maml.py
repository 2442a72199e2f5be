"""MAML, ANIL and Reptile: learned initial weights, adapted by a few gradient steps on a support set."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from adaptbench.datamodules.episodes import EpisodeBatch
from adaptbench.lit_modules.likelihoods import Categorical, Gaussian, Likelihood, with_unit_scale
from adaptbench.lit_modules.normalization import EpisodeNorm2d, statistics_of, with_episode_norms
from adaptbench.lit_modules.optimization import Optimization
from adaptbench.lit_modules.training import TrainedModule, evaluating

Weights = dict[str, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
EPISODES_AT_ONCE = 20
HEAD = "1."
"""Prefix of the names of the head's weights."""


class MAML(TrainedModule):
    """Learns initial weights of encoder and head for gradient descent on the support set.

    Finn et al. 2017 (arXiv 1703.03400, algorithm 2). The episodes of a batch adapt side by side. In the paper, batch
    norms take their statistics over all queries, in training and test. Here they take them from the support set, so
    prediction is inductive unless `transductive` is set. Regression minimises squared error and predicts a scale of
    one.

    Encoded examples are counted each time they pass through the encoder: the support set once per step, and once more
    with the queries if norms need it.

    Equation:
        phi_(j+1) = phi_j - lr grad L(support; phi_j); training minimises L(queries; phi_steps) over phi_0

    Args:
        encoder: from examples [M, *x] to features [M, D]; its attribute `features` is D.
        targets: Y, width of an episode's targets.
        likelihood: how predictions are read.
        optimization: settings of the outer optimiser.
        steps: gradient steps on the support set in training.
        test_steps: gradient steps in validation and test; None for as many as in training.
        lr: learning rate of these steps.
        first_order: whether to leave out second derivatives.
        zero_head: whether the head starts from zero in every episode instead of from learned weights (Kao et al. 2022,
            arXiv 2106.15367), so that predictions do not depend on the numbering of the classes. The first step
            then changes only the head, so at least two steps are needed.
        transductive: whether norms take their statistics from support set and queries together.
    """

    permutation_invariant: ClassVar[bool] = True

    def __init__(
        self,
        encoder: nn.Module,
        targets: int,
        likelihood: Likelihood,
        optimization: Optimization,
        *,
        steps: int = 1,
        test_steps: int | None = None,
        lr: float = 0.1,
        first_order: bool = True,
        zero_head: bool = False,
        transductive: bool = False,
    ) -> None:
        test_steps = steps if test_steps is None else test_steps
        _require_steps(lr, steps=steps, test_steps=test_steps)
        if zero_head and min(steps, test_steps) < 2:
            raise ValueError("Expected two steps or more with `zero_head`, because the first one moves the head alone.")
        super().__init__(with_episode_norms(encoder), optimization)
        self.normed = any(isinstance(part, nn.BatchNorm2d) for part in encoder.modules())
        if transductive and not self.normed:
            raise ValueError("Expected argument `transductive` to be false for an encoder without batch norms.")
        self.head = nn.Linear(int(encoder.features), targets)  # type: ignore[arg-type]  # nn.Module types it as a tensor
        self.likelihood, self.transductive = likelihood, transductive
        self.steps, self.test_steps, self.lr, self.first_order = steps, test_steps, lr, first_order
        self.regression, self.zero_head = isinstance(likelihood, Gaussian), zero_head
        self.loss: Loss = F.mse_loss if self.regression else _cross_entropy

    @property
    def network(self) -> nn.Sequential:
        """Encoder and head."""
        return nn.Sequential(self.encoder, self.head)

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Adapts to each episode and predicts its queries, with gradients for the initial weights.

        Args:
            support_x: [B, S, *x], examples.
            support_y: [B, S, Y] float32.
            query_x: [B, Q, *x], examples.

        Returns:
            [B, Q, P] float32.
        """
        output = self._adapt_each(support_x, support_y, query_x)
        return with_unit_scale(output) if self.regression else output

    def training_step(self, batch: EpisodeBatch, batch_idx: int) -> Tensor:
        """Returns the mean loss of the query targets after adaptation."""
        episodes, support, queries = len(batch.query), batch.support.shape[1], batch.query.shape[1]
        self.count_encoded(episodes * (support * (self.steps + self.normed) + queries))
        prediction = self(batch.inputs[batch.support], batch.support_y, batch.inputs[batch.query])
        loss = self.loss(self.likelihood.point(prediction) if self.regression else prediction, batch.query_y)
        score = self.likelihood.score(prediction.detach(), batch.query_y)
        self.log_means("train", {"nll": loss.detach(), self.likelihood.metric: score}, episodes)
        return loss

    def validation_step(self, batch: EpisodeBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Scores the validation episodes; the log averages over all numbers of shots."""
        score = self.likelihood.score(self.predict(batch), batch.query_y)
        self.log_means("val", {self.likelihood.metric: score}, len(batch.query))

    def predict(self, batch: EpisodeBatch) -> Tensor:
        """Adapts to each support set and predicts its queries, [B, Q, P]; the weights do not change."""
        with evaluating(self), torch.inference_mode(False), torch.no_grad():
            batch = EpisodeBatch(*(field.clone() for field in batch))
            parts = batch.chunks(EPISODES_AT_ONCE)
            return torch.cat([self(batch.inputs[support], y, batch.inputs[query]) for support, y, query in parts])

    def carried(self, batch: EpisodeBatch) -> int:
        """Counts all weights, and mean and variance that norms take from the support set."""
        norms = [part for part in self.encoder.modules() if isinstance(part, EpisodeNorm2d)]
        return sum(weight.numel() for weight in self.network.parameters()) + sum(2 * n.weight.numel() for n in norms)

    def _adapt_each(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Adapts to each episode and predicts its queries, [B, Q, Y]."""
        return vmap(self._adapt)(support_x, support_y, query_x)

    def _adapt(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        steps = self.steps if self.training else self.test_steps
        weights = self._descend(self._start(), support_x, support_y, steps)
        if not self.normed:
            return functional_call(self.network, weights, (query_x,))
        with statistics_of(self.encoder, None if self.transductive else len(support_x)):
            return functional_call(self.network, weights, (torch.cat([support_x, query_x]),))[len(support_x) :]

    def _start(self) -> Weights:
        """Returns the weights before the first step."""
        start = dict(self.network.named_parameters())
        return {name: 0 * each if self.zero_head and name.startswith(HEAD) else each for name, each in start.items()}

    def _descend(self, weights: Weights, x: Tensor, y: Tensor, steps: int) -> Weights:
        return descend(self.network, self.loss, weights, x, y, steps=steps, lr=self.lr, first_order=self.first_order)


class Reptile(MAML):
    """Learns initial weights near those that each training episode's descent leads to.

    Nichol et al. 2018 (arXiv 1803.02999), the batched version. There is no query set in training: the descent sees all
    examples of the episode, and `(start - end) / lr`, averaged over the episodes, is the gradient for the outer
    optimiser. In the paper, the inner optimiser is Adam on minibatches; here it is plain descent on all examples, as in
    `MAML`, with the same batch norms.

    Equation:
        phi_(j+1) = phi_j - lr grad L(episode; phi_j); the gradient of phi_0 is (phi_0 - phi_steps) / lr

    Args:
        encoder, targets, likelihood, optimization, test_steps, lr, transductive: as for `MAML`.
        steps: gradient steps in training; with a single one, this is training without episodes.
    """

    def __init__(
        self,
        encoder: nn.Module,
        targets: int,
        likelihood: Likelihood,
        optimization: Optimization,
        *,
        steps: int = 5,
        test_steps: int | None = None,
        lr: float = 0.1,
        transductive: bool = False,
    ) -> None:
        super().__init__(
            encoder, targets, likelihood, optimization, steps=steps, test_steps=test_steps, lr=lr,
            transductive=transductive,
        )  # fmt: skip

    def training_step(self, batch: EpisodeBatch, batch_idx: int) -> Tensor:
        """Returns a sum whose gradient is that of the paper; it logs the loss of the examples after the descent."""
        x = batch.inputs[torch.cat([batch.support, batch.query], dim=1)]
        y = torch.cat([batch.support_y, batch.query_y], dim=1)
        self.count_encoded(x.shape[0] * x.shape[1] * (self.steps + 1))
        start = self._start()
        with torch.no_grad():
            ends = vmap(lambda one, its: self._descend(start, one, its, self.steps))(x, y)
            output = vmap(lambda weights, one: functional_call(self.network, weights, (one,)))(ends, x)
            directions = {name: (start[name] - ends[name].mean(dim=0)) / self.lr for name in start}
        prediction = with_unit_scale(output) if self.regression else output
        score = self.likelihood.score(prediction, y)
        self.log_means("train", {"nll": self.loss(output, y), self.likelihood.metric: score}, len(y))
        return torch.stack([(start[name] * directions[name]).sum() for name in start]).sum()


class ANIL(nn.Module):
    """Learns an encoder and initial weights of a head for gradient descent on the support set's features.

    Raghu et al. 2020 (arXiv 1909.09157). Only the head adapts, so features are encoded once for all episodes, as for
    every learner here. Batch norms keep running statistics, so prediction is inductive; in the paper it is not.

    Equation:
        head_(j+1) = head_j - lr grad L(support; head_j); training minimises L(queries; head_steps) over
        encoder and head_0

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        outputs: P, width of a prediction: Y for classes, 2Y for regression, whose predicted scale is one.
        steps: gradient steps on the support set in training.
        test_steps: gradient steps in validation and test; None for as many as in training.
        lr: learning rate of these steps.
        first_order: whether to leave out second derivatives.
    """

    permutation_invariant: ClassVar[bool] = True

    def __init__(
        self,
        features: int,
        targets: int,
        outputs: int,
        *,
        steps: int = 5,
        test_steps: int | None = None,
        lr: float = 0.1,
        first_order: bool = False,
    ) -> None:
        super().__init__()
        test_steps = steps if test_steps is None else test_steps
        _require_steps(lr, steps=steps, test_steps=test_steps)
        self.regression = outputs != targets
        self.loss: Loss = F.mse_loss if self.regression else _cross_entropy
        self.steps, self.test_steps, self.lr, self.first_order = steps, test_steps, lr, first_order
        self.head = nn.Linear(features, targets)

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predicts queries with the adapted head.

        Args:
            support_x: [B, S, D] float32.
            support_y: [B, S, Y] float32.
            query_x: [B, Q, D] float32.

        Returns:
            [B, Q, P] float32.
        """
        if torch.is_inference_mode_enabled():  # whose tensors no step could be taken with
            with torch.inference_mode(False), torch.no_grad():
                return self(support_x.clone(), support_y.clone(), query_x.clone())
        output = self._adapt_each(support_x, support_y, query_x)
        return with_unit_scale(output) if self.regression else output

    def carried(self, support: int) -> int:
        """The head's weights."""
        return sum(weight.numel() for weight in self.head.parameters())

    def _adapt_each(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Adapts to each episode and predicts its queries, [B, Q, Y]."""
        return vmap(self._adapt)(support_x, support_y, query_x)

    def _adapt(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        steps = self.steps if self.training else self.test_steps
        start: Weights = dict(self.head.named_parameters())
        weights = descend(
            self.head, self.loss, start, support_x, support_y, steps=steps, lr=self.lr, first_order=self.first_order
        )
        return functional_call(self.head, weights, (query_x,))


def descend(
    network: nn.Module, loss: Loss, weights: Weights, x: Tensor, y: Tensor, *, steps: int, lr: float, first_order: bool
) -> Weights:
    """Takes gradient steps on one episode's examples.

    Args:
        network: what computes the output.
        loss: of output and targets.
        weights: the network's weights before the first step, by name.
        x: [S, *x], examples.
        y: [S, Y], targets.
        steps: number of steps.
        lr: learning rate.
        first_order: whether to leave out the derivatives of the steps.
    """
    slope = grad(lambda weights: loss(functional_call(network, weights, (x,)), y))
    for _ in range(steps):
        with torch.no_grad() if first_order else nullcontext():
            gradients = slope(weights)
        weights = {name: weight - lr * gradients[name] for name, weight in weights.items()}
    return weights


def _cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    return Categorical().nll(output, target).mean()


def _require_steps(lr: float, **steps: int) -> None:
    """Raises ValueError for a learning rate that is not positive, or a number of steps that is negative."""
    for name, value in steps.items():
        if value < 0:
            raise ValueError(f"Expected argument `{name}` to be zero or more but got {value}.")
    if not lr > 0:
        raise ValueError(f"Expected argument `lr` to be positive but got {lr}.")
