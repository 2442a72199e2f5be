"""LSTM: the support set read as a sequence."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from lit_modules.binding import Binding, Readout


class LSTM(nn.Module):
    """Recurrent meta-learner of Hochreiter et al. 2001 and Santoro et al. 2016 (ICML).

    The support set is read as a sequence of pairs, in the order given, and every query is answered from the final
    state. Departs from the papers in that label and image come in the same step, bound by multiplication, and the query
    meets the final state the same way (see `lit_modules.binding`): with concatenation the learner stays at the loss of
    a guess. Forget gates start open (Jozefowicz et al. 2015), so that the first pair is still there at the last.

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        outputs: P, width of a prediction.
        width: width of the state, the context vector that is carried over from the support set.
        depth: hidden layers of the decoder.
        layers: stacked LSTM layers.
        forget_bias: initial bias of the forget gates.
    """

    permutation_invariant: ClassVar[bool] = False

    def __init__(
        self,
        features: int,
        targets: int,
        outputs: int,
        *,
        width: int = 256,
        depth: int = 1,
        layers: int = 1,
        forget_bias: float = 1.0,
    ) -> None:
        super().__init__()
        self.binding = Binding(features, targets, width)
        self.norm = nn.LayerNorm(width)
        self.read = nn.LSTM(width, width, num_layers=layers, batch_first=True)
        for layer in range(layers):
            with torch.no_grad():
                getattr(self.read, f"bias_hh_l{layer}")[width : 2 * width] = forget_bias
        self.context = nn.Linear(width, width)
        self.decode = Readout(width, outputs, depth)

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predicts from the final state.

        Args:
            support_x: [B, S, D] float32.
            support_y: [B, S, Y] float32.
            query_x: [B, Q, D] float32.

        Returns:
            [B, Q, P] float32.
        """
        _, (state, _) = self.read(self.norm(self.binding.pair(support_x, support_y)))
        return self.decode(self.binding.meet(query_x, self.context(state[-1]).unsqueeze(1)))
