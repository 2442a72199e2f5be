"""Fine-tuning: a pretrained network adapted to each support set by gradient descent."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from datamodules.episodes import EpisodeBatch
from lit_modules.likelihoods import Gaussian, with_unit_scale
from lit_modules.training import encode_all, evaluating
from lit_modules.transfer import TransferModule

Moves = Literal["head", "all"]


class FineTuning:
    """Adapts a pretrained network to a support set, with all episodes side by side.

    Every episode has parameters of its own, stacked in front, and the losses of the episodes are summed: each episode
    gets the gradients, and the elementwise optimiser the steps, that it would get alone. Normalisation statistics stay
    those of pretraining, so prediction is inductive. Classification gets a fresh head that starts at zero; regression
    goes on from the pretrained head, fits squared error, and predicts with a scale of one.

    Args:
        network: the pretrained network, which is left as it is.
        targets: Y, width of an episode's targets.
        moves: what is trained: the "head" on frozen features (a linear probe), or "all" layers.
        steps: gradient steps on the whole support set.
        lr: learning rate of Adam.
        weight_decay: L2 penalty on what moves.
        normalize: divide features by their L2 norm and multiply by `scale` before the head (classification only).
        scale: length of the normalised features.
        episodes_at_once: how many episodes are adapted side by side.

    Attributes:
        parameters: number of weights of the network that adapts.
    """

    def __init__(
        self,
        network: TransferModule,
        targets: int,
        *,
        moves: Moves = "head",
        steps: int = 100,
        lr: float = 0.01,
        weight_decay: float = 0.0,
        normalize: bool = True,
        scale: float = 10.0,
        episodes_at_once: int = 100,
    ) -> None:
        if moves not in ("head", "all"):
            raise ValueError(f"Expected argument `moves` to be 'head' or 'all' but got {moves!r}.")
        if steps < 0:
            raise ValueError(f"Expected argument `steps` to be zero or more but got {steps}.")
        for name, value in {"lr": lr, "scale": scale, "episodes_at_once": episodes_at_once}.items():
            if not value > 0:
                raise ValueError(f"Expected argument `{name}` to be positive but got {value}.")
        self.network, self.steps, self.lr, self.weight_decay = network, steps, lr, weight_decay
        self.episodes_at_once = episodes_at_once
        self.regression = isinstance(network.likelihood, Gaussian)
        head: nn.Module = network.head if self.regression else _zero_head(network.features, targets)
        scaling = nn.Identity() if self.regression or not normalize else NormalizedFeatures(scale)
        self.frozen = nn.Sequential(network.encoder, scaling) if moves == "head" else nn.Sequential()
        self.moving = head if moves == "head" else nn.Sequential(network.encoder, scaling, head)
        self.parameters = sum(weight.numel() for part in (network.encoder, head) for weight in part.parameters())

    def predict(self, batch: EpisodeBatch) -> Tensor:
        """Adapts to every support set and predicts its queries, [B, Q, P]; the network stays untouched."""
        self.moving.to(self.network.device)
        parts = zip(
            *(rows.split(self.episodes_at_once) for rows in (batch.support, batch.support_y, batch.query)), strict=True
        )
        with evaluating(self.network):
            inputs = encode_all(self.frozen, batch.inputs)
            outputs = torch.cat([self._adapt(inputs[support], y, inputs[query]) for support, y, query in parts])
        return with_unit_scale(outputs) if self.regression else outputs

    def _adapt(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            parameters, buffers = stack_module_state([self.moving] * len(support_x))
            support_x, support_y = support_x.clone(), support_y.clone()
            optimizer = torch.optim.Adam(parameters.values(), lr=self.lr, weight_decay=self.weight_decay)
            for _ in range(self.steps):
                optimizer.zero_grad()
                self._loss(self._forward(parameters, buffers, support_x), support_y).backward()
                optimizer.step()
        with torch.no_grad():
            return self._forward(parameters, buffers, query_x)

    def _forward(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        return vmap(lambda p, b, one: functional_call(self.moving, (p, b), (one,)))(parameters, buffers, x)

    def _loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Sums the episodes' mean losses, so that no episode's step depends on how many there are."""
        if self.regression:
            return F.mse_loss(output, target, reduction="none").mean(dim=(1, 2)).sum()
        return self.network.likelihood.nll(output, target).mean(dim=1).sum()


class NormalizedFeatures(nn.Module):
    """Gives every feature vector the same length."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        """Scales [..., D]."""
        return self.scale * F.normalize(features, dim=-1)


def _zero_head(features: int, targets: int) -> nn.Linear:
    head = nn.Linear(features, targets)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head
