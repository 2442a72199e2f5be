"""Lake's 20 one-shot runs: the official 20-way trials within an alphabet, for learners that never saw one of it."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from adaptbench.datamodules.base import EvalEpisodes, EvalSplit, Mode, Part, TrainEpisodes
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize, rng_for
from adaptbench.datamodules.omniglot import OmniglotDataModule, Rotations, Scope
from adaptbench.datamodules.omniglot_archives import OFFICIAL, RUNS, Archive, read_archive
from adaptbench.datamodules.omniglot_images import Pixels, decode_drawing

COUNT = 20
SIZE = EpisodeSize(ways=20, shots=1, queries=1)
TEST = EvalEpisodes(ways=20, shots=(1,), queries=1, episodes=COUNT)
PUBLISHED = {
    "lake": "people 4.5, BPL 3.3 (it learns from strokes), siamese network 8.0 (learned from 40 alphabets), "
    "convolutional network 13.5, hierarchical deep model 34.8, modified Hausdorff distance 38.8 (learns nothing)",
    "small1": "BPL 4.3 (it learns from strokes), convolutional network 24.0",
    "small2": "BPL 4.0 (it learns from strokes), convolutional network 22.3",
}
"""Errors in per cent that Lake et al. 2015 (Science 350:1332) give, by the split that was learned from."""


class Runs(NamedTuple):
    """The runs, R = 20 of them, each with 20 classes.

    Attributes:
        support: [R, 20, H, W] uint8, the one image of each class.
        query: [R, 20, H, W] uint8, the images to classify.
        answers: [R, 20] int64, the class of each query.
    """

    support: Pixels
    query: Pixels
    answers: npt.NDArray[np.int64]


def load_runs(size: int = 28, archive: Archive = RUNS) -> Runs:
    """Reads the runs from the named folder, the cache folder, or the dataset's own repository.

    Args:
        size: height and width in pixels; the originals have 105.
        archive: where they are.

    Raises:
        DataUnavailable: if they cannot be had.
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
    """The one-shot classification task of Lake et al. 2015 (Science 350:1332), as their repository has it.

    Twenty runs of 20 trials: each trial shows 20 images of one alphabet, one of each character, and asks which of them
    another person's drawing is. The 400 trials come from the evaluation set, so a learner must not have trained, nor
    been selected, on any alphabet of it. Training and validation are those of Omniglot.

    Args:
        train: the training episodes.
        test: the validation and test episodes; 20 ways, 1 shot, 1 query and 20 episodes, because the runs have them.
        split: "lake", "small1" or "small2", or another that keeps evaluation alphabets out of training and validation.
        scope: of the training and validation episodes; the runs are within alphabets.
        rotations: of the training characters.
        train_classes: how many training characters to learn from; None for all.
        images_per_class: how many drawings of each; None for all.
        train_images: how many drawings of all training characters together, in equal shares; None for all.
        image_size: height and width of the images in pixels.
        archives: the image archives, in case of another data set in the same layout.
        runs: the archive of the runs, likewise.
        seed: decides the training characters, their drawings and batches.
        mode: episodes or examples in `train_dataloader`.
        steps_per_epoch: training batches in an epoch.
        val_episodes: validation episodes for each number of shots.

    Raises:
        ValueError: if an argument is wrong, or an evaluation alphabet would be trained or validated on.
        DataUnavailable: if the images or the runs cannot be had.
    """

    task_name: ClassVar[str] = "lake_runs"
    queries_are_trials: ClassVar[bool] = True
    fixed_test: ClassVar[EvalEpisodes | None] = TEST

    def __init__(
        self,
        *,
        train: TrainEpisodes,
        test: EvalEpisodes,
        split: str = "lake",
        scope: Scope = "across",
        rotations: Rotations = "train",
        train_classes: int | None = None,
        images_per_class: int | None = None,
        train_images: int | None = None,
        image_size: int = 28,
        archives: Sequence[Archive] = OFFICIAL,
        runs: Archive = RUNS,
        seed: int = 0,
        mode: Mode = "episodes",
        steps_per_epoch: int = 100,
        val_episodes: int = 100,
    ) -> None:
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
            train=train,
            test=test,
            split=split,
            scope=scope,
            rotations=rotations,
            train_classes=train_classes,
            images_per_class=images_per_class,
            train_images=train_images,
            image_size=image_size,
            archives=archives,
            seed=seed,
            mode=mode,
            steps_per_epoch=steps_per_epoch,
            val_episodes=val_episodes,
        )
        self._refuse_evaluation_alphabets()
        self.runs = load_runs(image_size, runs)

    @classmethod
    def protocol(cls, init_args: Mapping[str, Any]) -> str:
        """The runs, and what is learned from."""
        return f"20 official runs, learned from {super().protocol({'split': 'lake', **init_args})}"

    @classmethod
    def remarks(cls, init_args: Mapping[str, Any]) -> tuple[str, ...]:
        """What the trials are, the errors published for them, and the remarks of the split."""
        split = init_args.get("split", "lake")
        published = (f"Published errors in %: {PUBLISHED[split]}.",) if split in PUBLISHED else ()
        trials = "400 trials, 20-way within an alphabet of the evaluation set."
        return (trials, *published, *super().remarks({"split": split})[1:])

    @classmethod
    def training_classes(cls, init_args: Mapping[str, Any]) -> int | None:
        """The training characters that are asked for, or all of the split."""
        return super().training_classes({"split": "lake", **init_args})

    def guarded_drawings(self, part: Part) -> np.ndarray:
        """The images of the runs are those of the test."""
        if part != "test":
            return super().guarded_drawings(part)
        return np.concatenate([*self.runs.support, *self.runs.query])

    def eval_batch(self, split: EvalSplit, size: EpisodeSize, episodes: int) -> EpisodeBatch:
        """Draws validation episodes, or puts the runs together: labels are permuted, the rest is as it was given.

        Raises:
            ValueError: if the test is asked for in another size than it has.
        """
        if split != "test":
            return super().eval_batch(split, size, episodes)
        if (size, episodes) != (SIZE, COUNT):
            raise ValueError(f"Expected the {COUNT} runs of size {tuple(SIZE)} but got {episodes} of {tuple(size)}.")
        support, query, answers = self.runs
        images = np.concatenate([support, query], axis=1)
        rows = np.arange(images.shape[0] * images.shape[1]).reshape(images.shape[:2])
        rng = rng_for(self.task_name, "test")
        labels = rng.permuted(np.tile(np.arange(support.shape[1]), (len(rows), 1)), axis=1)
        one_hot = np.eye(self.targets, dtype=np.float32)
        return EpisodeBatch(
            inputs=torch.from_numpy(images.reshape(-1, *images.shape[2:])),
            support=torch.from_numpy(rows[:, : support.shape[1]]),
            support_y=torch.from_numpy(one_hot[labels]),
            query=torch.from_numpy(rows[:, support.shape[1] :]),
            query_y=torch.from_numpy(one_hot[np.take_along_axis(labels, answers, axis=1)]),
        )

    def _refuse_evaluation_alphabets(self) -> None:
        seen = np.concatenate([self.characters["train"], self.characters["val"]])
        alphabets = {self.images.characters[row][0] for row in seen if self.images.sets[row] == "evaluation"}
        if alphabets:
            raise ValueError(
                f"Expected argument `split` to keep the evaluation alphabets, which the official runs are drawn from, "
                f"out of training and validation, as 'lake', 'small1' and 'small2' do, but {self.split!r} has "
                f"{', '.join(sorted(alphabets))} there."
            )
