"""Loads the adapter of a finished run, to predict raw inputs from Python."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from adaptbench.benchmarks.evaluation.adapters import Adapter, Chooses
from adaptbench.benchmarks.runs.build import TaskShape, build_adapter, build_module
from adaptbench.benchmarks.store.integrity import RESULT
from adaptbench.benchmarks.store.store import Store
from adaptbench.benchmarks.suites.spec import RESULTS_VERSION, RUN_SPEC, Cell
from adaptbench.datamodules.episodes import EpisodeBatch
from adaptbench.lit_modules.cross_validated import Choice
from adaptbench.lit_modules.likelihoods import LIKELIHOODS, scale_of
from adaptbench.lit_modules.training import TrainedModule
from adaptbench.reports.format import Result, Spec
from adaptbench.reports.reading import read

Examples = Tensor | npt.ArrayLike


class RealPrediction(NamedTuple):
    """A prediction of real targets.

    Attributes:
        means: [Q, Y] float32.
        deviations: [Q, Y] float32, standard deviations; of 1 where an adapter predicts means alone, as fine-tuning and
            MAML do.
    """

    means: Tensor
    deviations: Tensor


class TrainedAdapter:
    """A trained adapter that predicts queries from a support set, one episode a call.

    Args:
        adapter: what predicts batches of episodes.
        shape: the shapes it was built for.
    """

    def __init__(self, adapter: Adapter, shape: TaskShape) -> None:
        self.adapter, self.shape = adapter, shape

    def predict(self, support_x: Examples, support_y: Examples, query_x: Examples) -> Tensor | RealPrediction:
        """Predicts queries from a support set.

        Args:
            support_x: [S, *x], uint8 images (for Omniglot ink is 255 on 0) or float ones in [0, 1]; for regression x.
            support_y: [S] integer labels 0 to N - 1, each at least once; for regression [S] or [S, Y] real targets.
            query_x: [Q, *x], like `support_x`.

        Returns:
            Class probabilities [Q, N], or for regression means and standard deviations [Q, Y]; float32.

        Raises:
            ValueError: if a shape, type or value is wrong.
        """
        support, query = self._examples("support_x", support_x), self._examples("query_x", query_x)
        y, ways = self._labels(support_y) if self.shape.likelihood == "categorical" else self._reals(support_y)
        if len(y) != len(support):
            raise ValueError(f"Expected argument `support_y` to have {len(support)} entries but got {len(y)}.")
        rows = torch.arange(len(support) + len(query)).unsqueeze(0)
        unknown = torch.zeros(1, len(query), y.shape[-1])
        batch = EpisodeBatch(
            inputs=torch.cat([support, query]),
            support=rows[:, : len(support)],
            support_y=y.unsqueeze(0),
            query=rows[:, len(support) :],
            query_y=unknown,
        )
        prediction = self.adapter.predict(batch)[0]
        if ways is None:
            return RealPrediction(LIKELIHOODS["gaussian"].point(prediction), scale_of(prediction))
        return LIKELIHOODS["categorical"].point(prediction[:, :ways])

    def _examples(self, name: str, examples: Examples) -> Tensor:
        x, shape = _tensor(name, examples), self.shape.example_shape
        if x.dim() != 1 + len(shape) or tuple(x.shape[1:]) != shape or not len(x):
            wanted = ", ".join(["N", *map(str, shape)])
            raise ValueError(f"Expected argument `{name}` to have shape [{wanted}] but got {list(x.shape)}.")
        image = len(shape) > 1
        if x.dtype == torch.uint8 and image:
            return x.float().div(255)
        if not x.is_floating_point():
            kinds = "uint8 or floating-point" if image else "floating-point"
            raise ValueError(f"Expected argument `{name}` to hold {kinds} values but got {x.dtype}.")
        if not x.isfinite().all() or (image and not ((x >= 0) & (x <= 1)).all()):
            bounds = "values from 0 to 1" if image else "finite values"
            raise ValueError(f"Expected argument `{name}` to hold {bounds}, but some are not.")
        return x.float()

    def _labels(self, labels: Examples) -> tuple[Tensor, int]:
        """Returns one-hot targets of the adapter's width, and the number of classes."""
        y = _tensor("support_y", labels)
        if y.dim() != 1 or not len(y) or y.is_floating_point() or y.dtype == torch.bool:
            raise ValueError(
                f"Expected argument `support_y` to hold integer labels [S] but got {y.dtype} {list(y.shape)}."
            )
        present = y.unique().tolist()
        if present != list(range(len(present))) or not 2 <= len(present) <= self.shape.targets:
            raise ValueError(
                "Expected argument `support_y` to hold every label from 0 to N - 1, for an N from 2 to "
                f"{self.shape.targets}, but got {present}."
            )
        return F.one_hot(y.long(), self.shape.targets).float(), len(present)

    def _reals(self, targets: Examples) -> tuple[Tensor, None]:
        y = _tensor("support_y", targets)
        y = y.unsqueeze(-1) if y.dim() == 1 else y
        if y.dim() != 2 or y.shape[1] != self.shape.targets or not y.is_floating_point() or not y.isfinite().all():
            raise ValueError(
                f"Expected argument `support_y` to hold finite real targets [S, {self.shape.targets}] "
                f"but got {y.dtype} {list(y.shape)}."
            )
        return y.float(), None


