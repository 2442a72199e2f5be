"""Guards against leaks: checks of a task's data and episodes that every run makes."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import chdtrc  # type: ignore[import-untyped]  # scipy ships no annotations

from adaptbench.datamodules.episodes import EpisodeBatch

Status = Literal["passed", "noted", "failed"]

FALSE_ALARM = 1e-6
"""Probability that a guard of randomness fails although nothing is wrong."""
LEAST_EXPECTED = 5
"""Episodes that each label needs on average before a test of its share is meaningful."""


class Finding(NamedTuple):
    """The result of a guard.

    Attributes:
        guard: what it checks.
        status: "passed"; "noted" if the protocol allows what was found; or "failed", which stops a run.
        found: what it found, in one sentence.
    """

    guard: str
    status: Status
    found: str


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


def alphabets_apart(parts: Mapping[str, set[str]], allowed: bool) -> Finding:
    """Checks that no alphabet has characters in two parts; some splits allow it."""
    names = list(parts)
    pairs = [(one, other) for index, one in enumerate(names) for other in names[index + 1 :]]
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
        parts: [M, *x] uint8 images of each part.
    """
    seen: dict[bytes, tuple[str, int]] = {}
    for part, images in parts.items():
        found = {image.tobytes(): (part, row) for row, image in enumerate(images)}
        if shared := seen.keys() & found.keys():
            image = min(shared)
            (other, before), (_, row) = seen[image], found[image]
            text = f"{len(shared)} images of {part} are in {other} too, such as number {row}, there number {before}."
            return Finding("identical images", "failed", text)
        seen |= found
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


def labels_permuted(batches: Sequence[EpisodeBatch]) -> Finding:
    """Tests that neither a class's place in the pool nor an example's place in the episode predicts the label.

    The statistic is a sum of chi-squared statistics. One is of the table of labels by the rank of their class among
    its episode's classes, a sum of permutation matrices (Anderson 1959, JASA 54:371). The others are of the labels of
    the first support example and of the first query.
    """
    guard = "label permutation"
    statistics = freedom = episodes = 0.0
    for ways, tables in _tables(batches).items():
        count = tables["rank"].sum() / ways
        if count / ways < LEAST_EXPECTED:
            continue
        statistics += (ways - 1) / count * ((tables["rank"] - count / ways) ** 2).sum()
        freedom += (ways - 1) ** 2
        for first in (tables["support"], tables["query"]):
            statistics += ways / count * ((first - count / ways) ** 2).sum()
            freedom += ways - 1
        episodes += count
    if not freedom:
        return Finding(guard, "noted", "Too few episodes to test.")
    probability = float(chdtrc(freedom, statistics))
    text = f"Labels of {episodes:.0f} episodes by class and by place: chi-squared {statistics:.1f}, {freedom:.0f} d.f."
    return Finding(guard, "failed" if probability < FALSE_ALARM else "passed", text)


def _tables(batches: Sequence[EpisodeBatch]) -> dict[int, dict[str, np.ndarray]]:
    """Counts labels by the rank of their class, and labels of the first examples, for each number of ways."""
    found: dict[int, dict[str, np.ndarray]] = {}
    for batch in batches:
        support, query = batch.support_y.numpy().argmax(-1), batch.query_y.numpy().argmax(-1)
        ways = int((batch.support_y[0].sum(dim=0) > 0).sum())
        empty = {"rank": np.zeros((ways, ways)), "support": np.zeros(ways), "query": np.zeros(ways)}
        tables = found.setdefault(ways, empty)
        labelled = np.where(support[:, :, None] == np.arange(ways), batch.support.numpy()[:, :, None], np.inf)
        ranks = labelled.min(axis=1).argsort(axis=1).argsort(axis=1)  # [B, ways], by the first row of each label
        np.add.at(tables["rank"], (ranks, np.broadcast_to(np.arange(ways), ranks.shape)), 1)
        tables["support"] += np.bincount(support[:, 0], minlength=ways)[:ways]
        tables["query"] += np.bincount(query[:, 0], minlength=ways)[:ways]
    return found
