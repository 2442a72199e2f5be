"""Near-duplicates: test images that almost equal a training image, turned or not."""

from collections.abc import Sequence

import numpy as np
import torch

from adaptbench.datamodules.guards import Finding, Status, fingerprints

INK = 128
"""The grey level from which a pixel counts as ink."""
PIXELS = 3
"""The most pixels in which near-duplicates differ; of four parts of an image, at least one is then the same."""
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
        order = keys.argsort()
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
