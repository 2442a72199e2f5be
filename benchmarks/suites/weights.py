"""Weights from elsewhere that an encoder starts from; nothing in their file is executed."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from adaptbench.benchmarks.suites.spec import Encoder


def with_digest(encoder: Encoder) -> Encoder:
    """Adds a digest of the file of weights to an encoder, if it names one that is there."""
    path = Path(encoder.weights).expanduser()
    if not path.is_file():  # said when the network is made
        return encoder
    return encoder.model_copy(update={"weights_digest": _digest(path.read_bytes())})


def load_weights(module: nn.Module, encoder: Encoder) -> None:
    """Gives an encoder the weights of its file.

    Raises:
        ValueError: if the file cannot be read, has changed since its digest, or does not fit the encoder.
    """
    what = f"the weights {encoder.weights} of the encoder `{encoder.name}`"
    try:
        content = Path(encoder.weights).expanduser().read_bytes()
    except OSError as error:
        raise ValueError(f"Expected {what} to be a file but {error.strerror or error}.") from error
    if encoder.weights_digest not in ("", _digest(content)):
        raise ValueError(f"Expected {what} to be those of this run (digest {encoder.weights_digest}) but they changed.")
    form = "tensors by name, as `torch.save(encoder.state_dict(), FILE)` writes them"
    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make torch raise almost anything
        raise ValueError(f"Expected {what} to be {form}, but the file is damaged or holds more than that.") from error
    if not isinstance(found, Mapping) or not all(isinstance(each, Tensor) for each in found.values()):
        raise ValueError(f"Expected {what} to be {form}, but the file holds something else.")
    if trouble := _misfit(found, module.state_dict()):
        raise ValueError(f"Expected {what} to fit it, but {trouble}.")
    module.load_state_dict(found)


def _misfit(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """Says how names or shapes of weights differ; empty if they do not."""
    lacking, strange = (sorted(one.keys() - other.keys(), key=str) for one, other in ((wanted, found), (found, wanted)))
    others = [name for name in wanted if name in found and found[name].shape != wanted[name].shape]
    parts = [f"the file lacks {_named(lacking)}"] if lacking else []
    parts += [f"it has {_named(strange)} besides"] if strange else []
    if others:
        shapes = (list(each[others[0]].shape) for each in (found, wanted))
        parts.append("`{}` has shape {} instead of {}".format(others[0], *shapes))
    return ", and ".join(parts)


def _named(names: list[str]) -> str:
    return f"`{names[0]}`{f' and {len(names) - 1} more' if len(names) > 1 else ''}"


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
