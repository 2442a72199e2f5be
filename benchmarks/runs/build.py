"""Builds tasks, networks and adapters from specs."""

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, Union, get_origin

import torch
from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError
from torch import nn

from adaptbench.benchmarks.evaluation.adapters import Chooses, Strategy, weights_of
from adaptbench.benchmarks.suites.registry import load, named
from adaptbench.benchmarks.suites.spec import Cell, Component, PretrainSpec, Training, TrainingSpec, TransferSpec
from adaptbench.benchmarks.suites.weights import load_weights
from adaptbench.datamodules.base import EpisodicDataModule, Sampling
from adaptbench.datamodules.guards import Finding
from adaptbench.lit_modules.episodic import EpisodicModule, StreamModule
from adaptbench.lit_modules.likelihoods import LIKELIHOODS, Categorical
from adaptbench.lit_modules.optimization import Optimization
from adaptbench.lit_modules.training import TrainedModule
from adaptbench.lit_modules.transfer import TransferModule
from adaptbench.reports.selection import suggest

MAY_BE_ZERO = ("depth", "steps")
"""Integers of our networks that may be zero; all others are sizes."""
WITHOUT_VALIDATION = "where training has the validation part too"
KINDS_OF_CLASS = {"task": EpisodicDataModule, "encoder": nn.Module, "learner": nn.Module}
"""Base classes that are checked before a call, because a suite may name any class."""
ENCODER_SIGNATURE = (
    "a torch.nn.Module with __init__(self, example_shape: tuple[int, ...], **init_args), an attribute `features: int` "
    "and forward(self, examples [M, *example_shape]) -> features [M, features]"
)
LEARNER_SIGNATURE = (
    "a torch.nn.Module with __init__(self, features: int, targets: int, outputs: int, **init_args) and "
    "forward(self, support_x [B, S, features], support_y [B, S, targets], query_x [B, Q, features]) "
    "-> prediction [B, Q, outputs]"
)
STRATEGY_SIGNATURE = (
    "a class with __init__(self, network: TransferModule, targets: int, *, **init_args) and "
    "predict(self, batch: EpisodeBatch) -> prediction [B, Q, outputs]"
)
STREAM_SIGNATURE = "stream(self, x [B, T, features], y [B, T, targets]) -> prediction [B, T, outputs]"


@dataclass(frozen=True)
class TaskShape:
    """What a network must know of its task; saved with its weights, so that it can be built without the data.

    Attributes:
        example_shape: shape of one example.
        targets: Y, width of a target.
        pretraining_outputs: outputs of a network that pretrains on all training data; 0 for training on episodes.
        likelihood: how predictions are read.
        stream: whether queries are steps of a stream.
        groups: the group of each pretraining output, such as an alphabet; None if there are no groups.
        function_parameters: number of parameters of a training function; 0 if the task has classes.
    """

    example_shape: tuple[int, ...]
    targets: int
    pretraining_outputs: int
    likelihood: Literal["categorical", "gaussian"]
    stream: bool
    groups: Sequence[int] | None = None
    function_parameters: int = 0

    @classmethod
    def of(cls, task: EpisodicDataModule) -> "TaskShape":
        """Returns the shape of a task."""
        shape = (task.example_shape, task.targets)
        if task.mode == "episodes":
            return cls(*shape, 0, task.likelihood, task.stream)
        return cls(
            *shape, task.pretraining_outputs, task.likelihood, task.stream, task.pretraining_groups,
            task.function_parameters,
        )  # fmt: skip


def instantiate(kind: str, component: Component, *args: object, signature: str = "") -> Any:  # noqa: ANN401 - any kind
    """Makes an object of a component's class.

    Args:
        kind: what it is.
        component: the class and its own arguments.
        *args: what every class of its kind takes.
        signature: what an error says that the class must be.

    Raises:
        ValueError: if the class is of another kind or does not take the component's arguments.
    """
    cls, must_be = load(kind, component.name), f" It must be {signature}." if signature else ""
    if not (isinstance(cls, type) and issubclass(cls, KINDS_OF_CLASS.get(kind, object))):
        raise ValueError(f"`{component.name}` is not the class of a {kind}.{must_be}")
    _check_arguments(kind, component, cls, given=len(args))
    try:
        return cls(*args, **component.init_args)
    except TypeError as error:
        raise ValueError(f"The {kind} `{component.name}` does not take its arguments: {error}.{must_be}") from error


