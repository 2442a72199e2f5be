"""Lets a torchvision that was compiled for another torch be imported, where the extra `learn2learn` brought one."""

import importlib
import importlib.util
import sys

SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
OPERATORS = ("nms", "qnms")
"""What torchvision describes to torch when it is imported, without asking whether its compiled part was loaded."""

_declared: list[object] = []


def let_torchvision_be_imported() -> None:
    """Declares torchvision's operators to torch if, and only if, torchvision is installed and cannot load its own.

    Not every build of torch has a torchvision to match: beside a torch for CPUs alone, the import of torchvision ends
    with `operator torchvision::nms does not exist`. So then do the imports of learn2learn, which needs it, and of
    pytorch_lightning, whose metrics import it wherever it is installed; that is why this has to come before both.
    Nothing here ever calls these operators.
    """
    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error) or _declared:
            raise
        import torch

        library = torch.library.Library("torchvision", "DEF")
        for operator in OPERATORS:
            library.define(operator + SCHEMA)
        _declared.append(library)  # what it declares goes when it goes
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        importlib.import_module("torchvision")
