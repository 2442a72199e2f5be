"""SNAIL: temporal convolutions and causal attention over the support set, with the query as the last step."""

import math
from functools import partial
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adaptbench.datamodules.choices import require_choice
from adaptbench.lit_modules.attention import Compare, Maps, attend, direct, initial_sharpness, sharpen
from adaptbench.lit_modules.embedding import EmbeddingLearner


class Block(nn.Module):
    """A causal block, which appends `added` channels to each step; they depend only on that step and earlier ones.

    Each query is the last step of its own sequence, after the support set or, in a stream, after the steps before that
    query. No step depends on a later one, so the support steps are the same in all these sequences and are computed
    once.
    """

    added: int

    def forward(self, support: Tensor, query: Tensor, stream: bool) -> tuple[Tensor, Tensor]:
        """Appends channels to support steps [B, S, C] and to queries [B, Q, C].

        Args:
            support: the steps of the support set.
            query: the queries.
            stream: whether query t follows step t - 1 instead of the last step.
        """
        raise NotImplementedError

    def carried(self, support: int) -> int:
        """Counts the numbers that a query after S support steps gets of them."""
        raise NotImplementedError


class DenseBlock(Block):
    """A gated causal convolution of two taps, `dilation` steps apart.

    Args:
        channels: C, channels of the input.
        filters: channels to append.
        dilation: distance between the taps in steps.
    """

    def __init__(self, channels: int, filters: int, dilation: int) -> None:
        super().__init__()
        self.added, self.dilation = filters, dilation
        self.now, self.before = nn.Linear(channels, 2 * filters), nn.Linear(channels, 2 * filters, bias=False)

    def forward(self, support: Tensor, query: Tensor, stream: bool) -> tuple[Tensor, Tensor]:
        """Appends channels; a tap before the first step reads zeros."""
        steps = support.shape[1]
        early = F.pad(self.before(support), (0, 0, self.dilation, 0))  # entry t belongs to step t - dilation
        before_query = early[:, :steps] if stream else early[:, steps : steps + 1]
        return (
            self._append(support, self.now(support) + early[:, :steps]),
            self._append(query, self.now(query) + before_query),
        )

    def carried(self, support: int) -> int:
        """What one step brings, if the support set reaches back to it."""
        return self.before.out_features if self.dilation <= support else 0

    def _append(self, tokens: Tensor, activation: Tensor) -> Tensor:
        signal, gate = activation.chunk(2, dim=-1)
        return torch.cat([tokens, signal.tanh() * gate.sigmoid()], dim=-1)


