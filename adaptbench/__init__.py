"""A reproducible benchmark of learning to learn: the door for Python users."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptbench.benchmarks.runs.trained import TrainedAdapter, load_run
    from adaptbench.reports.results.records import Results, load_results

__all__ = ["Results", "TrainedAdapter", "load_results", "load_run"]

_HOMES = {
    "Results": "adaptbench.reports.results.records",
    "load_results": "adaptbench.reports.results.records",
    "TrainedAdapter": "adaptbench.benchmarks.runs.trained",
    "load_run": "adaptbench.benchmarks.runs.trained",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a class or a function
    """Imports what somebody asks for, and only then: the command line must start without torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
