"""Reads the run of a cell, or says why there is none; nothing in a runs folder makes it raise."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as field_of_dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no annotations
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from numpy.typing import NDArray

from adaptbench.reports.errors import ReportError
from adaptbench.reports.json_fields import field, optional_field, read_object
from adaptbench.reports.results.manifest import Cell, Suite
from adaptbench.reports.results.settings import Setting

ProblemKind = Literal["not finished", "failed", "data unavailable", "unreadable"]


@dataclass(frozen=True)
class Score:
    """One row of a result: a metric on the test episodes of one setting."""

    split: str
    setting: Setting
    queries: int | None
    metric: str
    higher_is_better: bool
    value: float
    n_episodes: int
    episodes_digest: str
    chance: float | None
    at_chance: bool
    diverged: int = 0


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        cell: What the manifest wanted.
        selection: "last", or "best" on validation.
        examples_encoded: The training budget that was used.
        parameters: How many parameters the adapter has.
        transductive: Whether a query's prediction may depend on other queries.
        scores: Every row of the result.
        episode_scores: For each setting of the cell, the scores [E] of its metric, by episode.
        environment: What was recorded about the machine, versions and times; empty where that cannot be read.
        spec: What determines the result; empty where that cannot be read.
        pretrained: The run of the network that was adapted; empty where the run trained its own.
        chosen: Settings that were chosen by cross-validation, one record for each candidate; empty where none were.
    """

    cell: Cell
    selection: str
    examples_encoded: int
    parameters: int
    transductive: bool
    scores: tuple[Score, ...]
    episode_scores: Mapping[Setting, NDArray[np.float64]]
    environment: Mapping[str, object]
    spec: Mapping[str, object] = field_of_dataclass(default_factory=dict)
    pretrained: str = ""
    chosen: tuple[Mapping[str, object], ...] = ()

    @property
    def component(self) -> str:
        """The name of what adapts, as its spec has it; empty where that is not known."""
        for kind in ("learner", "strategy"):
            found = self.spec.get(kind)
            if isinstance(found, Mapping):
                return str(found.get("name", ""))
        return ""

    @property
    def train_shots(self) -> tuple[int, ...]:
        """The numbers of shots that training episodes had; empty where that is not known."""
        training = self.spec.get("pretrained", self.spec)
        train = training.get("train") if isinstance(training, Mapping) else None
        shots = train.get("shots") if isinstance(train, Mapping) else None
        return tuple(shot for shot in shots if isinstance(shot, int)) if isinstance(shots, list) else ()

    def score(self, setting: Setting) -> Score | None:
        """The test score of the cell's own metric at a setting."""
        for score in self.scores:
            if (score.setting, score.metric, score.split) == (setting, self.cell.metric, "test"):
                return score
        return None

    def diverged(self, setting: Setting) -> int:
        """In how many test episodes of a setting the adapter diverged, and was scored as a guess."""
        score = self.score(setting)
        return 0 if score is None else score.diverged


@dataclass(frozen=True)
class Problem:
    """Why a cell has no result; `log` is the end of what a failed run printed."""

    cell: Cell
    kind: ProblemKind
    reason: str = ""
    log: str = ""

    def __str__(self) -> str:
        """The kind and, on one line, the reason."""
        return f"{self.kind}: {' '.join(self.reason.split())}" if self.reason else self.kind


Outcome = Run | Problem


def read_outcomes(runs: Path, suite: Suite) -> tuple[Outcome, ...]:
    """The outcome of every cell of a suite, in the order of its manifest."""
    return tuple(read_outcome(runs, cell, suite.unavailable.get(cell.task)) for cell in suite.cells)


def read_outcome(runs: Path, cell: Cell, unavailable: str | None = None) -> Outcome:
    """Reads the run of a cell.

    Args:
        runs: The runs folder.
        cell: The cell that is wanted.
        unavailable: Why the task's data are not there, if they are not.
    """
    if (runs / cell.run_id).exists():
        try:
            return _read_run(runs / cell.run_id, cell)
        except ReportError as error:
            return Problem(cell, "unreadable", str(error))
    failure = runs / f".partial-{cell.run_id}" / "failure.json"
    if failure.exists():
        return _read_failure(failure, cell)
    return Problem(cell, "not finished") if unavailable is None else Problem(cell, "data unavailable", unavailable)


def _read_failure(path: Path, cell: Cell) -> Problem:
    try:
        data = read_object(path)
        log = optional_field(data, "log", str, path.name) or ""
        return Problem(cell, "failed", field(data, "reason", str, path.name), log)
    except ReportError as error:
        return Problem(cell, "failed", f"for a reason that is lost, because {error}")