class CausalAttention(Block):
    """One head of attention to all earlier steps and to an empty step, for a step that resembles no earlier one.

    One map that makes attention queries and keys, and their cosine times a learned sharpness (Henry et al. 2020, arXiv
    2010.04245), let a step attend to similar steps before any training.

    Args:
        channels: C, channels of the input.
        keys: width of attention queries and keys.
        values: channels to append.
        compare: attention queries and keys by "cosine", or by "dot" product over the root of their width.
        maps: number of maps that make attention queries and keys, 1 or 2.
        itself: whether a step attends to itself instead of to an empty step.
    """

    def __init__(self, channels: int, keys: int, values: int, *, compare: Compare, maps: Maps, itself: bool) -> None:
        super().__init__()
        require_choice("maps", maps, (1, 2))
        self.added, self.itself = values, itself
        self.compare, self.value = nn.Linear(channels, keys), nn.Linear(channels, values)
        self.sharpness = initial_sharpness(compare)
        self.ask = nn.Linear(channels, keys) if maps == 2 else None

    def forward(self, support: Tensor, query: Tensor, stream: bool) -> tuple[Tensor, Tensor]:
        """Appends what attention reads."""
        questions, keys = self._compared(support)
        asked, own = self._compared(query)
        values = self.value(support)
        if self.itself:
            read = self._read(questions, keys, values, causal=True)
            found = self._read_with_itself(
                sharpen(asked, self.sharpness), (keys, own), (values, self.value(query)), stream
            )
        else:
            keys, values = F.pad(keys, (0, 0, 1, 0)), F.pad(values, (0, 0, 1, 0))  # nothing, then steps
            earlier = keys[:, :-1], values[:, :-1]
            read = self._read(questions, *earlier, causal=True)
            found = self._read(asked, *(earlier if stream else (keys, values)), causal=stream)
        return torch.cat([support, read], dim=-1), torch.cat([query, found], dim=-1)

    def carried(self, support: int) -> int:
        """A key and a value of each step."""
        return support * (self.compare.out_features + self.value.out_features)

    def _compared(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the questions and keys of steps, [B, T, K] each."""
        keys = direct(self.compare(tokens), self.sharpness)
        return keys if self.ask is None else direct(self.ask(tokens), self.sharpness), keys

    def _read(self, asked: Tensor, keys: Tensor, values: Tensor, *, causal: bool) -> Tensor:
        return attend(sharpen(asked, self.sharpness), keys, values, causal=causal)

    def _read_with_itself(
        self, asked: Tensor, keys: tuple[Tensor, Tensor], values: tuple[Tensor, Tensor], stream: bool
    ) -> Tensor:
        """Reads the steps before each query [B, Q, K] and the query; keys and values are those of steps and queries."""
        fits = asked @ keys[0].transpose(1, 2)
        if stream:
            fits = fits.masked_fill(torch.ones_like(fits[0], dtype=torch.bool).triu(), -torch.inf)
        weights = torch.cat([fits, (asked * keys[1]).sum(dim=-1, keepdim=True)], dim=-1).softmax(dim=-1)
        return weights[..., :-1] @ values[0] + weights[..., -1:] * values[1]


class CausalLearner(EmbeddingLearner):
    """Reads a support set through causal blocks, with each query as the last step of the sequence.

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        width: width of an embedded example.
    """

    permutation_invariant: ClassVar[bool] = False
    blocks: nn.ModuleList
    decode: nn.Linear

    def __init__(self, features: int, targets: int, width: int) -> None:
        super().__init__()
        self.targets = targets
        self.embed_x = nn.Sequential(nn.Linear(features, width), nn.LayerNorm(width))

    def embed(self, x: Tensor) -> Tensor:
        """Embeds features [..., D] in [..., E]."""
        return self.embed_x(x)

    def infer(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predicts each query as the last step of the support sequence."""
        support = torch.cat([support_x, support_y], dim=-1)
        query = F.pad(query_x, (0, self.targets))
        return self._answer(support, query, stream=False)

    def carried(self, support: int) -> int:
        """What queries get in every block."""
        return sum(cast(Block, block).carried(support) for block in self.blocks)

    def stream(self, x: Tensor, y: Tensor) -> Tensor:
        """Predicts every step of a stream from the earlier steps and their targets.

        Args:
            x: [B, T, D] float32.
            y: [B, T, Y] float32.

        Returns:
            [B, T, P] float32.
        """
        embedded = self.embed(x)
        support = torch.cat([embedded, y], dim=-1)
        return self._answer(support, F.pad(embedded, (0, self.targets)), stream=True)

    def _answer(self, support: Tensor, query: Tensor, *, stream: bool) -> Tensor:
        for block in self.blocks:
            support, query = cast(Block, block)(support, query, stream)
        return self.decode(query)


def dilations(length: int) -> list[int]:
    """Returns the distances of taps, 1, 2, 4 ..., with which a stack of dense blocks spans a number of steps.

    Raises:
        ValueError: if that is fewer than two steps.
    """
    if length < 2:
        raise ValueError(f"Expected argument `length` to be at least 2 but got {length}.")
    return [2**level for level in range(math.ceil(math.log2(length)))]


class SNAIL(CausalLearner):
    """Simple neural attentive learner of Mishra et al. 2018 (arXiv 1707.03141).

    It has attention, then twice a stack of dense blocks with dilations 1, 2, 4 ... and attention. All blocks are
    causal, and the query is the last step of the support sequence.

    It differs from the paper in its size, which suits a CPU; in a layer norm over the embedded example; and by default
    in how steps are compared (see `CausalAttention`): the paper has `compare="dot", maps=2, itself=True`, and learns
    much more slowly. The support set is computed once for all queries, which changes no value.

    Equation:
        h_t <- [h_t; tanh(A h_t + B h_(t-d)) sigmoid(C h_t + D h_(t-d))] and h_t <- [h_t; sum_s softmax_s(b
        cos(k_t, k_s)) v_s] for s before t; prediction = W h*

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        outputs: P, width of a prediction.
        compare: attention queries and keys by "cosine", or by "dot" product over the root of their width.
        maps: number of maps that make attention queries and keys, 1 or 2.
        itself: whether a step attends to itself too, instead of to an empty step.
        width: width of an embedded example.
        filters: channels that each dense block appends.
        values: channels that each attention appends; attention queries and keys are twice as wide.
        length: number of steps that the dilated convolutions span; only attention reaches further.
    """

    def __init__(
        self,
        features: int,
        targets: int,
        outputs: int,
        *,
        compare: Compare = "cosine",
        maps: Maps = 1,
        itself: bool = False,
        width: int = 64,
        filters: int = 32,
        values: int = 32,
        length: int = 26,
    ) -> None:
        super().__init__(features, targets, width)
        attention = partial(CausalAttention, compare=compare, maps=maps, itself=itself)
        channels = width + targets
        blocks: list[Block] = [attention(channels, 2 * values, values)]
        for _ in range(2):
            channels += blocks[-1].added
            for dilation in dilations(length):
                blocks.append(DenseBlock(channels, filters, dilation))
                channels += filters
            blocks.append(attention(channels, 2 * values, values))
        self.blocks = nn.ModuleList(blocks)
        self.decode = nn.Linear(channels + values, outputs)
