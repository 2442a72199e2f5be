"""The interface of adapters, and what some adapters and tasks can do besides."""

from collections.abc import Callable, Iterable
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
    """How a pretrained network adapts to an episode: what a class of `STRATEGIES` must have.

    It may also have `parameters` (its number of weights) and `examples_encoded` (in training), if they are not the
    network's; `transductive`, whether it predicts the queries of an episode together; `carried(batch)`, how many
    numbers it carries over from each support set to the queries; and what `Chooses`, `Told` and `AsksPosterior`
    declare.

    Args:
        network: the pretrained network, which must not be changed.
        targets: Y, width of an episode's targets.
    """

    def __init__(self, network: TransferModule, targets: int) -> None: ...

    def predict(self, batch: EpisodeBatch) -> Tensor:
        """Returns predictions [B, Q, P]."""


@runtime_checkable
class Chooses(Protocol):
    """An adapter that chooses its settings on validation episodes or within support sets."""

    def choose(self, episodes: Iterable[EpisodeBatch]) -> None:
        """Chooses by the queries of validation episodes, a batch for each number of shots."""

    def choices(self) -> list[Choice]:
        """Returns the settings that were tried, with their scores and how often each was chosen."""

    def restore(self, choices: Iterable[Choice]) -> None:
        """Uses what an earlier run chose."""


@runtime_checkable
class Told(Protocol):
    """A control that is given the functions of the episodes before it predicts them."""

    functions: Tensor | None


@runtime_checkable
class AsksPosterior(Protocol):
    """A control that predicts by the task's own posterior."""

    posterior: Callable[[EpisodeBatch, str], tuple[Tensor, Tensor]] | None


@runtime_checkable
class HasPosterior(Protocol):
    """A task that can compute the exact posterior of its functions, given a support set."""

    def posterior(self, batch: EpisodeBatch, knows: str) -> tuple[Tensor, Tensor]:
        """Returns mean and standard deviation of the queries' targets, each [B, Q, Y]."""


@runtime_checkable
class Tells(Protocol):
    """A task that knows the functions of its episodes."""

    def eval_functions(self, part: EvalPart, size: EpisodeSize, episodes: int) -> Tensor:
        """Returns the parameters of each evaluation episode's function, [B, K]."""


def size_of(adapter: Adapter, network: nn.Module) -> int:
    """Returns the number of weights: the adapter's `parameters`, else its own if it is a module, else the network's."""
    said = getattr(adapter, "parameters", None)
    if isinstance(said, int):
        return said
    return weights_of(adapter if isinstance(adapter, nn.Module) else network)


def carried_by(adapter: Adapter, batch: EpisodeBatch) -> int | None:
    """Counts the numbers that an adapter carries over from each support set to its queries; None if it does not say."""
    count = getattr(adapter, "carried", None)
    return count(batch) if callable(count) else None


def weights_of(module: nn.Module) -> int:
    """Returns the number of weights of a module."""
    return sum(weight.numel() for weight in module.parameters())


def with_guesses(prediction: Tensor) -> tuple[Tensor, int]:
    """Replaces the predictions of episodes in which the adapter diverged by a guess, which is all zeros.

    Args:
        prediction: [B, Q, P].

    Returns:
        The predictions, and the number of episodes in which one was not finite.
    """
    diverged = ~prediction.isfinite().all(dim=-1).all(dim=-1)
    return prediction.masked_fill(diverged.view(-1, 1, 1), 0.0), int(diverged.sum())
