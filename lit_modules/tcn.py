"""Temporal convolutions alone over the support set, the query last in the sequence."""

from torch import nn

from adaptbench.lit_modules.snail import CausalLearner, DenseBlock, dilations


class TCN(CausalLearner):
    """Temporal convolution of Mishra et al. 2018 (arXiv 1707.03141): SNAIL without its attention.

    Twice a stack of dense blocks with dilations 1, 2, 4 ..., after van den Oord et al. 2016 (WaveNet, arXiv
    1609.03499). What a query can know of the support set has to reach it through a fixed number of channels.

    Equation:
        h_t <- [h_t; tanh(A h_t + B h_(t-d)) sigmoid(C h_t + D h_(t-d))] for d = 1, 2, 4 ...; prediction = W
        h*

    Args:
        features: D, width of an example's features.
        targets: Y, width of a target.
        outputs: P, width of a prediction.
        width: width of an embedded example.
        filters: channels that each dense block appends.
        length: steps that each stack spans.
    """

    def __init__(
        self, features: int, targets: int, outputs: int, *, width: int = 64, filters: int = 64, length: int = 26
    ) -> None:
        super().__init__(features, targets, width)
        channels, blocks = width + targets, []
        for dilation in 2 * dilations(length):
            blocks.append(DenseBlock(channels, filters, dilation))
            channels += filters
        self.blocks, self.decode = nn.ModuleList(blocks), nn.Linear(channels, outputs)
