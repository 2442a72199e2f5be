"""Loads the adapter of a finished run, to predict raw inputs from Python."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from adaptbench.benchmarks.evaluation.adapters import Adapter, Chooses, with_guesses
from adaptbench.benchmarks.evaluation.evaluate import introduce, tell
from adaptbench.benchmarks.runs.build import TaskShape, build_adapter, build_module, build_task
from adaptbench.benchmarks.store.integrity import RESULT
from adaptbench.benchmarks.store.store import Store
from adaptbench.benchmarks.suites.spec import RESULTS_VERSION, RUN_SPEC, Cell, read_spec
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
    """Loads the trained adapter of a finished run, or one whose weights ship with this package.

    Args:
        folder: the run's folder, as `adaptbench run` published it. A transfer run needs the folder of its pretraining
            beside it. Or a name such as "classes/attention-5way".

    Raises:
        ValueError: if it is not a finished run that can predict, or another version of the code made it.
    """
    path = Path(folder)
    if not path.exists() and (weights := shipped_weights().get(str(folder))):
        return load_weights(weights)
    loaded = _restored(path, stream=False)
    return TrainedAdapter(loaded.adapter, loaded.shape)


def predict_tests(folder: Path) -> pd.DataFrame:
    """Predicts the test episodes of a finished run again, with its weights.

    Returns:
        A row for each query: ways, shots, episode and query; its class, or its target; and in half precision the
        logarithm of the probability of each class, or mean and scale.

    Raises:
        ValueError: if it is not a finished run that can predict, or predicts a target of several dimensions.
    """
    loaded = _restored(folder, stream=True)
    task = build_task(read_spec(folder).training)
    introduce(loaded.adapter, task)
    frames = []
    for size in task.test.sizes:
        batch = task.eval_batch("test", size, task.test.episodes)
        tell(loaded.adapter, task, "test", size)
        prediction = with_guesses(loaded.adapter.predict(batch.without_targets()))[0]
        episodes, queries = prediction.shape[:2]
        episode, query = np.divmod(np.arange(episodes * queries), queries)
        place = {"ways": size.ways, "shots": size.shots, "episode": episode, "query": query}
        told = _in_halves(prediction.flatten(0, 1), batch.query_y.flatten(0, 1), task.likelihood)
        frames.append(pd.DataFrame({**place, **{name: each.numpy() for name, each in told.items()}}))
    return pd.concat(frames, ignore_index=True).astype({"ways": "Int64"})


def _in_halves(prediction: Tensor, target: Tensor, likelihood: str) -> dict[str, Tensor]:
    """Columns of predictions [M, P] and targets [M, Y]: log probabilities of classes, or mean and scale."""
    if likelihood == "categorical":
        logs = prediction.log_softmax(dim=-1).half().unbind(-1)
        return {"target": target.argmax(dim=-1), **{f"log_p{number}": each for number, each in enumerate(logs)}}
    if target.shape[1] != 1:
        raise ValueError(f"Expected targets of one dimension but got {target.shape[1]}.")
    mean, scale = LIKELIHOODS["gaussian"].point(prediction), scale_of(prediction)
    return {"target": target[:, 0], "mean": mean[:, 0].half(), "scale": scale[:, 0].half()}


def _restored(path: Path, *, stream: bool) -> Loaded:
    """Loads the adapter of a run, with the settings that it chose."""
    spec, result = _read_run(path)
    loaded = load_adapter(spec, Store(path.parent), stream=stream)
    if isinstance(loaded.adapter, Chooses) and result is not None:
        chosen = (Choice(each.support, each.settings, each.score, each.share) for each in result.chosen)
        loaded.adapter.restore(chosen)
    return loaded


def shipped_weights() -> dict[str, Path]:
    """The files of weights that ship with this package, by name."""
    folder = Path(str(resources.files("adaptbench.benchmarks.runs"))) / "weights"
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.glob("*/*.pt"))}


def export_weights(folder: str | Path, out: Path) -> None:
    """Writes the weights of a finished run in half precision, with its spec, into one file that `load_weights` reads.

    Args:
        folder: the run's folder, as for `load_run`.
        out: the file.

    Raises:
        ValueError: if it is not a finished run that can predict, a weight is too large for half precision, or the
            adapter has settings besides its weights.
    """
    spec, _ = _read_run(Path(folder))
    loaded = load_adapter(spec, Store(Path(folder).parent), stream=False)
    if isinstance(loaded.adapter, Chooses):
        raise ValueError(f"Expected {folder} to need weights only, but it chose its settings by cross-validation.")
    weights = {
        name: each.half() if each.is_floating_point() else each for name, each in loaded.network.state_dict().items()
    }
    if strange := [name for name, each in weights.items() if not bool(torch.isfinite(each).all())]:
        raise ValueError(f"Expected the weights of {folder} to fit half precision but `{strange[0]}` does not.")
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"spec": spec.canonical_json(), "state_dict": weights, "task_shape": asdict(loaded.shape)}, out)


def load_weights(path: Path) -> TrainedAdapter:
    """Loads the adapter of a file that `export_weights` wrote.

    Raises:
        ValueError: if it is no such file, or another version of the code made it.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        spec = RUN_SPEC.validate_json(content["spec"])
    except Exception as error:  # a damaged file can make torch raise almost anything
        raise ValueError(f"Expected {path} to hold exported weights: {' '.join(str(error).split())}.") from error
    if spec.kind == "pretrain" or spec.results_version != RESULTS_VERSION:
        raise ValueError(f"Expected {path} to be of version {RESULTS_VERSION} of the code, and to predict.")
    module, shape = _network(spec, content, stream=False)
    return TrainedAdapter(build_adapter(spec, module, shape), shape)


