"""Installed, everything lies under one name, and files of a user's that are named like ours change nothing."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("benchmarks", "datamodules", "lit_modules", "reports")
SOURCES = (*OURS, "adaptbench", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
COMMIT = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-q", "--no-verify", "-m", "All."]
OPTIONS = ("--wandb", "off", "--jobs", "2", "--no-report")
CELL = ("smoke", "--learner", "lit_modules.Own", "--only", "learner=Own", "--only", "seed=0")
CELLS = (*CELL, *OPTIONS)
STRANGER = 'raise RuntimeError("a file of the user\'s was imported in the place of ours")\n'
OWN = '''"""A learner of the user's, in a file named like a package of ours."""

from adaptbench.lit_modules.deep_sets import DeepSets


class Own(DeepSets):
    """Learns."""

    def __init__(self, features, targets, outputs):
        super().__init__(features, targets, outputs, width=8, slots=1)
'''
SUITE = """
suite: two
version: 1
description: A training on two devices.
seeds: [0]
tasks:
  - task: {name: sinusoid}
    train: {shots: [5], queries: 5, pool: 40}
    test: {shots: [5], queries: 5, episodes: 20}
    encoder: {name: mlp, init_args: {width: 8, depth: 1}}
    budget: {examples: 640, epochs: 2, val_episodes: 4}
    trainer: {devices: 2}
    learners:
      lstm: {learner: {name: lstm, init_args: {width: 8, slots: 1}}}
"""
LOAD = """
from pathlib import Path
from adaptbench import load_run
for result in Path("runs").glob("[!.]*/result.json"):
    print(load_run(result.parent).predict([[0.0], [1.0]], [0.0, 1.0], [[0.5]]).means.shape)
"""


def copy_sources(folder):
    """Copies what a wheel is made of, with its links."""
    folder.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder)
    return folder


def build(kind, source, out):
    """Builds a wheel, an editable one or a source distribution, as pip would but without the network."""
    out.mkdir(exist_ok=True)
    code = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, out], cwd=source, check=True, capture_output=True)
    (made,) = out.iterdir()
    return made


def commit_all(folder):
    for arguments in (["init", "-q"], ["add", "-A"], COMMIT):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True).stdout


def contents(wheel):
    with zipfile.ZipFile(wheel) as file:
        return {name: file.read(name) for name in file.namelist()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    return build("wheel", copy_sources(folder / "source"), folder / "dist")


@pytest.fixture(params=["wheel", "editable"])
def installed(request, tmp_path):
    """The programs' folder of an environment that has ours installed, and the commit that its results should carry.

    The environment lies in somebody's repository, and sees the libraries that are installed here.
    """
    if request.param == "wheel":
        made, commit = request.getfixturevalue("wheel"), None
    else:
        source = copy_sources(tmp_path / "source")
        commit = commit_all(source).strip()
        made = build("editable", source, tmp_path / "dist")
    project = tmp_path / "project"
    venv.create(project / ".venv", symlinks=True)
    python = project / ".venv/bin/python"
    here = sysconfig.get_paths()
    libraries = Path(sysconfig.get_path("purelib", vars={"base": str(project / ".venv")})) / "libraries.pth"
    libraries.write_text("\n".join(dict.fromkeys((here["purelib"], here["platlib"]))))
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--ignore-installed",
        made,
    ]
    subprocess.run(pip, check=True)
    commit_all(project)
    return python.parent, commit


@pytest.fixture
def crowded(tmp_path):
    """A folder full of files and packages named like ours, none of which may be imported."""
    folder = tmp_path / "project/crowded"
    folder.mkdir(parents=True)
    ours = [path.relative_to(ROOT) for name in OURS for path in (ROOT / name).rglob("*.py")]
    names = {part.removesuffix(".py") for path in ours for part in path.parts} - {"__init__"}
    for name in names:
        (folder / f"{name}.py").write_text(STRANGER)
    for name in ("benchmarks", "tests"):
        (folder / f"{name}.py").unlink(missing_ok=True)
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(STRANGER)
    (folder / "lit_modules.py").write_text(OWN)
    (folder / "two.yaml").write_text(SUITE)
    return folder


def remove_standard(folder):
    """Removes what hides a module of Python's own, wherever this folder is searched first."""
    for path in folder.glob("*.py"):
        if path.stem in sys.stdlib_module_names:
            path.unlink()


def call(folder, path, *command):
    """Calls a program in a folder, with PYTHONPATH; None for none."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {} if path is None else {"PYTHONPATH": path}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def recorded(runs):
    """What the runs in a folder say of the commit."""
    found = [json.loads(path.read_text()) for path in runs.glob("[!.]*/environment.json")]
    return {(each["machine"]["git_commit"], each["machine"]["git_dirty"]) for each in found}


@pytest.mark.parametrize(
    ("files", "megabytes"),
    [("reports/data/bundles/*", 25), ("reports/data/bundles/quick.zip", 1), ("benchmarks/runs/weights/*/*", 15)],
)
def test_results_and_weights_that_ship_are_small(files, megabytes):
    assert 0 < sum(path.stat().st_size for path in ROOT.glob(files)) < megabytes * 1_000_000


@pytest.mark.slow
def test_a_wheel_has_one_name(wheel):
    names = set(contents(wheel))
    assert {name.partition("/")[0] for name in names} == {"adaptbench", "adaptbench-0.2.0.dist-info"}
    data = ("benchmarks/suites/*.yaml", "datamodules/data/*.csv", "reports/data/*.csv", "reports/page/templates/*")
    expected = [path for name in OURS for path in (ROOT / name).rglob("*.py")]
    expected += [path for pattern in data for path in ROOT.glob(pattern)]
    missing = {f"adaptbench/{path.relative_to(ROOT).as_posix()}" for path in expected} - names
    assert not missing, "setup.cfg lists packages and data by hand"


@pytest.mark.slow
def test_a_source_distribution_makes_the_same_wheel(wheel, tmp_path):
    archive = build("sdist", copy_sources(tmp_path / "source"), tmp_path / "sdist")
    with tarfile.open(archive) as file:
        assert not [member.name for member in file if member.issym() or member.islnk()]
    subprocess.run(["tar", "-xf", archive, "-C", tmp_path], check=True)
    assert contents(build("wheel", tmp_path / archive.name.removesuffix(".tar.gz"), tmp_path / "dist")) == contents(
        wheel
    )


@pytest.mark.slow
def test_files_named_like_ours_do_no_harm(installed, crowded):
    programs, commit = installed
    adaptbench, python = programs / "adaptbench", programs / "python"
    call(crowded, None, adaptbench, "run", "two.yaml", *OPTIONS, "--out", "two")
    remove_standard(crowded)
    assert "Usage" in call(crowded, ".", adaptbench, "--help")
    assert call(crowded, ".", python, "-m", "adaptbench", "--version") == "0.2.0\n"
    call(crowded, ".", adaptbench, "run", *CELLS)
    call(crowded, ".", adaptbench, "report", "runs")
    assert call(crowded, ".", python, "-c", LOAD).count("[1, 1]") == 2
    dirty = None if commit is None else False
    assert recorded(crowded / "two") == recorded(crowded / "runs") == {(commit, dirty)}


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["ray", "slurm"])
@pytest.mark.parametrize("installed", ["wheel"], indirect=True)
def test_files_named_like_ours_do_no_harm_on_clusters(executor, installed, crowded):
    pytest.importorskip("ray" if executor == "ray" else "submitit")
    remove_standard(crowded)
    where = ("--executor", executor, *(("--cluster", "local") if executor == "slurm" else ()))
    call(crowded, ".", installed[0] / "adaptbench", "run", *CELL, "--wandb", "off", "--no-report", *where)
    assert recorded(crowded / "runs") == {(None, None)}


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("installed", ["wheel"], indirect=True)
def test_bare_names_are_not_taken(name, installed, tmp_path):
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({name!r}) is not None)"
    call(tmp_path, None, installed[0] / "python", "-c", code)


def test_links_that_became_files_are_named_with_how_to_mend_them(tmp_path):
    commit_all(copy_sources(tmp_path / "source"))
    checkout = tmp_path / "checkout"
    subprocess.run(["git", "clone", "-q", "-c", "core.symlinks=false", tmp_path / "source", checkout], check=True)
    command = [sys.executable, "-c", "from adaptbench.benchmarks import cli"]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    refused = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert refused.returncode == 1
    said = refused.stderr.splitlines()[-1]
    assert said.startswith(f"ImportError: Expected {checkout / 'adaptbench' / 'benchmarks'} to be a link")
    for command_named in said.split("`")[1::2]:
        subprocess.run(command_named.split(), cwd=checkout, check=True)
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
