"""Deep sets: the support set as the mean of its encoded pairs."""

from typing import Literal

from torch import Tensor, nn

from adaptbench.lit_modules.binding import Binding, Readout
from adaptbench.lit_modules.embedding import EmbeddingLearner
from adaptbench.lit_modules.prototypes import ABSENT, class_means, require_classes


class SetEncoder(nn.Module):
    """Summarises a support set in a context vector, the mean of its encoded pairs.

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        width: W, width of the context vector.
        slots: number of slots of the context (see `lit_modules.binding.Binding`).
        encode: whether a perceptron refines each bound pair before the mean.
    """

    def __init__(self, features: int, targets: int, width: int, slots: int, encode: bool) -> None:
        super().__init__()
        self.binding = Binding(features, targets, width, slots)
        self.encode = Readout(width, width, 1) if encode else nn.Identity()

    def forward(self, support_x: Tensor, support_y: Tensor) -> Tensor:
        """Returns the context of embedded features [B, S, E] with targets [B, S, Y], [B, 1, W]."""
        return self.encode(self.binding.pair(support_x, support_y)).mean(dim=1, keepdim=True)


class DeepSets(EmbeddingLearner):
    """Conditional neural process of Garnelo et al. 2018 (arXiv 1807.01613) on the deep sets of Zaheer et al. 2017.

    With one mean over all pairs, it differs from the papers (arXiv 1807.01613, 1703.06114) in one way: multiplication
    combines features with labels, and the query with the mean (see `lit_modules.binding`). With concatenation, the
    learner stays at chance.

    With one mean per class, as Garnelo et al. use for Omniglot, the query is multiplied with each class's mean, and the
    same decoder scores each class; theirs reads the concatenation of all means. Labels are then not encoded, and any
    number of ways can be predicted.

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        outputs: P, width of a prediction.
        aggregate: one "mean" over all pairs, or one "per_class" (classification only).
        width: width of the context vector, which summarises the support set or, per class, the class.
        slots: number of slots of the context (see `lit_modules.binding.Binding`); not used per class.
        depth: number of hidden layers of the decoder.
        encode: whether a perceptron refines each bound pair before the mean.
    """

    permutation_invariant = True

    def __init__(
        self,
        features: int,
        targets: int,
        outputs: int,
        *,
        aggregate: Literal["mean", "per_class"] = "mean",
        width: int = 512,
        slots: int = 8,
        depth: int = 1,
        encode: bool = False,
    ) -> None:
        super().__init__()
        if aggregate not in ("mean", "per_class"):
            raise ValueError(f"Expected argument `aggregate` to be 'mean' or 'per_class' but got {aggregate!r}.")
        self.per_class = aggregate == "per_class"
        if self.per_class:
            require_classes(targets, outputs)
            self.embed_x = nn.Sequential(nn.Linear(features, width), nn.LayerNorm(width))
            self.encode = Readout(width, width, 1) if encode else nn.Identity()
        else:
            self.support = SetEncoder(features, targets, width, slots, encode)
            self.norm = nn.LayerNorm(width)
        self.decode = Readout(width, 1 if self.per_class else outputs, depth)

    def embed(self, x: Tensor) -> Tensor:
        """Embeds features [..., D] in [..., E]."""
        return self.embed_x(x) if self.per_class else self.support.binding.embed(x)

    def infer(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predicts from the mean of all pairs, or from the mean of each class, which needs one-hot labels."""
        if not self.per_class:
            context = self.support(support_x, support_y)
            return self.decode(self.norm(self.support.binding.meet(query_x, context)))
        means, absent = class_means(self.encode(support_x), support_y)
        met = query_x.unsqueeze(2) * means.unsqueeze(1)
        return self.decode(met).squeeze(-1).masked_fill(absent, ABSENT)