def _read_run(folder: Path, cell: Cell) -> Run:
    file = "result.json"
    data = read_object(folder / file)
    for name in ("run_id", "task", "protocol", "seed", "train_classes"):  # what a learner is called is up to the suite
        if data.get(name) != getattr(cell, name):
            raise ReportError(f"Expected `{name}` of {file} to be {getattr(cell, name)!r} but got {data.get(name)!r}.")
    rows = field(data, "scores", list, file)
    run = Run(
        cell=cell,
        selection=field(data, "selection", str, file),
        examples_encoded=field(data, "examples_encoded", int, file),
        parameters=field(data, "parameters", int, file),
        transductive=field(data, "transductive", bool, file),
        scores=tuple(_parse_score(row, cell, file) for row in rows),
        episode_scores=_read_episode_scores(folder / "episodes.parquet", cell),
        environment=_read_beside(folder / "environment.json"),
        spec=_read_beside(folder / "spec.json"),
        pretrained=_folder_or_nothing(data.get("pretrained")),
        chosen=_records(data.get("pretrainings")) + _records(data.get("chosen")),
    )
    for setting in cell.settings:
        _check_score(run, setting)
    return run


def _parse_score(row: object, cell: Cell, file: str) -> Score:
    ways, shots = optional_field(row, "ways", int, file), field(row, "shots", int, file)
    return Score(
        split=field(row, "split", str, file),
        setting=Setting(cell.train_classes, ways, shots),
        queries=optional_field(row, "queries", int, file),
        metric=field(row, "metric", str, file),
        higher_is_better=field(row, "higher_is_better", bool, file),
        value=field(row, "value", float, file),
        n_episodes=field(row, "n_episodes", int, file),
        episodes_digest=field(row, "episodes_digest", str, file),
        chance=optional_field(row, "chance", float, file),
        at_chance=bool(optional_field(row, "at_chance", bool, file)),
        diverged=optional_field(row, "diverged", int, file) or 0,
    )


def _read_episode_scores(path: Path, cell: Cell) -> dict[Setting, NDArray[np.float64]]:
    """The cell's metric for each of its settings, sorted by episode."""
    try:
        table = pq.read_table(path, columns=["ways", "shots", "episode", cell.metric], use_threads=False)
        # Without pandas, which takes most of the time where runs are many; what is absent becomes NaN.
        ways, shots, episode, scores = (column.cast(pa.float64()).to_numpy() for column in table.columns)
    except Exception as error:  # A damaged file can make a parquet reader raise almost anything.
        raise ReportError(
            f"{path.name} cannot be read: {str(error).splitlines()[0] if str(error) else error!r}"
        ) from error
    found = {}
    for setting in cell.settings:
        here = (np.isnan(ways) if setting.ways is None else ways == setting.ways) & (shots == setting.shots)
        order = np.argsort(episode[here], kind="stable")
        if (np.diff(episode[here][order]) == 0).any():
            raise ReportError(f"Expected {path.name} to hold each episode once but some stand there twice.")
        found[setting] = scores[here][order]
    return found


def _check_score(run: Run, setting: Setting) -> None:
    """Refuses a run whose two files tell different stories."""
    score, episodes = run.score(setting), run.episode_scores[setting]
    wanted = f"{run.cell.metric} at ways {setting.ways}, shots {setting.shots}"
    if score is None:
        raise ReportError(f"Expected result.json to hold the test {wanted} but it does not.")
    if len(episodes) != score.n_episodes or len(episodes) < 2:
        raise ReportError(
            f"Expected episodes.parquet to hold {score.n_episodes} (at least 2) episodes for {wanted} "
            f"but got {len(episodes)}."
        )
    mean = float(episodes.mean())
    if math.isfinite(mean) and not math.isclose(mean, score.value, rel_tol=1e-4, abs_tol=1e-6):
        raise ReportError(f"Expected episodes.parquet to average to {score.value:g} for {wanted} but got {mean:g}.")


def _read_beside(path: Path) -> dict[str, object]:
    """What was recorded beside a result; a result without it is still a result."""
    try:
        return read_object(path)
    except ReportError:
        return {}


def _folder_or_nothing(run_id: object) -> str:
    """A run's id where it can be the name of a folder."""
    return run_id if isinstance(run_id, str) and re.fullmatch(r"[A-Za-z0-9_-]+", run_id) else ""


def _records(found: object) -> tuple[Mapping[str, object], ...]:
    """The objects of a list; what is none is left out."""
    return tuple(each for each in found if isinstance(each, Mapping)) if isinstance(found, list) else ()
