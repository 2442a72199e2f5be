"""Attention: a transformer over the support set, to which the queries attend."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adaptbench.lit_modules.embedding import EmbeddingLearner


class Attention(EmbeddingLearner):
    """Transformer neural process similar to TNP-D, Nguyen & Grover 2022 (arXiv 2207.04179).

    Support pairs attend to each other. Each query attends to the support pairs and never to another query (ANP, Kim et
    al. 2019, arXiv 1901.05761; Vaswani et al. 2017, arXiv 1706.03762). There are no positional encodings, so the order
    of the support set does not matter.

    It differs from TNP-D in two ways. First, queries use cross-attention instead of a mask over one long sequence. This
    is the same arithmetic without the masked products, except that a query does not attend to itself. Second, one map
    makes attention queries and keys, and they are compared by their cosine times a learned sharpness (Henry et al.
    2020, arXiv 2010.04245). A query thus attends to similar examples before any training.

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        outputs: P, width of a prediction.
        width: width of a token.
        layers: number of transformer layers.
        heads: number of attention heads in a layer.
    """

    permutation_invariant: ClassVar[bool] = True

    def __init__(
        self, features: int, targets: int, outputs: int, *, width: int = 128, layers: int = 2, heads: int = 4
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"Expected argument `width` to be a multiple of {heads} heads but got {width}.")
        self.embed_x = nn.Sequential(nn.Linear(features, width), nn.LayerNorm(width))
        self.embed_y = nn.Linear(targets, width, bias=False)
        self.layers = nn.ModuleList(AttentionLayer(width, heads) for _ in range(layers))
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


class AttentionLayer(nn.Module):
    """A pre-norm transformer layer that shares weights between support self-attention and query cross-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.compare, self.value, self.merge = (nn.Linear(width, width) for _ in range(3))
        self.sharpness = nn.Parameter(torch.tensor(10.0))
        hidden = 2 * width
        self.feed = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))

    def forward(self, query: Tensor, support: Tensor, *, last: bool) -> tuple[Tensor, Tensor]:
        """Updates the tokens of queries [B, Q, W] and, except in the last layer, of the support set [B, S, W]."""
        asking = query if last else torch.cat([query, support], dim=1)
        source = self.norm(support)
        questions = F.normalize(self._split(self.compare(self.norm(asking))), dim=-1) * self.sharpness
        keys = F.normalize(self._split(self.compare(source)), dim=-1)
        attended = F.scaled_dot_product_attention(questions, keys, self._split(self.value(source)), scale=1.0)
        asking = asking + self.merge(attended.transpose(1, 2).flatten(2))
        asking = asking + self.feed(asking)
        return asking[:, : query.shape[1]], support if last else asking[:, query.shape[1] :]

    def _split(self, tokens: Tensor) -> Tensor:
        """Splits [B, T, W] into heads [B, H, T, W / H]."""
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)
