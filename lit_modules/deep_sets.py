"""Deep sets: the support set as a mean of encoded pairs."""

from typing import ClassVar

from torch import Tensor, nn

from lit_modules.binding import Binding, Readout


class DeepSets(nn.Module):
    """Conditional neural process of Garnelo et al. 2018 (arXiv 1807.01613) on the deep sets of Zaheer et al. 2017.

    One mean is taken over all pairs of all classes, whatever their number and order. Departs from the papers (arXiv
    1807.01613, 1703.06114) in that features and labels are bound by multiplication, and the query meets the mean the
    same way (see `lit_modules.binding`): with concatenation the learner stays at the loss of a guess.

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        outputs: P, width of a prediction.
        width: width of the context vector that is carried over from the support set.
        depth: hidden layers of the decoder.
        encode: whether a perceptron refines each bound pair before the mean.
    """

    permutation_invariant: ClassVar[bool] = True

    def __init__(
        self, features: int, targets: int, outputs: int, *, width: int = 256, depth: int = 1, encode: bool = True
    ) -> None:
        super().__init__()
        self.binding = Binding(features, targets, width)
        self.encode = Readout(width, width, 1) if encode else nn.Identity()
        self.decode = Readout(width, outputs, depth)

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predicts from the mean of the bound pairs.

        Args:
            support_x: [B, S, D] float32.
            support_y: [B, S, Y] float32.
            query_x: [B, Q, D] float32.

        Returns:
            [B, Q, P] float32.
        """
        context = self.encode(self.binding.pair(support_x, support_y)).mean(dim=1, keepdim=True)
        return self.decode(self.binding.meet(query_x, context))