def load_run(folder: str | Path) -> TrainedAdapter:
    """Loads the trained adapter of a finished run.

    Args:
        folder: the run's folder, as `adaptbench run` published it. A transfer run needs the folder of its pretraining
            beside it.

    Raises:
        ValueError: if it is not a finished run that can predict, or another version of the code made it.
    """
    path = Path(folder)
    try:
        made_by = read(path / "spec.json", Spec).results_version
        spec = RUN_SPEC.validate_json((path / "spec.json").read_bytes()) if made_by == RESULTS_VERSION else None
        result = read(path / RESULT, Result) if spec is not None and spec.candidates else None
        if spec is not None and spec.kind != "pretrain" and result is not None and result.pretrained is not None:
            spec = spec.with_candidate(result.pretrained)
    except (OSError, ValueError) as error:
        raise ValueError(f"Expected {path} to be the folder of a finished run, but it is not: {error}.") from error
    if spec is None:
        raise ValueError(f"{path} was made by results version {made_by} of the code; this is {RESULTS_VERSION}.")
    if spec.kind == "pretrain":
        raise ValueError(f"{path} is a pretraining, which predicts only through a run that adapts it; load that one.")
    store = Store(path.parent)
    adapter, _, shape = load_adapter(spec, store, stream=False)
    if isinstance(adapter, Chooses) and result is not None:
        adapter.restore(Choice(each.support, each.settings, each.score, each.share) for each in result.chosen)
    return TrainedAdapter(adapter, shape)


class Loaded(NamedTuple):
    """An adapter made from published weights.

    Attributes:
        adapter: what predicts test episodes.
        network: the trained network.
        shape: the shapes that it was built for.
    """

    adapter: Any
    network: TrainedModule
    shape: TaskShape


def load_adapter(spec: Cell, store: Store, device: str | torch.device = "cpu", *, stream: bool = True) -> Loaded:
    """Makes the adapter of a run from published weights.

    Args:
        spec: the run; it has one candidate at most.
        store: where its weights are.
        device: where it predicts.
        stream: whether what was trained on streams predicts streams; otherwise queries from a support set.

    Raises:
        ValueError: if the weights cannot be read, or do not fit the network.
    """
    training = spec.training
    try:
        checkpoint = store.load_checkpoint(training.run_id)
        shape = TaskShape(**checkpoint["task_shape"])
        shape = replace(shape, stream=stream and shape.stream)
        module = build_module(training, shape)
        module.load_state_dict(checkpoint["state_dict"])
    except (OSError, RuntimeError, LookupError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".:")
        raise ValueError(f"The weights of run {training.run_id} cannot be read from {store.root}: {reason}.") from error
    module = module.to(device).eval()
    return Loaded(build_adapter(spec, module, shape), module, shape)


def _tensor(name: str, values: Examples) -> Tensor:
    try:
        return values if isinstance(values, Tensor) else torch.from_numpy(np.array(values, order="C"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"Expected argument `{name}` to be an array of numbers but got {type(values)}.") from error
