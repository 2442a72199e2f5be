"""Image folder: few-shot classification of images of one's own."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast, get_args

import numpy as np
import torch
from torch import Tensor

from adaptbench.datamodules.base import UNSEEN, EvalPart, Part, Sampling, Scope, TestOn, require_positive
from adaptbench.datamodules.choices import require_choice
from adaptbench.datamodules.class_episodes import episodes_over_pool
from adaptbench.datamodules.class_task import PARTS, ClassDataModule
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize, first_episodes, rng_for
from adaptbench.datamodules.errors import DataUnavailable
from adaptbench.datamodules.guards import Finding, fingerprints, images_as_fed, queries_apart
from adaptbench.datamodules.image_files import class_sizes, folder_digest, load_folder
from adaptbench.datamodules.label_permutation import labels_permuted
from adaptbench.datamodules.near_duplicates import OwnImages, own_near_duplicates, such_as

FRACTIONS = (0.6, 0.2, 0.2)


class ImageFolderDataModule(ClassDataModule):
    """Images of one's own: each folder that holds images is a class, in `path/class` or `path/train/class`.

    Where all classes lie in `train`, `val` and `test`, these are the parts. Otherwise classes are divided at random.
    Classes may have different numbers of images.

    Args:
        sampling: the episodes to draw.
        path: the folder.
        image_size: height and width of the images in pixels.
        colour: whether images keep their colours.
        fractions: shares of the classes in training, validation and test, where folders do not divide them; None for
            60, 20 and 20 %.
        split_seed: decides which classes they are, where folders do not; None for 0.
        scope: "across" if an episode takes its classes from everywhere; "within" if from one folder of classes.
        min_images: classes with fewer images are left out.
        train_classes: number of training classes to learn from; None for all. Smaller sets are subsets of larger ones
            with the same seed.
        digest: digest of the folder's images, which a suite adds, so that a run's id changes with them.

    Raises:
        ValueError: if an argument is wrong, or the episodes do not fit into the parts.
        DataUnavailable: if there are no images, one cannot be read, or they have changed since the digest.
    """

    task_name: ClassVar[str] = "image_folder"
    class_word: ClassVar[str] = "classes"
    size_argument: ClassVar[str] = "train_classes"
    tested_on: ClassVar[tuple[TestOn, ...]] = UNSEEN

    def __init__(
        self,
        sampling: Sampling,
        *,
        path: str,
        image_size: int = 28,
        colour: bool = False,
        fractions: Sequence[float] | None = None,
        split_seed: int | None = None,
        scope: Scope = "across",
        min_images: int = 1,
        train_classes: int | None = None,
        digest: str | None = None,
    ) -> None:
        super().__init__(sampling)
        require_positive(image_size=image_size, min_images=min_images)
        require_choice("scope", scope, get_args(Scope))
        folder = Path(path).expanduser()
        self.digest = folder_digest(folder)
        if digest not in (None, self.digest):
            raise DataUnavailable(f"The images in {path} are not those of this run (digest {digest}) any more.")
        self.images = load_folder(folder, image_size, colour=colour)
        self.image_size, self.colour, self.scope = image_size, colour, scope
        self.classes = _divide(class_sizes(folder), min_images, fractions, split_seed)
        if train_classes is not None:
            available = self.classes["train"]
            require_positive(train_classes=train_classes)
            if train_classes > len(available):
                raise ValueError(
                    f"Expected argument `train_classes` to be at most {len(available)} but got {train_classes}."
                )
            chosen = rng_for("nested classes", sampling.seed).permutation(available)[:train_classes]
            self.classes["train"] = np.sort(chosen)
        self._require_images()
        self.require_episodes_fit()

    @classmethod
    def pinned(cls, init_args: Mapping[str, Any]) -> dict[str, Any]:
        """Adds the digest of the images that are there now, if there are any."""
        try:
            return {**init_args, "digest": folder_digest(Path(init_args["path"]).expanduser())}
        except (DataUnavailable, KeyError, TypeError):  # said when the task is made
            return dict(init_args)

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Height and width of an image, after 3 colours if it has them."""
        size = (self.image_size, self.image_size)
        return (3, *size) if self.colour else size

    @property
    def data_digest(self) -> str:
        """A digest of the images' names and contents."""
        return self.digest

    @classmethod
    def protocol(cls, init_args: Mapping[str, Any]) -> str:
        """Names the folder, the division of classes where it may be one at random, the scope, and colours."""
        words = [Path(init_args.get("path", "")).name]
        fractions, seed = init_args.get("fractions"), init_args.get("split_seed")
        if not (fractions is None and seed is None):
            shares = "/".join(f"{100 * share:g}" for share in fractions or FRACTIONS)
            words.append(f"{shares} % of classes (seed {seed or 0})")
        if "min_images" in init_args:
            words.append(f"classes of {init_args['min_images']} images or more")
        words += ["within groups"] if init_args.get("scope") == "within" else []
        return ", ".join([*words, *(["in colour"] if init_args.get("colour") else [])])

    @classmethod
    def label(cls, init_args: Mapping[str, Any]) -> str:
        """The name of the folder."""
        return Path(init_args.get("path", "")).name

    @classmethod
    def training_classes(cls, init_args: Mapping[str, Any]) -> int | None:
        """The number of training classes asked for, or all that the folder has; None if there is no such folder."""
        if (asked := super().training_classes(init_args)) is not None:
            return asked
        division = (init_args.get("min_images", 1), init_args.get("fractions"), init_args.get("split_seed"))
        try:
            return len(_divide(class_sizes(Path(init_args["path"]).expanduser()), *division)["train"])
        except (DataUnavailable, ValueError, KeyError, TypeError):  # said when the task is made
            return None

    def class_count(self, part: Part) -> int:
        """The number of classes of a part."""
        return len(self.classes[part])

    def drawing_count(self, part: Part) -> int:
        """The number of images of the smallest class of a part."""
        return int(self.images.counts[self.classes[part]].min(initial=np.iinfo(np.int64).max))

    def drawings_of(self, part: Part, classes: np.ndarray) -> np.ndarray:
        """The number of images of each of a part's classes."""
        return self.images.counts[self.classes[part][classes]]

    def groups(self, part: Part) -> np.ndarray | None:
        """The folder in which the folder of each class of a part lies; None if episodes go across them."""
        if self.scope == "across":
            return None
        folders = [self.images.classes[row].rpartition("/")[0] for row in self.classes[part]]
        return np.unique(folders, return_inverse=True)[1]

    def protocol_key(self, part: EvalPart) -> tuple[object, ...]:
        """The images and the classes of the part, and the scope."""
        return (self.digest, self.classes[cast(Part, part)].tolist(), self.scope)

    def gather(self, part: Part, classes: np.ndarray, drawings: np.ndarray) -> Tensor:
        """Returns images of classes, [M, H, W] or [M, 3, H, W] uint8."""
        return torch.from_numpy(self.images.pixels[self.images.starts[self.classes[part][classes]] + drawings])

    def eval_batch(self, part: EvalPart, size: EpisodeSize, episodes: int) -> EpisodeBatch:
        """Draws episodes over all images of a part, and keeps the images that they use."""
        whole = cast(Part, part)  # `tested_on` has no tests on training
        counts = self.images.counts[self.classes[whole]]
        rng = rng_for(self.task_name, *self.protocol_key(part), part, size, episodes)
        rows = torch.from_numpy(self._rows(whole))
        batch = episodes_over_pool(
            rng, rows, len(counts), size, episodes, groups=self.groups(whole), width=self.targets, counts=counts
        )
        batch = first_episodes(batch, episodes)
        return batch._replace(inputs=torch.from_numpy(self.images.pixels[batch.inputs.numpy()]))

    def guards(self) -> list[Finding]:
        """Looks for images that are equal or almost equal, and names them; equal ones in two parts stop a run."""
        batches = self.guarded_batches()
        rows = {part: self._rows(part) for part in PARTS}
        images = {part: torch.from_numpy(self.images.pixels[rows[part]]) for part in PARTS}
        prints: dict[str, np.ndarray] = {part: fingerprints(images[part]).numpy() for part in PARTS}
        names = {part: [self.images.files[row] for row in rows[part]] for part in PARTS}
        everything = np.concatenate(list(rows.values()))
        pixels = torch.cat(list(images.values())).numpy()
        own = OwnImages(
            grey=pixels.mean(axis=1).astype(np.uint8) if self.colour else pixels,
            files=[name for part in PARTS for name in names[part]],
            classes=self.images.starts.searchsorted(everything, side="right"),
            prints=np.concatenate(list(prints.values())),
            tested=len(everything) - len(rows["test"]),
        )
        return [
            *_equal_images(prints, names),
            *own_near_duplicates(own),
            images_as_fed(self._fed(batches[len(self.test.sizes) :]), prints, complete=True),
            labels_permuted(batches),
            queries_apart(batches),
        ]

    def guarded_drawings(self, part: Part) -> Iterator[np.ndarray]:
        """Yields all images of a part, [M, H, W] or [M, 3, H, W] uint8."""
        yield self.images.pixels[self._rows(part)]

    def _require_images(self) -> None:
        """Checks that every class has enough images for the largest episode."""
        sizes = [shots + self.train.queries for shots in self.train.shots]
        sizes += [size.shots + size.queries for size in self.test.sizes]
        counts = self.images.counts
        used = np.concatenate([self.classes[part] for part in PARTS])
        small = used[counts[used] < max(sizes)]
        if len(small):
            raise ValueError(
                f"Episodes take {max(sizes)} images of a class. Classes with fewer: {len(small)}, such as "
                f"{self.images.classes[small[0]]} with {counts[small[0]]}. `min_images: {max(sizes)}` leaves them out."
            )

    def _rows(self, part: Part) -> np.ndarray:
        starts = self.images.starts
        return np.concatenate([np.arange(starts[row], starts[row + 1]) for row in self.classes[part]])


