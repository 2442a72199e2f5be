"""Draws episodes of a task of classes, changes their support sets, and collects what trained adapters answer."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from adaptbench.benchmarks.evaluation.adapters import Adapter
from adaptbench.datamodules.base import EvalPart
from adaptbench.datamodules.class_task import ClassDataModule
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize
from adaptbench.lit_modules.likelihoods import LIKELIHOODS

EPISODES = 4
"""Episodes of each size and part."""
QUERIES = 2
"""Queries of each class."""
MOST_SUPPORT = 30
"""Support examples of the largest episode; a larger one would take most of the page."""


@dataclass(frozen=True)
class Drawn:
    """An episode with another image for each support example.

    Attributes:
        part: where it is from.
        size: its size.
        images: [M, *x] uint8.
        support: [S], rows of `images`.
        support_y: [S, Y] one-hot.
        others: [S], rows of `images`: another image of each one's class.
        query: [Q], rows of `images`.
        query_labels: [Q].
        shuffled: [S], a permutation.
    """

    part: EvalPart
    size: EpisodeSize
    images: Tensor
    support: Tensor
    support_y: Tensor
    others: Tensor
    query: Tensor
    query_labels: Tensor
    shuffled: Tensor

    def changes(self) -> dict[str, tuple[Tensor, Tensor]]:
        """The support set [S] and its labels [S, Y] after each change, by its name in the format."""
        rows, y = self.support, self.support_y
        everyone = torch.arange(len(rows))
        following = torch.cat([y[:, : self.size.ways].roll(1, dims=1), y[:, self.size.ways :]], dim=1)
        found = {"original": (rows, y), "labels": (rows, following)}
        found |= {"reversed": (rows.flip(0), y.flip(0)), "shuffled": (rows[self.shuffled], y[self.shuffled])}
        for place in range(len(rows)):
            rest = everyone != place
            found[f"without {place}"] = rows[rest], y[rest]
            found[f"other {place}"] = torch.where(rest, rows, self.others), y
        return found


def draw(task: ClassDataModule, size: EpisodeSize, part: EvalPart) -> list[Drawn]:
    """Draws episodes of a part with one more example of each class, which serves as its other image.

    It is one shot more, or one query more where numbers of shots are unequal, which stay what they are.

    Returns:
        The episodes; none if the part has too few classes or examples.
    """
    ways, shots, _ = size
    unequal = task.unequal_shots
    try:
        batch = task.eval_batch(part, EpisodeSize(ways, shots + (not unequal), QUERIES + unequal), EPISODES)
    except ValueError:
        return []
    found = []
    for support, y, query, query_y in zip(*batch[1:], strict=True):
        examples, labels = torch.cat([support, query]), torch.cat([y, query_y]).argmax(dim=-1)
        spare = labels if unequal else labels[: len(support)]
        last = torch.stack([(spare == label).nonzero()[-1, 0] for label in range(ways or 0)])
        kept = torch.ones(len(labels), dtype=torch.bool).scatter(0, last, False)
        given, asked = kept.split([len(support), len(query)])
        rows = torch.cat([support[given], examples[last], query[asked]])
        count = int(given.sum())
        found.append(
            Drawn(
                part=part,
                size=size,
                images=batch.inputs[rows],
                support=torch.arange(count),
                support_y=y[given],
                others=count + y[given].argmax(dim=-1),
                query=torch.arange(count + len(last), len(rows)),
                query_labels=query_y[asked].argmax(dim=-1),
                shuffled=torch.from_numpy(np.random.default_rng(count).permutation(count)),
            )
        )
    return found


def answers(adapter: Adapter, drawn: Drawn) -> dict[str, np.ndarray | None]:
    """The probabilities [Q, N] that an adapter gives after each change; None where it cannot say."""
    found: dict[str, np.ndarray | None] = {}
    changes = drawn.changes()
    for alone in (False, True):  # support sets of one size are predicted together
        found |= _together(adapter, drawn, {k: v for k, v in changes.items() if k.startswith("without") == alone})
    return found


def _together(
    adapter: Adapter, drawn: Drawn, changes: Mapping[str, tuple[Tensor, Tensor]]
) -> dict[str, np.ndarray | None]:
    query = drawn.query.expand(len(changes), -1)
    batch = EpisodeBatch(
        inputs=drawn.images,
        support=torch.stack([rows for rows, _ in changes.values()]),
        support_y=torch.stack([y for _, y in changes.values()]),
        query=query,
        query_y=torch.zeros(*query.shape, drawn.support_y.shape[1]),
    )
    try:
        prediction = adapter.predict(batch)
    except (ValueError, RuntimeError, IndexError):  # a learner need not take a class without examples
        return dict.fromkeys(changes)
    likely = LIKELIHOODS["categorical"].point(prediction[..., : drawn.size.ways]).numpy()
    return {name: own if np.isfinite(own).all() else None for name, own in zip(changes, likely, strict=True)}
