"""Online Omniglot: a stream of characters in which each label follows one step after its image."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from adaptbench.datamodules.base import EvalPart
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize
from adaptbench.datamodules.omniglot import OmniglotDataModule
from adaptbench.datamodules.streams import as_streams, select_presentation


class OmniglotOnlineDataModule(OmniglotDataModule):
    """The protocol of Santoro et al. 2016 (ICML; arXiv 1605.06065): accuracy at the n-th presentation of a class.

    A stream presents each of `ways` classes several times in random order, each time with another drawing. A learner
    predicts each label one step before it sees it. Numbers of shots count presentations: a training stream presents
    each class `train.shots` times, and the test scores the presentations in `test.shots`. Accuracy at the second
    presentation is not one-shot accuracy, because an unequal number of drawings of other classes came in between.

    The arguments are those of `OmniglotDataModule`, with one query per class: the presentation itself. Streams have
    neither `unequal_shots` nor `drawers="apart"`.
    """

    task_name: ClassVar[str] = "omniglot-online"
    shots_word: ClassVar[str] = "presentation"
    stream: ClassVar[bool] = True

    @classmethod
    def protocol(cls, init_args: Mapping[str, Any]) -> str:
        """Describes the protocol of Omniglot, and says that it is online."""
        return f"{super().protocol(init_args)}, online"

    def eval_batch(self, part: EvalPart, size: EpisodeSize, episodes: int) -> EpisodeBatch:
        """Draws the same streams for every `size.shots`, and keeps the queries of that presentation of each class."""
        whole = EpisodeSize(size.ways, max(*self.test.shots, size.shots), 1)
        return select_presentation(super().eval_batch(part, whole, episodes), size.shots)

    def over_pool(
        self,
        rng: np.random.Generator,
        images: Tensor,
        classes: int,
        size: EpisodeSize,
        episodes: int,
        groups: np.ndarray | None,
    ) -> EpisodeBatch:
        """Builds streams over a pool of images: `size.shots` different drawings of each class in random order."""
        return as_streams(super().over_pool(rng, images, classes, size._replace(queries=0), episodes, groups))
