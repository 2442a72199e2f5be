"""Imports learn2learn, which is an extra, where and when something needs it."""

import importlib
from typing import Any

import torch

MISSING = (
    "Expected learn2learn 0.2.0 to be installed, because `{name}` is built on it, but it is not ({error}). "
    "`tox -e learn2learn` makes an environment that has it; docs/transfer.md says how to install it into another."
)
OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor a, Tensor b, float c) -> Tensor",
)
"""Operators that torchvision describes to torch when it is imported, without asking whether they are there."""

_declared: list[torch.library.Library] = []


def learn2learn_algorithms(name: str) -> Any:  # noqa: ANN401 - a module without annotations
    """Imports `learn2learn.algorithms`.

    Args:
        name: what needs it, for the message.

    Raises:
        ValueError: if it cannot be imported; the message says how to install it.
    """
    try:
        _import_torchvision()
        return importlib.import_module("learn2learn.algorithms")
    except ImportError as error:
        raise ValueError(MISSING.format(name=name, error=error)) from error


def _import_torchvision() -> None:
    """Imports torchvision, which learn2learn imports.

    Where its compiled part was made for another torch (there is no CPU build for every one), the import ends with a
    RuntimeError about an operator that does not exist. Only then the names of those operators are declared, so that it
    can be described, and the import is tried again. Nothing here ever calls them.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error) or _declared:
            raise
        library = torch.library.Library("torchvision", "DEF")
        for operator in OPERATORS:
            library.define(operator)
        _declared.append(library)  # what it declares goes when it goes
        importlib.import_module("torchvision")
