"""Exports networks of regression to ONNX, small enough for a page, and checks what they say."""

import gzip
import io
import logging
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from adaptbench.datamodules.sinusoid import INPUTS, SinusoidDataModule
from adaptbench.lit_modules.episodic import EpisodicModule

TOLERANCE = 1e-4
"""The largest difference from torch, in the unit of y."""
POINTS = (1, 2, 5, 20)
"""Sizes of the support sets that exports are checked with."""
BITS = (19, 21, 24)
"""Bits of a weight, the fewest first: the first number that keeps the tolerance counts."""
MOST_WEIGHTS_KEPT = 512
"""Tensors of so many weights or fewer stay as they are."""
GRID = (100, 200)
"""Amplitudes and phases that the posterior sums over."""


class NotExported(ValueError):
    """A learner has no form in ONNX that gives its answers; the message says why."""


class Forward(nn.Module):
    """A trained network that predicts one episode: from [S, 1], [S, 1] and [Q, 1] to means [Q]."""

    def __init__(self, module: EpisodicModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predicts the queries as `EpisodicModule.predict` does."""
        support, query = (self.module.embed(self.module.encoder(x)).unsqueeze(0) for x in (support_x, query_x))
        learner: Any = self.module.learner
        infer = getattr(learner, "infer", learner)
        return self.module.likelihood.point(infer(support, support_y.unsqueeze(0), query))[0, :, 0]


class Posterior(nn.Module):
    """The posterior of sinusoids given noisy points: its mean [Q] and standard deviation [Q] at the queries.

    Amplitude and phase are uniform over the ranges of training, on a grid.
    """

    amplitude: Tensor
    phase: Tensor

    def __init__(self, task: SinusoidDataModule) -> None:
        super().__init__()
        axes = (
            torch.linspace(*bounds, count + 1)[:-1] + (bounds[1] - bounds[0]) / count / 2
            for bounds, count in zip(task.ranges, GRID, strict=True)
        )
        amplitude, phase = torch.meshgrid(*axes, indexing="ij")
        self.register_buffer("amplitude", amplitude.reshape(-1, 1))
        self.register_buffer("phase", phase.reshape(-1, 1))
        self.noise = task.noise

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> tuple[Tensor, Tensor]:
        """Weighs every function of the grid by the likelihood of the support points."""
        errors = support_y.T - self.amplitude * torch.sin(support_x.T - self.phase)
        weights = (-0.5 * (errors / self.noise).square().sum(dim=1)).softmax(dim=0)
        functions = self.amplitude * torch.sin(query_x.T - self.phase)
        mean = weights @ functions
        return mean, (weights @ (functions - mean).square()).sqrt()


def export(adapter: object) -> bytes:
    """Exports a trained adapter of a regression task.

    Returns:
        The ONNX file, compressed with gzip.

    Raises:
        NotExported: if it has no form in ONNX, or its answers differ from those of torch by more than `TOLERANCE`.
        ValueError: if the extra `laboratory` is not installed.
    """
    if type(adapter) is not EpisodicModule:
        raise NotExported("only the forward pass of a network can be exported")
    return _exported(Forward(adapter).eval(), ["mean"])


def export_posterior(task: SinusoidDataModule) -> bytes:
    """Exports the posterior of a task with noise; as `export`."""
    return _exported(Posterior(task), ["mean", "deviation"])


def _exported(network: nn.Module, outputs: list[str]) -> bytes:
    try:
        import onnx
        import onnxruntime  # type: ignore[import-untyped]  # it ships no annotations
    except ImportError as error:
        raise ValueError(f"Expected the extra `laboratory` of adaptbench to be installed: {error}.") from error
    plain = _to_onnx(network, outputs)
    onnxruntime.set_default_logger_severity(4)
    for bits in BITS:
        packed = _with_fewer_bits(onnx.load_from_string(plain), bits)
        try:
            difference = _difference(network, onnxruntime.InferenceSession(packed))
        except Exception as error:  # the runtime's errors have no common class
            raise NotExported("its export holds for one number of points only") from error
        if difference <= TOLERANCE:
            return gzip.compress(packed, 9, mtime=0)
    raise NotExported(f"its export differs from it by {difference:.1g}")


def _to_onnx(network: nn.Module, outputs: list[str]) -> bytes:
    names = ["support_x", "support_y", "query_x"]
    free = {name: {0: name[0]} for name in names}
    examples = (torch.linspace(-2, 2, 4)[:, None], torch.ones(4, 1), torch.linspace(*INPUTS, 7)[:, None])
    file = io.BytesIO()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                examples,
                file,  # type: ignore[arg-type]  # the exporter without dynamo takes files
                input_names=names,
                output_names=outputs,
                dynamic_axes=free,
                opset_version=17,
                dynamo=False,  # the other one fixes the number of points
            )
    except Exception as error:  # torch's own errors have no common class
        logging.getLogger(__name__).debug("not exported", exc_info=error)
        raise NotExported("one of its operations has no form in ONNX") from error
    return file.getvalue()


def _difference(network: nn.Module, session: Any) -> float:  # noqa: ANN401 - it ships no annotations
    """The largest difference from torch, on random points and not on functions that were learned alone."""
    rng, largest = np.random.default_rng(0), 0.0
    query = np.linspace(*INPUTS, 101, dtype=np.float32)[:, None]
    for points in POINTS:
        x, y = rng.uniform(*INPUTS, size=(2, points, 1)).astype(np.float32)
        with torch.no_grad():
            wanted = network(*map(torch.from_numpy, (x, y, query)))
        found = session.run(None, {"support_x": x, "support_y": y, "query_x": query})
        for one, other in zip(wanted if isinstance(wanted, tuple) else (wanted,), found, strict=True):
            difference = float(np.abs(one.numpy() - other).max())
            largest = max(largest, difference if np.isfinite(difference) else float("inf"))
    return largest


def _with_fewer_bits(model: Any, bits: int) -> bytes:  # noqa: ANN401 - an onnx.ModelProto
    """Rounds each row of a matrix to integers of so many bits, and stores their bytes apart, which compress well."""
    from onnx import TensorProto, helper, numpy_helper

    graph, nodes = model.graph, []
    for tensor in list(graph.initializer):
        weights = numpy_helper.to_array(tensor)
        if weights.dtype != np.float32 or weights.size <= MOST_WEIGHTS_KEPT:
            continue
        step = np.maximum(np.abs(weights).max(axis=-1, keepdims=True).astype(np.float64), 1e-30) / (2 ** (bits - 1) - 1)
        whole = np.rint(weights.astype(np.float64) / step).astype(np.int32) << (24 - bits)
        name = tensor.name
        parts = {
            "high": (whole >> 16).astype(np.int8), "middle": (whole >> 8 & 255).astype(np.uint8),
            "low": (whole & 255).astype(np.uint8), "step": (step / 2 ** (24 - bits)).astype(np.float32),
            "base": np.array(256, np.float32),
        }  # fmt: skip
        graph.initializer.remove(tensor)
        graph.initializer.extend(numpy_helper.from_array(part, f"{name}/{key}") for key, part in parts.items())
        total = f"{name}/high/float"
        nodes.append(helper.make_node("Cast", [f"{name}/high"], [total], to=TensorProto.FLOAT))
        for key in ("middle", "low"):
            nodes += [
                helper.make_node("Cast", [f"{name}/{key}"], [f"{name}/{key}/float"], to=TensorProto.FLOAT),
                helper.make_node("Mul", [total, f"{name}/base"], [f"{total}/{key}"]),
                helper.make_node("Add", [f"{total}/{key}", f"{name}/{key}/float"], [f"{name}/{key}/sum"]),
            ]
            total = f"{name}/{key}/sum"
        nodes.append(helper.make_node("Mul", [total, f"{name}/step"], [name]))
    others = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *others])
    return bytes(model.SerializeToString())
