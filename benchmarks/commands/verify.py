"""The command `adaptbench verify`: computes finished runs again and compares them bit for bit."""

import json
import random
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pandas as pd
from pydantic import Field
from rich.text import Text

from adaptbench.benchmarks.executors.local import LocalBackend
from adaptbench.benchmarks.executors.plan import PlannedRun
from adaptbench.benchmarks.executors.schedule import drive
from adaptbench.benchmarks.executors.worker import Job
from adaptbench.benchmarks.runs.devices import Devices
from adaptbench.benchmarks.speed.tolerances import allowed, distance
from adaptbench.benchmarks.store.store import Store
from adaptbench.benchmarks.suites.description import name_of
from adaptbench.benchmarks.suites.spec import RESULTS_VERSION, read_spec
from adaptbench.reports.bundle_format import VerifiedRun
from adaptbench.reports.format import Environment, Result
from adaptbench.reports.format_tables import TABLES
from adaptbench.reports.reading import read

HARDWARE = ("device", "processor", "threads")
"""Fields of the record of the machine; if they differ, or a version does, rounding may differ."""


class Verdict(VerifiedRun):
    """The result of verifying a run, which may be a folder of any name."""

    run_id: str
    exact: bool = True
    largest: dict[str, float] = Field(default_factory=dict)
    failed: bool = False
    """Whether the run could not be computed again; no statement says it apart from `difference`."""

    @property
    def word(self) -> str:
        """The outcome: "failed", "differs", "same" or, of scores within their tolerances, "close"."""
        same = "same" if self.exact else "close"
        return "failed" if self.failed else same if self.difference is None else "differs"

    @property
    def shown(self) -> Text:
        """A line for a terminal."""
        text = " ".join(filter(None, (self.run_id, self.name, self.difference)))
        return Text.assemble((f"{self.word:7}", "red" if self.failed or self.difference else "green"), f" {text}")


def choose(runs: Path, sample: int | None, seed: int) -> list[str]:
    """Lists the ids of finished runs, or of a random sample of them.

    Args:
        runs: folder of the runs.
        sample: number of runs to draw; None for all.
        seed: seed of the draw.

    Raises:
        ValueError: if there are none, or fewer than `sample`.
    """
    found = sorted(path.parent.name for path in runs.glob("[!.]*/result.json"))
    if not found:
        raise ValueError(f"Expected finished runs in {runs} but found none; `adaptbench run` makes them.")
    return draw(found, sample, seed)


def draw(found: list[str], sample: int | None, seed: int) -> list[str]:
    """Draws a random sample of ids; all if `sample` is None.

    Raises:
        ValueError: if there are fewer.
    """
    if sample is None:
        return found
    if not 1 <= sample <= len(found):
        raise ValueError(f"Expected `--sample` to be from 1 to the {len(found)} finished runs but got {sample}.")
    return sorted(random.Random(seed).sample(found, sample))


def verify_runs(runs: Path, chosen: list[str], jobs: int = 1) -> Iterator[Verdict]:
    """Computes runs again in a temporary folder, on the same kind of device, and compares them.

    A run gets the published candidates that it needs, so each run is verified by itself. Candidates without weights, as
    in a bundle, are computed again.

    Args:
        runs: folder of the runs.
        chosen: ids of finished runs in it.
        jobs: worker processes.

    Yields:
        A verdict for each run, in the order in which they end, failures last.
    """
    published = Store(runs)
    with tempfile.TemporaryDirectory(prefix="adaptbench-verify-") as folder:
        planned: dict[str, PlannedRun] = {}
        jobs_of: dict[str, Job] = {}
        for run_id in chosen:
            try:
                for run in _plan(published, run_id):
                    jobs_of.setdefault(run.spec.run_id, _job(published, run, Path(folder)))
                    planned.setdefault(run.spec.run_id, run)
            except (ValueError, OSError) as error:
                yield Verdict(run_id=run_id, name="", difference=f"cannot be computed again: {error}", failed=True)
        order, notes = list(planned.values()), Store(Path(folder, "adapted"))
        for run, root, reason in _compute(order, jobs_of, workers=jobs, notes=notes):
            run_id = run.spec.run_id
            if run_id in chosen and reason is None:
                yield _judge(run, published.published(run_id), root / run_id)
            elif run_id in chosen:
                yield Verdict(run_id=run_id, name=run.name, difference=reason, failed=True)


def _plan(published: Store, run_id: str) -> list[PlannedRun]:
    """Plans a run again from its published spec, after the candidates that it needs and that have no weights."""
    spec = read_spec(published.published(run_id))
    if spec.results_version != RESULTS_VERSION:
        raise ValueError(f"made by results version {spec.results_version}; this is version {RESULTS_VERSION}")
    if spec.run_id != run_id:
        raise ValueError(f"its spec.json is that of run {spec.run_id}")
    lost = [each for each in spec.candidates if not _has_weights(published, each.run_id)]
    run = PlannedRun(spec, name_of(spec), tuple(each.run_id for each in lost))
    return [*(PlannedRun(each, name_of(each)) for each in lost), run]


def _has_weights(published: Store, run_id: str) -> bool:
    return (published.published(run_id) / "model.ckpt").is_file()


def _job(published: Store, run: PlannedRun, folder: Path) -> Job:
    """Makes the job of a run; copies of what it needs lie apart from what is trained again for itself."""
    trained = not run.spec.candidates and _has_weights(published, run.spec.run_id)
    root = folder / ("trained" if trained else "adapted")
    for needed in run.spec.candidates:
        if needed.run_id not in run.needs:
            shutil.copytree(published.published(needed.run_id), root / needed.run_id, dirs_exist_ok=True)
    cpu = published.environment(run.spec.run_id).machine.device == "cpu"
    devices = Devices("cpu" if cpu else "cuda")
    return Job(spec=run.spec, root=root, name=run.name, devices=devices)


