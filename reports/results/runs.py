"""Reads the run of a cell, or says why there is none; no content of a runs folder makes it raise."""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no annotations
from numpy.typing import NDArray

from adaptbench.reports.format import Component, Environment, Failure, Guards, Machine, Result, Score, Spec, Times
from adaptbench.reports.reading import Unreadable, read
from adaptbench.reports.results.curves import LearningCurve, read_curve, read_whole
from adaptbench.reports.results.manifest import Cell, Suite
from adaptbench.reports.results.metrics import Metric
from adaptbench.reports.results.settings import Setting
from adaptbench.reports.results.tables import read_table
from adaptbench.reports.statistics.scales import LIMITS

ProblemKind = Literal["not finished", "failed", "data unavailable", "unreadable"]
ReadCurve = Callable[[Path, str], LearningCurve | None]
T = TypeVar("T")
UNSEEN = "unseen"
NOT_FINITE = "NotFinite:"
"""Begins the recorded reason of a training that diverged; any other failure is not the learner's own doing."""


@dataclass(frozen=True)
class Source:
    """A folder of runs or an unpacked bundle.

    Args:
        name: Its name, as the user gave it.
        folder: Where its runs lie.
        bundled: Whether it is a bundle.
        made: The version and the date of a bundle, and what a verifier found.
        command: The arguments of `adaptbench run` that made its suite.
    """

    name: str
    folder: Path
    bundled: bool = False
    made: str = ""
    command: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Its name for readers."""
        return f"bundle {self.name} ({self.made})" if self.bundled else self.name


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        cell: The cell of the manifest.
        folder: The run's folder.
        result: The content of `result.json`.
        episode_scores: For each setting of the cell, the scores [E] of its metric, by episode.
        environment: Where and how fast it was computed; None if that cannot be read.
        spec: What determines the result; None if that cannot be read.
        read_curve: Reads a learning curve.
        training_scores: The scores [E] of tests on training classes or functions, by what they are on and setting.
        source: Where it came from; None in a report of one source.
        lost: Why files beside its scores cannot be read; the report does without them.
    """

    cell: Cell
    folder: Path
    result: Result
    episode_scores: Mapping[Setting, NDArray[np.float64]]
    environment: Environment | None = None
    spec: Spec | None = None
    read_curve: ReadCurve = field(default=read_curve, repr=False, compare=False)
    training_scores: Mapping[tuple[str, Setting], NDArray[np.float64]] = field(default_factory=dict)
    source: Source | None = None
    lost: list[str] = field(default_factory=list, repr=False, compare=False)

    @cached_property
    def curve(self) -> LearningCurve | None:
        """The learning curve of its training or its pretraining; None if there is none, or if it uses neither."""
        if not self.trained:
            return None
        trained = self.folder.parent / (self.result.pretrained or self.cell.run_id)
        return _or_lost(lambda: self.read_curve(trained, self.cell.metric), self.lost)

    @cached_property
    def fits(self) -> pd.DataFrame | None:
        """The functions that a regression run predicted; None if there are none."""
        return _or_lost(lambda: read_whole(self.folder / "fits.parquet"), self.lost)

    @cached_property
    def calibration(self) -> pd.DataFrame | None:
        """The queries of its test by probability, with the columns `CALIBRATION`; None if it has none."""
        return _or_lost(lambda: read_whole(self.folder / "calibration.parquet"), self.lost)

    @cached_property
    def guards(self) -> Guards | None:
        """What guards found in its data; None if there is nothing of them."""
        path = self.folder / "guards.json"
        return _or_lost(lambda: read(path, Guards) if path.exists() else None, self.lost)

    def environment_of(self, run_id: str) -> Environment | None:
        """Where and how fast another run of the folder was computed; None if that cannot be read."""
        return _or_lost(lambda: read(self.folder.parent / run_id / "environment.json", Environment), [])

    @property
    def machine(self) -> Machine | None:
        """The machine that computed it, if known."""
        return self.environment.machine if self.environment else None

    @property
    def times(self) -> Times | None:
        """How long it took, if known."""
        return self.environment.times if self.environment else None

    @property
    def component(self) -> Component | None:
        """Its learner or strategy; None if not known."""
        return (self.spec.learner or self.spec.strategy) if self.spec else None

    @property
    def training(self) -> Spec | None:
        """The spec of its training, which is that of its pretraining for a strategy; None if not known."""
        return (self.spec.pretrained or self.spec) if self.spec else None

    @property
    def train_shots(self) -> tuple[int, ...]:
        """The numbers of shots of training episodes; empty if not known."""
        return self.training.train.shots if self.training and self.training.train else ()

    @cached_property
    def pretraining_cpu_seconds(self) -> Mapping[str, float | None]:
        """The CPU seconds of each pretraining that validation chose from, by its run; None if they are not known."""
        candidates = [each.run_id for each in self.result.pretrainings]
        found = {run_id: self.environment_of(run_id) for run_id in candidates}
        return {run_id: each.times.train_cpu_seconds if each else None for run_id, each in found.items()}

    @property
    def trained(self) -> bool:
        """Whether it uses what was trained; a control may use nothing of the network that comes with every strategy."""
        return self.result.examples_encoded != 0

    @property
    def train_seconds(self) -> float | None:
        """The seconds of its training, or of its pretraining; 0 if it uses neither, None if they are not known."""
        return (self.times.train_seconds if self.times else None) if self.trained else 0.0

    @property
    def train_cpu_seconds(self) -> float | None:
        """The CPU seconds of its training, or of its pretraining; 0 if it uses neither, None if they are not known."""
        return (self.times.train_cpu_seconds if self.times else None) if self.trained else 0.0

    @property
    def all_cpu_seconds(self) -> float | None:
        """The CPU seconds of its training, or of all pretrainings that validation chose from."""
        tried = list(self.pretraining_cpu_seconds.values())
        if not tried or not self.trained:
            return self.train_cpu_seconds
        known = [seconds for seconds in tried if seconds is not None]
        return sum(known) if len(known) == len(tried) else None

    def score(self, setting: Setting, metric: str | None = None) -> Score | None:
        """The test score of a metric at a setting on unseen classes; by default of the cell's metric."""
        wanted = (setting.ways, setting.shots, metric or self.cell.metric, "test", "unseen")
        for score in self.result.scores:
            if (score.ways, score.shots, score.metric, score.part, score.on) == wanted:
                return score
        return None

    def milliseconds(self, setting: Setting) -> float | None:
        """The mean milliseconds to adapt to a test episode of a setting and predict its queries, if known."""
        known = self.times.predict if self.times else ()
        wanted = (setting.ways, setting.shots)
        return next((each.ms_per_episode for each in known if (each.ways, each.shots) == wanted), None)

    def diverged(self, setting: Setting) -> int:
        """The number of test episodes of a setting in which the adapter diverged, which are scored as a guess."""
        score = self.score(setting)
        return 0 if score is None else score.diverged


