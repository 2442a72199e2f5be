"""LSTM and GRU: the support set read as a sequence."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_modules.binding import Binding, Readout


class Recurrent(nn.Module):
    """A recurrent network that reads support pairs, and answers every query from its state.

    Departs from the papers in that label and image come in the same step, bound by multiplication, and the query meets
    the state the same way (see `lit_modules.binding`): with concatenation the learner stays at the loss of a guess.

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        outputs: P, width of a prediction.
        width: width of the state, the context vector that is carried over from the support set.
        pair_width: width of a bound pair.
        slots: slots of a bound pair (see `lit_modules.binding.Binding`).
        depth: hidden layers of the decoder.
        layers: stacked recurrent layers.
        pooled: read each pair from the same initial state and average the states that follow, as the second network of
            Huisman et al. 2023 (arXiv 2310.14139) does, so that the order of the support set does not matter.
    """

    cell: ClassVar[type[nn.LSTM] | type[nn.GRU]]

    def __init__(
        self,
        features: int,
        targets: int,
        outputs: int,
        *,
        width: int = 256,
        pair_width: int = 512,
        slots: int = 8,
        depth: int = 1,
        layers: int = 1,
        pooled: bool = False,
    ) -> None:
        super().__init__()
        self.permutation_invariant = self.pooled = pooled
        self.binding = Binding(features, targets, pair_width, slots)
        self.norm = nn.LayerNorm(pair_width)
        self.read = self.cell(pair_width, width, num_layers=layers, batch_first=True)
        self.context, self.met = nn.Linear(width, pair_width), nn.LayerNorm(pair_width)
        self.decode = Readout(pair_width, outputs, depth)

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predicts from the final state, or from the average.

        Args:
            support_x: [B, S, D] float32.
            support_y: [B, S, Y] float32.
            query_x: [B, Q, D] float32.

        Returns:
            [B, Q, P] float32.
        """
        return self._answer(query_x, self._states(support_x, support_y)[:, -1:])

    def stream(self, x: Tensor, y: Tensor) -> Tensor:
        """Predicts every step of a stream from the steps before it, whose targets are known by then.

        Args:
            x: [B, T, D] float32.
            y: [B, T, Y] float32.

        Returns:
            [B, T, P] float32.
        """
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


class LSTM(Recurrent):
    """Recurrent meta-learner of Hochreiter et al. 2001 (ICANN) and Santoro et al. 2016 (ICML).

    The support set is read as a sequence of pairs, in the order given. Departs from the papers as `Recurrent` says,
    whose arguments it takes; forget gates start open (Jozefowicz et al. 2015, ICML), so that the first pair is still
    there at the last.
    """

    cell = nn.LSTM

    def __init__(
        self,
        features: int,
        targets: int,
        outputs: int,
        *,
        width: int = 256,
        pair_width: int = 512,
        slots: int = 8,
        depth: int = 1,
        layers: int = 1,
        pooled: bool = False,
        forget_bias: float = 1.0,
    ) -> None:
        super().__init__(
            features,
            targets,
            outputs,
            width=width,
            pair_width=pair_width,
            slots=slots,
            depth=depth,
            layers=layers,
            pooled=pooled,
        )
        for layer in range(layers):
            with torch.no_grad():
                getattr(self.read, f"bias_hh_l{layer}")[width : 2 * width] = forget_bias


class GRU(Recurrent):
    """The LSTM's recurrent meta-learner with the gated unit of Cho et al. 2014 (arXiv 1406.1078).

    Departs from the papers as `Recurrent` says, whose arguments it takes.
    """

    cell = nn.GRU
