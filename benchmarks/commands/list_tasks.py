"""The protocols of `adaptbench list tasks --verbose`, with digests of their test episodes."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from adaptbench.benchmarks.runs.build import instantiate
from adaptbench.benchmarks.suites.registry import load
from adaptbench.benchmarks.suites.spec import Component
from adaptbench.datamodules.base import EpisodicDataModule, EvalEpisodes, Sampling, TrainEpisodes
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize, episodes_digest
from adaptbench.datamodules.omniglot_splits import DRAWN_SPLITS, SPLITS

TESTS = {
    "categorical": EvalEpisodes(ways=5, shots=(1, 5), queries=15, episodes=600),
    "gaussian": EvalEpisodes(shots=(5, 10), queries=50, episodes=1000),
}
STREAMS = EvalEpisodes(ways=5, shots=(1, 2, 3, 5, 10), queries=1, episodes=600)
EPISODES_AT_ONCE = 50

PROTOCOLS: tuple[tuple[str, dict[str, Any]], ...] = (
    *(
        ("omniglot", {"split": split, "scope": scope, "rotations": "none"})
        for split in (*SPLITS, *DRAWN_SPLITS)
        for scope in ("across", "within")
    ),
    ("omniglot", {"split": "vinyals", "rotations": "all"}),
    ("lake_runs", {"split": "lake", "rotations": "none"}),
    ("omniglot-online", {"split": "vinyals", "rotations": "none"}),
    ("glyphs", {}),
    ("glyphs", {"scope": "within", "train_classes": 100}),
    ("glyphs_to_omniglot", {}),
    ("sinusoid", {}),
    ("sinusoid", {"noise": 0.1}),
    ("sinusoid", {"test_amplitudes": (5.0, 10.0)}),
    ("linear_regression", {}),
)
"""Tasks with their arguments. Other rotations and numbers of training classes change no test episode."""


OWN_PROTOCOLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("image_folder", {"path": "FOLDER"}),
    ("image_folder", {"path": "FOLDER", "split_seed": 0, "min_images": 10, "scope": "within", "colour": True}),
)
"""Tasks of the user's own data, on which digests depend: without arguments, and with all that a protocol names."""


class Described(NamedTuple):
    """The test episodes of a protocol at one size.

    Attributes:
        task: the task's name.
        protocol: what decides its difficulty besides the size.
        size: ways, shots and queries.
        shots_word: what the number of shots counts.
        digest: digest of the episodes, as in results.
        rows: digest of the episodes without their examples. Pixels may differ by a grey level between versions of the
            library that decodes images.
        pixels: accuracy of the nearest neighbour on pixels, at 1 shot of classification; None otherwise.
    """

    task: str
    protocol: str
    size: EpisodeSize
    shots_word: str
    digest: str
    rows: str
    pixels: float | None


def describe_protocol(name: str, init_args: dict[str, Any]) -> Iterator[Described]:
    """Draws a protocol's test episodes at every size.

    Raises:
        DataUnavailable: if its data is neither here nor can be downloaded.
    """
    kind = load("task", name)
    test = kind.fixed_test or (STREAMS if kind.stream else TESTS[kind.likelihood])
    train = TrainEpisodes(ways=test.ways, shots=(1,), queries=1, pool=40, episodes=1 if test.ways else None)
    component = Component(name=name, init_args=init_args)
    task: EpisodicDataModule = instantiate("task", component, Sampling(train=train, test=test))
    for size in test.sizes:
        batch = task.eval_batch("test", size, test.episodes)
        without = episodes_digest(batch._replace(inputs=batch.inputs[:0]))
        pixels = nearest_pixels(batch) if size.ways is not None and size.shots == 1 and not kind.stream else None
        protocol, digest = kind.protocol(init_args), episodes_digest(batch)
        yield Described(
            task=name, protocol=protocol, size=size, shots_word=kind.shots_word, digest=digest, rows=without,
            pixels=pixels,
        )  # fmt: skip


def nearest_pixels(batch: EpisodeBatch) -> float:
    """Returns the accuracy if each query gets the label of the nearest support image, by Euclidean distance."""
    pixels = batch.inputs.flatten(1).float() / 255
    correct = []
    for support, support_y, query, query_y in zip(*(rows.split(EPISODES_AT_ONCE) for rows in batch[1:]), strict=True):
        nearest = torch.cdist(pixels[query], pixels[support]).argmin(dim=-1)
        labels = support_y.argmax(dim=-1).gather(1, nearest)
        correct.append((labels == query_y.argmax(dim=-1)).float().mean(dim=1))
    return float(torch.cat(correct).mean())
