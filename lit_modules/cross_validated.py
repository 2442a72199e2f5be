"""Fine-tuning whose learning rate, steps and other arguments are chosen by cross-validation, never on test queries."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from adaptbench.datamodules.choices import require_choice
from adaptbench.datamodules.episodes import EpisodeBatch
from adaptbench.lit_modules.fine_tuning import FineTuning
from adaptbench.lit_modules.prototypes import ABSENT
from adaptbench.lit_modules.transfer import TransferModule

By = Literal["validation", "leave_one_out"]


class Choice(NamedTuple):
    """Values of arguments that were tried for one number of support examples.

    Attributes:
        support: support examples in an episode.
        settings: the arguments.
        score: by validation the metric of the likelihood, by leave-one-out the loss; a mean over episodes.
        share: fraction of the episodes that took them.
    """

    support: int
    settings: Mapping[str, Any]
    score: float
    share: float


class ChosenFineTuning:
    """Fine-tuning with the best of several values of its arguments.

    With `by="validation"`, `choose` makes one choice for each number of support examples, on validation episodes. With
    `by="leave_one_out"`, each test episode makes its own choice. Each support example is predicted from the others,
    and the candidate with the least mean loss is chosen. An episode with a single example of some class cannot leave it
    out and takes the first candidate. Test queries have no part in the choice.

    Args:
        network: the pretrained network, which does not change.
        targets: Y, width of an episode's targets.
        grid: values to choose from for arguments of `FineTuning`, by name; every combination is a candidate.
        fixed: the other arguments of `FineTuning`.
        by: how to choose.

    Attributes:
        chosen: for each number of support examples, what was tried.
    """

    def __init__(
        self,
        network: TransferModule,
        targets: int,
        *,
        grid: Mapping[str, Sequence[Any]],
        fixed: Mapping[str, Any] | None = None,
        by: By = "validation",
    ) -> None:
        require_choice("by", by, ("validation", "leave_one_out"))
        if not grid or not all(grid.values()):
            raise ValueError("Expected argument `grid` to name arguments with at least one value each.")
        self.network, self.by = network, by
        combinations = itertools.product(*grid.values())
        self.arguments = [dict(zip(grid, values, strict=True)) for values in combinations]
        self.candidates = [FineTuning(network, targets, **(fixed or {}), **own) for own in self.arguments]
        self.parameters = max(candidate.parameters for candidate in self.candidates)
        self.transductive = any(candidate.transductive for candidate in self.candidates)
        if self.transductive and by == "leave_one_out":
            raise ValueError("Expected argument `transductive` to be false where support examples are left out.")
        self.chosen: dict[int, list[Choice]] = {}

    def choose(self, episodes: Iterable[EpisodeBatch]) -> None:
        """Chooses by the queries of each batch, one for each number of support examples, if `by` is "validation"."""
        if self.by != "validation":
            return
        likelihood = self.network.likelihood
        for batch in episodes:
            predictions = [candidate.predict(batch) for candidate in self.candidates]
            scores = torch.stack([likelihood.score(each, batch.query_y).mean() for each in predictions])
            signed = scores if likelihood.higher_is_better else -scores
            best = torch.where(signed.isfinite(), signed, -torch.inf).argmax().expand(len(batch.query))
            self._record(batch, best, scores)

    def restore(self, choices: Iterable[Choice]) -> None:
        """Takes over what an earlier run chose."""
        self.chosen = {}
        for choice in choices:
            self.chosen.setdefault(choice.support, []).append(choice)

    def choices(self) -> list[Choice]:
        """What was tried, by the number of support examples."""
        return [choice for size in sorted(self.chosen) for choice in self.chosen[size]]

    def predict(self, batch: EpisodeBatch) -> Tensor:
        """Adapts with the chosen arguments and predicts the queries, [B, Q, P].

        Raises:
            ValueError: if `by` is "validation" and `choose` has not been called.
        """
        if self.by == "validation":
            return self.candidates[self._choice(batch.support.shape[1])].predict(batch)
        losses = torch.stack([self._left_out_loss(candidate, batch) for candidate in self.candidates])
        best = losses.argmin(dim=0)
        self._record(batch, best, losses.mean(dim=1))
        wanted = [index for index in range(len(self.candidates)) if bool((best == index).any())]
        if len(wanted) == 1:
            return self.candidates[wanted[0]].predict(batch)
        order = torch.cat([(best == index).nonzero().flatten() for index in wanted])
        parts = [self.candidates[index].predict(batch.episodes(best == index)) for index in wanted]
        return torch.cat(parts)[order.argsort()]

    def carried(self, batch: EpisodeBatch) -> int:
        """Counts what the chosen candidate carries over; by leave-one-out, the most that a candidate does."""
        if self.by == "validation":
            return self.candidates[self._choice(batch.support.shape[1])].carried(batch)
        return max(candidate.carried(batch) for candidate in self.candidates)

    def _choice(self, support: int) -> int:
        """Returns the candidate chosen for the nearest number of support examples."""
        if not self.chosen:
            raise ValueError(
                "Expected `choose` to be called with validation episodes before `predict`, but it was not."
            )
        nearest = min(self.chosen, key=lambda size: abs(size - support))
        taken = max(self.chosen[nearest], key=lambda choice: choice.share)
        return self.arguments.index(dict(taken.settings))

    def _left_out_loss(self, candidate: FineTuning, batch: EpisodeBatch) -> Tensor:
        """Returns the mean loss of support examples predicted from the others, [B]; zero if none can be left out."""
        episodes, support = batch.support.shape
        if support < 2 or not bool((self._counts(batch) != 1).all()):
            return torch.zeros(episodes)
        others = torch.arange(support).repeat(support, 1)[~torch.eye(support, dtype=torch.bool)].view(support, -1)
        folds = EpisodeBatch(
            batch.inputs,
            batch.support[:, others].flatten(0, 1),
            batch.support_y[:, others].flatten(0, 1),
            batch.support.reshape(-1, 1),
            batch.support_y.reshape(-1, 1, batch.support_y.shape[-1]),
        )
        loss = self.network.likelihood.nll(candidate.predict(folds), folds.query_y).view(episodes, support).mean(dim=1)
        return loss.nan_to_num(nan=-ABSENT, posinf=-ABSENT)

    def _counts(self, batch: EpisodeBatch) -> Tensor:
        """Counts the examples of each class of each episode; regression gives two, so any example can be left out."""
        if self.candidates[0].regression:
            return torch.full((1,), 2.0)
        return batch.support_y.sum(dim=1)

    def _record(self, batch: EpisodeBatch, best: Tensor, scores: Tensor) -> None:
        support = batch.support.shape[1]
        shares = [float((best == index).float().mean()) for index in range(len(self.candidates))]
        self.chosen[support] = [
            Choice(support, own, float(score), share)
            for own, score, share in zip(self.arguments, scores, shares, strict=True)
        ]
