"""ANIL: learned initial weights of a head, adapted by a few gradient steps on frozen features with learn2learn."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adaptbench.lit_modules.inner_loop import learn2learn_algorithms, require_inner_loop
from adaptbench.lit_modules.likelihoods import with_unit_scale


class ANIL(nn.Module):
    """Learns an encoder and initial weights of a head for gradient descent on the support set's features.

    Raghu et al. 2020 (arXiv 1909.09157), with `learn2learn.algorithms.MAML` (Arnold et al. 2020, arXiv 2008.12284), one
    episode at a time. Only the head adapts, so features are encoded once for all episodes, as for every learner here.
    Batch norms keep running statistics, so prediction is inductive; in the paper it is not.

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
        require_inner_loop(lr, steps=steps, test_steps=test_steps)
        algorithms = learn2learn_algorithms("anil")
        self.regression = outputs != targets
        self.steps, self.test_steps = steps, test_steps
        self.head = nn.Linear(features, targets)
        # In a list, so that the weights are not registered under a second name.
        self._wrapped = [algorithms.MAML(self.head, lr=lr, first_order=first_order)]

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predicts queries with the adapted head.

        Args:
            support_x: [B, S, D] float32.
            support_y: [B, S, Y] float32.
            query_x: [B, Q, D] float32.

        Returns:
            [B, Q, P] float32.
        """
        learning = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.enable_grad():
            if not learning:
                support_x, support_y, query_x = (part.clone() for part in (support_x, support_y, query_x))
            episodes = zip(support_x, support_y, query_x, strict=True)
            outputs = [self._adapt(*episode) for episode in episodes]
        output = torch.stack(outputs if learning else [each.detach() for each in outputs])
        return with_unit_scale(output) if self.regression else output

    def _adapt(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        head = self._wrapped[0].clone()
        for _ in range(self.steps if self.training else self.test_steps):
            output = head(support_x)
            head.adapt(F.mse_loss(output, support_y) if self.regression else F.cross_entropy(output, support_y))
        return head(query_x)
