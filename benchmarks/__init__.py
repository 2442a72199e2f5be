"""Suites, runs, where they are kept and who executes them."""

from typing import TYPE_CHECKING, Any

import datamodules  # noqa: F401 - which lets pytorch_lightning be imported beside any torchvision

if TYPE_CHECKING:
    from benchmarks.trained import TrainedAdapter, load_run

__all__ = ["TrainedAdapter", "load_run"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a class or a function
    """Imports what Python users need only when they ask for it: the command line must start without torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from benchmarks import trained

    return getattr(trained, name)
