"""Fine-tuning: a pretrained network adapted to each support set by gradient descent."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from adaptbench.datamodules.choices import require_choice
from adaptbench.datamodules.episodes import EpisodeBatch
from adaptbench.lit_modules.blocks import blocks
from adaptbench.lit_modules.heads import (
    ContextHead,
    HeadKind,
    HeadStart,
    NormalizedFeatures,
    class_mean_weights,
    make_head,
    restart_head,
)
from adaptbench.lit_modules.likelihoods import Gaussian, with_unit_scale
from adaptbench.lit_modules.normalization import EpisodeNorm2d, statistics_of, with_episode_norms
from adaptbench.lit_modules.rates import Rates, Schedule, Unfreezing, blocks_to_move
from adaptbench.lit_modules.training import encode_all, evaluating
from adaptbench.lit_modules.transfer import TransferModule

Parameters = dict[str, Tensor]
BODY, HEAD = "0.", "1."
"""Prefixes of the names of parameters below the head, and in the head."""


class FineTuning:
    """Adapts a pretrained network to each support set, many episodes in parallel.

    Each episode has its own parameters, stacked along the first dimension, and the losses of the episodes are summed.
    The optimiser works elementwise, so each episode gets the steps that it would get alone. Normalisation statistics
    are those of pretraining or of the support set, so prediction is inductive unless `transductive` is set.
    Classification gets a new head in each episode. Regression continues from the pretrained head, minimises squared
    error, and predicts a scale of one.

    Equation:
        phi_(j+1) = phi_j - lr step(grad L(support; phi_j)), from the pretrained phi_0

    Args:
        network: the pretrained network, which does not change.
        targets: Y, width of an episode's targets.
        moves: what is trained: the "head" on frozen features (a linear probe), "all" layers, "last_k" for the head and
            the k blocks below it, or only the "context" of a network pretrained with one.
        steps: gradient steps on the whole support set.
        lr: learning rate.
        weight_decay: L2 penalty on the trained weights.
        normalize: whether features are divided by their L2 norm and multiplied by `scale` before a linear head
            (classification only).
        scale: length of the normalised features; the scale of a cosine head.
        episodes_at_once: number of episodes adapted in parallel.
        head: "linear", or "cosine" (Chen et al. 2019, arXiv 1904.04232); classification only.
        head_start: weights of the episode's head before the first step: "zero", "random", "class_means" (as in
            proto-MAML, Triantafillou et al. 2020, arXiv 1903.03096), or "pretrained" (regression only); None for
            "zero" in classification and "pretrained" in regression.
        head_seed: seed of the random head, which is the same for every episode.
        optimizer: "adam" or "sgd".
        schedule, layer_lr_decay, gradual_unfreeze, unfreeze_every: each block's rate at each step; see `Rates`.
        l2_sp: strength of the L2 penalty on the distance from the starting weights (Li et al. 2018, arXiv 1802.01483,
            who penalise a new head's distance from zero; here it is the distance from the head's start).
        frozen_norm: whether batch norms keep the statistics of pretraining; if not, the trained blocks take the
            statistics of the support set.
        transductive: whether those statistics include the queries, whose predictions then depend on each other.

    Attributes:
        parameters: number of weights of the adapted network.
    """

    def __init__(
        self,
        network: TransferModule,
        targets: int,
        *,
        moves: str = "head",
        steps: int = 100,
        lr: float = 0.01,
        weight_decay: float = 0.0,
        normalize: bool = True,
        scale: float = 10.0,
        episodes_at_once: int = 100,
        head: HeadKind = "linear",
        head_start: HeadStart | None = None,
        head_seed: int = 0,
        optimizer: Literal["adam", "sgd"] = "adam",
        schedule: Schedule = "constant",
        layer_lr_decay: float = 1.0,
        gradual_unfreeze: Unfreezing | None = None,
        unfreeze_every: int = 5,
        l2_sp: float = 0.0,
        frozen_norm: bool = True,
        transductive: bool = False,
    ) -> None:
        self.network, self.episodes_at_once = network, episodes_at_once
        self.regression = isinstance(network.likelihood, Gaussian)
        self.rates = Rates(
            steps=steps, lr=lr, schedule=schedule, layer_lr_decay=layer_lr_decay, gradual_unfreeze=gradual_unfreeze,
            unfreeze_every=unfreeze_every,
        )  # fmt: skip
        _require(optimizer, scale, episodes_at_once, weight_decay=weight_decay, l2_sp=l2_sp)
        self.weight_decay, self.l2_sp, self.optimizer = weight_decay, l2_sp, optimizer
        self._set_head(targets, head, head_start, head_seed, scale, normalize)
        layers = blocks(network.encoder)
        self.context_only = moves == "context"
        if self.context_only and not isinstance(self.head, ContextHead):
            raise ValueError("Expected argument `moves` not to be 'context' for a network that has none.")
        moving = 0 if self.context_only else blocks_to_move(moves, len(layers))
        if not frozen_norm and moving == 0:
            raise ValueError("Expected argument `frozen_norm` to be true where only the head moves but got False.")
        if transductive and frozen_norm:
            raise ValueError("Expected argument `transductive` to be false with frozen norms, which see no query.")
        if gradual_unfreeze == "bottom_up" and self.start == "zero":
            raise ValueError("Expected argument `head_start` not to be 'zero' from the bottom up: nothing would move.")
        self.frozen_norm, self.transductive = frozen_norm, transductive
        frozen, upper = layers[: len(layers) - moving], layers[len(layers) - moving :]
        self.frozen = nn.Sequential(*frozen, *([] if upper else [self.scaling]))
        body = nn.Sequential(*upper, self.scaling) if upper else nn.Sequential()
        self.moving = nn.Sequential(body if frozen_norm else with_episode_norms(body), self.head)
        self.parameters = sum(weight.numel() for part in (network.encoder, self.head) for weight in part.parameters())

    def _set_head(
        self, targets: int, kind: HeadKind, start: HeadStart | None, seed: int, scale: float, normalize: bool
    ) -> None:
        """Sets the layers above the encoder and their initial weights."""
        self.start: HeadStart = start or ("pretrained" if self.regression else "zero")
        allowed = ("pretrained", "zero", "random") if self.regression else ("zero", "random", "class_means")
        if self.start not in allowed:
            raise ValueError(f"Expected argument `head_start` to be one of {allowed} for this task but got {start!r}.")
        if self.regression and kind != "linear":
            raise ValueError(f"Expected argument `head` to be 'linear' for regression but got {kind!r}.")
        normalized = normalize and kind == "linear" and not self.regression
        self.temperature = scale if normalized else 1.0
        self.scaling: nn.Module = NormalizedFeatures(scale) if normalized else nn.Identity()
        self.head: nn.Module = self.network.head
        if self.start != "pretrained":
            head = make_head(kind, self.network.features, targets, scale)
            restart_head(head, "random" if self.start == "random" else "zero", seed)
            self.head = head

    def predict(self, batch: EpisodeBatch) -> Tensor:
        """Adapts to each support set and predicts its queries, [B, Q, P]; the network does not change."""
        self.moving.to(self.network.device)
        with evaluating(self.network):
            inputs = encode_all(self.frozen, batch.inputs)
            parts = batch.chunks(self.episodes_at_once)
            outputs = torch.cat([self._adapt(inputs[support], y, inputs[query]) for support, y, query in parts])
        return with_unit_scale(outputs) if self.regression else outputs

    def carried(self, batch: EpisodeBatch) -> int:
        """Counts the weights that an episode moves, and mean and variance that norms take from its support set."""
        if self.context_only:
            return sum(weight.numel() for name, weight in self.head.named_parameters() if name == "context")
        norms = [part for part in self.moving.modules() if isinstance(part, EpisodeNorm2d)]
        weights = sum(weight.numel() for weight in self.moving.parameters())
        return weights + sum(2 * norm.weight.numel() for norm in norms)

    def _adapt(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            support_x, support_y = support_x.clone(), support_y.clone()
            parameters, buffers = stack_module_state([self.moving] * len(support_x))
            self._start_head(parameters, buffers, support_x, support_y)
            start = {name: value.detach().clone() for name, value in parameters.items()} if self.l2_sp else {}
            groups = self._by_block(parameters)
            for value in parameters.values():
                value.requires_grad_(False)  # until a step moves it
            make = torch.optim.Adam if self.optimizer == "adam" else torch.optim.SGD
            optimizer = make([{"params": group} for group in groups], lr=self.rates.lr, weight_decay=self.weight_decay)
            for step in range(self.rates.steps):
                self._set_rates(optimizer, step)
                optimizer.zero_grad()
                self._loss(self._forward(parameters, buffers, support_x), support_y).backward()
                for name, before in start.items():
                    if (gradient := parameters[name].grad) is not None:
                        gradient.add_(parameters[name].detach() - before, alpha=self.l2_sp)
                optimizer.step()
        with torch.no_grad():
            return self._answer(parameters, buffers, support_x, query_x)

    def _start_head(self, parameters: Parameters, buffers: Parameters, support_x: Tensor, support_y: Tensor) -> None:
        """Sets the head to the class means of the support set if it starts from them."""
        if self.start != "class_means":
            return
        with torch.no_grad():
            weights, statistics = (_below_head(state) for state in (parameters, buffers))
            features = _in_parallel(self.moving[0], weights, statistics, support_x)
            bias = parameters.get(f"{HEAD}bias")
            means, offsets = class_mean_weights(
                features, support_y, temperature=self.temperature, bias=bias is not None
            )
            parameters[f"{HEAD}weight"].copy_(means)
            if bias is not None and offsets is not None:
                bias.copy_(offsets)

    def _by_block(self, parameters: Parameters) -> list[list[Tensor]]:
        """Groups the trained parameters by block, from bottom to top, with the head last."""
        found: dict[str, list[Tensor]] = {}
        for name, value in parameters.items():
            if not self.context_only or name == f"{HEAD}context":
                found.setdefault(HEAD if name.startswith(HEAD) else name.split(".")[1], []).append(value)
        return list(found.values())

    def _set_rates(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Sets each block's learning rate; a frozen block gets no gradient, so its weights and moments stay."""
        groups = optimizer.param_groups
        for group, rate in zip(groups, self.rates.of_step(step, len(groups)), strict=True):
            group["lr"] = rate or 0.0
            for value in group["params"]:
                value.requires_grad_(rate is not None)

    def _answer(self, parameters: Parameters, buffers: Parameters, support_x: Tensor, query_x: Tensor) -> Tensor:
        """Predicts queries with the adapted weights; norms that are not frozen get the support set too."""
        if self.frozen_norm:
            return self._forward(parameters, buffers, query_x)
        shots = support_x.shape[1]
        with statistics_of(self.moving, None if self.transductive else shots):
            return self._forward(parameters, buffers, torch.cat([support_x, query_x], dim=1))[:, shots:]

    def _forward(self, parameters: Parameters, buffers: Parameters, x: Tensor) -> Tensor:
        return _in_parallel(self.moving, parameters, buffers, x)

    def _loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Sums the episodes' mean losses, so that an episode's step does not depend on the number of episodes."""
        if self.regression:
            return F.mse_loss(output, target, reduction="none").mean(dim=(1, 2)).sum()
        return self.network.likelihood.nll(output, target).mean(dim=1).sum()


def _below_head(state: Parameters) -> Parameters:
    return {name.removeprefix(BODY): value for name, value in state.items() if name.startswith(BODY)}


def _in_parallel(module: nn.Module, parameters: Parameters, buffers: Parameters, x: Tensor) -> Tensor:
    """Applies a module to each episode of x [B, ...] with that episode's parameters [B, ...]."""
    return vmap(lambda p, b, one: functional_call(module, (p, b), (one,)))(parameters, buffers, x)


def _require(optimizer: str, scale: float, episodes_at_once: int, **penalties: float) -> None:
    """Raises ValueError for arguments with which nothing can adapt."""
    require_choice("optimizer", optimizer, ("adam", "sgd"))
    for name, value in {"scale": scale, "episodes_at_once": episodes_at_once}.items():
        if not value > 0:
            raise ValueError(f"Expected argument `{name}` to be positive but got {value}.")
    for name, value in penalties.items():
        if not value >= 0:
            raise ValueError(f"Expected argument `{name}` to be zero or more but got {value}.")
