"""The code of a user's own classes: the modules that define them, and a digest of these for the ids of runs."""

import ast
import hashlib
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, resolve_name
from pathlib import Path

from adaptbench.benchmarks.suites.registry import INSTALLED, LIBRARIES, load


def own_code(**components: str) -> str:
    """A digest of the modules that define a user's own classes; empty if all classes are ours.

    Args:
        components: names by kind, such as `learner="my_package.MyLearner"`.

    Raises:
        ValueError: if a class cannot be imported.
    """
    texts: dict[str, str] = {}
    for kind, name in components.items():
        texts |= own_modules(kind, name)
    content = "".join(f"{module}\0{text}\0" for module, text in sorted(texts.items()))
    return hashlib.blake2b(content.encode(), digest_size=8).hexdigest() if texts else ""


def own_modules(kind: str, name: str) -> dict[str, str]:
    """The texts, by name, of the module that defines a class and of the modules of its package that it imports.

    The package of a module that is in none is the folder that it lies in.

    Raises:
        ValueError: if the class cannot be imported.
    """
    if "." not in name:
        return {}
    start = getattr(load(kind, name), "__module__", "") or name.rpartition(".")[0]
    package = start.partition(".")[0]
    if package in LIBRARIES:
        return {}
    home = None if "." in start else _folder_of(start)
    texts: dict[str, str] = {}
    left = [start]
    while left:
        module = left.pop()
        top, _, below = module.partition(".")
        if top != package and (home is None or top in LIBRARIES or _folder_of(top) != home):
            continue
        spec = _found(module)
        if module in texts or spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            continue
        texts[module] = Path(spec.origin).read_text(encoding="utf-8")
        left += [*_imported(texts[module], spec.parent or ""), *([module.rpartition(".")[0]] if below else [])]
    return texts


def _imported(text: str, package: str) -> Iterator[str]:
    """Yields the names that a module imports, those of modules among them."""
    try:
        tree = ast.parse(text)
    except SyntaxError:  # imported in a function that nobody has called
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            yield from (module, *(f"{module}.{each.name}" for each in node.names))


def _found(module: str) -> ModuleSpec | None:
    try:
        return find_spec(module)
    except (ImportError, AttributeError, ValueError):
        return None


def _folder_of(module: str) -> Path | None:
    """The folder in which a module without a package, or a package, lies; None if others' modules may be there."""
    spec = _found(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    file = Path(spec.origin)
    folder = file.parents[1] if spec.submodule_search_locations else file.parent
    return None if folder.name in INSTALLED else folder
