"""Imports learn2learn, which is an extra, where and when something needs it."""

import importlib
from typing import Any

MISSING = (
    "Expected learn2learn 0.2.0 to be installed, because `{name}` is built on it, but it is not ({error}). "
    "`tox -e learn2learn` makes an environment that has it; docs/transfer.md says how to install it into another."
)


def learn2learn_algorithms(name: str) -> Any:  # noqa: ANN401 - a module without annotations
    """Imports `learn2learn.algorithms`.

    Args:
        name: what needs it, for the message.

    Raises:
        ValueError: if it cannot be imported; the message says how to install it.
    """
    try:
        return importlib.import_module("learn2learn.algorithms")
    except ImportError as error:
        raise ValueError(MISSING.format(name=name, error=error)) from error
