"""Blocks: the parts of an encoder that fine-tuning freezes, unfreezes and gives separate learning rates."""

from torch import nn

OPENING = (nn.Conv1d, nn.Conv2d, nn.Linear)
"""Layers that begin a block; the norms, activations and pooling after them belong to it."""


def blocks(encoder: nn.Module) -> list[nn.Sequential]:
    """Divides an encoder into blocks from bottom to top, each a convolution or linear layer and what follows it.

    The blocks share the encoder's weights; applied in order, they compute what it computes. An encoder that is not an
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