@dataclass(frozen=True)
class Problem:
    """Why a cell has no result; `log` is the end of what a failed run printed."""

    cell: Cell
    kind: ProblemKind
    reason: str = ""
    log: str = ""

    @property
    def diverged(self) -> bool:
        """Whether the training ended because its weights were no longer numbers."""
        return self.kind == "failed" and self.reason.startswith(NOT_FINITE)

    def __str__(self) -> str:
        """The kind and, on one line, the reason."""
        return f"{self.kind}: {' '.join(self.reason.split())}" if self.reason else self.kind


Outcome = Run | Problem


def read_outcomes(runs: Path, suite: Suite) -> tuple[Outcome, ...]:
    """Reads every cell of a suite, in the order of its manifest; each learning curve is read at most once."""
    curves = cache(read_curve)
    return tuple(read_outcome(runs, cell, suite.unavailable.get(cell.called), curves) for cell in suite.cells)


def read_outcome(runs: Path, cell: Cell, unavailable: str | None = None, curves: ReadCurve = read_curve) -> Outcome:
    """Reads the run of a cell.

    Args:
        runs: The runs folder.
        cell: The cell that is wanted.
        unavailable: Why the task's data is unavailable, if it is.
        curves: Reads a learning curve.
    """
    if (runs / cell.run_id).exists():
        try:
            return _read_run(runs / cell.run_id, cell, curves)
        except Unreadable as error:
            return Problem(cell, "unreadable", str(error))
    failure = runs / f".partial-{cell.run_id}" / "failure.json"
    if failure.exists():
        return _read_failure(failure, cell)
    return Problem(cell, "not finished") if unavailable is None else Problem(cell, "data unavailable", unavailable)