def _check_arguments(kind: str, component: Component, cls: type, given: int) -> None:
    """Refuses names and types that are not in the signature of a class; what the signature leaves open is allowed."""
    takes = inspect.signature(cls).parameters
    own = list(takes.values())[given:]
    named = [each.name for each in own if each.kind in (each.KEYWORD_ONLY, each.POSITIONAL_OR_KEYWORD)]
    open_ended = any(each.kind is each.VAR_KEYWORD for each in takes.values())
    for name, value in component.init_args.items():
        if name in named:
            _check_type(f"{name}` of the {kind} `{component.name}", value, takes[name].annotation)
            if kind in ("encoder", "learner") and "." not in component.name and takes[name].annotation is int:
                _check_size(f"{name}` of the {kind} `{component.name}", value, least=0 if name in MAY_BE_ZERO else 1)
        elif not open_ended:
            raise ValueError(f"The {kind} `{component.name}` has no argument `{name}`. {suggest(name, named)}")


def _check_type(name: str, value: object, wanted: Any) -> None:  # noqa: ANN401 - an annotation
    """Refuses a value of a suite that is not of the type that a signature states."""
    if not (wanted is bool or get_origin(wanted) in (Union, UnionType, tuple, list) or wanted in (int, float, str)):
        return
    try:
        TypeAdapter(wanted).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        expected = " or ".join(dict.fromkeys(each["msg"].partition(" should be ")[2] for each in error.errors()))
        raise ValueError(f"Expected argument `{name}` to be {expected} but got {value!r}.") from error
    except PydanticSchemaGenerationError:  # a type of the user's own
        return


def _check_size(name: str, value: int, least: int) -> None:
    """Refuses sizes of which torch would complain in words of its own, or build a network without weights."""
    if value < least:
        raise ValueError(f"Expected argument `{name}` to be at least {least} but got {value}.")


def build_task(spec: TrainingSpec) -> EpisodicDataModule:
    """Makes the task of a training, with the batches for its kind of training.

    Raises:
        ValueError: if an argument is wrong, or validation would choose weights but has no part.
    """
    sampling = Sampling(
        train=spec.train,
        test=spec.test,
        seed=spec.seed,
        mode=spec.mode,
        steps_per_epoch=spec.steps_per_epoch,
        val_episodes=spec.budget.val_episodes,
    )
    task: EpisodicDataModule = instantiate("task", spec.task, sampling)
    if spec.budget.selection == "best" and not task.validates(spec.task.init_args):
        raise ValueError(f"Expected argument `selection` to be 'last' {WITHOUT_VALIDATION} but got 'best'.")
    return task


def build_learner(component: Component, *, features: int, targets: int, outputs: int) -> nn.Module:
    """Makes a black-box learner, and checks its interface.

    Raises:
        ValueError: if the interface is wrong; the message gives the signature.
    """
    learner: nn.Module = instantiate("learner", component, features, targets, outputs, signature=LEARNER_SIGNATURE)
    try:
        with torch.no_grad():
            prediction = learner(torch.zeros(2, 3, features), torch.zeros(2, 3, targets), torch.zeros(2, 4, features))
    except Exception as error:  # a user's class may raise anything
        complaint = f"The learner `{component.name}` cannot be called: {named(error)}."
        raise ValueError(f"{complaint} It must be {LEARNER_SIGNATURE}.") from error
    if not isinstance(prediction, torch.Tensor) or prediction.shape != (2, 4, outputs):
        got = list(prediction.shape) if isinstance(prediction, torch.Tensor) else f"a {type(prediction).__name__}"
        wanted = f"to predict [2, 4, {outputs}] for 2 episodes of 4 queries"
        complaint = f"Expected the learner `{component.name}` {wanted} but got {got}."
        raise ValueError(f"{complaint} It must be {LEARNER_SIGNATURE}.")
    return learner


def build_strategy(component: Component, network: TrainedModule, targets: int) -> Strategy:
    """Makes a strategy of transfer, and checks its interface.

    Raises:
        ValueError: if the interface is wrong; the message says what is missing and gives the signature.
    """
    strategy: Strategy = instantiate("strategy", component, network, targets, signature=STRATEGY_SIGNATURE)
    complaint = f"The strategy `{component.name}` {{}}. It must be {STRATEGY_SIGNATURE}."
    if not callable(getattr(strategy, "predict", None)):
        raise ValueError(complaint.format("has no method `predict`"))
    try:
        inspect.signature(strategy.predict).bind(None)
    except TypeError as error:
        raise ValueError(complaint.format(f"has a method `predict` that does not take a batch: {error}")) from error
    return strategy


