"""How far scores move between processors: `python -m adaptbench.benchmarks.speed.tolerances OUT SUITE ...`.

The cells of a suite are computed with `ATEN_CPU_CAPABILITY` at default, at avx2 and unrestricted; further arguments go
to `adaptbench run`. The suite's bundle that ships counts, too: another machine may have computed it. The largest
difference of each metric and learner goes into a file, which `verify` reads.
"""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

from adaptbench.benchmarks.runs.devices import CPU
from adaptbench.benchmarks.runs.environment import describe_machine
from adaptbench.benchmarks.store.store import write_json
from adaptbench.benchmarks.suites.spec import read_spec
from adaptbench.reports.bundle_format import Tolerances
from adaptbench.reports.format import Environment, Machine, Result, Score
from adaptbench.reports.reading import read
from adaptbench.reports.sources.bundles import built_in
from adaptbench.reports.sources.sources import opened

CAPABILITIES = ("default", "avx2", None)
"""Values of `ATEN_CPU_CAPABILITY`; None leaves it alone."""
MARGIN = 3.0
"""How many times the largest measured difference is allowed, because few cells were measured."""
LEAST = 1e-6
"""Scores so near each other are the same in every table."""
UNMEASURED = 0.1
"""The share of the way from a guess to perfection that is allowed where nothing was measured."""
FILE = "tolerances.json"


@cache
def shipped() -> Mapping[str, Mapping[str, float]]:
    """The differences that were measured; none if their file does not ship."""
    path = Path(str(resources.files("adaptbench.reports"))) / "data" / FILE
    return read(path, Tolerances).largest if path.is_file() else {}


def allowed(learner: str, score: Score) -> float | None:
    """How far a score may move on other hardware, as `distance` measures it; None if that is not known.

    A learner that was not measured may move as far as any that was. A metric that was not measured may move a tenth of
    the way from a guess to perfection.
    """
    measured = shipped()
    others = [each[score.metric] for each in measured.values() if score.metric in each]
    if others:
        return max(LEAST, MARGIN * measured.get(learner, {}).get(score.metric, max(others)))
    if score.chance is None:
        return None
    way = UNMEASURED * abs((1.0 if score.higher_is_better else 0.0) - score.chance)
    return way / _scale(score, score) if way else None


def distance(was: Score, now: Score) -> float:
    """How far two scores are apart: mean squared errors relative to the larger one, all others in their unit."""
    return abs(was.value - now.value) / _scale(was, now)


def _scale(was: Score, now: Score) -> float:
    return max(abs(was.value), abs(now.value)) or 1.0 if was.metric == "mse" else 1.0


def largest(folders: Iterable[tuple[Path, ...]]) -> dict[str, dict[str, float]]:
    """The largest distance by learner and metric, over the folders of the same runs on several machines."""
    found: dict[str, dict[str, float]] = {}
    for same in folders:
        own = found.setdefault(read_spec(same[0]).adapter, {})
        for one, other in itertools.combinations([read(each / "result.json", Result).scores for each in same], 2):
            for was, now in zip(one, other, strict=True):
                own[was.metric] = max(own.get(was.metric, 0.0), distance(was, now))
    return {learner: metrics for learner, metrics in found.items() if metrics}


def measure(out: Path, arguments: list[str]) -> None:
    """Computes the cells with each instruction set, and writes the largest differences."""
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="adaptbench-tolerances-"))
        roots = [Path(folder, str(capability)) for capability in CAPABILITIES]
        for root, capability in zip(roots, CAPABILITIES, strict=True):
            own = {name: value for name, value in os.environ.items() if name != "ATEN_CPU_CAPABILITY"}
            own |= {"ATEN_CPU_CAPABILITY": capability} if capability else {}
            command = [sys.executable, "-m", "adaptbench", "run", *arguments, "--wandb", "off", "--no-report"]
            subprocess.run([*command, "--out", str(root)], env=own, check=True)
        runs = sorted(path.parent.name for path in roots[0].glob("[!.]*/result.json"))
        shipped_here = [name for name in arguments[:1] if name in built_in()]
        others = [source.folder for source in stack.enter_context(opened(shipped_here))]
        same = {
            run_id: tuple(each / run_id for each in (*roots, *others) if (each / run_id).is_dir()) for run_id in runs
        }
        record = Tolerances(
            command=("python", "-m", "adaptbench.benchmarks.speed.tolerances", out.name, *arguments),
            machine=describe_machine(CPU),
            made=datetime.now(UTC).replace(microsecond=0),
            runs=len(runs),
            others=_machines(path for paths in same.values() for path in paths if path.parent in others),
            largest=largest(same.values()),
        )
        write_json(out, record)


def _machines(folders: Iterable[Path]) -> tuple[Machine, ...]:
    """The different machines of some runs."""
    found = (read(folder / "environment.json", Environment).machine for folder in folders)
    return tuple({machine.model_dump_json(): machine for machine in found}.values())


if __name__ == "__main__":
    measure(Path(sys.argv[1]), sys.argv[2:])
