"""Prototypes: classification by the nearest class mean in feature space."""

from typing import ClassVar

from torch import Tensor, nn

ABSENT = -1e9
"""Logit of a class without a support example."""


def class_means(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Averages x [B, S, D] over the examples of each class of y [B, S, Y].

    Returns:
        Means [B, Y, D], zero for a class without an example, and a mask of these classes, [B, 1, Y] bool.
    """
    counts = y.sum(dim=1)
    return y.transpose(1, 2) @ x / counts.clamp(min=1).unsqueeze(-1), (counts == 0).unsqueeze(1)


def require_classes(targets: int, outputs: int) -> None:
    """Raises ValueError for regression, whose predictions are wider than its targets."""
    if targets != outputs:
        raise ValueError("Class means need classes, but this task is one of regression.")


class Prototypes(nn.Module):
    """Prototypical network of Snell et al. 2017 (arXiv 1703.05175): logits are negative squared distances.

    It has no weights. Labels must be one-hot. A class without a support example is never predicted.

    Equation:
        c_k = mean of all x_i with label k; prediction_k = -|x* - c_k|^2

    Args:
        features: D, width of an example's features.
        targets: Y, classes in an episode.
        outputs: P, width of a prediction; must be Y.
    """

    permutation_invariant: ClassVar[bool] = True

    def __init__(self, features: int, targets: int, outputs: int) -> None:
        super().__init__()
        require_classes(targets, outputs)
        self.values = targets * features

    def carried(self, support: int) -> int:
        """The mean of each class."""
        return self.values

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predicts from the distance to each class mean.

        Args:
            support_x: [B, S, D] float32.
            support_y: [B, S, Y] one-hot float32.
            query_x: [B, Q, D] float32.

        Returns:
            [B, Q, Y] float32.
        """
        means, absent = class_means(support_x, support_y)
        squares = query_x.square().sum(-1, keepdim=True) + means.square().sum(-1).unsqueeze(1)
        return (2 * query_x @ means.transpose(1, 2) - squares).masked_fill(absent, ABSENT)
