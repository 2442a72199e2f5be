"""The guard of labels: nothing predicts the label of an example, in training or in the test."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from scipy.sparse import coo_array  # type: ignore[import-untyped]  # scipy ships no annotations
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]
from scipy.special import chdtrc  # type: ignore[import-untyped]

from adaptbench.datamodules.episodes import EpisodeBatch
from adaptbench.datamodules.guards import Finding, Status

FALSE_ALARM = 1e-6
"""Probability that this guard fails although nothing is wrong."""
LEAST_EXPECTED = 5
"""Episodes that each label needs on average before a test of its share is meaningful."""
MANY = np.iinfo(np.int64).max


def labels_permuted(
    batches: Sequence[EpisodeBatch], tests: int = 0, drawings: int = 1, stream: bool = False
) -> Finding:
    """Tests that nothing predicts a label: neither the class, nor its place in the pool, nor position or neighbour.

    Each test is a sum of chi-squared statistics. Labels by rank of their class among its episode's classes, and by
    position in the support set or among the queries, are random arrangements in which each label stands equally often
    (Anderson 1959, JASA 54:371). Labels by class have a multinomial distribution for each class. In the batches after
    the tests, where a class is in few episodes, it is counted how often it has the same label in two of them. Labels in
    order from a place that differs between episodes are found by the step from each example's label to the next. With
    unequal shots labels do not stand equally often, so each position is tested by itself (Bonferroni).

    Args:
        batches: the episodes.
        tests: the number of batches, beginning with the first, that have the same examples.
        drawings: the number of examples of each class in these batches, one class after the other.
        stream: whether the episodes are streams, whose queries are steps of the support sequence.
    """
    guard = "label permutation"
    tables: dict[tuple[str, str, int, int], np.ndarray] = {}
    steps: dict[tuple[int, int, bool], np.ndarray] = {}
    alike: dict[tuple[int, int, bool], float] = {}
    for number, batch in enumerate(batches):
        ways = int((batch.support_y[0].sum(dim=0) > 0).sum())
        places = _places(batch, ways, drawings if number < tests else None, stream)
        again = any(torch.equal(batch.support, before.support) for before in batches[:number])
        for (word, where), rows, labels in places:
            if again and where == "support":
                continue
            size = rows.max() + 1 if word == "class" else rows.shape[1]
            counts = np.bincount((rows * ways + labels).ravel(), minlength=size * ways).reshape(-1, ways)
            each = (labels[:, :, None] == np.arange(ways)).sum(axis=1)  # [B, ways], how often each label stands
            if word == "position":
                even = bool((each == each[0, 0]).all())
                place = (ways, size, even)
                steps[place] = steps.get(place, 0) + _steps(labels, ways)
                alike[place] = alike.get(place, 0.0) + _alike(each)
                word = word if even else "uneven position"
            key = (word, where, ways, 0 if word == "class" else size)
            tables[key] = _sum(tables[key], counts) if key in tables else counts
    sums: dict[str, list[float]] = {}
    uneven = 1.0
    for (word, _, ways, _), table in tables.items():
        if table.sum() / (ways if word == "class" else len(table)) / ways >= LEAST_EXPECTED:
            if word == "uneven position":
                uneven = min(uneven, _of_each_row(table))
                continue
            sums[word] = list(np.add(sums.get(word, [0.0, 0.0]), _chi_squared(table, arranged=word != "class")))
    if not sums:
        return Finding(guard, "noted", "Too few episodes to test.")
    probabilities = {word: float(chdtrc(freedom, statistic)) for word, (statistic, freedom) in sums.items()}
    if any(word == "uneven position" for word, *_ in tables):
        probabilities["uneven position"] = uneven
    neighbours = [
        _step_probability(counts, ways, length, None if even else alike[ways, length, even] / counts[0].sum())
        for (ways, length, even), counts in steps.items()
    ]
    probabilities["neighbour"] = min(1.0, len(neighbours) * min(neighbours, default=1.0))
    probabilities["class in training"] = _same_label_probability(batches[tests:])
    worst = min(probabilities, key=probabilities.__getitem__)
    status: Status = "failed" if probabilities[worst] < FALSE_ALARM / len(probabilities) else "passed"
    episodes = sum(len(batch.query) for batch in batches)
    words = ", ".join(f"{word} {probability:.2g}" for word, probability in probabilities.items())
    return Finding(guard, status, f"Labels of {episodes} episodes; probability if nothing predicts them, by {words}.")


def _places(
    batch: EpisodeBatch, ways: int, drawings: int | None, stream: bool
) -> Iterator[tuple[tuple[str, str], np.ndarray, np.ndarray]]:
    """Yields by what labels are tabled, the rows of the table [B, n] and the labels [B, n]."""
    support, query = batch.support_y.numpy().argmax(-1), batch.query_y.numpy().argmax(-1)
    for where, labels in (("support", support),) if stream else (("support", support), ("query", query)):
        yield ("position", where), np.broadcast_to(np.arange(labels.shape[1]), labels.shape), labels
    labelled = np.where(support[:, :, None] == np.arange(ways), batch.support.numpy()[:, :, None], MANY)
    first = labelled.min(axis=1)  # [B, ways], the first row of each label
    labels = np.broadcast_to(np.arange(ways), first.shape)
    yield ("place in the pool", "support"), first.argsort(axis=1).argsort(axis=1), labels
    if drawings is not None and first.max() < MANY:
        yield ("class", "support"), first // drawings, labels


def _sum(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Adds tables, of which one may have fewer rows."""
    rows = max(len(one), len(other))
    padded = [np.pad(table, ((0, rows - len(table)), (0, 0))) for table in (one, other)]
    return padded[0] + padded[1]