def _divide(
    sizes: Mapping[str, int], min_images: int, fractions: Sequence[float] | None, seed: int | None
) -> dict[Part, np.ndarray]:
    """Divides the classes that are large enough into parts; returns their rows, in order."""
    large = np.array([count >= min_images for count in sizes.values()])
    parts = _by_folder(list(sizes))
    if parts is not None:
        for name, value in (("fractions", fractions), ("split_seed", seed)):
            if value is not None:
                raise ValueError(f"Expected no argument `{name}` where folders are the parts but got {value!r}.")
        return {part: rows[large[rows]] for part, rows in parts.items()}
    rows = np.flatnonzero(large)
    shares = _by_share([list(sizes)[row] for row in rows], FRACTIONS if fractions is None else fractions, seed or 0)
    return {part: rows[chosen] for part, chosen in shares.items()}


def _by_folder(classes: Sequence[str]) -> dict[Part, np.ndarray] | None:
    """Takes the parts from the first folder of each class's path; None if that of any is no part."""
    firsts = np.array([name.partition("/")[0] for name in classes])
    if set(firsts.tolist()) != set(PARTS):
        return None
    return {part: np.flatnonzero(firsts == part) for part in PARTS}


def _by_share(classes: Sequence[str], fractions: Sequence[float], seed: int) -> dict[Part, np.ndarray]:
    """Divides the classes at random."""
    if len(fractions) != len(PARTS) or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"Expected argument `fractions` to be three shares with the sum 1 but got {list(fractions)}.")
    order = rng_for("image folder", seed, list(classes)).permutation(len(classes))
    cuts = np.round(np.cumsum(fractions)[:-1] * len(classes)).astype(int)
    return {part: np.sort(rows) for part, rows in zip(PARTS, np.split(order, cuts), strict=True)}


def _equal_images(prints: Mapping[str, np.ndarray], files: Mapping[Part, Sequence[str]]) -> list[Finding]:
    """Names images that are equal: in two parts, which is a leak, or in one."""
    where: dict[int, tuple[Part, str]] = {}
    pairs: dict[bool, list[str]] = {True: [], False: []}
    for part in PARTS:
        for value, file in zip(prints[part].tolist(), files[part], strict=True):
            before, other = where.setdefault(value, (part, file))
            if other != file:
                pairs[before == part].append(f"{other} and {file}")
    found = []
    for same, guard in ((False, "identical images"), (True, "image twice in a part")):
        named = tuple(pairs[same])
        text = f"{len(named)} pairs of images are equal{such_as(named)}." if named else "None is equal."
        found.append(Finding(guard, ("noted" if same else "failed") if named else "passed", text, named))
    return found
