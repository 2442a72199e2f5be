"""What the judge asks of adapters: the interface of all, and what some can do besides."""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from adaptbench.datamodules.base import EvalPart
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize
from adaptbench.lit_modules.cross_validated import Choice
from adaptbench.lit_modules.transfer import TransferModule


class Adapter(Protocol):
    """Anything that predicts queries from a support set."""

    def predict(self, batch: EpisodeBatch) -> Tensor:
        """Returns predictions [B, Q, P]."""


class Strategy(Protocol):
    """How a pretrained network adapts to an episode: all that a class of `STRATEGIES` must have.

    It may have more: `parameters`, its number of weights, and `examples_encoded`, the examples that were encoded in its
    training, where they are not the network's; `transductive`, whether it predicts the queries of an episode together;
    and what `Chooses` and `Told` say.

    Args:
        network: the pretrained network, which must stay as it is.
        targets: Y, width of an episode's targets.
    """

    def __init__(self, network: TransferModule, targets: int) -> None: ...

    def predict(self, batch: EpisodeBatch) -> Tensor:
        """Returns predictions [B, Q, P]."""


@runtime_checkable
class Chooses(Protocol):
    """An adapter that chooses among settings of its own, on validation episodes or within support sets."""

    def choose(self, episodes: Iterable[EpisodeBatch]) -> None:
        """Chooses by the queries of validation episodes, a batch for each number of shots."""

    def choices(self) -> list[Choice]:
        """Returns what was tried, and what was chosen of it."""

    def restore(self, choices: Iterable[Choice]) -> None:
        """Takes over what an earlier run chose."""


@runtime_checkable
class Told(Protocol):
    """An adapter that is told the functions of the episodes before it predicts them: a control, no competitor."""

    functions: Tensor | None


@runtime_checkable
class Tells(Protocol):
    """A task that knows the functions of its episodes."""

    def eval_functions(self, part: EvalPart, size: EpisodeSize, episodes: int) -> Tensor:
        """Returns what makes the function of each evaluation episode, [B, K]."""


def size_of(adapter: Adapter, network: nn.Module) -> int:
    """Counts the weights of an adapter: as many as it says, or its own where it is a module, or the network's."""
    said = getattr(adapter, "parameters", None)
    if isinstance(said, int):
        return said
    module = adapter if isinstance(adapter, nn.Module) else network
    return sum(weight.numel() for weight in module.parameters())


def with_guesses(prediction: Tensor) -> tuple[Tensor, int]:
    """Puts a guess, which is all zeros, in the place of what an adapter that diverged in an episode predicts.

    Args:
        prediction: [B, Q, P].

    Returns:
        The predictions, and in how many episodes one was not finite.
    """
    diverged = ~prediction.isfinite().all(dim=-1).all(dim=-1)
    return prediction.masked_fill(diverged.view(-1, 1, 1), 0.0), int(diverged.sum())
