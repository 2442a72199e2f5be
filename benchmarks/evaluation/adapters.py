"""What the judge asks of adapters: the interface of all, and what some can do besides."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from adaptbench.datamodules.base import EvalPart
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize


class Adapter(Protocol):
    """Anything that predicts queries from a support set."""

    def predict(self, batch: EpisodeBatch) -> Tensor:
        """Returns predictions [B, Q, P]."""


@runtime_checkable
class Chooses(Protocol):
    """An adapter that chooses among settings of its own, on validation episodes or within support sets."""

    def choose(self, episodes: Iterable[EpisodeBatch]) -> None:
        """Chooses by the queries of validation episodes, a batch for each number of shots."""

    def as_records(self) -> list[dict[str, Any]]:
        """Returns what was chosen."""

    def restore(self, chosen: Iterable[Mapping[str, Any]]) -> None:
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


def with_guesses(prediction: Tensor) -> tuple[Tensor, int]:
    """Puts a guess, which is all zeros, in the place of what an adapter that diverged in an episode predicts.

    Args:
        prediction: [B, Q, P].

    Returns:
        The predictions, and in how many episodes one was not finite.
    """
    diverged = ~prediction.isfinite().all(dim=-1).all(dim=-1)
    return prediction.masked_fill(diverged.view(-1, 1, 1), 0.0), int(diverged.sum())
