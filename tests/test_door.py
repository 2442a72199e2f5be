"""The one door for Python: complete, lazy, and typed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import adaptbench
from adaptbench.benchmarks.suites.keys import markdown
from adaptbench.benchmarks.suites.registry import ENCODERS, GRADIENT_LEARNERS, LEARNERS, STRATEGIES, TASKS


@pytest.mark.parametrize("name", adaptbench.__all__)
def test_every_name_is_there_and_documented(name):
    assert getattr(adaptbench, name).__doc__


def test_every_class_of_the_registry_is_behind_the_door():
    paths = {
        entry.path for table in (TASKS, ENCODERS, LEARNERS, GRADIENT_LEARNERS, STRATEGIES) for entry in table.values()
    }
    classes = {path.rpartition(".")[2] for path in paths if "learn2learn" not in path}
    assert classes <= set(adaptbench.__all__) == set(adaptbench._HOMES)


def test_the_reference_has_every_name():
    text = (Path(__file__).parents[1] / "docs" / "api" / "index.rst").read_text(encoding="utf-8")
    assert set(re.findall(r"^\.\. auto\w+:: adaptbench\.(\w+)$", text, re.MULTILINE)) == set(adaptbench.__all__)


def test_the_page_of_suite_keys_is_that_of_the_models():
    page = Path(__file__).parents[1] / "docs" / "suite_keys.md"
    assert page.read_text(encoding="utf-8") == markdown()


def test_importing_the_door_imports_no_torch():
    code = "import sys, adaptbench; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_class_of_the_program_itself_is_refused():
    mine = type("Mine", (), {"__module__": "__main__"})
    with pytest.raises(ValueError, match="Mine to lie in a file that other processes can import"):
        adaptbench.run("smoke", learners=[mine])


@pytest.mark.slow
def test_run_from_python(tmp_path):
    results = adaptbench.run(
        "smoke", only=["learner=deep_sets", "train_classes=16"], seeds=2, out=tmp_path / "runs", jobs=1
    )
    assert set(results.runs["learner"]) == {"deep_sets"} and set(results.runs["seed"]) == {0, 1}
