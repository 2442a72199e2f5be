"""MAML and ANIL through learn2learn, one episode after the other, to compare ours with; needs an optional extra."""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from adaptbench.lit_modules import maml
from adaptbench.lit_modules.normalization import statistics_of

try:
    algorithms = importlib.import_module("learn2learn.algorithms")
except ImportError as error:
    raise ImportError(
        f"it needs learn2learn 0.2.0, which is not installed ({error}); `tox -e learn2learn` makes an environment that "
        "has it, and docs/transfer.md says how to install it into another"
    ) from error

Learner = Any
"""A clone that learn2learn makes, whose class has no annotations."""


class MAML(maml.MAML):
    """`learn2learn.algorithms.MAML` (Arnold et al. 2020, arXiv 2008.12284) with our arguments and batch norms."""

    def _adapt_each(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        wrapped = algorithms.MAML(self.network, lr=self.lr, first_order=self.first_order, allow_unused=True)
        return _one_by_one(lambda *episode: self._answer(wrapped.clone(), *episode), support_x, support_y, query_x)

    def _answer(self, learner: Learner, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        if self.zero_head:
            weights = learner.module[1]._parameters  # a clone's are no nn.Parameters and cannot be set as attributes
            weights.update({name: 0 * value for name, value in weights.items()})
        for _ in range(self.steps if self.training else self.test_steps):
            learner.adapt(self.loss(learner(support_x), support_y))
        if not self.normed:
            return learner(query_x)
        with statistics_of(learner, None if self.transductive else len(support_x)):
            return learner(torch.cat([support_x, query_x]))[len(support_x) :]


class ANIL(maml.ANIL):
    """ANIL with `learn2learn.algorithms.MAML` on the head (Arnold et al. 2020, arXiv 2008.12284)."""

    def _adapt_each(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        wrapped = algorithms.MAML(self.head, lr=self.lr, first_order=self.first_order)
        return _one_by_one(lambda *episode: self._answer(wrapped.clone(), *episode), support_x, support_y, query_x)

    def _answer(self, head: Learner, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        for _ in range(self.steps if self.training else self.test_steps):
            head.adapt(self.loss(head(support_x), support_y))
        return head(query_x)


def _one_by_one(answer: Callable[..., Tensor], *episodes: Tensor) -> Tensor:
    """Answers one episode after the other; without gradients outside, those of the steps are let go."""
    learning = torch.is_grad_enabled()
    with torch.enable_grad():
        outputs = (answer(*episode) for episode in zip(*episodes, strict=True))
        return torch.stack([output if learning else output.detach() for output in outputs])
