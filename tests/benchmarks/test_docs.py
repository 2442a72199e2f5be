"""What the documentation shows, done."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.slow
def test_the_learner_of_the_documentation_runs(adaptbench, write_suite, lookalike_archives, tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", (DOCS / "learners.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "matching.py").write_text(code[1])
    assert len(code[1].splitlines()) <= 30
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[2]}")
    suite = write_suite(
        learners=("attention",),
        **{
            "task": {"name": "glyphs"},
            "train": {"ways": 3, "shots": [1], "queries": 2, "pool": 30, "episodes": 4},
            "test": {"ways": 3, "shots": [1], "queries": 2, "episodes": 40},
            "encoder": {"name": "strided", "init_args": {"filters": 4}},
        },
    )
    ours_only = ("--only", "learner=Matching", "--jobs", "1", "--wandb", "off")
    result = adaptbench("run", suite, "--learner", "matching.Matching", *ours_only)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    assert "Matching" in result.stdout and "1 of 1 run finished" in result.stdout
    refused = adaptbench("run", "smoke", "--learner", "matching.Matching")
    assert refused.returncode == 2 and "needs a task of classification" in refused.stderr
