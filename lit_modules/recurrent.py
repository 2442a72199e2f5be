"""LSTM and GRU: the support set read as a sequence."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adaptbench.lit_modules.binding import Binding, Readout
from adaptbench.lit_modules.embedding import EmbeddingLearner

KEEP, CANDIDATE = 1, 2
"""Where torch has the gate that keeps the state and the candidate, among an LSTM's i, f, g, o and a GRU's r, z, n."""
GATE_SCALE, RECURRENT_SCALE = 0.3, 0.1
"""What the usual random weights of reading and recurring are multiplied by at the start."""


class Recurrent(EmbeddingLearner):
    """A recurrent network that reads support pairs, and answers every query from its state.

    Departs from the papers in that label and image come in the same step, bound by multiplication, and the query meets
    the state the same way (see `lit_modules.binding`): with concatenation the learner stays at the loss of a guess. And
    in where training starts: each layer begins as a gated sum of what it reads, with the identity from input to
    candidate and from state to context and hardly any recurrent weights, after the identity initialisation of Le et
    al. 2015 (arXiv 1504.00941); from random weights it first has to find maps that undo each other.

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        outputs: P, width of a prediction.
        width: width of a bound pair and of the state, the context vector that is carried over from the support set.
        slots: slots of a bound pair (see `lit_modules.binding.Binding`).
        depth: hidden layers of the decoder.
        layers: stacked recurrent layers.
        pooled: read each pair from the same initial state and average the states that follow, as the second network of
            Huisman et al. 2023 (arXiv 2310.14139) does, so that the order of the support set does not matter.
        keep_bias: bias at the start of the gate that keeps the state (Jozefowicz et al. 2015, ICML), so that the first
            pair is still there at the last.
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
        """Predicts from the final state, or from the average."""
        return self._answer(query_x, self._states(support_x, support_y)[:, -1:])

    def stream(self, x: Tensor, y: Tensor) -> Tensor:
        """Predicts every step of a stream from the steps before it, whose targets are known by then.

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
        """Returns the state after each pair, [B, S, W]; when pooled, the average of what each pair so far leaves."""
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

    The support set is read as a sequence of pairs, in the order given. Departs from the papers as `Recurrent` says,
    whose arguments it takes.
    """

    cell = nn.LSTM


class GRU(Recurrent):
    """The LSTM's recurrent meta-learner with the gated unit of Cho et al. 2014 (arXiv 1406.1078).

    Departs from the papers as `Recurrent` says, whose arguments it takes.
    """

    cell = nn.GRU