def _chi_squared(table: np.ndarray, arranged: bool) -> tuple[float, float]:
    """Returns the statistic of a table of counts by label, and its degrees of freedom."""
    table = table[table.sum(axis=1) > 0]
    rows, ways = table.shape
    expected = table.sum(axis=1, keepdims=True) / ways
    statistic = float(((table - expected) ** 2 / expected).sum())
    if arranged:
        return statistic * (rows - 1) / rows, (rows - 1) * (ways - 1)
    return statistic, rows * (ways - 1)


def _steps(labels: np.ndarray, ways: int) -> np.ndarray:
    """Counts the steps from each label to the next, modulo the ways: [n - 1, ways] of labels [B, n]."""
    step = (labels[:, 1:] - labels[:, :-1]) % ways
    rows = np.broadcast_to(np.arange(step.shape[1]), step.shape)
    return np.bincount((rows * ways + step).ravel(), minlength=step.shape[1] * ways).reshape(-1, ways)


def _of_each_row(table: np.ndarray) -> float:
    """The probability of a table whose rows are multinomial but depend on each other (Bonferroni)."""
    expected = table.sum(axis=1, keepdims=True) / table.shape[1]
    statistics = ((table - expected) ** 2 / expected).sum(axis=1)
    return min(1.0, len(table) * float(chdtrc(table.shape[1] - 1, statistics).min()))


def _alike(each: np.ndarray) -> float:
    """Sums over episodes the probability that two neighbours have the same label, which stand [B, ways] times."""
    length = each.sum(axis=1)
    return float(((each * (each - 1)).sum(axis=1) / (length * (length - 1)).clip(min=1)).sum())


def _step_probability(counts: np.ndarray, ways: int, length: int, alike: float | None) -> float:
    """The probability of these steps in random arrangements.

    Each pair of neighbours is tested by itself, because pairs depend on each other (Bonferroni).

    Args:
        counts: [length - 1, ways], how often each step follows each position.
        ways: the number of labels.
        length: the number of positions.
        alike: the probability that neighbours have the same label; None if each label stands equally often.
    """
    each = length // ways
    weights = np.array([each - 1, *[each] * (ways - 1)])
    if alike is not None:
        weights = np.array([alike, *[(1 - alike) / (ways - 1)] * (ways - 1)]) * (length - 1)
    expected = counts.sum(axis=1, keepdims=True) * weights / (length - 1)
    used = expected[0] > 0
    if length < 2 or used.sum() < 2 or expected[:, used].min() < LEAST_EXPECTED:
        return 1.0
    statistics = ((counts - expected) ** 2)[:, used] / expected[:, used]
    found = chdtrc(int(used.sum()) - 1, statistics.sum(axis=1))
    return min(1.0, len(found) * float(found.min()))


def _same_label_probability(batches: Sequence[EpisodeBatch]) -> float:
    """The probability that classes have the same label in two episodes of a batch as often as here, or more often.

    For two episodes of w ways that share k classes, the number of classes with the same label has mean k / w, and these
    numbers are uncorrelated. Their sum has about a chi-squared distribution, moved and scaled.
    """
    excess, variance, freedom = 0.0, 0.0, -1.0
    for batch in batches:
        labels = batch.support_y.numpy().argmax(-1)
        ways = int(labels.max()) + 1
        classes = _classes(batch)[batch.support.numpy()]
        episodes = np.repeat(np.arange(len(labels)), labels.shape[1])
        has = np.zeros((len(labels), int(classes.max()) + 1, ways))
        has[episodes, classes.ravel(), labels.ravel()] = 1.0
        pairs = np.triu_indices(len(labels), 1)
        member = has.max(axis=2)
        shared = (member @ member.T)[pairs]
        same = has.reshape(len(has), -1) @ has.reshape(len(has), -1).T
        excess += float(same[pairs].sum() - shared.sum() / ways)
        both = 1 / (ways * (ways - 1)) - 1 / ways**2
        variance += float((shared * (ways - 1) / ways**2 + shared * (shared - 1) * both).sum())
        freedom += (ways - 1) * max(0, int((member.sum(axis=0) > 1).sum()) - 1)
    if variance == 0 or freedom < 1:
        return 1.0
    return float(chdtrc(freedom, max(0.0, freedom + excess * (2 * freedom / variance) ** 0.5)))


def _classes(batch: EpisodeBatch) -> np.ndarray:
    """Numbers the class of each row of `inputs`: rows with the same label in one episode are of one class."""
    rows = np.concatenate([batch.support.numpy(), batch.query.numpy()], axis=1)
    labels = np.concatenate([batch.support_y.numpy(), batch.query_y.numpy()], axis=1).argmax(-1)
    order = labels.argsort(axis=1, kind="stable")
    rows, labels = np.take_along_axis(rows, order, axis=1), np.take_along_axis(labels, order, axis=1)
    alike = labels[:, 1:] == labels[:, :-1]
    one, other = rows[:, :-1][alike], rows[:, 1:][alike]
    edges = coo_array((np.ones(len(one), dtype=np.int8), (one, other)), shape=(len(batch.inputs),) * 2)
    found: np.ndarray = connected_components(edges, directed=False)[1]
    return found
