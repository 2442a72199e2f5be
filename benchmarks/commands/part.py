"""Says which part of a suite that ships some runs are."""

import shlex
from collections.abc import Iterable, Iterator, Sequence

from adaptbench.benchmarks.suites.registry import suite_files
from adaptbench.benchmarks.suites.suite import SuiteCell, load_suite
from adaptbench.reports.format import ManifestCell
from adaptbench.reports.selection import UNLIMITED

KEYS = ("task", "protocol", "learner", "train_classes", "ways", "examples", "seed", "run_id")
"""Keys of `--only`, the first that tells cells apart first."""
SEVERAL = " and "
"""What stands between several ways of a cell, which `--only` cannot tell apart from those of other cells."""
Values = tuple[str, ...]
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
    own = [values for values in everything if values[-1] in wanted]
    if len(own) < max(1, len(wanted)) or len(own) == len(everything):
        return []
    return [_options(part, everything) for part in _products(own, everything)]


def _values(cell: SuiteCell) -> Values:
    about = cell.attributes
    ways = SEVERAL.join(dict.fromkeys(str(size.ways) for size in cell.spec.test.sizes))
    size = UNLIMITED if about.train_classes is None else about.train_classes
    examples = cell.spec.training.budget.examples
    found = (about.task, about.protocol, about.learner, size, ways, examples, about.seed, about.run_id)
    return tuple(map(str, found))


def _products(own: Sequence[Values], everything: Sequence[Values]) -> Iterator[Sequence[Values]]:
    """Divides cells into parts that are every cell of a suite with their values, as far as these tell cells apart."""
    if _are_product(own, everything):
        yield own
        return
    for place, _ in enumerate(KEYS[:-1]):
        others: dict[str, set[Values]] = {}
        for values in own:
            others.setdefault(values[place], set()).add((*values[:place], *values[place + 1 : -1]))
        alike: dict[frozenset[Values], list[Values]] = {}
        for values in own:
            alike.setdefault(frozenset(others[values[place]]), []).append(values)
        if len(alike) > 1:
            for part in alike.values():
                yield from _products(part, everything)
            return
    yield own


def _are_product(own: Sequence[Values], everything: Sequence[Values], keys: Sequence[str] = KEYS[:-1]) -> bool:
    """Whether no other cell of the suite has values of these for every key."""
    columns = [(KEYS.index(key), {values[KEYS.index(key)] for values in own}) for key in keys]
    return sum(all(values[place] in column for place, column in columns) for values in everything) == len(own)


def _options(own: Sequence[Values], everything: Sequence[Values]) -> str:
    keys = [key for key in KEYS if not any(SEVERAL in each[KEYS.index("ways")] for each in own) or key != "ways"]
    for key in reversed(keys):
        fewer = [each for each in keys if each != key]
        keys = fewer if _are_product(own, everything, fewer) else keys
    pairs = []
    for key in keys:
        values = sorted({each[KEYS.index(key)] for each in own}, key=lambda value: (len(value), value))
        values = values if any("," in value for value in values) else [",".join(values)]
        pairs += [f"{key}={value}" for value in values]
    return " ".join(f"--only {shlex.quote(pair)}" for pair in pairs)
