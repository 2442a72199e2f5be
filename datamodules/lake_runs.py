"""Lake's 20 one-shot runs: the official 20-way trials within an alphabet that no learner has trained on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from adaptbench.datamodules.base import EvalEpisodes, EvalPart, Part, Sampling, Scope
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize, rng_for
from adaptbench.datamodules.omniglot import Drawers, LearnFrom, OmniglotDataModule, Rotations
from adaptbench.datamodules.omniglot_archives import OFFICIAL, RUNS, Archive, read_archive
from adaptbench.datamodules.omniglot_images import Pixels, decode_drawing

COUNT = 20
SIZE = EpisodeSize(ways=20, shots=1, queries=1)
TEST = EvalEpisodes(ways=20, shots=(1,), queries=1, episodes=COUNT)
PUBLISHED = {
    "lake": "people 4.5, BPL 3.3 and GNS 5.7 (they learn from strokes), siamese network 8.0 (learned from 40 "
    "alphabets), convolutional network 13.5, hierarchical deep model 34.8, modified Hausdorff distance 38.8 (learns "
    "nothing)",
    "small1": "BPL 4.3 (it learns from strokes), convolutional network 24.0",
    "small2": "BPL 4.0 (it learns from strokes), convolutional network 22.3",
}
"""Errors in per cent that Lake et al. 2015 (Science 350:1332) publish, by the split used for training; that of GNS is
Feinman & Lake's, as Liang et al. 2022 quote it."""


class Runs(NamedTuple):
    """The R = 20 runs, each with 20 classes.

    Attributes:
        support: [R, 20, H, W] uint8, the one image of each class.
        query: [R, 20, H, W] uint8, the images to classify.
        answers: [R, 20] int64, the class of each query.
    """

    support: Pixels
    query: Pixels
    answers: npt.NDArray[np.int64]


def load_runs(size: int = 28, archive: Archive = RUNS) -> Runs:
    """Reads the runs from the folder named by the user, the cache folder, or the dataset's own repository.

    Args:
        size: height and width in pixels; the originals have 105.
        archive: the archive that holds them.

    Raises:
        DataUnavailable: if the runs are missing and cannot be downloaded.
    """
    members = read_archive(archive)
    names = sorted({name.partition("/")[0] for name in members})
    found = [_read_run(members, name, size) for name in names]
    return Runs(*(np.stack(field) for field in zip(*found, strict=True)))


def _read_run(members: Mapping[str, bytes], name: str, size: int) -> Runs:
    """Reads a run's table of lines `run01/test/item01.png run01/training/class08.png`."""
    lines = [line.split() for line in members[f"{name}/class_labels.txt"].decode().splitlines() if line.strip()]
    classes = sorted({answer for _, answer in lines})
    support = np.stack([decode_drawing(members[member], size) for member in classes])
    query = np.stack([decode_drawing(members[member], size) for member, _ in lines])
    return Runs(support, query, np.array([classes.index(answer) for _, answer in lines]))


