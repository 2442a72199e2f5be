"""Lets a torchvision that was compiled for another torch be imported, where the extra `learn2learn` brought one."""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
OPERATORS = ("nms", "qnms")
"""What torchvision describes to torch when it is imported, without asking whether its compiled part was loaded."""

_declared: list[object] = []


class _Watch:
    """Is asked for every module that is imported first, finds none, and has its moment when it is torchvision."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Declares torchvision's operators to torch if torchvision cannot load its own."""
        if name == "torchvision":
            sys.meta_path.remove(self)
            if not _compiled_part_loads():
                _declare()
        return None


def let_torchvision_be_imported() -> None:
    """Sees to it that whoever imports torchvision, now or later, can; imports nothing itself.

    Not every build of torch has a torchvision to match: beside a torch for CPUs alone, the import of torchvision ends
    with `operator torchvision::nms does not exist`. So then do the imports of learn2learn, which needs it, and of
    pytorch_lightning, whose metrics import it wherever it is installed. Nothing here ever calls these operators.
    """
    if "torchvision" not in sys.modules and not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())


def _compiled_part_loads() -> bool:
    import torch

    spec = PathFinder.find_spec("torchvision")
    folders = [] if spec is None else spec.submodule_search_locations or []
    libraries = [library for folder in folders for library in Path(folder).glob("_C*.so")]
    try:
        for library in libraries:
            torch.ops.load_library(str(library))
    except OSError:
        return False
    return bool(libraries) or not folders


def _declare() -> None:
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for operator in OPERATORS:
        library.define(operator + SCHEMA)
    _declared.append(library)  # what it declares goes when it goes
