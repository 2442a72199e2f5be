"""Blocks: an encoder cut into the layers that fine-tuning freezes, unfreezes and gives rates of their own."""

from torch import nn

OPENING = (nn.Conv1d, nn.Conv2d, nn.Linear)
"""Layers that open a block; what follows them (norms, activations, pooling) belongs to it."""


def blocks(encoder: nn.Module) -> list[nn.Sequential]:
    """Cuts an encoder into blocks, each a convolution or linear layer with all that follows it, from bottom to top.

    The blocks share the encoder's weights, and one after the other compute what it computes. An encoder that is no
    `nn.Sequential` is one block.
    """
    children = list(encoder.children()) if isinstance(encoder, nn.Sequential) else [encoder]
    found: list[list[nn.Module]] = [[]]
    for child in children:
        if _opens(child) and any(_opens(other) for other in found[-1]):
            found.append([])
        found[-1].append(child)
    return [nn.Sequential(*block) for block in found]


def _opens(layer: nn.Module) -> bool:
    return any(isinstance(part, OPENING) for part in layer.modules())
