"""The format of a folder of runs: every JSON file as a type, and the columns of every table.

`benchmarks` writes these types and `reports` reads them. Their docstrings become `docs/format.md`.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

FORMAT_VERSION = 1
"""Raised when a file or the meaning of a field changes. Files of other versions are refused."""

_LARGEST = 2**63 - 1
LARGEST_NUMBER = 1e40
"""No finite number of a run is larger: those that it computes with end at 3.4e38, as float32 does."""
_CONTROL = {*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_ESCAPES = {code: ascii(chr(code))[1:-1] for code in _CONTROL}


def visible(text: str) -> str:
    """Shows control characters, which a terminal would obey, as escapes; ends of lines and tabs stay."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return lines.translate(_ESCAPES)


def _possible(value: float) -> float:
    if LARGEST_NUMBER < abs(value) < float("inf"):
        raise ValueError(f"should be at most {LARGEST_NUMBER:g} or not finite")
    return value


Count = Annotated[int, Field(ge=0, le=_LARGEST)]
Positive = Annotated[int, Field(ge=1, le=_LARGEST)]
Integer = Annotated[int, Field(ge=-_LARGEST - 1, le=_LARGEST)]
Text = Annotated[str, AfterValidator(visible)]
Name = Annotated[Text, Field(min_length=1)]
SuiteName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=128)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$", max_length=128)]
RunId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=128)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{16,128}$")]
Finite = Annotated[float, Field(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]
Number = Annotated[float, AfterValidator(_possible)]
Duration = Annotated[float, Field(ge=0, le=1e12)]
Share = Annotated[float, Field(ge=0, le=1)]
Selection = Literal["last", "best"]
Part = Literal["train", "val", "test"]
On = Literal["unseen", "seen", "held_out_drawings"]


class Record(BaseModel):
    """A part of a file. Types are strict; fields that this version does not know are ignored."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="ignore", use_attribute_docstrings=True, ser_json_inf_nan="constants"
    )


class File(Record):
    """A whole JSON file."""

    format_version: int = FORMAT_VERSION
    """Version of the format that the file is written in."""


class Size(Record):
    """The size of an episode."""

    ways: Positive | None
    """Classes in an episode; null in regression."""
    shots: Positive
    """Support examples of each class; in regression, of the function; in a stream, the presentation of a class."""


class Component(Record):
    """A class with its arguments."""

    name: Name
    """A registered name, or the dotted path of a class."""
    init_args: dict[Text, JsonValue] = {}
    """Keyword arguments of the class."""
    weights: Text | None = None
    """The file of weights from elsewhere that an encoder starts from; absent if there is none."""


class Description(Record):
    """Describes a run."""

    run_id: RunId
    """Hash of everything that determines the result, and the name of the run's folder."""
    task: Name
    """Name of the task, also for a pretraining."""
    protocol: Text
    """What decides the task's difficulty besides ways, shots and training classes, in words."""
    learner: Name
    """Name of the learner or of the strategy of transfer; "pretraining" for a network that others adapt."""
    family: Name
    """Family of the learner."""
    seed: Integer
    """Seed of weights and training episodes. Test episodes do not depend on it."""
    train_classes: Positive | None
    """Training classes (before rotations) or functions; null if they are unlimited."""
    class_word: Name
    """The word for training classes, in the plural."""
    shots_word: Name
    """The word for a shot, in the singular."""


class ManifestCell(Description):
    """One run that a suite wants."""

    label: Name
    """Name of the learner in tables and figures."""
    task_label: Text = ""
    """Name of the task in tables, figures and file names, if that is not `task`; empty otherwise."""
    metric: Name
    """The metric for comparisons: "accuracy" (a fraction), "mse" (squared units of the target), or another column."""
    higher_is_better: bool
    """Direction of that metric."""
    tests: Annotated[tuple[Size, ...], Field(min_length=1)]
    """The sizes of the test episodes."""
    remarks: tuple[Text, ...] = ()
    """Sentences that every table of the protocol carries."""
    examples: Positive | None = None
    """Examples that it encodes in training, if the suite trains each learner with several budgets; otherwise null."""
    source: Text = ""
    """Where its form was published, with the numbers of equations; empty if it departs from every publication."""
    departs_from: Text = ""
    """Name of the learner from which the suite wants to see it differ; empty if there is none."""

    @property
    def called(self) -> str:
        """What readers know the task by: its label, or its name."""
        return self.task_label or self.task

    @property
    def group(self) -> tuple[str, str, str]:
        """What the runs of one table share."""
        return self.task, self.task_label, self.protocol


class Manifest(File):
    """`suites/SUITE.json`: the runs that a suite wants, finished or not."""

    name: SuiteName
    """Name of the suite."""
    version: Integer
    """Version of the suite's definition."""
    description: Text
    """The suite in one sentence."""
    command: tuple[Text, ...]
    """Arguments of `adaptbench run` that decide the runs: the suite, and learners that were added."""
    unavailable: dict[Text, Text]
    """For each task without data on this machine, by its label if it has one, the reason."""
    cells: tuple[ManifestCell, ...]
    """Every run that the suite wants."""
    published: Text = ""
    """The CSV file of published numbers that the suite names (docs/own.md), as it is; empty if it names none."""


class Score(Size):
    """A metric on the episodes of one size."""

    part: Part
    """Part of the task's classes or functions: "train", "val" or "test"."""
    on: Annotated[On, Field(exclude_if=lambda on: on == "unseen")] = "unseen"
    """"unseen" classes or functions; or those of training, "seen" by drawings that training has, or by
    "held_out_drawings" that it does not have. Left out if unseen."""
    queries: Positive
    """Query examples of each class; in regression, of the function."""
    metric: Name
    """"accuracy" (a fraction), "mse" (squared units of the target), "nll" (nats per query), "error_percent" (per cent)
    or "order_sensitivity" (fraction of queries whose class changes, or mean squared change, with another order)."""
    higher_is_better: bool
    """Direction of the metric."""
    value: Number
    """Mean over episodes, in the unit of the metric; not finite if an episode's score is not."""
    n_episodes: Positive
    """Episodes in the mean."""
    episodes_digest: Digest
    """Hash of the episodes: equal for runs with the same episodes."""
    chance: Finite | None
    """Value of a guess, in the unit of the metric; null if not known."""
    at_chance: bool
    """Whether the run's own metric is no better than a guess at this size, within noise."""
    diverged: Count = 0
    """Episodes in which the adapter diverged; they are scored as a guess."""
    carried: Count | None = None
    """Numbers that the adapter carries over from a support set to its queries; null in streams, for metrics other than
    the task's own, and if it does not say."""
    trials: Positive | None = None
    """Trials behind an error in per cent, over all episodes; null for other metrics."""
    low: Annotated[float, Field(ge=0, le=100)] | None = None
    """Lower end of the 95 % interval over episodes, in per cent; null without trials."""
    high: Annotated[float, Field(ge=0, le=100)] | None = None
    """Upper end of that interval, in per cent; null without trials."""


class PretrainingCandidate(Record):
    """A pretraining, or the training of a learner, with one of several learning rates."""

    run_id: RunId
    """The run that trained."""
    lr: Annotated[float, Field(gt=0, le=LARGEST_NUMBER)]
    """Its learning rate."""
    score: Number
    """Its score on the validation episodes of the run's task, in the unit of the task's metric."""
    source: Text = ""
    """The task that it learned from, in words; empty if that is the run's own."""


class Candidate(Record):
    """Settings of a strategy that cross-validation tried."""

    support: Positive
    """Support examples in an episode, over all classes."""
    settings: dict[Text, JsonValue]
    """The arguments of the strategy."""
    score: Number
    """Their score: the task's metric by validation, the loss (nats per query) by leave-one-out."""
    share: Share
    """Fraction of the episodes for which these settings were chosen."""


class Checksum(Record):
    """A published file of the run."""

    bytes: Count
    """Its size in bytes."""
    sha256: Digest
    """Its SHA-256 in hexadecimal."""


class Result(File, Description):
    """`result.json`: the results that the spec determines, the same bytes every time."""

    kind: Literal["episodic", "pretrain", "transfer"]
    """A learner trained on episodes, a pretraining (which has no scores), or a strategy that adapts a pretraining."""
    selection: Selection
    """Which weights were kept: those after the last step, or the best in validation."""
    examples_encoded: Count
    """Examples encoded in training."""
    parameters: Count
    """Parameters of the network, or those that the strategy adapts."""
    transductive: bool
    """Whether a query's prediction may depend on other queries."""
    scores: tuple[Score, ...]
    """A score for each size of episodes and metric; none for a pretraining."""
    pretrained: RunId | None = None
    """The pretraining that was adapted, or the training of a learner that was chosen; null if the run trained its own
    network."""
    pretrainings: tuple[PretrainingCandidate, ...] = ()
    """The trainings that validation chose from; none if there was no choice."""
    chosen: tuple[Candidate, ...] = ()
    """The settings that cross-validation tried; none if there was no choice."""
    files: dict[FileName, Checksum]
    """Size and checksum of the run's other files by name, except `environment.json`, which has times."""
    sha256: Digest
    """SHA-256 of this file without this field."""

    @property
    def required(self) -> frozenset[str]:
        """The files without which a run of its kind is not whole, besides its own and `environment.json`."""
        found = {"spec.json", "guards.json"}
        found |= {"model.ckpt", "curve.parquet"} if self.pretrained is None else set()
        return frozenset(found | ({"episodes.parquet"} if self.kind != "pretrain" else set()))


class GuardFinding(Record):
    """A guard's finding."""

    guard: Name
    """What it checks."""
    status: Literal["passed", "noted", "failed"]
    """"passed"; "noted" if the protocol allows the finding; or "failed", which stops a run."""
    found: Text
    """The finding in a sentence."""
    named: Annotated[tuple[Text, ...], Field(exclude_if=lambda named: not named)] = ()
    """Images of the user's own that it found, each with the first one that it equals or almost equals; left out if
    there is none."""


class Guards(File):
    """`guards.json`: findings of the guards against leaks and collapsed training."""

    findings: tuple[GuardFinding, ...]
    """The finding of each guard."""


class Machine(Record):
    """The machine that computed a run."""

    versions: dict[Text, Text | None]
    """Versions of Python, of the C library (`libc`, with its name) and of packages, by name; null if there is none."""
    device: Name
    """"cpu", or the name of the GPU."""
    processor: Text
    """Model of the processor."""
    system: Text
    """Operating system and architecture."""
    threads: Positive
    """Threads that torch used."""
    git_commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40,64}$")] | None
    """Commit of the code; null outside a checkout."""
    git_dirty: bool | None
    """Whether the checkout had uncommitted changes; null if not known."""


