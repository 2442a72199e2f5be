"""What MAML and ANIL share: the check of their inner steps, and the import of learn2learn, an optional extra."""

import importlib
from typing import Any

MISSING = (
    "Expected learn2learn 0.2.0 to be installed, because `{name}` is built on it, but it is not ({error}). "
    "`tox -e learn2learn` makes an environment that has it; docs/transfer.md says how to install it into another."
)


def require_inner_loop(lr: float, **steps: int) -> None:
    """Raises ValueError for a learning rate that is not positive, or a number of steps that is negative."""
    for name, value in steps.items():
        if value < 0:
            raise ValueError(f"Expected argument `{name}` to be zero or more but got {value}.")
    if not lr > 0:
        raise ValueError(f"Expected argument `lr` to be positive but got {lr}.")


def learn2learn_algorithms(name: str) -> Any:  # noqa: ANN401 - a module without annotations
    """Imports `learn2learn.algorithms`.

    Args:
        name: the learner that needs it, for the message.

    Raises:
        ValueError: if it cannot be imported; the message says how to install it.
    """
    try:
        return importlib.import_module("learn2learn.algorithms")
    except ImportError as error:
        raise ValueError(MISSING.format(name=name, error=error)) from error
