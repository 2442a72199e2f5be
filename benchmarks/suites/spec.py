"""Specs: everything that determines a run's result, and the run's id."""

import hashlib
import json
import operator
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    WrapSerializer,
)

from adaptbench.datamodules.base import UNSEEN, EvalEpisodes, TrainEpisodes
from adaptbench.lit_modules.optimization import Optimization

RESULTS_VERSION = 5
"""Raised when a change of the code may change numbers, so that old runs are not taken for new ones."""
CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
COMPONENTS = ("task", "encoder", "learner", "strategy")
CHECKPOINT_SECONDS = 300.0
"""Default of the time between two checkpoints within an epoch; it changes no result."""


def _left_out(test: EvalEpisodes, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
    """Leaves out what a test is about if that is unseen classes alone, as it was before there was a choice."""
    content: dict[str, Any] = handler(test)
    return {name: value for name, value in content.items() if name != "on" or tuple(value) != UNSEEN}


Tests = Annotated[EvalEpisodes, WrapSerializer(_left_out)]


def _in_order(value: Any) -> Any:  # noqa: ANN401 - of any kind
    """Sorts the keys of mappings, as `spec.json` has them, so that a run made from there meets the same order."""
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in sorted(value, key=str)}
    return [_in_order(each) for each in value] if isinstance(value, list) else value