class PredictTime(Size):
    """How long prediction took for episodes of one size."""

    ms_per_episode: Duration
    """Mean milliseconds to adapt to an episode and predict its queries, encoding included."""


class Times(Record):
    """How long a run took."""

    started: AwareDatetime
    """When the run began; for a resumed run, when the last try began."""
    finished: AwareDatetime
    """When it was published."""
    train_seconds: Duration | None = None
    """Wall-clock seconds of training over all tries, except what was lost after the last checkpoint of a try; for a
    strategy, those of its pretraining."""
    train_cpu_seconds: Duration | None = None
    """CPU time of training in seconds, counted in the same way."""
    test_seconds: Duration | None = None
    """Seconds to predict all test episodes; null for a pretraining."""
    predict: tuple[PredictTime, ...] = ()
    """Prediction time for each size of test episodes; none for a pretraining."""

    @property
    def predict_ms_per_episode(self) -> float | None:
        """Mean milliseconds of prediction over all test episodes; every size has the same number of them."""
        times = [each.ms_per_episode for each in self.predict]
        return sum(times) / len(times) if times else None


class Environment(File):
    """`environment.json`: where and how fast a run was computed. It differs every time and has no checksum."""

    machine: Machine
    """The machine that computed the run."""
    times: Times
    """How long it took."""
    data_digest: Text | None
    """Hash of the data that the task read; null if the task computes its data."""


class Failure(File):
    """`.partial-RUN/failure.json`: why the last try of a run failed."""

    reason: Text
    """The error in one line."""
    log: Text
    """The end of what the run printed."""


class TrainingEpisodes(Record):
    """The fields of training episodes that reports compare."""

    shots: tuple[Positive, ...] = ()
    """Numbers of shots of the training episodes."""


class Spec(Record):
    """`spec.json`: what determines the result; `benchmarks/suites/spec.py` has the other fields."""

    model_config = ConfigDict(extra="allow")

    results_version: Integer | None = None
    """Version of the code's numbers: runs of different versions have different ids."""
    learner: Component | None = None
    """The learner; null in a pretraining and its strategies."""
    strategy: Component | None = None
    """The strategy that adapts a pretraining."""
    encoder: Component | None = None
    """The encoder; null in a strategy, which has that of its pretraining."""
    train: TrainingEpisodes | None = None
    """Training episodes; null if its pretraining has them."""
    pretraining: dict[str, JsonValue] | None = None
    """How it is pretrained; null for a learner."""
    pretrained: "Spec | None" = None
    """The pretraining that is adapted."""
