"""LSTM and GRU: learners that read the support set as a sequence."""

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adaptbench.datamodules.choices import require_choice
from adaptbench.lit_modules.binding import BindingKind, Readout, make_binding
from adaptbench.lit_modules.embedding import EmbeddingLearner

KEEP, CANDIDATE = 1, 2
"""Index of the gate that keeps the state, and of the candidate, in torch's LSTM (i, f, g, o) and GRU (r, z, n)."""
GATE_SCALE, RECURRENT_SCALE = 0.3, 0.1
"""Factors of torch's initial input-to-hidden and hidden-to-hidden weights."""

State = tuple[Tensor, ...]
"""State and, in an LSTM, cell of all layers, each [L, B, W]."""


class Recurrent(EmbeddingLearner):
    """A recurrent network that reads support pairs, and predicts every query from its state.

    By default it differs from the papers in two ways. First, label and image come in the same step. Multiplication
    combines features with labels, and the query with the state (see `lit_modules.binding`); with concatenation, the
    learner stays at chance for long on Omniglot. Second, each layer starts as a gated sum of its inputs: the maps from
    input to candidate and from state to context start at the identity, and recurrent weights are small, following the
    identity initialisation of Le et al. 2015 (arXiv 1504.00941). From random weights, it would first have to learn maps
    that undo each other.

    With `binding="concat", start="random", query="step"` it has the form of the papers: step t reads [x_t; y_(t-1)],
    each query is the last step of the sequence, and a linear map of the state predicts.

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        outputs: P, width of a prediction.
        binding: "product" of features and target, or "concat".
        start: initial weights of the cell: a gated "sum", or the usual "random" ones.
        query: "read": a decoder reads the state with the query. "step": the query goes through the cell as a further
            step. Concatenated labels then come one step late, beside the next image. Bound or pooled pairs stay
            together, and the query comes with a target of zeros.
        width: width of a bound pair and of the state, the context vector that summarises the support set.
        slots: number of slots of a bound pair (see `lit_modules.binding.Binding`).
        depth: number of hidden layers of the decoder, if `query` is "read".
        layers: number of stacked recurrent layers.
        pooled: whether to read each pair from the same initial state and to average the resulting states, so that the
            order of the support set does not matter (second network of Huisman et al. 2023, arXiv 2310.14139).
        keep_bias: initial bias of the gate that keeps the state (Jozefowicz et al. 2015, ICML), if it starts as a sum;
            a large one makes the state remember the first pair until the last.
    """

    cell: ClassVar[type[nn.LSTM] | type[nn.GRU]]

    def __init__(
        self,
        features: int,
        targets: int,
        outputs: int,
        *,
        binding: BindingKind = "product",
        start: Literal["sum", "random"] = "sum",
        query: Literal["read", "step"] = "read",
        width: int = 256,
        slots: int | None = None,
        depth: int = 1,
        layers: int = 1,
        pooled: bool = False,
        keep_bias: float = 3.0,
    ) -> None:
        super().__init__()
        require_choice("start", start, ("sum", "random"))
        require_choice("query", query, ("read", "step"))
        self.permutation_invariant = self.pooled = pooled
        self.steps = query == "step"
        self.targets = targets
        self.late = self.steps and binding == "concat" and not pooled
        self.binding = make_binding(binding, features, targets, width, slots)
        self.norm = nn.LayerNorm(width) if binding == "product" else nn.Identity()
        self.read = self.cell(self.binding.paired, width, num_layers=layers, batch_first=True)
        self.decode: nn.Module
        if self.steps:
            self.decode = nn.Linear(width, outputs)
        else:
            self.context, self.met = nn.Linear(width, width), nn.LayerNorm(self.binding.met)
            self.decode = Readout(self.binding.met, outputs, depth)
        if start == "sum":
            self._start_as_a_sum(width, layers, keep_bias)

    def embed(self, x: Tensor) -> Tensor:
        """Embeds features [..., D] in [..., E]."""
        return self.binding.embed(x)

    def infer(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predicts from the final state, if pooled from the average state; or from a further step after it."""
        if not self.steps:
            return self._answer(query_x, self._states(support_x, support_y)[:, -1:])
        state = self._after(self._pairs(support_x, support_y))
        last = support_y[:, -1:].expand(-1, query_x.shape[1], -1)
        return self._step(state, self._asked(query_x, last))

    def carried(self, support: int) -> int:
        """The state of the top layer; with `query="step"` state and cell of all layers, and a label that comes late."""
        if not self.steps:
            return self.read.hidden_size
        parts = 2 if isinstance(self.read, nn.LSTM) else 1
        return parts * self.read.num_layers * self.read.hidden_size + (self.targets if self.late else 0)

    def stream(self, x: Tensor, y: Tensor) -> Tensor:
        """Predicts every step of a stream from the earlier steps and their targets.

        Args:
            x: [B, T, D] float32.
            y: [B, T, Y] float32.

        Returns:
            [B, T, P] float32.
        """
        x = self.embed(x)
        if not self.steps:
            return self._answer(x, F.pad(self._states(x, y)[:, :-1], (0, 0, 1, 0)))
        if self.late:  # a query and a pair are the same step
            return self.decode(self.read(self._pairs(x, y))[0])
        asked = self._asked(x, y).split(1, dim=1)
        states = self._read_through(self._pairs(x, y))
        return torch.cat([self._step(state, now) for state, now in zip(states, asked, strict=False)], dim=1)

    def _answer(self, query_x: Tensor, state: Tensor) -> Tensor:
        return self.decode(self.met(self.binding.meet(query_x, self.context(state))))

    def _states(self, x: Tensor, y: Tensor) -> Tensor:
        """Returns the state after each pair, [B, S, W]; if pooled, the average over the pairs so far."""
        pairs = self._pairs(x, y)
        if not self.pooled:
            return self.read(pairs)[0]
        alone = self.read(pairs.flatten(0, 1).unsqueeze(1))[0].unflatten(0, pairs.shape[:2]).squeeze(2)
        return alone.cumsum(dim=1) / torch.arange(1, alone.shape[1] + 1, device=x.device).unsqueeze(-1)

    def _pairs(self, x: Tensor, y: Tensor) -> Tensor:
        """Joins embedded features [B, S, E] to their targets [B, S, Y], or each to the target of the step before."""
        return self.norm(self.binding.pair(x, one_late(y) if self.late else y))

    def _asked(self, query_x: Tensor, before: Tensor) -> Tensor:
        """Joins embedded queries [B, Q, E] to the targets of the step before, [B, Q, Y], or to zeros."""
        return self.norm(self.binding.pair(query_x, before if self.late else torch.zeros_like(before)))

    def _after(self, pairs: Tensor) -> State:
        """Returns the state after all pairs [B, S, C], or the average of what each leaves."""
        if not self.pooled:
            return as_state(self.read(pairs)[1])
        alone = as_state(self.read(pairs.flatten(0, 1).unsqueeze(1))[1])
        return tuple(part.unflatten(1, pairs.shape[:2]).mean(dim=2) for part in alone)

    def _read_through(self, pairs: Tensor) -> Iterator[State]:
        """Yields the state before the first of the pairs [B, S, C] and after each one, or the average so far."""
        zeros = pairs.new_zeros(self.read.num_layers, len(pairs), self.read.hidden_size)
        state: State = (zeros,) * (2 if isinstance(self.read, nn.LSTM) else 1)
        yield state
        for number, pair in enumerate(pairs.split(1, dim=1)):
            new = self._advance(tuple(map(torch.zeros_like, state)) if self.pooled else state, pair)[1]
            state = tuple(a + (b - a) / (number + 1) for a, b in zip(state, new, strict=True)) if self.pooled else new
            yield state

    def _step(self, state: State, asked: Tensor) -> Tensor:
        """Predicts each of the queries [B, Q, C] after a step of its own from a state that all share."""
        each = tuple(part.repeat_interleave(asked.shape[1], dim=1) for part in state)
        stepped, _ = self._advance(each, asked.flatten(0, 1).unsqueeze(1))
        return self.decode(stepped.squeeze(1).unflatten(0, asked.shape[:2]))

    def _advance(self, state: State, step: Tensor) -> tuple[Tensor, State]:
        """Reads one step [B, 1, C]; returns what the top layer says, [B, 1, W], and the next state."""
        said, after = self.read(step, state if isinstance(self.read, nn.LSTM) else state[0])
        return said, as_state(after)

    @torch.no_grad()
    def _start_as_a_sum(self, width: int, layers: int, keep_bias: float) -> None:
        for layer in range(layers):
            reading, recurring, bias = (
                getattr(self.read, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_hh")
            )
            reading *= GATE_SCALE
            recurring *= RECURRENT_SCALE
            nn.init.eye_(reading[CANDIDATE * width :][:width])
            bias[KEEP * width :][:width] = keep_bias
        if not self.steps:
            nn.init.eye_(self.context.weight)
            nn.init.zeros_(self.context.bias)


def as_state(parts: Tensor | State) -> State:
    """Wraps a GRU's state, which has a single part."""
    return (parts,) if isinstance(parts, Tensor) else parts


def one_late(y: Tensor) -> Tensor:
    """Delays targets [B, S, Y] by one step; the first step has zeros."""
    return F.pad(y[:, :-1], (0, 0, 1, 0))


class LSTM(Recurrent):
    """Recurrent meta-learner of Hochreiter et al. 2001 (ICANN) and Santoro et al. 2016 (ICML).

    The support set is read as a sequence of pairs, in the order given. `Recurrent` describes the arguments and the
    differences from the papers.

    Equation:
        s_t = LSTM(s_(t-1), e(x_t) ⊗ u(y_t)); prediction = decode(e(x*) ⊙ C s_S)
    """

    cell = nn.LSTM


class GRU(Recurrent):
    """The LSTM's recurrent meta-learner with the gated unit of Cho et al. 2014 (arXiv 1406.1078).

    As in torch, the reset gate multiplies the state after its linear map; in the paper it does so before.
    `Recurrent` describes the arguments and the differences from the papers.

    Equation:
        s_t = GRU(s_(t-1), e(x_t) ⊗ u(y_t)); prediction = decode(e(x*) ⊙ C s_S)
    """

    cell = nn.GRU
