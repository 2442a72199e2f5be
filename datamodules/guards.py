"""Guards against leaks: checks of a task's data and episodes that every run makes."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
import torch

from adaptbench.datamodules.episodes import EpisodeBatch

Status = Literal["passed", "noted", "failed"]

AT_ONCE = 2**19
"""Bytes that are hashed at once, few enough to stay in the cache of a processor."""
MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53))
"""Odd constants of SplitMix64 and MurmurHash3."""


class Finding(NamedTuple):
    """The result of a guard.

    Attributes:
        guard: what it checks.
        status: "passed"; "noted" if the protocol allows what was found; or "failed", which stops a run.
        found: what it found, in one sentence.
        named: pairs of images that it found, in words; empty if it names none.
    """

    guard: str
    status: Status
    found: str
    named: tuple[str, ...] = ()


def classes_apart(parts: Mapping[str, Sequence[object]], word: str = "classes") -> Finding:
    """Checks that no class is in two parts, or twice in one."""
    seen: dict[object, str] = {}
    for part, classes in parts.items():
        for identity in classes:
            if (other := seen.setdefault(identity, part)) != part:
                return Finding("class overlap", "failed", f"{identity} is in {other} and in {part}.")
        if len(set(classes)) < len(classes):
            return Finding("class overlap", "failed", f"The {word} of {part} are not all different.")
    counts = ", ".join(f"{len(classes)} {part}" for part, classes in parts.items())
    return Finding("class overlap", "passed", f"No two of {counts} {word} are the same.")


def source_apart(source: Mapping[str, Sequence[str]], target: Mapping[str, set[str]], *, same: bool) -> Finding:
    """Checks the classes of a task that a network is pretrained on before it adapts to another task.

    Args:
        source: the classes of the parts of that task.
        target: the classes of the parts of the other task.
        same: whether both are of the same data, in which case the source may train on training classes only.
    """
    guard = "source classes"
    if same and not target["train"]:
        return Finding(guard, "failed", "The source is of the same data, whose classes have no names to compare.")
    if tested := (set(source["train"]) | set(source["val"])) & target["test"]:
        return Finding(
            guard, "failed", f"Classes of the source that are in the test: {len(tested)}, {min(tested)} among them."
        )
    if same and (others := set(source["train"]) - target["train"]):
        text = f"Training classes of the source that are none here: {len(others)}, {min(others)} among them."
        return Finding(guard, "failed", text)
    what = "training classes here" if same else "of other data"
    return Finding(guard, "passed", f"The source's training classes are {what}; none of its classes is in the test.")


def alphabets_apart(parts: Mapping[str, set[str]], allowed: bool) -> Finding:
    """Checks that no alphabet has characters in two parts; some splits allow it."""
    pairs = combinations(parts, 2)
    shared = {f"{one} and {other}": parts[one] & parts[other] for one, other in pairs if parts[one] & parts[other]}
    if not shared:
        return Finding("alphabet overlap", "passed", "No alphabet is in two parts.")
    text = "; ".join(f"{_listed(alphabets)} in {pair}" for pair, alphabets in shared.items())
    return Finding("alphabet overlap", "noted" if allowed else "failed", f"Shared alphabets: {text}.")


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) if len(names) <= 3 else f"{len(names)} alphabets"


def images_apart(parts: Mapping[str, np.ndarray]) -> Finding:
    """Checks that no image is in two parts.

    Args:
        parts: [M] int64 `fingerprints` of each part's images.
    """
    for other, part in combinations(parts, 2):
        shared = np.unique(parts[part][_isin(parts[part], parts[other])])
        if len(shared):
            row, before = (int((parts[each] == shared[0]).argmax()) for each in (part, other))
            text = f"Images of {part} that are in {other} too: {len(shared)}, such as number {row}, there {before}."
            return Finding("identical images", "failed", text)
    counts = ", ".join(f"{len(images)} {part}" for part, images in parts.items())
    return Finding("identical images", "passed", f"No image of one part is in another ({counts}).")


def queries_apart(batches: Sequence[EpisodeBatch], stream: bool = False) -> Finding:
    """Checks that no example is twice in an episode, in particular in both its support set and its queries.

    Args:
        batches: the episodes.
        stream: whether the episodes are streams, whose queries are steps of the support sequence.
    """
    for batch in batches:
        examples = [batch.support] if stream else [batch.support, batch.query]
        rows = np.concatenate([part.numpy() for part in examples], axis=1)
        rows.sort(axis=1)
        twice = (rows[:, 1:] == rows[:, :-1]).any(axis=1)
        if twice.any():
            text = f"Episode {int(twice.argmax())} of {len(rows)} has an example twice."
            return Finding("queries in the support", "failed", text)
    episodes = sum(len(batch.query) for batch in batches)
    return Finding("queries in the support", "passed", f"No example is twice in any of {episodes} episodes.")


def images_as_fed(fed: np.ndarray, parts: Mapping[str, np.ndarray], complete: bool) -> Finding:
    """Checks that the images that training gets are images of the training part, whatever it does to them.

    Args:
        fed: [M] int64 `fingerprints` of the images in the first training batches.
        parts: [M] int64 fingerprints of each part's images.
        complete: whether those of the training part are all that training may get; not so if it changes them at random.
    """
    guard = "images as fed"
    for part in parts:
        if part != "train" and (count := int(_isin(fed, parts[part]).sum())):
            return Finding(guard, "failed", f"{count} of the first {len(fed)} training images are images of {part}.")
    if not complete:
        return Finding(guard, "noted", "Training images are changed at random, or too many to compare with all.")
    if count := int((~_isin(fed, parts["train"])).sum()):
        return Finding(guard, "failed", f"{count} of the first {len(fed)} training images are of no part.")
    return Finding(guard, "passed", f"The first {len(fed)} training images are images of the training part.")


def images_differ(batches: Sequence[EpisodeBatch], known: int | None, stream: bool = False) -> Finding:
    """Checks that no image is in an episode as two examples.

    Args:
        batches: the episodes, with `fingerprints` of their images as `inputs`.
        known: images that the data hold twice in one class; None where that is not known, which stops nothing.
        stream: whether the episodes are streams, whose queries are steps of the support sequence.
    """
    guard = "image twice in an episode"
    twice: set[int] = set()
    for batch in batches:
        examples = batch.support if stream else torch.cat([batch.support, batch.query], dim=1)
        images = np.sort(batch.inputs.numpy()[examples.numpy()], axis=1)
        twice.update(images[:, 1:][images[:, 1:] == images[:, :-1]].tolist())
    if not twice:
        return Finding(guard, "passed", "No image is in an episode as two examples.")
    text = f"{len(twice)} images are in an episode as two examples"
    if known is None or len(twice) <= known:
        of_data = "" if known is None else f"; the data hold {known} twice in a class"
        return Finding(guard, "noted", f"{text}{of_data}.")
    return Finding(guard, "failed", f"{text}; the data hold {known} twice in a class.")


def seen_as_said(trained: np.ndarray, tested: Mapping[str, np.ndarray], known: int | None) -> Finding:
    """Checks tests on training classes: what was seen is of training, and what was held out is not.

    Args:
        trained: [M] int64 `fingerprints` of the training images.
        tested: fingerprints of the images of the tests on "seen" and on "held_out_drawings", if they are made.
        known: images that the data hold twice in one class; None where that is not known, which stops nothing.
    """
    guard = "seen and held out"
    if count := int((~np.isin(tested.get("seen", trained[:0]), trained)).sum()):
        return Finding(guard, "failed", f"Images of the test on what was seen that are not of training: {count}.")
    count = int(np.isin(tested.get("held_out_drawings", trained[:0]), trained).sum())
    if known is not None and count > known:
        return Finding(guard, "failed", f"Held-out images that are of training: {count}; the data hold {known} twice.")
    text = f"Tests on {' and '.join(tested)} have training classes, as they were asked to"
    return Finding(guard, "noted", f"{text}; {count} held-out images are of training.")


def fingerprints(images: torch.Tensor) -> torch.Tensor:
    """Hashes each image [M, *x] to 64 bits; returns [M] int64."""
    flat = np.ascontiguousarray(images.numpy()).reshape(len(images), int(np.prod(images.shape[1:]))).view(np.uint8)
    width = -(-flat.shape[1] // 8)
    places = np.arange(1, width + 1, dtype=np.uint64) * MIX[0]
    found = np.empty(len(flat), dtype=np.uint64)
    images_at_once = max(1, AT_ONCE // (8 * width))
    for first in range(0, len(flat), images_at_once):
        rows = flat[first : first + images_at_once]
        padded = rows if rows.shape[1] == 8 * width else np.pad(rows, ((0, 0), (0, 8 * width - rows.shape[1])))
        words = padded.view(np.uint64) + places
        for factor in MIX[1:]:  # the finaliser of MurmurHash3, by Austin Appleby
            words ^= words >> np.uint64(33)
            words *= factor
        words ^= words >> np.uint64(33)
        words.sum(axis=1, out=found[first : first + images_at_once])
    return torch.from_numpy(found.view(np.int64))


def _isin(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns which of some numbers are among others; faster than numpy's own, which makes both unique first."""
    ordered = np.sort(others)
    place = ordered.searchsorted(some).clip(max=max(0, len(ordered) - 1))
    found: np.ndarray = ordered[place] == some if len(ordered) else np.zeros(len(some), dtype=bool)
    return found
