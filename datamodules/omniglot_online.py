"""Omniglot, online: a stream of characters whose labels come one step after their images."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from adaptbench.datamodules.base import EvalSplit
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize
from adaptbench.datamodules.omniglot import OmniglotDataModule
from adaptbench.datamodules.streams import select_presentation, streams_over_pool


class OmniglotOnlineDataModule(OmniglotDataModule):
    """The protocol of Santoro et al. 2016 (ICML; arXiv 1605.06065): accuracy at the n-th presentation of a class.

    A stream presents each of `ways` classes several times, always another drawing, in random order; a learner predicts
    each label before it is told. In place of shots stand presentations: `train.shots` says how often training streams
    present a class, `test.shots` which presentations are scored (test streams go as far as the last of them).
    Accuracy at the second presentation is not one-shot accuracy: other classes, and more of some than of others, came
    in between. The arguments are those of `OmniglotDataModule`, with one query a class: the presentation itself.
    """

    task_name: ClassVar[str] = "omniglot-online"
    shots_word: ClassVar[str] = "presentation"
    stream: ClassVar[bool] = True

    @classmethod
    def protocol(cls, init_args: Mapping[str, Any]) -> str:
        """Split, rotations, and that it is a stream."""
        return f"{super().protocol(init_args)}, online"

    def eval_batch(self, split: EvalSplit, size: EpisodeSize, episodes: int) -> EpisodeBatch:
        """Draws streams, the same ones for every presentation, and keeps the queries of presentation `size.shots`."""
        whole = EpisodeSize(size.ways, max(*self.test.shots, size.shots), 1)
        return select_presentation(super().eval_batch(split, whole, episodes), size.shots)

    def over_pool(
        self,
        rng: np.random.Generator,
        images: Tensor,
        classes: int,
        size: EpisodeSize,
        episodes: int,
        groups: np.ndarray | None,
    ) -> EpisodeBatch:
        """Builds streams over a pool of images, as `streams_over_pool` does."""
        return streams_over_pool(rng, images, classes, size, episodes, groups=groups, width=self.targets)
