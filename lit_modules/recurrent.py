"""LSTM and GRU: learners that read the support set as a sequence."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adaptbench.lit_modules.binding import Binding, Readout
from adaptbench.lit_modules.embedding import EmbeddingLearner

KEEP, CANDIDATE = 1, 2
"""Index of the gate that keeps the state, and of the candidate, in torch's LSTM (i, f, g, o) and GRU (r, z, n)."""
GATE_SCALE, RECURRENT_SCALE = 0.3, 0.1
"""Factors of torch's initial input-to-hidden and hidden-to-hidden weights."""


class Recurrent(EmbeddingLearner):
    """A recurrent network that reads support pairs, and predicts every query from its state.

    It differs from the papers in two ways. First, label and image come in the same step. Multiplication combines
    features with labels, and the query with the state (see `lit_modules.binding`); with concatenation, the learner
    stays at chance. Second, each layer starts as a gated sum of its inputs: the maps from input to candidate and from
    state to context start at the identity, and recurrent weights are small, following the identity initialisation of
    Le et al. 2015 (arXiv 1504.00941). From random weights, it would first have to learn maps that undo each other.

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        outputs: P, width of a prediction.
        width: width of a bound pair and of the state, the context vector that summarises the support set.
        slots: number of slots of a bound pair (see `lit_modules.binding.Binding`).
        depth: number of hidden layers of the decoder.
        layers: number of stacked recurrent layers.
        pooled: whether to read each pair from the same initial state and to average the resulting states, so that the
            order of the support set does not matter (second network of Huisman et al. 2023, arXiv 2310.14139).
        keep_bias: initial bias of the gate that keeps the state (Jozefowicz et al. 2015, ICML); a large one makes the
            state remember the first pair until the last.
    """

    cell: ClassVar[type[nn.LSTM] | type[nn.GRU]]

    def __init__(
        self,
        features: int,
        targets: int,
        outputs: int,
        *,
        width: int = 256,
        slots: int = 8,
        depth: int = 1,
        layers: int = 1,
        pooled: bool = False,
        keep_bias: float = 3.0,
    ) -> None:
        super().__init__()
        self.permutation_invariant = self.pooled = pooled
        self.binding = Binding(features, targets, width, slots)
        self.norm = nn.LayerNorm(width)
        self.read = self.cell(width, width, num_layers=layers, batch_first=True)
        self.context, self.met = nn.Linear(width, width), nn.LayerNorm(width)
        self.decode = Readout(width, outputs, depth)
        self._start_as_a_sum(width, layers, keep_bias)

    def embed(self, x: Tensor) -> Tensor:
        """Embeds features [..., D] in [..., E]."""
        return self.binding.embed(x)

    def infer(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predicts from the final state; if pooled, from the average state."""
        return self._answer(query_x, self._states(support_x, support_y)[:, -1:])

    def stream(self, x: Tensor, y: Tensor) -> Tensor:
        """Predicts every step of a stream from the earlier steps and their targets.

        Args:
            x: [B, T, D] float32.
            y: [B, T, Y] float32.

        Returns:
            [B, T, P] float32.
        """
        x = self.embed(x)
        return self._answer(x, F.pad(self._states(x, y)[:, :-1], (0, 0, 1, 0)))

    def _answer(self, query_x: Tensor, state: Tensor) -> Tensor:
        return self.decode(self.met(self.binding.meet(query_x, self.context(state))))

    def _states(self, x: Tensor, y: Tensor) -> Tensor:
        """Returns the state after each pair, [B, S, W]; if pooled, the average over the pairs so far."""
        pairs = self.norm(self.binding.pair(x, y))
        if not self.pooled:
            return self.read(pairs)[0]
        alone = self.read(pairs.flatten(0, 1).unsqueeze(1))[0].unflatten(0, pairs.shape[:2]).squeeze(2)
        return alone.cumsum(dim=1) / torch.arange(1, alone.shape[1] + 1, device=x.device).unsqueeze(-1)

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
        nn.init.eye_(self.context.weight)
        nn.init.zeros_(self.context.bias)


class LSTM(Recurrent):
    """Recurrent meta-learner of Hochreiter et al. 2001 (ICANN) and Santoro et al. 2016 (ICML).

    The support set is read as a sequence of pairs, in the order given. `Recurrent` describes the arguments and the
    differences from the papers.
    """

    cell = nn.LSTM


class GRU(Recurrent):
    """The LSTM's recurrent meta-learner with the gated unit of Cho et al. 2014 (arXiv 1406.1078).

    `Recurrent` describes the arguments and the differences from the papers.
    """

    cell = nn.GRU
