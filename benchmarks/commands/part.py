"""Says which part of a suite that ships some runs are."""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence

from adaptbench.benchmarks.suites.registry import suite_files
from adaptbench.benchmarks.suites.suite import SuiteCell, load_suite
from adaptbench.reports.format import ManifestCell
from adaptbench.reports.selection import word

KEYS = ("task", "protocol", "learner", "train_classes", "ways", "examples", "seed", "run_id")
"""Keys of `--only`, the first that tells cells apart first."""
SEVERAL = " and "
"""What stands between several ways of a cell, which `--only` cannot tell apart from those of other cells."""
Values = Mapping[str, str]
"""What a cell has of each key."""


def parts_of(suite: str, cells: Iterable[ManifestCell]) -> list[str]:
    """Returns options of `run`, as they are typed, that choose cells of a suite and no others, each some of them.

    Args:
        suite: its name.
        cells: the cells.

    Returns:
        No options if the cells are all, or if the suite does not ship or lacks one of them.
    """
    if suite not in suite_files():
        return []
    wanted = {cell.run_id for cell in cells}
    everything = [_values(cell) for cell in load_suite(suite).cells()]
    own = [values for values in everything if values["run_id"] in wanted]
    if len(own) < max(1, len(wanted)) or len(own) == len(everything):
        return []
    return [_options(part, everything) for part in _products(own, everything)]


def _values(cell: SuiteCell) -> Values:
    found = {key: word(key, getattr(cell.attributes, key, None)) for key in KEYS}
    ways = SEVERAL.join(dict.fromkeys(str(size.ways) for size in cell.spec.test.sizes))
    return {**found, "ways": ways, "examples": str(cell.spec.training.budget.examples)}


def _products(own: Sequence[Values], everything: Sequence[Values]) -> Iterator[Sequence[Values]]:
    """Divides cells into parts that are every cell of a suite with their values, as far as these tell cells apart."""
    if _are_product(own, everything):
        yield own
        return
    for key in KEYS[:-1]:
        others: dict[str, set[tuple[str, ...]]] = {}
        for values in own:
            others.setdefault(values[key], set()).add(tuple(values[each] for each in KEYS[:-1] if each != key))
        alike: dict[frozenset[tuple[str, ...]], list[Values]] = {}
        for values in own:
            alike.setdefault(frozenset(others[values[key]]), []).append(values)
        if len(alike) > 1:
            for part in alike.values():
                yield from _products(part, everything)
            return
    yield own


def _are_product(own: Sequence[Values], everything: Sequence[Values], keys: Sequence[str] = KEYS[:-1]) -> bool:
    """Whether no other cell of the suite has values of these for every key."""
    wanted = {key: {values[key] for values in own} for key in keys}
    return sum(all(values[key] in wanted[key] for key in keys) for values in everything) == len(own)


def _options(own: Sequence[Values], everything: Sequence[Values]) -> str:
    keys = [key for key in KEYS if key != "ways" or not any(SEVERAL in values["ways"] for values in own)]
    for key in reversed(keys):
        fewer = [each for each in keys if each != key]
        keys = fewer if _are_product(own, everything, fewer) else keys
    pairs = []
    for key in keys:
        values = sorted({each[key] for each in own}, key=lambda value: (len(value), value))
        values = values if any("," in value for value in values) else [",".join(values)]
        pairs += [f"{key}={value}" for value in values]
    return " ".join(f"--only {shlex.quote(pair)}" for pair in pairs)
