"""Settings of sphinx for the reference of the Python API."""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parents[2]))

project = "adaptbench"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "alabaster"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "exclude-members": "model_config"}
napoleon_use_ivar = True


def _from_markdown(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Makes literals of what stands in backticks, literal blocks of tables, and text of stars and bars."""
    table = re.compile(r"(?m)^\|.*(?:\n\|.*)*")
    text = "\n".join(lines)
    if table.search(text):
        lines[:] = table.sub(lambda found: "::\n\n    " + found[0].replace("\n", "\n    "), text).split("\n")
        return
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*|])", r"\\\1", part) for part in parts[::2]]
    lines[:] = "``".join(parts).split("\n")


def setup(app: Sphinx) -> None:
    """Registers what the docstrings need before napoleon reads them."""
    app.connect("autodoc-process-docstring", _from_markdown, priority=400)