def source_guards(spec: TransferSpec, task: EpisodicDataModule) -> list[Finding]:
    """Checks that no task that the network may be pretrained on holds what it is validated or tested on."""
    return [finding for source in spec.sources for finding in task.source_guards(build_task(source))]


def build_adapter(spec: Cell, network: TrainedModule, task: TaskShape) -> Any:  # noqa: ANN401 - with what its class has
    """Returns what predicts test episodes: the trained network itself, or the strategy that adapts it.

    Raises:
        ValueError: if its interface is wrong, or validation would choose something but has no part.
    """
    trained_on = spec.training.task
    validates = load("task", trained_on.name).validates(trained_on.init_args)
    if spec.rivals and not validates:
        raise ValueError(f"Expected one training instead of several to choose from {WITHOUT_VALIDATION}.")
    if spec.kind == "episodic":
        return network
    strategy = build_strategy(spec.strategy, network, task.targets)
    if validates:
        return strategy
    if isinstance(strategy, Chooses) and getattr(strategy, "by", "validation") == "validation":
        raise ValueError(f"Expected the strategy `{spec.strategy.name}` not to choose {WITHOUT_VALIDATION}.")
    return strategy


def learner_size(component: Component, features: int, ways: int) -> int:
    """Counts the weights of a learner for classification, without the encoder's."""
    if _adapts_encoder(component):
        encoder = nn.Identity()
        encoder.features = features  # type: ignore[assignment]  # nn.Module types it as a tensor
        own = Component(name=component.name)  # whose arguments do not change its size
        return weights_of(instantiate("learner", own, encoder, ways, Categorical(), Optimization()))
    return weights_of(build_learner(component, features=features, targets=ways, outputs=ways))


def _adapts_encoder(component: Component) -> bool:
    """Whether a learner is a module that trains itself, and gets the encoder instead of features."""
    own = load("learner", component.name)
    return isinstance(own, type) and issubclass(own, TrainedModule)


def build_module(spec: Training, task: TaskShape) -> TrainedModule:
    """Makes the network of a training, with weights that the spec's seed decides, or the encoder's file.

    Raises:
        ValueError: if an argument is wrong, or the learner cannot learn the task.
    """
    torch.manual_seed(spec.seed)
    likelihood = LIKELIHOODS[task.likelihood]
    encoder = instantiate("encoder", spec.encoder, task.example_shape, signature=ENCODER_SIGNATURE)
    if not isinstance(getattr(encoder, "features", None), int):
        raise ValueError(f"The encoder `{spec.encoder.name}` has no number `features`. It must be {ENCODER_SIGNATURE}.")
    if spec.encoder.weights:
        load_weights(encoder, spec.encoder)
    if spec.kind == "pretrain":
        return build_transfer(spec, task, encoder)
    if _adapts_encoder(spec.learner):
        trained: TrainedModule = instantiate(
            "learner", spec.learner, encoder, task.targets, likelihood, spec.optimization
        )
        return trained
    outputs = likelihood.outputs(task.targets)
    learner = build_learner(spec.learner, features=encoder.features, targets=task.targets, outputs=outputs)
    if task.stream and not hasattr(learner, "stream"):
        raise ValueError(f"The learner `{spec.learner.name}` cannot read streams, because it lacks {STREAM_SIGNATURE}.")
    return (StreamModule if task.stream else EpisodicModule)(
        encoder, learner, likelihood, optimization=spec.optimization
    )


def build_transfer(spec: PretrainSpec, task: TaskShape, encoder: nn.Module) -> TransferModule:
    """Makes the network of a pretraining on an encoder.

    Raises:
        ValueError: if the task lacks the groups or functions that the objective needs.
    """
    wanted = spec.pretraining
    complaint = f"Expected argument `objective` not to be '{wanted.objective}' for {spec.task.name}, which has no"
    if wanted.objective == "multitask" and task.groups is None:
        raise ValueError(f"{complaint} groups.")
    if wanted.objective == "context" and not task.function_parameters:
        raise ValueError(f"{complaint} functions.")
    return TransferModule(
        encoder,
        task.pretraining_outputs,
        LIKELIHOODS[task.likelihood],
        optimization=spec.optimization,
        label_smoothing=spec.label_smoothing,
        head=wanted.head,
        head_scale=wanted.head_scale,
        groups=task.groups if wanted.objective == "multitask" else None,
        context=task.function_parameters if wanted.objective == "context" else 0,
    )
