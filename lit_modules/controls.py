"""Controls: lower bounds that a fine-tuned network should beat, and an upper bound that nothing can beat."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adaptbench.datamodules.choices import require_choice
from adaptbench.datamodules.episodes import EpisodeBatch
from adaptbench.lit_modules.encoders import Scale
from adaptbench.lit_modules.fine_tuning import FineTuning
from adaptbench.lit_modules.heads import HeadStart
from adaptbench.lit_modules.likelihoods import Gaussian, with_unit_scale
from adaptbench.lit_modules.prototypes import ABSENT, Prototypes
from adaptbench.lit_modules.training import encode_all, evaluating
from adaptbench.lit_modules.transfer import TransferModule

EPISODES_AT_ONCE = 100


def require_kind(network: TransferModule, name: str, *, regression: bool) -> None:
    """Raises ValueError if the task is not of the kind that the control needs."""
    if isinstance(network.likelihood, Gaussian) != regression:
        wanted = "regression" if regression else "classification"
        raise ValueError(f"Expected a task of {wanted} for the control `{name}` but got the other kind.")


class FromScratch(FineTuning):
    """Fine-tuning without pretraining: the same network, with random weights, learns from the support set alone.

    Batch norms take their statistics from the support set, because there are no pretrained ones. The random weights are
    the same for every episode.

    Args:
        network: the pretrained network; only its architecture is used.
        targets: Y, width of an episode's targets.
        steps: gradient steps on the whole support set.
        lr: learning rate of Adam.
        seed: decides the random weights.
        episodes_at_once: number of episodes adapted in parallel.
    """

    examples_encoded: ClassVar[int] = 0

    def __init__(
        self,
        network: TransferModule,
        targets: int,
        *,
        steps: int = 100,
        lr: float = 0.001,
        seed: int = 0,
        episodes_at_once: int = 10,
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            fresh = network.with_new_weights()
        normed = any(isinstance(part, nn.BatchNorm2d) for part in fresh.modules())
        start: HeadStart = "pretrained" if isinstance(network.likelihood, Gaussian) else "random"
        super().__init__(
            fresh, targets, moves="all", steps=steps, lr=lr, normalize=False, head_start=start, head_seed=seed,
            frozen_norm=not normed, episodes_at_once=episodes_at_once,
        )  # fmt: skip


class NearestCentroid:
    """Predicts the class whose mean of frozen features is nearest, without a gradient step.

    With the metric "cosine", features are normalised first, which suits a network pretrained with a cosine head.

    Equation:
        c_k = mean of all e(x_i) with label k; prediction_k = -|e(x*) - c_k|^2, with features of length
        `scale`

    Args:
        network: the pretrained network.
        targets: Y, classes in an episode.
        metric: "cosine" or "euclidean".
        scale: length of normalised features; larger values make predictions more confident.
    """

    def __init__(self, network: TransferModule, targets: int, *, metric: str = "cosine", scale: float = 4.0) -> None:
        require_kind(network, "nearest_centroid", regression=False)
        require_choice("metric", metric, ("cosine", "euclidean"))
        self.network, self.metric, self.scale = network, metric, scale
        self.parameters = sum(weight.numel() for weight in network.encoder.parameters())
        self._classify = Prototypes(network.features, targets, targets)

    def carried(self, batch: EpisodeBatch) -> int:
        """The mean of each class."""
        return self._classify.values

    def predict(self, batch: EpisodeBatch) -> Tensor:
        """Predicts the queries from the class means, [B, Q, Y]."""
        with evaluating(self.network), torch.no_grad():
            features = encode_all(self.network.encoder, batch.inputs)
            if self.metric == "cosine":
                features = self.scale * F.normalize(features, dim=-1)
            prediction: Tensor = self._classify(features[batch.support], batch.support_y, features[batch.query])
            return prediction


class NearestNeighbour:
    """Predicts the class of the support image nearest in pixel space; no network is used.

    Equation:
        prediction = y_j, j = argmin_i |x* - x_i|

    Args:
        network: the pretrained network, which is not used.
        targets: Y, classes in an episode.
    """

    parameters: ClassVar[int] = 0
    examples_encoded: ClassVar[int] = 0

    def __init__(self, network: TransferModule, targets: int) -> None:
        require_kind(network, "nearest_neighbour", regression=False)
        self.network = network

    def carried(self, batch: EpisodeBatch) -> int:
        """The pixels of the support set."""
        return batch.support.shape[1] * batch.inputs[0].numel()

    def predict(self, batch: EpisodeBatch) -> Tensor:
        """Scores each class by the negative distance to its nearest support image, [B, Q, Y]."""
        pixels = Scale()(batch.inputs).flatten(1)
        parts = batch.chunks(EPISODES_AT_ONCE)
        return torch.cat([self._nearest(pixels[support], y, pixels[query]) for support, y, query in parts])

    def _nearest(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        distances = torch.cdist(query_x, support_x).unsqueeze(-1)  # [B, Q, S, 1]
        others = support_y.unsqueeze(1) == 0
        return (-distances).expand(-1, -1, -1, support_y.shape[-1]).masked_fill(others, ABSENT).amax(dim=2)


class Average:
    """Predicts the output of the pretrained network, the mean of all training functions, for any support set.

    Args:
        network: the network pretrained on all functions at once.
        targets: Y, width of a real target.
    """

    def __init__(self, network: TransferModule, targets: int) -> None:
        require_kind(network, "average", regression=True)
        self.network = network
        self.parameters = sum(weight.numel() for weight in network.parameters())

    def carried(self, batch: EpisodeBatch) -> int:
        """Nothing."""
        return 0

    def predict(self, batch: EpisodeBatch) -> Tensor:
        """Predicts the queries with the network, [B, Q, P]."""
        with evaluating(self.network), torch.no_grad():
            return with_unit_scale(self.network.head(encode_all(self.network.encoder, batch.inputs)))[batch.query]


class Oracle:
    """Predicts sinusoids from their amplitude and phase, which it is told, so that its only error is the noise.

    Finn et al. 2017 (arXiv 1703.03400, section 5.1) train a network that is told both; this one also knows the sine.

    Args:
        network: the pretrained network, which is not used.
        targets: Y, width of a real target.

    Attributes:
        functions: amplitude and phase of each episode's function, [B, 2]; the evaluation sets them before `predict`.
    """

    parameters: ClassVar[int] = 0
    examples_encoded: ClassVar[int] = 0

    def __init__(self, network: TransferModule, targets: int) -> None:
        require_kind(network, "oracle", regression=True)
        self.network = network
        self.functions: Tensor | None = None

    def carried(self, batch: EpisodeBatch) -> int:
        """Nothing, because it is told the function."""
        return 0

    def predict(self, batch: EpisodeBatch) -> Tensor:
        """Predicts the queries of the first B functions that it was told, [B, Q, P].

        Raises:
            ValueError: if it was told fewer.
        """
        if self.functions is None or len(self.functions) < len(batch.query):
            raise ValueError("Expected the oracle to be told the amplitude and phase of every episode, but it was not.")
        amplitude, phase = self.functions[: len(batch.query)].unsqueeze(1).unsqueeze(-1).unbind(dim=2)
        return with_unit_scale(amplitude * torch.sin(batch.inputs[batch.query] - phase))