class Frozen(BaseModel):
    """A model that cannot change and refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, ser_json_inf_nan="constants")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copies without the cached id, because an update may change it."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("run_id", None)
        return copied


class Component(Frozen):
    """A class with arguments.

    Attributes:
        name: a registered name, or the dotted path of a user's class.
        init_args: keyword arguments of the class.
    """

    name: str
    init_args: Annotated[dict[str, Any], AfterValidator(_in_order)] = Field(default_factory=dict)


class Encoder(Component):
    """The class of an encoder with arguments, and the weights that it starts from.

    Attributes:
        name: a registered name, or the dotted path of a user's class.
        init_args: keyword arguments of the class.
        weights: a file of weights from elsewhere, as `torch.save(encoder.state_dict(), FILE)` writes it; if empty, the
            encoder starts from random weights.
        weights_digest: digest of that file, which a suite adds, so that a run's id changes with it.
    """

    weights: str = Field(default="", exclude_if=operator.not_)
    weights_digest: str = Field(default="", exclude_if=operator.not_)


class Budget(Frozen):
    """How long a network trains.

    Attributes:
        examples: examples encoded in training, the same for every learner of a suite.
        epochs: parts of the training after which it validates and writes a checkpoint.
        val_episodes: validation episodes for each number of shots.
        selection: which weights are tested: the last, or those with the best validation score.
    """

    examples: PositiveInt
    epochs: PositiveInt = 4
    val_episodes: PositiveInt = 100
    selection: Literal["last", "best"] = "last"


class TrainerOptions(Frozen):
    """How Lightning's Trainer trains.

    Attributes:
        devices: processes that train one network together (DDP), each with its own GPU or core. Each draws its own
            batches, and their gradients are averaged.
        precision: "float32", or "bf16" for matrix products and convolutions of training steps in bfloat16
            (`torch.autocast`). Weights, losses, validation and test stay in float32.
    """

    devices: PositiveInt = 1
    # Left out of `spec.json` at its default, so that runs that older versions made have the same bytes.
    precision: Literal["float32", "bf16"] = Field(default="float32", exclude_if="float32".__eq__)


class Spec(Frozen):
    """What all kinds of runs have in common.

    Attributes:
        code: a digest of the code of the user's own classes (`own_code.py`); empty, and left out, if all are ours.
    """

    kind: str
    results_version: int = RESULTS_VERSION
    code: str = Field(default="", exclude_if=operator.not_)

    @property
    def components(self) -> dict[str, str]:
        """The names of its classes by kind, those of other runs left out."""
        return {kind: getattr(self, kind).name for kind in COMPONENTS if kind in type(self).model_fields}

    def canonical_json(self) -> str:
        """Returns the one JSON text of this spec.

        Fields at their defaults are left out, so that a new field with a default changes no id. Therefore, a default
        must not change without a new `RESULTS_VERSION`.
        """
        content = self.model_dump(mode="json", exclude_defaults=True)
        return CANONICAL.encode({**content, "kind": self.kind, "results_version": self.results_version})

    @cached_property
    def run_id(self) -> str:
        """Returns a hash of the canonical JSON."""
        return hashlib.blake2b(self.canonical_json().encode(), digest_size=8).hexdigest()


class TrainingSpec(Spec):
    """What the two kinds of training have in common.

    Attributes:
        mode: what the task yields in training.
    """

    mode: ClassVar[Literal["episodes", "examples"]]

    task: Component
    train: TrainEpisodes
    test: Tests
    encoder: Encoder
    budget: Budget
    optimization: Optimization
    trainer: TrainerOptions = TrainerOptions()
    seed: int

    @property
    def training(self) -> Self:
        """The training that decides the tested weights."""
        return self

    @property
    def devices(self) -> int:
        """Number of devices that it trains on."""
        return self.trainer.devices

    @property
    def steps_per_epoch(self) -> int:
        """Training steps in an epoch; every device encodes a pool in each step."""
        return max(1, self.budget.examples // (self.train.pool * self.trainer.devices) // self.budget.epochs)

    @property
    def steps(self) -> int:
        """Training steps in total."""
        return self.steps_per_epoch * self.budget.epochs


class EpisodicSpec(TrainingSpec):
    """A black-box learner, trained on episodes and tested.

    Attributes:
        rivals: the same with other learning rates; the one with the best validation score is tested.
    """

    mode: ClassVar[Literal["episodes", "examples"]] = "episodes"
    adapter_kind: ClassVar[str] = "learner"

    kind: Literal["episodic"] = "episodic"
    learner: Component
    rivals: tuple["EpisodicSpec", ...] = ()

    @property
    def candidates(self) -> tuple["EpisodicSpec", ...]:
        """The trainings that must be published first, one of which is tested; none if it trains by itself."""
        return (self.model_copy(update={"rivals": ()}), *self.rivals) if self.rivals else ()

    def with_candidate(self, run_id: str) -> "EpisodicSpec":
        """Returns one of its candidates."""
        return _only(self.candidates, run_id)

    @property
    def adapter(self) -> str:
        """Name of what adapts."""
        return self.learner.name


class Pretraining(Frozen):
    """What a network learns in pretraining, and with which head.

    Attributes:
        objective: "joint" classifies among all training classes, or fits all training functions at once; "multitask"
            has a head for each group of classes (alphabet) on a shared trunk; "context", for regression, fits all
            training functions with their parameters as a further input.
        head: "linear" or "cosine".
        head_scale: scale of a cosine head.
    """

    objective: Literal["joint", "multitask", "context"] = "joint"
    head: Literal["linear", "cosine"] = "linear"
    head_scale: PositiveFloat = 10.0


class PretrainSpec(TrainingSpec):
    """A network pretrained for transfer; tested only through the `TransferSpec`s that need it."""

    mode: ClassVar[Literal["episodes", "examples"]] = "examples"
    adapter_kind: ClassVar[str] = "pretraining"
    adapter: ClassVar[str] = "pretraining"
    candidates: ClassVar[tuple["PretrainSpec", ...]] = ()

    kind: Literal["pretrain"] = "pretrain"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    pretraining: Pretraining = Pretraining()


class TransferSpec(Spec):
    """A pretrained network adapted to each test episode.

    Attributes:
        pretrained: the pretraining.
        rivals: pretrainings with other learning rates or on other tasks, the sources; the one with the best score on
            this task's validation episodes is adapted.
        strategy: how it adapts.
        test: the test episodes.
    """

    adapter_kind: ClassVar[str] = "strategy"
    devices: ClassVar[int] = 1

    kind: Literal["transfer"] = "transfer"
    pretrained: PretrainSpec
    rivals: tuple[PretrainSpec, ...] = ()
    strategy: Component
    test: Tests

    @property
    def candidates(self) -> tuple[PretrainSpec, ...]:
        """The pretrainings that must be published first; one of them is adapted."""
        return self.pretrained, *self.rivals

    @property
    def sources(self) -> tuple[PretrainSpec, ...]:
        """The candidates that learned from another task, one of each task."""
        return tuple({str(each.task): each for each in self.rivals if each.task != self.pretrained.task}.values())

    def with_candidate(self, run_id: str) -> "TransferSpec":
        """Returns this spec with one of its candidates only."""
        return self.model_copy(update={"pretrained": _only(self.candidates, run_id), "rivals": ()})

    @property
    def training(self) -> PretrainSpec:
        """The training that decides the tested weights."""
        return self.pretrained

    @property
    def adapter(self) -> str:
        """Name of what adapts."""
        return self.strategy.name


S = TypeVar("S", bound=Spec)


def _only(specs: Iterable[S], run_id: str) -> S:
    (found,) = (each for each in specs if each.run_id == run_id)
    return found


Cell = EpisodicSpec | TransferSpec
Training = EpisodicSpec | PretrainSpec
RunSpec = Annotated[EpisodicSpec | PretrainSpec | TransferSpec, Field(discriminator="kind")]
RUN_SPEC: TypeAdapter[RunSpec] = TypeAdapter(RunSpec)


def read_spec(folder: Path) -> RunSpec:
    """Reads what a run was made from.

    Raises:
        OSError: if the folder has no `spec.json`.
        ValueError: if that is not a spec of this version.
    """
    return RUN_SPEC.validate_json((folder / "spec.json").read_bytes())
