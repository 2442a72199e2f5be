"""MANN: a recurrent controller with an external memory."""

from collections import deque
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adaptbench.datamodules.choices import require_choice
from adaptbench.lit_modules.binding import Binding, Readout
from adaptbench.lit_modules.embedding import EmbeddingLearner


class Memory(NamedTuple):
    """State of the memory, with N rows for each of B episodes.

    Attributes:
        keys: [B, N, K], addresses of the rows.
        values: [B, N, W], contents of the rows.
        usage: [B, N], decaying sum of reads and writes of each row.
    """

    keys: Tensor
    values: Tensor
    usage: Tensor


class MANN(EmbeddingLearner):
    """Memory-augmented network of Santoro et al. 2016 (ICML; one-shot version arXiv 1605.06065).

    A controller reads the support pairs in order. Rows are addressed by content (cosine). Each pair is written partly
    into the rows that it resembles and partly into the least used row, which is erased first. Usage decays over time.
    Queries read from the memory and never write.

    It differs from the paper (see `lit_modules.mann_lrua`) in two ways. Label and image come in the same step, combined
    by multiplication (see `lit_modules.binding`), so a pair is written where its own key reads instead of where the
    previous one did. And a row's key is the embedded example, while its value comes from the controller.

    Equation:
        w_t = g softmax(b cos(e(x_t), K)) + (1 - g) least; [K, V] <- (1 - least) [K, V] + w_t [e(x_t), v_t];
        prediction = decode([softmax(b cos(e(x*), K)) V; e(x*) ⊙ C s_S])

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        outputs: P, width of a prediction.
        width: width of the controller's state and of a memory row's value.
        pair_width: width of a bound pair.
        slots: number of slots of a bound pair (see `lit_modules.binding.Binding`).
        rows: number of rows of the memory.
        controller: "lstm", or "feed_forward" for a controller without a state.
        fading: factor by which usage decays in each step.
    """

    permutation_invariant: ClassVar[bool] = False

    def __init__(
        self,
        features: int,
        targets: int,
        outputs: int,
        *,
        width: int = 256,
        pair_width: int = 512,
        slots: int | None = None,
        rows: int = 64,
        controller: str = "lstm",
        fading: float = 0.95,
    ) -> None:
        super().__init__()
        require_choice("controller", controller, ("lstm", "feed_forward"))
        self.rows, self.fading = rows, fading
        self.binding = Binding(features, targets, pair_width, slots)
        self.norm = nn.LayerNorm(pair_width)
        recurrent = controller == "lstm"
        self.control: nn.Module = (
            nn.LSTM(pair_width, width, batch_first=True) if recurrent else FeedForward(pair_width, width)
        )
        self.value = nn.Linear(width + pair_width, width)
        self.sharpness = nn.Parameter(torch.tensor(10.0))
        self.overwrite = nn.Parameter(torch.tensor(0.0))
        self.context, self.met = nn.Linear(width, pair_width), nn.LayerNorm(pair_width)
        self.decode = Readout(width + pair_width, outputs, 1)

    def embed(self, x: Tensor) -> Tensor:
        """Embeds features [..., D] in [..., E]."""
        return self.binding.embed(x)

    def infer(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predicts each query from what it reads in the final memory and from the controller's final state."""
        last = deque(self._read_through(support_x, support_y), maxlen=1)
        return self._answer(*last[0], query_x)

    def carried(self, support: int) -> int:
        """Keys and values of the memory, and the controller's state."""
        return self.rows * (self.binding.embedding + self.value.out_features) + self.context.in_features

    def stream(self, x: Tensor, y: Tensor) -> Tensor:
        """Predicts every step of a stream from the earlier steps and their targets.

        Args:
            x: [B, T, D] float32.
            y: [B, T, Y] float32.

        Returns:
            [B, T, P] float32.
        """
        x = self.embed(x)
        before = zip(self._read_through(x, y), x.split(1, dim=1), strict=False)
        return torch.cat([self._answer(memory, state, now) for (memory, state), now in before], dim=1)

    def _read_through(self, x: Tensor, y: Tensor) -> Iterator[tuple[Memory, Tensor]]:
        """Yields the memory and the controller's state [B, 1, W] before the first pair and after each one."""
        pairs = self.norm(self.binding.pair(x, y))
        states, _ = self.control(pairs)
        values = self.value(torch.cat([states, pairs], dim=-1))
        keys = F.normalize(x, dim=-1)
        memory = self._empty(keys, values)
        yield memory, torch.zeros_like(states[:, :1])
        for key, value, state in zip(keys.unbind(1), values.unbind(1), states.split(1, dim=1), strict=True):
            memory = self._write(memory, key, value)
            yield memory, state

    def _empty(self, keys: Tensor, values: Tensor) -> Memory:
        keys, values = (pairs.new_zeros(len(pairs), self.rows, pairs.shape[-1]) for pairs in (keys, values))
        return Memory(keys, values, usage=keys[..., 0])

    def _write(self, memory: Memory, key: Tensor, value: Tensor) -> Memory:
        """Writes a value [B, W] partly where its key [B, K] reads, and partly into the least used row."""
        read = self._address(memory, key.unsqueeze(1)).squeeze(1)
        least = F.one_hot(memory.usage.argmin(dim=-1), self.rows).to(key.dtype)
        share = self.overwrite.sigmoid()
        write = share * read + (1 - share) * least
        kept = (1 - least).unsqueeze(-1)
        return Memory(
            kept * memory.keys + write.unsqueeze(-1) * key.unsqueeze(1),
            kept * memory.values + write.unsqueeze(-1) * value.unsqueeze(1),
            self.fading * memory.usage + read + write,
        )

    def _address(self, memory: Memory, keys: Tensor) -> Tensor:
        """Returns the attention of each key [B, T, K] to each row, [B, T, N]."""
        cosine = keys @ F.normalize(memory.keys, dim=-1).transpose(1, 2)
        return (self.sharpness * cosine).softmax(dim=-1)

    def _answer(self, memory: Memory, state: Tensor, query_x: Tensor) -> Tensor:
        keys = F.normalize(query_x, dim=-1)
        read = self._address(memory, keys) @ memory.values
        met = self.met(self.binding.meet(query_x, self.context(state)))
        return self.decode(torch.cat([read, met], dim=-1))


class FeedForward(nn.Module):
    """A controller without a state, with the interface of `nn.LSTM`."""

    def __init__(self, pair_width: int, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(pair_width, width)

    def forward(self, pairs: Tensor) -> tuple[Tensor, None]:
        """Returns the states [B, S, W]."""
        return F.relu(self.layer(pairs)), None
