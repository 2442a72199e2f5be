"""The house: imports run one way between packages, wings and files, and no room grows too large."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("datamodules", "lit_modules", "benchmarks", "reports")
MAY_IMPORT = {
    "datamodules": {"datamodules"},
    "lit_modules": {"lit_modules", "datamodules.episodes", "datamodules.choices"},
    "benchmarks": {"benchmarks", "datamodules", "lit_modules", "reports"},
    "reports": {"reports"},
}
WINGS = {
    "benchmarks": (
        "cli", "api", "own", "options", "console", "commands", "laboratory", "speed", "executors", "runs", "tracking",
        "evaluation", "suites", "store",
    ),
    "reports": (
        "terminal", "dashboard", "report", "page", "tables", "figures", "words", "comparison", "sources", "results",
        "statistics", "selection", "plural", "format_docs", "bundle_format", "laboratory_format", "reading", "format",
        "format_tables",
        "errors",
    ),
}  # fmt: skip
"""The wings of a package (and the files beside them), each above all that it may import."""
FORMAT = ("reports.format.", "reports.format_tables.", "reports.reading.")
"""What every wing of `benchmarks` may use of `reports`: the format of what it writes and reads again."""
SHARED = ("reports.statistics.intervals.", "reports.selection.", "reports.plural.", "reports.words.waiting.")
"""What it may use besides: intervals, selections, numbers and waits are of one kind in a run and in a report."""
USE_REPORTS = {"cli", "api", "commands", "laboratory", "speed"}
"""The wings of `benchmarks` that make reports, or read finished runs as reports do."""
FLOORS = {"benchmarks": 6, "reports": 9}
FLOORS_IN_A_WING = 4
FILES = 12
HEAVY = {"torch", "pytorch_lightning", "lightning", "torchmetrics"}
LINES = 400


@cache
def files(package):
    return sorted((ROOT / package).rglob("*.py"))


@cache
def imported(path):
    """Lists the modules that a file imports, also inside functions; ours without the name that they lie under."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found += [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
    return [name.removeprefix("adaptbench.") for name in found]


def module(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@cache
def arrows(package):
    """Lists which file of a package imports which other one."""
    ours = {module(path): path for path in files(package) if path.name != "__init__.py"}
    return {name: {other for other in imported(path) if other in ours} for name, path in ours.items()}


def wing(name):
    return name.split(".")[1]


def longest(graph):
    """The longest chain of imports in a graph without circles; a circle is named."""

    @cache
    def height(name, above=()):
        assert name not in above, f"a circle of imports: {' -> '.join([*above[above.index(name) :], name])}"
        return 1 + max((height(other, (*above, name)) for other in sorted(graph[name])), default=0)

    return max(height(name) for name in graph)


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_one_way(package):
    assert files(package)
    for path in files(package):
        ours = [name for name in imported(path) if name.split(".")[0] in PACKAGES]
        strange = [name for name in ours if not any(f"{name}.".startswith(f"{a}.") for a in MAY_IMPORT[package])]
        assert not strange, f"{path.relative_to(ROOT)} imports {strange}"


@pytest.mark.parametrize("package", WINGS)
def test_wings_import_only_wings_below_them(package):
    order = WINGS[package]
    for name, others in arrows(package).items():
        for other in others:
            here, there = wing(name), wing(other)
            fine = here == there or order.index(here) < order.index(there)
            assert fine, f"{name} imports {other}: `{here}` lies below `{there}`, and imports run down only"


@pytest.mark.parametrize("package", WINGS)
def test_floors_are_few(package):
    between = {name: set() for name in WINGS[package]}
    for name, others in arrows(package).items():
        between[wing(name)] |= {wing(other) for other in others} - {wing(name)}
    assert longest(between) <= FLOORS[package]
    for each in WINGS[package]:
        inside = {n: {o for o in others if wing(o) == each} for n, others in arrows(package).items() if wing(n) == each}
        assert longest(inside) <= FLOORS_IN_A_WING, each


@pytest.mark.parametrize("package", PACKAGES)
def test_files_import_in_no_circle(package):
    longest(arrows(package))


@pytest.mark.parametrize("package", WINGS)
def test_no_folder_is_crowded(package):
    for folder in {path.parent for path in files(package)}:
        own = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(own) <= FILES, folder.relative_to(ROOT)


def test_reports_are_imported_where_a_command_needs_them_only():
    """What trains needs no report; only the commands join the two."""
    for path in files("benchmarks"):
        names = [name for name in imported(path) if name.split(".")[0] == "reports"]
        makes_reports = [name for name in names if not f"{name}.".startswith((*FORMAT, *SHARED))]
        assert not makes_reports or wing(module(path)) in USE_REPORTS, f"{path.relative_to(ROOT)}: {makes_reports}"


def test_the_format_is_light():
    """What trains imports it."""
    for name in FORMAT:
        path = (ROOT / name.removesuffix(".").replace(".", "/")).with_suffix(".py")
        assert {each.split(".")[0] for each in imported(path)} <= {
            "pathlib",
            "pydantic",
            "reports",
            "reprlib",
            "typing",
        }


def test_reports_import_no_torch():
    for path in files("reports"):
        assert not {name.split(".")[0] for name in imported(path)} & HEAVY, path


@pytest.mark.parametrize("package", [*PACKAGES, "adaptbench", "tests"])
def test_nothing_is_imported_by_a_bare_name(package):
    """Two names of one file are two modules, and their classes differ."""
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] in PACKAGES], path


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