def _compute(
    planned: list[PlannedRun], jobs: Mapping[str, Job], *, workers: int, notes: Store
) -> Iterator[tuple[PlannedRun, Path, str | None]]:
    """Yields each run with the folder of its job and why it failed, failures last."""
    told = 0
    failed: Mapping[str, str] = {}
    backend = LocalBackend([None] * workers, lambda run: jobs[run.spec.run_id])
    execution = drive(planned, backend, notes)
    with closing(execution):
        for status in execution:
            for run, _ in status.done[told:]:
                told += 1
                yield run, jobs[run.spec.run_id].root, None
            failed = status.failed
    for run in planned:
        if run.spec.run_id in failed:
            yield run, jobs[run.spec.run_id].root, failed[run.spec.run_id]


def _judge(run: PlannedRun, old: Path, new: Path) -> Verdict:
    run_id, name = run.spec.run_id, run.name
    try:
        exact = same_hardware(old, new)
        difference = compare_exactly(old, new) if exact else compare_loosely(old, new, run.spec.adapter)
        return Verdict(
            run_id=run_id, name=name, difference=difference, exact=exact, largest=largest_differences(old, new)
        )
    except (ValueError, OSError) as error:  # a damaged file of one run must not hide the other verdicts
        return Verdict(run_id=run_id, name=name, difference=f"cannot be compared: {error}")


def largest_differences(old: Path, new: Path) -> dict[str, float]:
    """Returns the largest difference of a score between two folders of a run, by metric."""
    before, after = (read(folder / "result.json", Result) for folder in (old, new))
    found: dict[str, float] = {}
    for was, now in zip(before.scores, after.scores, strict=True):
        found[was.metric] = max(found.get(was.metric, 0.0), abs(was.value - now.value))
    return found


def compare_exactly(old: Path, new: Path) -> str | None:
    """Returns the first difference between two folders of a run: bytes of `result.json`, contents of the tables."""
    before, after = (folder.joinpath("result.json").read_bytes() for folder in (old, new))
    if before != after:
        difference = _first_difference(json.loads(before), json.loads(after))
        return f"result.json: {difference or 'the same values in other bytes'}"
    for name in TABLES:
        difference = _compare_tables(old / name, new / name)
        if difference:
            return f"{name}: {difference}"
    return None


def same_hardware(old: Path, new: Path) -> bool:
    """Whether two folders of a run were computed by the same versions on the same kind of processor.

    Versions that one of them does not record count as the same: early runs do not know their C library.
    """
    before, after = (read(folder / "environment.json", Environment).machine for folder in (old, new))
    both = before.versions.keys() & after.versions.keys()
    same = all(getattr(before, key) == getattr(after, key) for key in HARDWARE)
    return same and all(before.versions[name] == after.versions[name] for name in both)


def compare_loosely(old: Path, new: Path, learner: str) -> str | None:
    """Returns the first difference that other hardware does not explain: other test episodes, or a score too far off.

    Args:
        old: a run's folder.
        new: another folder of the same run.
        learner: the component that adapts, by whose tolerances scores are compared.
    """
    before, after = (read(folder / "result.json", Result) for folder in (old, new))
    for was, now in zip(before.scores, after.scores, strict=True):
        where = f"{was.metric} at ways {was.ways}, shots {was.shots}"
        if was.episodes_digest != now.episodes_digest:
            return f"other test episodes: {where}"
        limit = allowed(learner, was)
        if limit is not None and not distance(was, now) <= limit:
            return f"{where} was {was.value:g}, is {now.value:g}: further apart than the tolerance of {limit:g}"
    return None


def _first_difference(old: object, new: object, where: str = "") -> str | None:
    """Returns the first difference between two JSON values; numbers are compared as text."""
    if isinstance(old, dict) and isinstance(new, dict):
        pairs = [(key, old.get(key), new.get(key)) for key in sorted(old.keys() | new.keys())]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(str(index), was, now) for index, (was, now) in enumerate(zip(old, new, strict=True))]
    else:
        before, after = json.dumps(old), json.dumps(new)
        return None if before == after else f"{where or 'it'} was {before}, is {after}"
    differences = (_first_difference(was, now, f"{where}.{key}".lstrip(".")) for key, was, now in pairs)
    return next((difference for difference in differences if difference), None)


def _compare_tables(old: Path, new: Path) -> str | None:
    if old.is_file() != new.is_file():
        return "was there, is not" if old.is_file() else "was not there, is now"
    if not old.is_file():
        return None
    before, after = pd.read_parquet(old), pd.read_parquet(new)
    if set(before) == set(after):  # a bundle has one order of columns for all its runs
        after = after[list(before)]
    singles = [name for name in before if before[name].dtype == "float32" and name in after]
    if singles:  # a bundle keeps them so
        after = after.astype(dict.fromkeys(singles, "float32"))
    if before.equals(after):
        return None
    if list(before.columns) != list(after.columns) or len(before) != len(after):
        return f"had columns {list(before.columns)} x {len(before)}, has {list(after.columns)} x {len(after)}"
    for column in before:
        for row, (was, now) in enumerate(zip(before[column].tolist(), after[column].tolist(), strict=True)):
            if repr(was) != repr(now):
                return f"{column} of row {row} was {was!r}, is {now!r}"
    return "the same values of other types"
