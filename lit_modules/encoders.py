"""Encoders: from raw examples [M, *x] to features [M, D], shared by every learner."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

LAYERS = 4
Filters = int | Sequence[int]


class MLP(nn.Sequential):
    """A perceptron on flattened inputs (images scaled to [0, 1]), with ReLU after every layer.

    Args:
        example_shape: shape of one example.
        width: units in each layer, and D.
        depth: number of layers.
    """

    def __init__(self, example_shape: tuple[int, ...], *, width: int = 64, depth: int = 2) -> None:
        layers: list[nn.Module] = [nn.Sequential(Scale(), nn.Flatten())]
        inputs = math.prod(example_shape)
        for _ in range(depth):
            layers += [nn.Linear(inputs, width), nn.ReLU()]
            inputs = width
        super().__init__(*layers)
        self.features = inputs


class Scale(nn.Module):
    """Converts uint8 examples [M, *x] to float32 in [0, 1], and others to float32 without scaling."""

    def forward(self, examples: Tensor) -> Tensor:
        """Scales [M, *x]."""
        return examples.float().div(255) if examples.dtype == torch.uint8 else examples.float()


class ConvNet(nn.Sequential):
    """Four 3x3 convolutions with batch norm and ReLU, flattened.

    Batch norm uses the statistics of the pool in training and running statistics afterwards. Prediction is therefore
    inductive: a query's features do not depend on the other queries.

    Args:
        example_shape: height and width of an image, after the number of its colours if it has more than one.
        filters: number of channels of every layer, or of each of the four layers.
        pooled: whether each convolution is followed by max-pooling instead of having stride 2.
    """

    def __init__(self, example_shape: tuple[int, ...], *, filters: Filters, pooled: bool) -> None:
        widths = [filters] * LAYERS if isinstance(filters, int) else list(filters)
        if len(widths) != LAYERS or min(widths) < 1:
            raise ValueError(f"Expected argument `filters` to be one or {LAYERS} positive integers but got {filters}.")
        if len(example_shape) not in (2, 3):
            shape = list(example_shape)
            raise ValueError(
                f"Expected argument `example_shape` to be that of an image, [H, W] or [C, H, W], but got {shape}."
            )
        *colours, height, width = example_shape
        layers: list[nn.Module] = [nn.Sequential(Scale(), nn.Identity() if colours else nn.Unflatten(1, (1, height)))]
        for channels, count in pairwise([*(colours or [1]), *widths]):
            layers += [nn.Conv2d(channels, count, 3, 1 if pooled else 2, 1, bias=False)]
            layers += [nn.BatchNorm2d(count)]
            if pooled:
                layers += [nn.MaxPool2d(2)]  # before the ReLU, which then has a quarter of the work and the same bits
                height, width = height // 2, width // 2
            else:
                height, width = (height + 1) // 2, (width + 1) // 2
            layers += [nn.ReLU()]
        super().__init__(*layers, nn.Flatten())
        self.features = widths[-1] * height * width
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch documents it, its stub does not


class Conv4(ConvNet):
    """Conv-4 of Vinyals et al. 2016 (arXiv 1606.04080): max-pooling after each convolution.

    Args:
        example_shape: height and width of an image.
        filters: number of channels of every layer, or of each of the four layers.
    """

    def __init__(self, example_shape: tuple[int, ...], *, filters: Filters = 64) -> None:
        super().__init__(example_shape, filters=filters, pooled=True)


class StridedConv(ConvNet):
    """Four convolutions of stride 2, as Finn et al. 2017 (arXiv 1703.03400) use for Omniglot.

    Args:
        example_shape: height and width of an image.
        filters: number of channels of every layer, or of each of the four layers.
    """

    def __init__(self, example_shape: tuple[int, ...], *, filters: Filters = 64) -> None:
        super().__init__(example_shape, filters=filters, pooled=False)
