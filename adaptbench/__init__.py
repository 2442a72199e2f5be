"""A reproducible benchmark of learning to learn: the door for Python users."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptbench.benchmarks.runs.trained import TrainedAdapter, load_run
    from adaptbench.reports.sources.loading import Results, load_results

__all__ = ["Results", "TrainedAdapter", "load_results", "load_run"]

_HOMES = {
    "Results": "adaptbench.reports.sources.loading",
    "load_results": "adaptbench.reports.sources.loading",
    "TrainedAdapter": "adaptbench.benchmarks.runs.trained",
    "load_run": "adaptbench.benchmarks.runs.trained",
}

_LINK = Path(__file__).with_name("benchmarks")
if _LINK.is_file():
    raise ImportError(
        f"Expected {_LINK} to be a link to a folder but got a text file: git has checked out links as text. "
        "Mend it in the checkout with `git config core.symlinks true` and `git checkout -- adaptbench` "
        "(on Windows, turn on Developer Mode first)."
    )


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a class or a function
    """Imports what somebody asks for, and only then: the command line must start without torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
