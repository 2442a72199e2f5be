"""Other libraries do the work that `adaptbench speed` measures; a library that is not installed is left out."""

import atexit
import importlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from adaptbench.datamodules.omniglot_archives import OFFICIAL, read_archive

MANY = 1_000_000
BENCHMARK, IN_MEMORY, EASYFSL = "learn2learn, its benchmark's loader", "learn2learn, in memory", "easyfsl"
SAMPLER_FLOORS: Mapping[str | None, float] = {BENCHMARK: 500, IN_MEMORY: 150, EASYFSL: 20}


class InMemory(Dataset[tuple[Tensor, int]]):
    """Images one at a time, each with its class, as every library expects them.

    Args:
        images: [C, K, 1, H, W], K images of each of C classes.
    """

    def __init__(self, images: Tensor) -> None:
        self._images, self._labels = images.flatten(0, 1), torch.arange(len(images)).repeat_interleave(images.shape[1])

    def __len__(self) -> int:
        """Number of images."""
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """An image [1, H, W] and its class."""
        return self._images[index], int(self._labels[index])

    def get_labels(self) -> list[int]:
        """The class of each image; easyfsl calls this."""
        return self._labels.tolist()


def _easyfsl(dataset: InMemory, ways: int, shots: int, queries: int) -> Callable[[], object]:
    library = importlib.import_module("easyfsl.samplers")
    with patch.object(Sampler, "__init__", lambda self, data_source=None: None):  # easyfsl passes an old argument
        sampler = library.TaskSampler(dataset, ways, shots, queries, MANY)
    loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=sampler.episodic_collate_fn)
    tasks: Iterator[object] = iter(loader)
    return lambda: next(tasks)


def _learn2learn_in_memory(dataset: InMemory, ways: int, shots: int, queries: int) -> Callable[[], object]:
    """Uses learn2learn's fastest transforms, without rotations."""
    data = importlib.import_module("learn2learn.data")
    transforms = importlib.import_module("learn2learn.data.transforms")
    meta = data.MetaDataset(data.OnDeviceDataset(dataset))
    steps = [
        transforms.FusedNWaysKShots(meta, n=ways, k=shots + queries),
        transforms.LoadData(meta),
        transforms.RemapLabels(meta),
        transforms.ConsecutiveLabels(meta),
    ]
    sample: Callable[[], object] = data.Taskset(meta, task_transforms=steps, num_tasks=-1).sample
    return sample


def _learn2learn_loader(_: InMemory, ways: int, shots: int, queries: int) -> Callable[[], object]:
    """Uses the loader that learn2learn recommends for Omniglot; it decodes and rotates images again for every task."""
    benchmarks = importlib.import_module("learn2learn.vision.benchmarks")
    root = Path(tempfile.mkdtemp(prefix="adaptbench-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    for archive in OFFICIAL:
        for name, content in read_archive(archive).items():
            path = root / "omniglot-py" / name  # torchvision reads them here
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    samples = {"train_samples": shots + queries, "test_samples": shots + queries}
    with patch("torchvision.datasets.Omniglot._check_integrity", lambda self: True):  # the check wants the archives too
        tasksets = benchmarks.get_tasksets("omniglot", train_ways=ways, test_ways=ways, root=str(root), **samples)
    sample: Callable[[], object] = tasksets.train.sample
    return sample


SAMPLERS: Mapping[str, Callable[[InMemory, int, int, int], Callable[[], object]]] = {
    BENCHMARK: _learn2learn_loader,
    IN_MEMORY: _learn2learn_in_memory,
    EASYFSL: _easyfsl,
}
"""For each library, a function of images, ways, shots and queries that returns the function that draws a task."""

MODULES = {"learn2learn": "learn2learn.vision.benchmarks", "easyfsl": "easyfsl.samplers"}
"""For each library, the module that is used; it imports the rest."""


def missing() -> dict[str, str]:
    """Returns the libraries that cannot be imported, each with the reason."""
    reasons = {}
    for library, module in MODULES.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            reasons[library] = str(error)
    return reasons
