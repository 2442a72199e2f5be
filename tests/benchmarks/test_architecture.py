"""Arrows between the packages run one way, and no file is too big to live in."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOUSE = {"datamodules", "lit_modules", "benchmarks", "reports"}
ALLOWED = {
    "datamodules": {"datamodules"},
    "lit_modules": {"datamodules.episodes", "lit_modules"},
    "benchmarks": {"datamodules", "lit_modules", "benchmarks", "reports"},
    "reports": {"reports"},
}


def imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("package", sorted(HOUSE))
def test_arrows_run_one_way(package):
    for file in (ROOT / package).rglob("*.py"):
        for name in imports(file):
            if name.partition(".")[0] in HOUSE:
                assert any(name == to or name.startswith(f"{to}.") for to in ALLOWED[package]), (file, name)
            assert not (package == "reports" and name.partition(".")[0] in {"torch", "pytorch_lightning"}), file
        assert len(file.read_text().splitlines()) <= 400, file
