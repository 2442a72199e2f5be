"""Deep sets: the support set as the mean of its encoded pairs."""

from typing import Literal

import torch
from torch import Tensor, nn

from adaptbench.datamodules.choices import require_choice
from adaptbench.lit_modules.binding import Binding, BindingKind, Readout, perceptron
from adaptbench.lit_modules.embedding import EmbeddingLearner
from adaptbench.lit_modules.prototypes import ABSENT, class_means, require_classes

ENCODER_DEPTH = 2
"""Hidden layers of the perceptron that encodes concatenated pairs, as Garnelo et al. have them."""


class SetEncoder(nn.Module):
    """Summarises a support set in a context vector, the mean of its encoded pairs.

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        width: W, width of the context vector.
        slots: number of slots of the context (see `lit_modules.binding.Binding`).
        encode: whether a perceptron refines each bound pair before the mean.
    """

    def __init__(self, features: int, targets: int, width: int, slots: int | None, encode: bool) -> None:
        super().__init__()
        self.binding = Binding(features, targets, width, slots)
        self.encode = Readout(width, width, 1) if encode else nn.Identity()

    def forward(self, support_x: Tensor, support_y: Tensor) -> Tensor:
        """Returns the context of embedded features [B, S, E] with targets [B, S, Y], [B, 1, W]."""
        return self.encode(self.binding.pair(support_x, support_y)).mean(dim=1, keepdim=True)


def bottleneck(width: int, context: int) -> nn.Sequential:
    """Maps a context [..., width] to `context` numbers and back; starts as a projection on random directions."""
    if not 1 <= context <= width:
        raise ValueError(f"Expected argument `context` to be from 1 to the width of {width} but got {context}.")
    narrow, widen = nn.Linear(width, context, bias=False), nn.Linear(context, width, bias=False)
    nn.init.orthogonal_(narrow.weight)
    widen.weight.data.copy_(narrow.weight.data.T)
    return nn.Sequential(narrow, widen)


class DeepSets(EmbeddingLearner):
    """Conditional neural process of Garnelo et al. 2018 (arXiv 1807.01613) on the deep sets of Zaheer et al. 2017.

    With one mean over all pairs, it differs by default from the papers (arXiv 1807.01613, 1703.06114) in one way:
    multiplication combines features with labels, and the query with the mean (see `lit_modules.binding`). With
    concatenation, the learner stays at chance for long on Omniglot.

    With one mean per class, as Garnelo et al. use for Omniglot, the query is multiplied with each class's mean, and the
    same decoder scores each class; theirs reads the concatenation of all means. Labels are then not encoded, and any
    number of ways can be predicted.

    With `binding="concat"` it has the form of the paper: a perceptron of [x; y], the mean r (or the means of all
    classes in a row), and a perceptron of [x*; r]. The hidden widths differ from the paper, and the suite's encoder
    makes x and x*.

    Equation:
        r = mean_i e(x_i) ⊗ u(y_i); prediction = decode(e(x*) ⊙ r)

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        outputs: P, width of a prediction.
        binding: "product" of features and target and of query and mean, or "concat".
        aggregate: one "mean" over all pairs, or one "per_class" (classification only).
        width: width of the context vector, which summarises the support set or, per class, the class.
        context: numbers of the context vector that the query gets, through linear maps to them and back; None for all.
            The embedding of an example does not depend on it. Only for "product" with one "mean".
        slots: number of slots of the context (see `lit_modules.binding.Binding`); not per class or "concat".
        depth: number of hidden layers of the decoder.
        encode: whether a perceptron refines each bound pair before the mean; "concat" always has one, of three layers.
    """

    permutation_invariant = True

    def __init__(
        self,
        features: int,
        targets: int,
        outputs: int,
        *,
        binding: BindingKind = "product",
        aggregate: Literal["mean", "per_class"] = "mean",
        width: int = 512,
        context: int | None = None,
        slots: int | None = None,
        depth: int = 1,
        encode: bool = False,
    ) -> None:
        super().__init__()
        require_choice("binding", binding, ("product", "concat"))
        require_choice("aggregate", aggregate, ("mean", "per_class"))
        self.concat, self.per_class = binding == "concat", aggregate == "per_class"
        if context is not None and (self.concat or self.per_class):
            raise ValueError("Expected argument `context` only with one mean of products; elsewhere `width` sets it.")
        self.values = (targets if self.per_class else 1) * (width if context is None else context)
        if self.per_class:
            require_classes(targets, outputs)
        self.encode: nn.Module
        self.decode: nn.Module
        if self.concat:
            inputs, means = (features, targets) if self.per_class else (features + targets, 1)
            self.encode = perceptron(inputs, width, ENCODER_DEPTH)
            self.decode = perceptron(features + means * width, outputs, depth)
            return
        if self.per_class:
            self.embed_x = nn.Sequential(nn.Linear(features, width), nn.LayerNorm(width))
            self.encode = Readout(width, width, 1) if encode else nn.Identity()
        else:
            self.support = SetEncoder(features, targets, width, slots, encode)
            self.narrow = nn.Identity() if context is None else bottleneck(width, context)
            self.norm = nn.LayerNorm(width)
        self.decode = Readout(width, 1 if self.per_class else outputs, depth)

    def embed(self, x: Tensor) -> Tensor:
        """Embeds features [..., D] in [..., E]; concatenated ones stay as they are."""
        if self.concat:
            return x
        return self.embed_x(x) if self.per_class else self.support.binding.embed(x)

    def infer(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predicts from the mean of all pairs, or from the mean of each class, which needs one-hot labels."""
        if self.concat:
            context = self._mean(support_x, support_y).expand(-1, query_x.shape[1], -1)
            return self.decode(torch.cat([query_x, context], dim=-1))
        if not self.per_class:
            context = self.narrow(self.support(support_x, support_y))
            return self.decode(self.norm(self.support.binding.meet(query_x, context)))
        means, absent = class_means(self.encode(support_x), support_y)
        met = query_x.unsqueeze(2) * means.unsqueeze(1)
        return self.decode(met).squeeze(-1).masked_fill(absent, ABSENT)

    def carried(self, support: int) -> int:
        """The context vector, or one for each class."""
        return self.values

    def _mean(self, x: Tensor, y: Tensor) -> Tensor:
        """Returns the mean of the encoded concatenated pairs, or those of all classes in a row, [B, 1, C]."""
        if self.per_class:
            return class_means(self.encode(x), y)[0].flatten(1).unsqueeze(1)
        return self.encode(torch.cat([x, y], dim=-1)).mean(dim=1, keepdim=True)
