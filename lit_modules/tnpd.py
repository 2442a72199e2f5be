"""TNP-D: a transformer over one sequence of support pairs and queries without targets."""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from adaptbench.datamodules.choices import require_choice
from adaptbench.lit_modules.binding import perceptron


class TNPD(nn.Module):
    """Diagonal transformer neural process of Nguyen & Grover 2022 (TNP-D, arXiv 2207.04179).

    A perceptron makes a token of [x; y; 0] for a support pair and of [x; 0; 1] for a query; the flag at the end tells
    a target of zero from none. Layers of Vaswani et al. 2017 (arXiv 1706.03762) follow, normalised after each sum. The
    mask lets every token attend to all support tokens and to no query, so that keys and values are made of support
    tokens only: the same arithmetic without the masked products. Departs from the paper's code in the flag and in its
    size, which suits a processor. With `norm="before"` attention and perceptron get normalised tokens (Xiong et al.
    2020, arXiv 2002.04745); it leaves the loss of a guess much sooner.

    Equation:
        z_i = f([x_i; y_i; 0]), q = f([x*; 0; 1]); in each layer q <- norm(q + attend(q, z)) and q <- norm(q +
        feed(q)); prediction = decode(q)

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        outputs: P, width of a prediction.
        norm: where a layer normalises, "after" each sum or "before" attention and perceptron.
        width: width of a token.
        depth: hidden layers of the perceptron that makes tokens.
        layers: transformer layers.
        heads: attention heads in a layer.
    """

    permutation_invariant: ClassVar[bool] = True

    def __init__(
        self,
        features: int,
        targets: int,
        outputs: int,
        *,
        norm: Literal["after", "before"] = "after",
        width: int = 128,
        depth: int = 1,
        layers: int = 2,
        heads: int = 4,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"Expected argument `width` to be a multiple of {heads} heads but got {width}.")
        require_choice("norm", norm, ("after", "before"))
        self.width = width
        self.token = perceptron(features + targets + 1, width, depth, hidden=width)
        self.layers = nn.ModuleList(Layer(width, heads, before=norm == "before") for _ in range(layers))
        self.decode = perceptron(width, outputs, 1, hidden=2 * width)

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predicts each query from its token after the last layer.

        Args:
            support_x: [B, S, D] float32.
            support_y: [B, S, Y] float32.
            query_x: [B, Q, D] float32.

        Returns:
            [B, Q, P] float32.
        """
        known = torch.cat([support_x, support_y, support_x.new_zeros(*support_x.shape[:2], 1)], dim=-1)
        none = query_x.new_zeros(*query_x.shape[:2], support_y.shape[-1])
        asked = torch.cat([query_x, none, torch.ones_like(none[..., :1])], dim=-1)
        tokens, support = self.token(torch.cat([known, asked], dim=1)), support_x.shape[1]
        for layer in self.layers:
            tokens = layer(tokens, support)
        return self.decode(tokens[:, support:])

    def carried(self, support: int) -> int:
        """A key and a value of each token in every layer."""
        return 2 * support * self.width * len(self.layers)


class Layer(nn.Module):
    """A transformer layer, in which all tokens attend to the first ones.

    Args:
        width: W, width of a token.
        heads: attention heads.
        before: whether it normalises before attention and perceptron instead of after each sum.
    """

    def __init__(self, width: int, heads: int, *, before: bool) -> None:
        super().__init__()
        self.before = before
        self.attend = nn.MultiheadAttention(width, heads, batch_first=True)
        self.feed = perceptron(width, width, 1, hidden=2 * width)
        self.attended, self.fed = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, tokens: Tensor, support: int) -> Tensor:
        """Updates tokens [B, T, W], the first `support` of which are attended to."""
        if self.before:
            tokens = tokens + self._attend(self.attended(tokens), support)
            return tokens + self.feed(self.fed(tokens))
        tokens = self.attended(tokens + self._attend(tokens, support))
        return self.fed(tokens + self.feed(tokens))

    def _attend(self, tokens: Tensor, support: int) -> Tensor:
        source = tokens[:, :support]
        return self.attend(tokens, source, source, need_weights=False)[0]
