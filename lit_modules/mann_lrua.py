"""MANN as published: a controller that writes its keys into a memory, where they were least recently used."""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adaptbench.lit_modules.recurrent import one_late


class State(NamedTuple):
    """What a step leaves to the next one, for each of B sequences.

    Attributes:
        hidden: [B, W], of the controller.
        cell: [B, W], of the controller.
        memory: [B, N, K], rows.
        read: [B, R, K], what each head has read.
        reading: [B, R, N], how much each head has read of each row.
        usage: [B, N], how much each row was used, fading.
    """

    hidden: Tensor
    cell: Tensor
    memory: Tensor
    read: Tensor
    reading: Tensor
    usage: Tensor


class LRUAMANN(nn.Module):
    """Memory-augmented network of Santoro et al. 2016 (arXiv 1605.06065) with least recently used access.

    Step t reads [x_t; y_(t-1)] and what was read from the memory before. Each of R heads makes a key of the
    controller's state, writes it where it has read a step ago and into the R least used rows, and reads what resembles
    it (eqs. 2 to 8); a linear map of the state and of what was read predicts. Every query is the last step of a
    sequence of its own. Some things the paper leaves open: here keys pass a tanh, what several heads write adds up, the
    first of equally used rows counts as the less used one, and the memory starts empty.

    Equation:
        w = g read_(t-1) + (1 - g) least_(t-1); M_t = kept M_(t-1) + w k_t; read_t = softmax(cos(k_t, M_t));
        prediction = C [s_t; read_t M_t]

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        outputs: P, width of a prediction.
        width: W, width of the controller's state.
        rows: N, rows of the memory.
        row_width: K, width of a row and of a key.
        heads: R, heads that read and write.
        fading: share of the usage that is left after a step.
    """

    permutation_invariant: ClassVar[bool] = False

    def __init__(
        self,
        features: int,
        targets: int,
        outputs: int,
        *,
        width: int = 200,
        rows: int = 128,
        row_width: int = 40,
        heads: int = 4,
        fading: float = 0.95,
    ) -> None:
        super().__init__()
        if not 1 <= heads <= rows:
            raise ValueError(f"Expected argument `heads` to be from 1 to the {rows} rows but got {heads}.")
        self.width, self.rows, self.row_width, self.heads, self.fading = width, rows, row_width, heads, fading
        self.targets = targets
        self.control = nn.LSTMCell(features + targets + heads * row_width, width)
        self.key = nn.Linear(width, heads * row_width)
        self.gate = nn.Parameter(torch.tensor(0.0))
        self.decode = nn.Linear(width + heads * row_width, outputs)

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predicts each query from the state after a step of its own.

        Args:
            support_x: [B, S, D] float32.
            support_y: [B, S, Y] float32.
            query_x: [B, Q, D] float32.

        Returns:
            [B, Q, P] float32.
        """
        state = self._empty(support_x)
        for step in torch.cat([support_x, one_late(support_y)], dim=-1).unbind(1):
            state = self._step(state, step)
        queries = query_x.shape[1]
        asked = torch.cat([query_x, support_y[:, -1:].expand(-1, queries, -1)], dim=-1)
        each = State(*(part.repeat_interleave(queries, dim=0) for part in state))
        return self._answer(self._step(each, asked.flatten(0, 1))).unflatten(0, asked.shape[:2])

    def carried(self, support: int) -> int:
        """The whole state and the last label, which comes late."""
        reads = self.heads * (self.row_width + self.rows)
        return 2 * self.width + self.rows * (self.row_width + 1) + reads + self.targets

    def stream(self, x: Tensor, y: Tensor) -> Tensor:
        """Predicts every step of a stream from the steps before it, whose targets are known by then.

        Args:
            x: [B, T, D] float32.
            y: [B, T, Y] float32.

        Returns:
            [B, T, P] float32.
        """
        state, answers = self._empty(x), []
        for step in torch.cat([x, one_late(y)], dim=-1).unbind(1):
            state = self._step(state, step)
            answers.append(self._answer(state))
        return torch.stack(answers, dim=1)

    def _empty(self, x: Tensor) -> State:
        hidden, memory = x.new_zeros(len(x), self.width), x.new_zeros(len(x), self.rows, self.row_width)
        read, reading = memory[:, : self.heads], x.new_zeros(len(x), self.heads, self.rows)
        return State(hidden, hidden, memory, read, reading, usage=reading[:, 0])

    def _step(self, state: State, step: Tensor) -> State:
        """Reads a step [B, D + Y]: the controller moves, all heads write their keys, then read."""
        inputs = torch.cat([step, state.read.flatten(1)], dim=-1)
        hidden, cell = self.control(inputs, (state.hidden, state.cell))
        keys = self.key(hidden).tanh().unflatten(-1, (self.heads, self.row_width))
        order = state.usage.argsort(dim=-1, stable=True)
        least = torch.zeros_like(state.usage).scatter(-1, order[:, : self.heads], 1.0)
        share = self.gate.sigmoid()
        writing = share * state.reading + (1 - share) * least.unsqueeze(1)
        kept = torch.ones_like(state.usage).scatter(-1, order[:, :1], 0.0).unsqueeze(-1)
        memory = kept * state.memory + writing.transpose(1, 2) @ keys
        reading = (F.normalize(keys, dim=-1) @ F.normalize(memory, dim=-1).transpose(1, 2)).softmax(dim=-1)
        usage = self.fading * state.usage + reading.sum(dim=1) + writing.sum(dim=1)
        return State(hidden, cell, memory, reading @ memory, reading, usage)

    def _answer(self, state: State) -> Tensor:
        return self.decode(torch.cat([state.hidden, state.read.flatten(1)], dim=-1))
