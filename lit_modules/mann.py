"""MANN: a recurrent controller with an external memory."""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_modules.binding import Binding, Readout


class Memory(NamedTuple):
    """State of the memory after some pairs, for each of B episodes with N slots.

    Attributes:
        keys: [B, N, K], what slots are addressed by.
        values: [B, N, W], what they hold.
        usage: [B, N], how much each was used, fading.
    """

    keys: Tensor
    values: Tensor
    usage: Tensor


class MANN(nn.Module):
    """Memory-augmented network of Santoro et al. 2016 (ICML; one-shot version arXiv 1605.06065).

    A controller reads the support pairs one after the other. Slots are addressed by content (cosine), and each pair is
    written between the slot it resembles and the one used least, which is wiped first; usage fades. Queries read from
    the memory and never write. Departs from the paper in that label and image come in the same step, bound by
    multiplication (see `lit_modules.binding`), so that a pair is written where its own key reads instead of where the
    last one did; and in that a slot's key is the embedded example and its value comes from the controller.

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        outputs: P, width of a prediction.
        width: width of the controller's state and of a slot's value.
        slots: memory slots.
        controller: "lstm", or "feed_forward" for one without a state of its own.
        fading: share of the usage that is left after a step.
    """

    permutation_invariant: ClassVar[bool] = False

    def __init__(
        self,
        features: int,
        targets: int,
        outputs: int,
        *,
        width: int = 128,
        slots: int = 64,
        controller: str = "lstm",
        fading: float = 0.95,
    ) -> None:
        super().__init__()
        if controller not in ("lstm", "feed_forward"):
            raise ValueError(f"Expected argument `controller` to be 'lstm' or 'feed_forward' but got {controller!r}.")
        self.slots, self.fading = slots, fading
        self.binding = Binding(features, targets, width)
        self.norm = nn.LayerNorm(width)
        recurrent = controller == "lstm"
        self.control: nn.Module = nn.LSTM(width, width, batch_first=True) if recurrent else FeedForward(width)
        self.value = nn.Linear(2 * width, width)
        self.sharpness = nn.Parameter(torch.tensor(10.0))
        self.overwrite = nn.Parameter(torch.tensor(0.0))
        self.context, self.met = nn.Linear(width, width), nn.LayerNorm(width)
        self.decode = Readout(2 * width, outputs, 1)

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predicts from what each query reads in the final memory, and from the controller's final state.

        Args:
            support_x: [B, S, D] float32.
            support_y: [B, S, Y] float32.
            query_x: [B, Q, D] float32.

        Returns:
            [B, Q, P] float32.
        """
        pairs = self.norm(self.binding.pair(support_x, support_y))
        states, _ = self.control(pairs)
        values = self.value(torch.cat([states, pairs], dim=-1))
        keys = F.normalize(self.binding.embed(support_x), dim=-1)
        memory = self._empty(keys, values)
        for key, value in zip(keys.unbind(1), values.unbind(1), strict=True):
            memory = self._write(memory, key, value)
        return self._answer(memory, states[:, -1:], query_x)

    def _empty(self, keys: Tensor, values: Tensor) -> Memory:
        keys, values = (pairs.new_zeros(len(pairs), self.slots, pairs.shape[-1]) for pairs in (keys, values))
        return Memory(keys, values, usage=keys[..., 0])

    def _write(self, memory: Memory, key: Tensor, value: Tensor) -> Memory:
        """Writes a key [B, K] and a value [B, W]: partly where the key points, partly into the least used slot."""
        read = self._address(memory, key.unsqueeze(1)).squeeze(1)
        least = F.one_hot(memory.usage.argmin(dim=-1), self.slots).to(key.dtype)
        share = self.overwrite.sigmoid()
        write = share * read + (1 - share) * least
        kept = (1 - least).unsqueeze(-1)
        return Memory(
            kept * memory.keys + write.unsqueeze(-1) * key.unsqueeze(1),
            kept * memory.values + write.unsqueeze(-1) * value.unsqueeze(1),
            self.fading * memory.usage + read + write,
        )

    def _address(self, memory: Memory, keys: Tensor) -> Tensor:
        """Returns how much each key [B, T, K] attends to each slot, [B, T, N]."""
        cosine = keys @ F.normalize(memory.keys, dim=-1).transpose(1, 2)
        return (self.sharpness * cosine).softmax(dim=-1)

    def _answer(self, memory: Memory, state: Tensor, query_x: Tensor) -> Tensor:
        keys = F.normalize(self.binding.embed(query_x), dim=-1)
        read = self._address(memory, keys) @ memory.values
        met = self.met(self.binding.meet(query_x, self.context(state)))
        return self.decode(torch.cat([read, met], dim=-1))


class FeedForward(nn.Module):
    """A controller that sees one pair at a time, with the interface of `nn.LSTM`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)

    def forward(self, pairs: Tensor) -> tuple[Tensor, None]:
        """Returns the states [B, S, W]."""
        return F.relu(self.layer(pairs)), None
