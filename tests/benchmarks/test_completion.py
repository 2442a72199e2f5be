"""What a shell completes, at once: nothing heavy is imported."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("adaptbench run qu", ["quick"]),
        ("adaptbench run --only learner=ls", ["learner=lstm"]),
        ("adaptbench run --only task=sin", ["task=sinusoid"]),
        ("adaptbench run --encoder con", ["conv4"]),
        ("adaptbench compare proto", ["prototypes"]),
        ("adaptbench show omni", ["omniglot", "omniglot-online"]),
        ("adaptbench show --card fine", ["fine_tuning"]),
        ("adaptbench list le", ["learners"]),
    ],
)
def test_suites_tasks_and_learners_are_completed(typed, offered):
    code = "import sys\ntry:\n    from adaptbench.benchmarks.cli import app\n    app(prog_name='adaptbench')\n"
    code += "finally:\n    assert 'torch' not in sys.modules"
    asked = {"_ADAPTBENCH_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (offered, "")
