"""The notebooks of the documentation, cell by cell, in a folder of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def as_program(notebook, folder):
    """Makes a program of the code cells; writes the files that `%%writefile` writes."""
    program = ["import subprocess"]
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        assert not cell["outputs"], "a notebook is kept without outputs"
        first, *rest = cell["source"]
        if first.startswith("%%writefile "):
            (folder / first.split()[1]).write_text("".join(rest), encoding="utf-8")
            continue
        for line in cell["source"]:
            shell = line.startswith("!")
            program.append(
                f"subprocess.run({line[1:].strip()!r}, shell=True, check=True)" if shell else line.rstrip("\n")
            )
    return "\n".join(program)


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook, tmp_path):
    (tmp_path / "notebook.py").write_text(
        f"if __name__ == '__main__':\n    exec({as_program(notebook, tmp_path)!r}, globals())\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "MPLBACKEND": "agg",
    }
    done = subprocess.run(
        [sys.executable, "notebook.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=480
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == ["first_look", "my_images", "my_learner"]
