"""Near-duplicates: test images that almost equal a training image, turned or not."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from adaptbench.datamodules.guards import Finding, Status, fingerprints

INK = 128
"""The grey level from which a pixel counts as ink."""
PIXELS = 3
"""The most pixels in which near-duplicates differ; of four parts of an image, at least one is then the same."""
NAMED = 3
"""Pairs that the sentence of a guard names."""
GREY = 16
"""Grey levels by which near-duplicates among images of the user's own differ on average, at most."""
AT_ONCE = 1024
ALIKE = 500
"""Images with the same part that are compared; a part that is blank in more of them says nothing."""


def ink_of(images: np.ndarray) -> np.ndarray:
    """Packs which pixels of images [M, H, W] uint8 are ink into whole words: [M, 8 * ceil(H * W / 64)] uint8."""
    bits = np.packbits((images >= INK).reshape(len(images), -1), axis=1)
    return np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8)))


def near_duplicates(
    train: np.ndarray, val: np.ndarray, tested: np.ndarray, known: int | None, turned: bool = False
) -> Finding:
    """Counts the test images that differ from an image of training or validation in at most `PIXELS` pixels.

    Args:
        train: [M, 8 * ceil(H * W / 64)] uint8, the `ink_of` training.
        val: that of validation.
        tested: [N, H, W] uint8 images of the test.
        known: how many the protocol has with all training classes; None where that is not known, which stops nothing.
        turned: whether the turns of training images are among them; if not, the tested ones are turned.
    """
    square = tested.shape[1] == tested.shape[2]
    inks = [ink_of(np.rot90(tested, turn, axes=(1, 2))) for turn in range(4 if square else 1)]
    pairs = [near_pairs(train, inks[:1] if turned else inks, tested.shape[1:]), near_pairs(val, inks, tested.shape[1:])]
    count = len(np.unique(np.concatenate([rows for rows, _ in pairs])))
    text = f"{count} of {len(tested)} test images have a near-duplicate, turned or not, in training or validation"
    if not count:
        return Finding("near-duplicates", "passed", f"{text}.")
    if known is None:
        return Finding("near-duplicates", "noted", f"{text}; how many the protocol has is not known.")
    status: Status = "noted" if count <= known else "failed"
    return Finding("near-duplicates", status, f"{text}; the protocol has {known}.")


class OwnImages(NamedTuple):
    """Images of the user's own, of one part after the other.

    Attributes:
        grey: [M, H, W] uint8.
        files: their paths, [M].
        classes: number of the class of each, [M] int64.
        prints: their `fingerprints`, [M] int64.
        tested: number of the first test image.
    """

    grey: np.ndarray
    files: Sequence[str]
    classes: np.ndarray
    prints: np.ndarray
    tested: int


def own_near_duplicates(images: OwnImages) -> list[Finding]:
    """Names images that almost equal an earlier one, turned or not: in the test, of another class, or of their own.

    Of two such images, at most `PIXELS` pixels are ink in one alone, and grey levels differ by less than `GREY` on
    average. Equal images count once. Those that are almost all ink, or have almost none, are compared with none.
    """
    rows = np.sort(np.unique(images.prints, return_index=True)[1])
    ink, size = (images.grey[rows] >= INK).sum(axis=(1, 2)), images.grey[0].size
    rows = rows[(ink > 2 * PIXELS) & (ink < size - 2 * PIXELS)]
    blocks = (slice(first, first + AT_ONCE) for first in range(0, len(rows), AT_ONCE))
    pairs = [_earlier(images.grey, rows[: block.start], rows[block]) for block in blocks]
    row, other = np.concatenate([np.empty((0, 2), dtype=np.int64), *pairs]).T
    tested = (other < images.tested) & (row >= images.tested)
    alike = images.classes[row] == images.classes[other]
    many = f"of {len(images.files) - images.tested} test images have a near-duplicate"
    return [
        _named(images.files, row[which], other[which], guard, what)
        for which, guard, what in (
            (tested, "near-duplicates", f"{many}, turned or not, in training or validation"),
            (~tested & ~alike, "near-duplicates of classes", "images almost equal one of another class"),
            (~tested & alike, "near-duplicates in a class", "images almost equal another one of their class"),
        )
    ]


def such_as(named: Sequence[str]) -> str:
    """Names a few pairs in a sentence."""
    return f", such as {'; '.join(named[:NAMED])}" if named else ""


def _earlier(grey: np.ndarray, before: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Finds pairs of images in `rows`, and earlier ones there or in `before`, that almost equal each other: [P, 2]."""
    shape, seen = grey.shape[1:], np.concatenate([before, rows])
    found = []
    for turn in range(4 if shape[0] == shape[1] else 1):
        turned = np.rot90(grey[rows], turn, axes=(1, 2))
        one, other = near_pairs(ink_of(grey[seen]), [ink_of(turned)], shape)
        once = np.unique((one * len(seen) + other)[seen[other] < rows[one]])
        pairs = np.stack([once // len(seen), once % len(seen)], axis=1)
        for some in np.array_split(pairs, len(pairs) // AT_ONCE + 1):
            one, other = some.T
            few = np.abs(turned[one].astype(np.int16) - grey[seen[other]]).mean(axis=(1, 2)) < GREY
            found.append(np.stack([rows[one[few]], seen[other[few]]], axis=1))
    return np.concatenate(found)


def _named(files: Sequence[str], row: np.ndarray, other: np.ndarray, guard: str, what: str) -> Finding:
    """Makes a finding that names each image with the first one that it almost equals."""
    order = np.lexsort((other, row))
    first = order[np.unique(row[order], return_index=True)[1]]
    named = tuple(f"{files[other[each]]} and {files[row[each]]}" for each in first)
    return Finding(guard, "noted" if named else "passed", f"{len(named)} {what}{such_as(named)}.", named)


def near_pairs(seen: np.ndarray, turned: Sequence[np.ndarray], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Finds pairs of tested and seen images that differ in at most `PIXELS` pixels.

    Args:
        seen: [M, 8 * ceil(H * W / 64)] uint8, the `ink_of` seen images.
        turned: that of the tested images, in every turn that counts.
        shape: H and W.

    Returns:
        Numbers of the tested and of the seen images, [P] int64 each; a pair may be there several times.
    """
    near: list[tuple[np.ndarray, np.ndarray]] = []
    for top, left in ((0, 0), (0, 1), (1, 0), (1, 1)):  # every other row and column, so that each part has ink
        part = np.zeros((1, *shape), dtype=np.uint8)
        part[:, top::2, left::2] = INK
        mask = ink_of(part)
        keys = _hashes(seen & mask)
        order = keys.argsort(kind="stable")  # of many that are alike, the first ones are compared
        keys = keys[order]
        for tested in turned:
            wanted = _hashes(tested & mask)
            first, last = (np.searchsorted(keys, wanted, side=side) for side in ("left", "right"))
            counts = np.minimum(last - first, ALIKE)
            row = np.repeat(np.arange(len(tested)), counts)
            offset = np.arange(len(row)) - np.repeat(counts.cumsum() - counts, counts)
            other = order[np.repeat(first, counts) + offset]
            few = np.bitwise_count(tested[row] ^ seen[other]).sum(axis=1) <= PIXELS
            near.append((row[few], other[few]))
    rows, others = zip(*near, strict=True)
    return np.concatenate(rows), np.concatenate(others)


def _hashes(ink: np.ndarray) -> np.ndarray:
    hashes: np.ndarray = fingerprints(torch.from_numpy(ink)).numpy()
    return hashes