def _read_failure(path: Path, cell: Cell) -> Problem:
    try:
        found = read(path, Failure)
    except Unreadable as error:
        return Problem(cell, "failed", f"the reason is lost: {error}")
    return Problem(cell, "failed", found.reason, found.log)


def _read_run(folder: Path, cell: Cell, curves: ReadCurve) -> Run:
    result = read(folder / "result.json", Result)
    for name in ("run_id", "task", "protocol", "seed", "train_classes"):  # the suite names the learner
        wanted, found = getattr(cell, name), getattr(result, name)
        if wanted != found:
            raise Unreadable(f"Expected field `{name}` of result.json to be {wanted!r} but got {found!r}.")
    scores = _read_episode_scores(folder / "episodes.parquet", cell)
    lost: list[str] = []
    run = Run(
        cell=cell,
        folder=folder,
        result=result,
        episode_scores={setting: found for (on, setting), found in scores.items() if on == UNSEEN},
        training_scores={(on, setting): found for (on, setting), found in scores.items() if on != UNSEEN},
        environment=_or_lost(lambda: read(folder / "environment.json", Environment), lost),
        spec=_or_lost(lambda: read(folder / "spec.json", Spec), lost),
        read_curve=curves,
        lost=lost,
    )
    for setting in cell.settings:
        _check_score(run, setting)
    return run


def _read_episode_scores(path: Path, cell: Cell) -> dict[tuple[str, Setting], NDArray[np.float64]]:
    """Reads the cell's metric by what the test is on and for each of its settings, sorted by episode."""
    table = read_table(path, ["ways", "shots", "episode", cell.metric], optional=["on"])
    # Pandas would take most of the time for many runs. Absent values become NaN.
    ways, shots, episode, scores = (column.cast(pa.float64(), safe=False).to_numpy() for column in table.columns[:4])
    on = table["on"].to_numpy() if "on" in table.column_names else np.full(len(scores), UNSEEN)
    found = {}
    for what, setting in itertools.product(dict.fromkeys([UNSEEN, *on.tolist()]), cell.settings):
        here = (np.isnan(ways) if setting.ways is None else ways == setting.ways) & (shots == setting.shots)
        here &= on == what
        order = np.argsort(episode[here], kind="stable")
        if (np.diff(episode[here][order]) == 0).any():
            raise Unreadable(f"Expected {path.name} to have each episode once but some are in it twice.")
        found[what, setting] = scores[here][order]
    return found


def _check_score(run: Run, setting: Setting) -> None:
    """Refuses a run whose two files contradict each other."""
    score, episodes = run.score(setting), run.episode_scores[setting]
    wanted = f"{run.cell.metric} at ways {setting.ways}, shots {setting.shots}"
    if score is None:
        raise Unreadable(f"Expected result.json to have the test {wanted} but it does not.")
    if len(episodes) != score.n_episodes or len(episodes) < 2:
        raise Unreadable(
            f"Expected episodes.parquet to have {score.n_episodes} (at least 2) episodes for {wanted} "
            f"but got {len(episodes)}."
        )
    metric = Metric.named(score.metric, higher_is_better=score.higher_is_better)
    least, most = LIMITS[metric.scores_are]
    if outside := episodes[np.isfinite(episodes) & ((episodes < least) | (episodes > most))].tolist():
        raise Unreadable(f"Expected {wanted} to lie in {least:g} to {most:g} but got {outside[0]:g}.")
    mean = float(episodes.mean())
    if math.isfinite(mean) and not math.isclose(mean, score.value, rel_tol=1e-4, abs_tol=1e-6):
        raise Unreadable(f"Expected episodes.parquet to average to {score.value:g} for {wanted} but got {mean:g}.")


def _or_lost(reader: Callable[[], T], lost: list[str]) -> T | None:
    """What a reader finds; None if it cannot be read, because the scores are valid without it."""
    try:
        return reader()
    except Unreadable as error:
        lost.append(str(error))
        return None
