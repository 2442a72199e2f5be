"""Says which part of a suite that ships some runs are."""

import shlex
from collections.abc import Iterable

from adaptbench.benchmarks.suites.registry import suite_files
from adaptbench.benchmarks.suites.suite import load_suite
from adaptbench.reports.format import ManifestCell

KEYS = ("task", "protocol", "learner", "seed", "train_classes", "examples")


def pairs_of(suite: str, cells: Iterable[ManifestCell], keys: Iterable[str] = KEYS) -> list[str]:
    """Returns the values of `--only` that choose cells of a suite; none if they are all, or if the suite does not ship.

    Args:
        suite: its name.
        cells: the cells.
        keys: the keys of `--only` to use.
    """
    if suite not in suite_files():
        return []
    everything = [cell.attributes for cell in load_suite(suite).cells()]
    own, pairs = list(cells), []
    for key in keys:
        whole, mine = ({str(getattr(cell, key)) for cell in some} for some in (everything, own))
        values = sorted(mine, key=lambda value: (len(value), value))
        values = values if any("," in value for value in values) else [",".join(values)]
        pairs += [f"{key}={value}" for value in values] if mine < whole else []
    return pairs


def part_of(suite: str, cells: Iterable[ManifestCell]) -> str:
    """Returns the options of `run` that choose cells of a suite, as they are typed."""
    return " ".join(f"--only {shlex.quote(pair)}" for pair in pairs_of(suite, cells))