class LakeRunsDataModule(OmniglotDataModule):
    """The one-shot classification task of Lake et al. 2015 (Science 350:1332), as published in their repository.

    The test has twenty runs of 20 trials. Each trial shows one image of each of 20 characters of an alphabet, and asks
    which of these characters another person has drawn. The 400 trials come from the evaluation set, so no learner may
    be trained or selected on any alphabet of that set. Training and validation are those of Omniglot.

    Args:
        sampling: the episodes to draw; the test must have 20 ways, 1 shot, 1 query and 20 episodes, as the runs do.
        split: "lake", "small1" or "small2", or another that keeps evaluation alphabets out of training and validation.
        scope: scope of the training and validation episodes; the runs are within alphabets.
        rotations: rotations of the training characters.
        train_classes: number of training characters to learn from; None for all.
        images_per_class: number of drawings of each; None for all.
        train_images: number of drawings of all training characters together, in equal shares; None for all.
        drawers: "apart" if validation episodes have one drawer for the support set and another for the queries, as the
            runs do; this needs `scope="within"`.
        learn_from: "train", or "train_and_val" for a final training on all background alphabets of the split.
        augment: whether training images are changed a little at random; the runs never are.
        image_size: height and width of the images in pixels.
        archives: the image archives; change them to use another data set in the same layout.
        runs: the archive of the runs.

    Raises:
        ValueError: if an argument is wrong, or training or validation would use an evaluation alphabet.
        DataUnavailable: if the images or the runs are missing and cannot be downloaded.
    """

    task_name: ClassVar[str] = "lake_runs"
    queries_are_trials: ClassVar[bool] = True
    fixed_test: ClassVar[EvalEpisodes | None] = TEST

    def __init__(
        self,
        sampling: Sampling,
        *,
        split: str = "lake",
        scope: Scope = "across",
        rotations: Rotations = "train",
        train_classes: int | None = None,
        images_per_class: int | None = None,
        train_images: int | None = None,
        drawers: Drawers = "mixed",
        learn_from: LearnFrom = "train",
        augment: bool = False,
        image_size: int = 28,
        archives: Sequence[Archive] = OFFICIAL,
        runs: Archive = RUNS,
    ) -> None:
        test = sampling.test
        if test.sizes != TEST.sizes or test.episodes != COUNT:
            raise ValueError(
                f"Expected argument `test` to have {SIZE.ways} ways, {SIZE.shots} shot, {SIZE.queries} query and "
                f"{COUNT} episodes, because the official runs have them, but got {test}."
            )
        if rotations == "all":
            raise ValueError(
                "Expected argument `rotations` to be 'none' or 'train' for the official runs but got 'all'."
            )
        super().__init__(
            sampling,
            split=split,
            scope=scope,
            rotations=rotations,
            train_classes=train_classes,
            images_per_class=images_per_class,
            train_images=train_images,
            drawers=drawers,
            learn_from=learn_from,
            augment=augment,
            image_size=image_size,
            archives=archives,
        )
        self._refuse_evaluation_alphabets()
        self.runs = load_runs(image_size, runs)

    @classmethod
    def protocol(cls, init_args: Mapping[str, Any]) -> str:
        """Names the runs and the protocol of training."""
        return f"20 official runs, learned from {super().protocol({'split': 'lake', **init_args})}"

    @classmethod
    def remarks(cls, init_args: Mapping[str, Any]) -> tuple[str, ...]:
        """Describes the trials, and gives the errors published for them and the remarks of the split."""
        split = init_args.get("split", "lake")
        published = (f"Published errors in %: {PUBLISHED[split]}.",) if split in PUBLISHED else ()
        trials = "400 trials, 20-way within an alphabet of the evaluation set."
        return (trials, *published, *super().remarks({**init_args, "split": split})[1:])

    @classmethod
    def training_classes(cls, init_args: Mapping[str, Any]) -> int | None:
        """The number of training characters asked for, or all of the split."""
        return super().training_classes({"split": "lake", **init_args})

    @property
    def known_near_duplicates(self) -> int | None:
        """Two images of the runs at the usual size, one if a minimal set is for training."""
        if super().known_near_duplicates is None:
            return None
        return 2 if self.split == "lake" else 1

    def guarded_drawings(self, part: Part) -> Iterator[np.ndarray]:
        """Yields the images of the runs for the test part."""
        return iter([*self.runs.support, *self.runs.query]) if part == "test" else super().guarded_drawings(part)

    def eval_batch(self, part: EvalPart, size: EpisodeSize, episodes: int) -> EpisodeBatch:
        """Draws validation episodes, or returns the first runs as published, except that their labels are permuted.

        Raises:
            ValueError: if the test is asked for in a size other than its own, or for more runs than there are.
        """
        if part != "test":
            return super().eval_batch(part, size, episodes)
        if size != SIZE or episodes > COUNT:
            raise ValueError(f"Expected the {COUNT} runs of size {tuple(SIZE)} but got {episodes} of {tuple(size)}.")
        support, query, answers = self.runs
        images = np.concatenate([support, query], axis=1)
        rows = np.arange(images.shape[0] * images.shape[1]).reshape(images.shape[:2])
        rng = rng_for(self.task_name, "test")
        labels = rng.permuted(np.tile(np.arange(support.shape[1]), (len(rows), 1)), axis=1)
        one_hot = np.eye(self.targets, dtype=np.float32)
        batch = EpisodeBatch(
            inputs=torch.from_numpy(images.reshape(-1, *images.shape[2:])),
            support=torch.from_numpy(rows[:, : support.shape[1]]),
            support_y=torch.from_numpy(one_hot[labels]),
            query=torch.from_numpy(rows[:, support.shape[1] :]),
            query_y=torch.from_numpy(one_hot[np.take_along_axis(labels, answers, axis=1)]),
        )
        return batch.episodes(slice(episodes))

    def _refuse_evaluation_alphabets(self) -> None:
        seen = np.concatenate([self.characters["train"], self.characters["val"]])
        alphabets = {self.images.characters[row][0] for row in seen if self.images.sets[row] == "evaluation"}
        if alphabets:
            raise ValueError(
                f"Expected argument `split` to keep the evaluation alphabets, which the official runs are drawn from, "
                f"out of training and validation, as 'lake', 'small1' and 'small2' do, but {self.split!r} has "
                f"{', '.join(sorted(alphabets))} there."
            )