def _read_run(path: Path) -> tuple[Cell, Result | None]:
    """Reads what a run is, with the candidate that was chosen."""
    try:
        made_by = read(path / "spec.json", Spec).results_version
        spec = read_spec(path) if made_by == RESULTS_VERSION else None
        result = read(path / RESULT, Result) if spec is not None and spec.candidates else None
        if spec is not None and spec.kind != "pretrain" and result is not None and result.pretrained is not None:
            spec = spec.with_candidate(result.pretrained)
    except (OSError, ValueError) as error:
        reason = str(error).removesuffix(".")
        raise ValueError(f"Expected {path} to be the folder of a finished run, but it is not: {reason}.") from error
    if spec is None:
        raise ValueError(f"{path} was made by results version {made_by} of the code; this is {RESULTS_VERSION}.")
    if spec.kind == "pretrain":
        raise ValueError(f"{path} is a pretraining, which predicts only through a run that adapts it; load that one.")
    return spec, result


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
    try:
        module, shape = _network(spec, store.load_checkpoint(spec.training.run_id), stream=stream)
    except (OSError, RuntimeError, LookupError, TypeError, ValueError) as error:
        reason, run_id = str(error).splitlines()[0].rstrip(".:"), spec.training.run_id
        raise ValueError(f"The weights of run {run_id} cannot be read from {store.root}: {reason}.") from error
    module = module.to(device)
    return Loaded(build_adapter(spec, module, shape), module, shape)


def _network(spec: Cell, checkpoint: Mapping[str, Any], *, stream: bool) -> tuple[TrainedModule, TaskShape]:
    """Makes the network of a run from its weights, which may be in half precision."""
    shape = TaskShape(**checkpoint["task_shape"])
    shape = replace(shape, stream=stream and shape.stream)
    bare = spec.training.encoder.model_copy(update={"weights": ""})  # the run has its own since
    module = build_module(spec.training.model_copy(update={"encoder": bare}), shape)
    module.load_state_dict(checkpoint["state_dict"])
    return module.eval(), shape


def _tensor(name: str, values: Examples) -> Tensor:
    try:
        return values if isinstance(values, Tensor) else torch.from_numpy(np.array(values, order="C"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"Expected argument `{name}` to be an array of numbers but got {type(values)}.") from error


if __name__ == "__main__":
    export_weights(sys.argv[1], Path(sys.argv[2]))
