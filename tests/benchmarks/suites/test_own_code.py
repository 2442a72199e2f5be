"""A run's id covers the modules that define a user's own classes, and nothing else."""

import importlib
import sys

import pytest

from adaptbench.benchmarks.suites.own_code import own_code, own_modules
from adaptbench.benchmarks.suites.suite import load_suite

FILES = {
    "mylab/__init__.py": "",
    "mylab/encoders.py": "import helpers\nfrom .layers import width\nfrom adaptbench.lit_modules.encoders import MLP\n"
    "class Mine(MLP):\n    def __init__(self, shape):\n        super().__init__(shape, width=width(), depth=1)\n",
    "mylab/layers.py": "def width():\n    from mylab import late\n\n    return late.WIDTH\n",
    "mylab/late.py": "WIDTH = 8\n",
    "mylab/unused.py": "",
    "helpers.py": "",
    "alone.py": "import helpers\nimport numpy\nfrom adaptbench.lit_modules.deep_sets import DeepSets as Base\n\n\n"
    "class Alone(Base):\n    pass\n",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in ("mylab", "helpers", "alone")]:
        del sys.modules[name]


def test_the_modules_of_its_package_that_a_class_imports_are_its_code(folder):
    assert own_modules("encoder", "mylab.encoders.Mine").keys() == {
        "mylab", "mylab.encoders", "mylab.layers", "mylab.late"
    }  # fmt: skip
    assert own_modules("learner", "alone.Alone").keys() == {"alone", "helpers"}


@pytest.mark.parametrize("name", ["mlp", "adaptbench.lit_modules.encoders.MLP", "torch.nn.Identity"])
def test_classes_of_ours_and_of_torch_have_no_code_of_their_own(name):
    assert own_code(encoder=name) == ""


def test_editing_an_own_class_makes_new_runs_and_editing_another_file_does_not(folder, write_suite):
    suite = write_suite(**{"encoder": {"name": "mylab.encoders.Mine"}})
    ours = {cell.spec.run_id for cell in load_suite(str(write_suite("ours"))).cells()}

    def ids():
        importlib.invalidate_caches()
        cells = load_suite(str(suite)).cells()
        return [each.run_id for cell in cells for each in (cell.spec, *cell.spec.candidates)]

    before = ids()
    (folder / "mylab" / "unused.py").write_text("edited = True\n")
    (folder / "helpers.py").write_text("edited = True\n")
    assert ids() == before
    (folder / "mylab" / "late.py").write_text("WIDTH = 9\n")
    assert not set(ids()) & set(before)
    assert {cell.spec.run_id for cell in load_suite(str(write_suite("ours"))).cells()} == ours
