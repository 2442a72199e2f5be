"""The format of bundles, and of the statements of those who verify them."""

from pydantic import AwareDatetime, JsonValue

from adaptbench.reports.format import (
    Checksum,
    Digest,
    Environment,
    File,
    Integer,
    Machine,
    Manifest,
    Name,
    Positive,
    Record,
    Result,
    RunId,
    Share,
)


class BundledRun(Record):
    """A line of a bundle's `runs.jsonl`: the JSON files of a finished run."""

    result: Result
    """Its `result.json`."""
    environment: Environment
    """Its `environment.json`."""
    spec: dict[str, JsonValue]
    """Its `spec.json`."""
    guards: dict[str, JsonValue] | None = None
    """Its `guards.json`; null if it has none."""


class Bundle(File):
    """`bundle.json` of a bundle: what a suite wants, and the checksums of the bundle's other files."""

    suite: Manifest
    """The suite."""
    made: AwareDatetime
    """When its last run was finished."""
    files: dict[str, Checksum]
    """Size and checksum of the bundle's other files by name."""


class VerifiedRun(Record):
    """A run that a verifier computed again."""

    run_id: RunId
    """The run."""
    name: str
    """Learner, task and seed, in words."""
    exact: bool
    """Whether bits were compared; on other hardware or versions, scores are, within a tolerance."""
    difference: str | None
    """The first difference, or why the run could not be computed again; null if it agrees."""
    largest: dict[str, float]
    """The largest difference of a score by metric, in the unit of the metric."""


class Tolerances(File):
    """`tolerances.json`: how far the scores of the same runs moved between instruction sets and machines."""

    command: tuple[str, ...]
    """What measured it."""
    machine: Machine
    """On which machine, at which commit."""
    made: AwareDatetime
    """When."""
    runs: Positive
    """Runs that were computed with each instruction set."""
    others: tuple[Machine, ...] = ()
    """Other machines whose results of these runs were compared, too."""
    largest: dict[str, dict[str, float]]
    """The largest difference by learner and metric: of `mse` relative to the larger one, of others in their unit."""


class Statement(File):
    """`BUNDLE.statement.json`: what a verifier found who computed some runs of a bundle again."""

    bundle: Digest
    """SHA-256 of the bundle's file."""
    suite: Name
    """Its suite."""
    verifier: str
    """Who computed the runs again; the signature beside this file, if there is one, says by which key."""
    made: AwareDatetime
    """When."""
    machine: Machine
    """On which machine."""
    seed: Integer
    """Seed of the sample."""
    seed_drawn: bool = False
    """Whether that seed was drawn at random; one that the verifier gave may have been chosen for its sample."""
    runs: Positive
    """Runs with scores in the bundle."""
    sampled: tuple[VerifiedRun, ...]
    """The runs that were computed again."""
    chance: Share
    """Chance that one forged run, wherever it is, is in such a sample."""
