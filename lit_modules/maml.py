"""MAML: learned initial weights, adapted by a few gradient steps on a support set with learn2learn."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adaptbench.datamodules.episodes import EpisodeBatch
from adaptbench.lit_modules.inner_loop import learn2learn_algorithms, require_inner_loop
from adaptbench.lit_modules.likelihoods import Gaussian, Likelihood, with_unit_scale
from adaptbench.lit_modules.normalization import statistics_of, with_episode_norms
from adaptbench.lit_modules.optimization import Optimization
from adaptbench.lit_modules.training import TrainedModule, evaluating


class MAML(TrainedModule):
    """Learns initial weights of encoder and head for gradient descent on the support set.

    Finn et al. 2017 (arXiv 1703.03400), with `learn2learn.algorithms.MAML` (Arnold et al. 2020, arXiv 2008.12284), one
    episode at a time. In the paper, batch norms take their statistics over all queries, in training and test. Here they
    take them from the support set, so prediction is inductive unless `transductive` is set. Regression minimises
    squared error and predicts a scale of one.

    Encoded examples are counted each time they pass through the encoder: the support set once per step, and once more
    with the queries if norms need it.

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
        require_inner_loop(lr, steps=steps, test_steps=test_steps)
        if zero_head and min(steps, test_steps) < 2:
            raise ValueError("Expected two steps or more with `zero_head`, because the first one moves the head alone.")
        algorithms = learn2learn_algorithms("maml")
        super().__init__(with_episode_norms(encoder), optimization)
        self.normed = any(isinstance(part, nn.BatchNorm2d) for part in encoder.modules())
        if transductive and not self.normed:
            raise ValueError("Expected argument `transductive` to be false for an encoder without batch norms.")
        self.head = nn.Linear(int(encoder.features), targets)  # type: ignore[arg-type]  # nn.Module types it as a tensor
        self.likelihood, self.transductive = likelihood, transductive
        self.steps, self.test_steps = steps, test_steps
        self.regression = isinstance(likelihood, Gaussian)
        self.zero_head = zero_head
        # In a list, so that the weights are not registered under a second name.
        network = nn.Sequential(self.encoder, self.head)
        self._wrapped = [algorithms.MAML(network, lr=lr, first_order=first_order, allow_unused=True)]

    def training_step(self, batch: EpisodeBatch, batch_idx: int) -> Tensor:
        """Returns the mean loss of the query targets after adaptation."""
        episodes, support, queries = len(batch.query), batch.support.shape[1], batch.query.shape[1]
        self.count_encoded(episodes * (support * (self.steps + self.normed) + queries))
        output = self._adapt_each(batch, self.steps)
        loss = self._loss(output, batch.query_y)
        score = self.likelihood.score(self._predicted(output.detach()), batch.query_y)
        self.log_means("train", {"nll": loss.detach(), self.likelihood.metric: score}, episodes)
        return loss

    def validation_step(self, batch: EpisodeBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Scores the validation episodes; the log averages over all numbers of shots."""
        score = self.likelihood.score(self.predict(batch), batch.query_y)
        self.log_means("val", {self.likelihood.metric: score}, len(batch.query))

    def predict(self, batch: EpisodeBatch) -> Tensor:
        """Adapts to each support set and predicts its queries, [B, Q, P]; the weights do not change."""
        with evaluating(self), torch.inference_mode(False), torch.enable_grad():
            batch = EpisodeBatch(*(field.clone() for field in batch))
            return self._predicted(self._adapt_each(batch, self.test_steps, keep=False))

    def _adapt_each(self, batch: EpisodeBatch, steps: int, keep: bool = True) -> Tensor:
        outputs = []
        for support, support_y, query in zip(batch.support, batch.support_y, batch.query, strict=True):
            output = self._adapt(batch.inputs[support], support_y, batch.inputs[query], steps)
            outputs.append(output if keep else output.detach())
        return torch.stack(outputs)

    def _adapt(self, support_x: Tensor, support_y: Tensor, query_x: Tensor, steps: int) -> Tensor:
        """Adapts to one episode and predicts its queries, [Q, Y]."""
        learner = self._wrapped[0].clone()
        if self.zero_head:
            weights = learner.module[1]._parameters  # a clone's are no nn.Parameters and cannot be set as attributes
            weights.update({name: 0 * value for name, value in weights.items()})
        for _ in range(steps):
            learner.adapt(self._loss(learner(support_x), support_y))
        if not self.normed:
            return learner(query_x)
        with statistics_of(learner, None if self.transductive else len(support_x)):
            return learner(torch.cat([support_x, query_x]))[len(support_x) :]

    def _loss(self, output: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(output, target) if self.regression else self.likelihood.nll(output, target).mean()

    def _predicted(self, output: Tensor) -> Tensor:
        return with_unit_scale(output) if self.regression else output
