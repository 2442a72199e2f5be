"""Speed: this project against plain PyTorch and other libraries on the same work."""

import json
import math
import os
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.table import Table

from adaptbench.benchmarks.runs.devices import CPU
from adaptbench.benchmarks.runs.environment import describe_machine, version_of
from adaptbench.benchmarks.speed.peers import MODULES
from adaptbench.benchmarks.speed.workloads import OURS, ROWS


@dataclass(frozen=True)
class Measurement:
    """One row of the table.

    Attributes:
        what: name of the work.
        unit: unit of the numbers. A unit that ends in "/s" is a rate, and higher is better; any other is a cost.
        ours: median of this project.
        peer: name of the peer; None if there is none.
        theirs: median of the peer; infinite for a race that it lost.
        floor: the least ratio that is good enough; without a peer, the largest number that is.
    """

    what: str
    unit: str
    ours: float
    peer: str | None = None
    theirs: float | None = None
    floor: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times as fast as the peer this project is; None if one of them has no finite number."""
        if self.theirs is None or not math.isfinite(self.ours) or not math.isfinite(self.theirs):
            return None
        return self.ours / self.theirs if self.unit.endswith("/s") else self.theirs / self.ours

    @property
    def reached(self) -> bool:
        """Whether the floor is reached. True without a floor, and for a race that only the peer lost."""
        if self.floor is None:
            return True
        if self.theirs is None:
            return self.ours <= self.floor
        return math.isfinite(self.ours) if self.ratio is None else self.ratio >= self.floor


def measure(repeats: int, only: str | None = None) -> Iterator[Measurement]:
    """Measures each row; peers that are not installed are left out.

    Ours and the peers take turns, and each number is the median over the turns. Torch uses one thread.

    Args:
        repeats: number of turns.
        only: a part of a row's name; None for all rows.

    Raises:
        ValueError: if no row has `only` in its name.
    """
    if only is not None and not any(only in what for what, *_ in ROWS):
        names = ", ".join(f"`{what}`" for what, *_ in ROWS)
        raise ValueError(f"Expected a part of {names} but got `{only}`.")
    torch.set_num_threads(1)
    for what, unit, floors, prepare in ROWS:
        if only is not None and only not in what:
            continue
        samples = prepare()
        turns = [{name: sample() for name, sample in samples.items()} for _ in range(repeats)]
        medians: dict[str | None, float] = {name: statistics.median(turn[name] for turn in turns) for name in samples}
        ours = medians.pop(OURS)
        for peer in medians or [None]:
            yield Measurement(what, unit, ours=ours, peer=peer, theirs=medians.get(peer), floor=floors.get(peer))


def as_table(measurements: Iterable[Measurement]) -> Table:
    """Makes the table of the measurements for a terminal."""
    table = Table("what", "peer", box=box.MARKDOWN)
    for column in ("adaptbench", "peer's", "ratio", "floor"):
        table.add_column(column, justify="right")
    for row in measurements:
        color = "green" if row.reached else "red"
        table.add_row(
            f"{row.what}, {row.unit}",
            row.peer or "",
            f"[{color}]{_number(row.ours, 3)}[/]" if row.theirs is None else _number(row.ours, 4),
            "" if row.theirs is None else _number(row.theirs, 4),
            "" if row.ratio is None else f"[{color}]{_number(row.ratio, 3)}[/]",
            "" if row.floor is None else f"{row.floor:g}{'' if row.reached else ' (missed)'}",
        )
    return table


def _number(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return "not reached"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.{digits}g}"


def as_records(measurements: Iterable[Measurement]) -> list[dict[str, object]]:
    """Makes flat records of the measurements. JSON has no infinity, so a lost race has the number None."""
    records = ({**asdict(each), "ratio": each.ratio} for each in measurements)
    return [{key: None if value == math.inf else value for key, value in each.items()} for each in records]


def record(rows: Sequence[Mapping[Any, object]], out: Path) -> None:
    """Writes rows as JSON, with the machine, the commit and the date."""
    machine = describe_machine(CPU)
    versions = machine.versions | {library: version_of(library) for library in (*MODULES, "torchvision")}
    made = {
        **machine.model_dump(),
        "versions": versions,
        "cores": os.cpu_count(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    out.write_text(json.dumps({"rows": list(rows), "made": made}, indent=1) + "\n", encoding="utf-8")
