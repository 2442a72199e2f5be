"""Attention: a transformer over the support set, to which the queries attend."""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adaptbench.datamodules.choices import require_choice
from adaptbench.lit_modules.embedding import EmbeddingLearner

Compare = Literal["cosine", "dot"]
Maps = Literal[1, 2]


class Attention(EmbeddingLearner):
    """Transformer neural process similar to TNP-D, Nguyen & Grover 2022 (arXiv 2207.04179).

    Support pairs attend to each other. Each query attends to the support pairs and never to another query (ANP, Kim et
    al. 2019, arXiv 1901.05761; Vaswani et al. 2017, arXiv 1706.03762). There are no positional encodings, so the order
    of the support set does not matter.

    It differs from TNP-D (see `lit_modules.tnpd`) in three ways. First, queries use cross-attention instead of a mask
    over one long sequence. Second, a support token is the sum of an embedded example and an embedded label. Third, by
    default one map makes attention queries and keys, and they are compared by their cosine times a learned sharpness
    (Henry et al. 2020, arXiv 2010.04245). A query thus attends to similar examples before any training. With
    `compare="dot", maps=2`, attention is that of Vaswani et al. (eq. 1).

    Equation:
        z_i = e(x_i) + u(y_i), q = e(x*); in each layer q <- q + sum_i softmax_i(b cos(k(q), k(z_i))) v(z_i)
        and q <- q + feed(q); prediction = decode(q)

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        outputs: P, width of a prediction.
        compare: questions and keys by their "cosine", or by their "dot" product over the root of their width.
        maps: 1 that makes questions and keys, or 2.
        width: width of a token.
        layers: number of transformer layers.
        heads: number of attention heads in a layer.
    """

    permutation_invariant: ClassVar[bool] = True

    def __init__(
        self,
        features: int,
        targets: int,
        outputs: int,
        *,
        compare: Compare = "cosine",
        maps: Maps = 1,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"Expected argument `width` to be a multiple of {heads} heads but got {width}.")
        self.width = width
        self.embed_x = nn.Sequential(nn.Linear(features, width), nn.LayerNorm(width))
        self.embed_y = nn.Linear(targets, width, bias=False)
        self.layers = nn.ModuleList(AttentionLayer(width, heads, compare, maps) for _ in range(layers))
        self.decode = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs))

    def embed(self, x: Tensor) -> Tensor:
        """Embeds features [..., D] in [..., E]."""
        return self.embed_x(x)

    def infer(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predicts each query from what it attends to in the support set."""
        query, support = query_x, support_x + self.embed_y(support_y)
        for number, layer in enumerate(self.layers, start=1):
            query, support = layer(query, support, last=number == len(self.layers))
        return self.decode(query)

    def carried(self, support: int) -> int:
        """A key and a value of each token in every layer."""
        return 2 * support * self.width * len(self.layers)


class AttentionLayer(nn.Module):
    """A pre-norm transformer layer that shares weights between support self-attention and query cross-attention."""

    def __init__(self, width: int, heads: int, compare: Compare, maps: Maps) -> None:
        super().__init__()
        require_choice("maps", maps, (1, 2))
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.compare, self.value, self.merge = (nn.Linear(width, width) for _ in range(3))
        self.sharpness = initial_sharpness(compare)
        hidden = 2 * width
        self.feed = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.ask = nn.Linear(width, width) if maps == 2 else None

    def forward(self, query: Tensor, support: Tensor, *, last: bool) -> tuple[Tensor, Tensor]:
        """Updates the tokens of queries [B, Q, W] and, except in the last layer, of the support set [B, S, W]."""
        asking = query if last else torch.cat([query, support], dim=1)
        source = self.norm(support)
        questions = self._split((self.compare if self.ask is None else self.ask)(self.norm(asking)))
        questions = sharpen(direct(questions, self.sharpness), self.sharpness)
        keys = direct(self._split(self.compare(source)), self.sharpness)
        attended = attend(questions, keys, self._split(self.value(source)))
        asking = asking + self.merge(attended.transpose(1, 2).flatten(2))
        asking = asking + self.feed(asking)
        return asking[:, : query.shape[1]], support if last else asking[:, query.shape[1] :]

    def _split(self, tokens: Tensor) -> Tensor:
        """Splits [B, T, W] into heads [B, H, T, W / H]."""
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def attend(questions: Tensor, keys: Tensor, values: Tensor, *, causal: bool = False) -> Tensor:
    """Reads values [..., S, V] by the products of questions [..., T, K] with keys [..., S, K]; returns [..., T, V].

    It computes in float32 under autocast too, because the backward pass of torch's kernel for bfloat16 takes several
    times as long on a CPU.
    """
    with torch.autocast(questions.device.type, enabled=False):
        if questions.dtype == torch.bfloat16 or values.dtype == torch.bfloat16:
            questions, keys, values = questions.float(), keys.float(), values.float()
        return F.scaled_dot_product_attention(questions, keys, values, is_causal=causal, scale=1.0)


def initial_sharpness(compare: Compare) -> nn.Parameter | None:
    """Returns the factor of a cosine at the start of training; a dot product has none."""
    require_choice("compare", compare, ("cosine", "dot"))
    return nn.Parameter(torch.tensor(10.0)) if compare == "cosine" else None


def direct(tokens: Tensor, sharpness: Tensor | None) -> Tensor:
    """Gives questions or keys [..., K] the length of one, if their cosine is what counts."""
    return tokens if sharpness is None else F.normalize(tokens, dim=-1)


def sharpen(questions: Tensor, sharpness: Tensor | None) -> Tensor:
    """Scales questions [..., K], so that their products with keys are sharp cosines, or scaled dot products."""
    return questions / questions.shape[-1] ** 0.5 if sharpness is None else questions * sharpness
