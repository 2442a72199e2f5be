"""The house: imports run one way, and files stay small."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("datamodules", "lit_modules", "benchmarks", "reports")
MAY_IMPORT = {
    "datamodules": {"datamodules"},
    "lit_modules": {"lit_modules", "datamodules.episodes"},
    "benchmarks": {"benchmarks", "datamodules", "lit_modules", "reports"},
    "reports": {"reports"},
}
HEAVY = {"torch", "pytorch_lightning", "lightning", "torchmetrics"}
LINES = 400


def imported(path):
    """Lists the modules that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield node.module or ""


def files(package):
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_one_way(package):
    assert files(package)
    for path in files(package):
        ours = [name for name in imported(path) if name.split(".")[0] in PACKAGES]
        strange = [name for name in ours if not any(f"{name}.".startswith(f"{a}.") for a in MAY_IMPORT[package])]
        assert not strange, f"{path.relative_to(ROOT)} imports {strange}"


def test_reports_are_imported_where_a_command_needs_them_only():
    """What trains never needs reports; only the command line joins the two."""
    users = {path.name for path in files("benchmarks") if any(n.split(".")[0] == "reports" for n in imported(path))}
    assert users <= {"cli.py", "execution.py", "growth.py"}


def test_reports_import_no_torch():
    for path in files("reports"):
        assert not {name.split(".")[0] for name in imported(path)} & HEAVY, path


@pytest.mark.parametrize("package", [*PACKAGES, "tests"])
def test_no_file_is_long(package):
    long = [path.relative_to(ROOT) for path in files(package) if len(path.read_text("utf-8").splitlines()) > LINES]
    assert not long


def test_tests_import_no_other_tests():
    for path in files("tests"):
        assert not [name for name in imported(path) if name.split(".")[0] in ("tests", "conftest")], path


def test_every_module_starts_with_one_sentence():
    for package in PACKAGES:
        for path in files(package):
            docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
            assert docstring, path
            assert docstring.splitlines()[0].endswith("."), path
