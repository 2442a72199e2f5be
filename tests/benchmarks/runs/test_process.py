"""The preparation of a process that computes runs."""

import subprocess
import sys

import pytest

STEPS = """
import resource, torch
from adaptbench.benchmarks.runs.process import keep_memory
{prepare}
def step():
    activations = [torch.ones(size * 1024**2) for size in (4, 4, 12)]  # 16 and 48 MB
    return sum(float(each[-1]) for each in activations)
for _ in range(4):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
results = [step() for _ in range(4)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, *results)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux has glibc.")
def test_freed_memory_is_used_again_without_asking_the_system():
    def faults_and_results(prepare):
        faults, *results = subprocess.check_output(
            [sys.executable, "-c", STEPS.format(prepare=prepare)], text=True
        ).split()
        return int(faults), results

    # Once, on a busy machine, most steps got new pages all the same.
    kept, results = min(faults_and_results("keep_memory()") for _ in range(3))
    for _ in range(5):  # glibc keeps the memory by itself now and then
        plain, others = faults_and_results("")
        assert others == results, "results do not change"
        if plain:
            break
    else:
        pytest.skip("glibc kept the memory by itself each time")
    assert kept < plain / 2, "without it, steps get new pages"
