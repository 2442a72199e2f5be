"""Makes torchvision importable beside a torch that it was not compiled for, in one environment.

Not every build of torch has a matching torchvision. Beside a CPU-only torch, `import torchvision` can fail with
`operator torchvision::nms does not exist`. The imports of learn2learn, which needs torchvision, and of
pytorch_lightning, whose metrics import it if it is installed, then fail as well. Run this file once in such an
environment. Every Python process there then declares the missing operators before it imports torchvision. Nothing in
this project calls them.
"""

import shutil
import sys
import sysconfig
from importlib.machinery import PathFinder
from pathlib import Path

SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
OPERATORS = ("nms", "qnms")
"""The operators that torchvision describes to torch on import, even if its compiled part was not loaded."""

_declared = []


class _Finder:
    """Finds no module, but acts before the first import of torchvision."""

    def find_spec(self, name, path=None, target=None):
        """Declares the operators if torchvision cannot load its own."""
        if name == "torchvision":
            sys.meta_path.remove(self)
            if not _compiled_part_loads():
                _declare()
        return None


def watch():
    """Prepares this process; imports neither torch nor torchvision."""
    sys.meta_path.insert(0, _Finder())


def install():
    """Copies this file into the environment, with a `.pth` file that calls `watch` when Python starts."""
    folder = Path(sysconfig.get_path("purelib"))
    shutil.copy(__file__, folder)
    name = Path(__file__).stem
    (folder / f"{name}.pth").write_text(f"import {name}; {name}.watch()\n", encoding="utf-8")


def _compiled_part_loads():
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


def _declare():
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for operator in OPERATORS:
        library.define(operator + SCHEMA)
    _declared.append(library)  # the declarations last as long as this object


if __name__ == "__main__":
    install()
