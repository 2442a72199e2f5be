"""Many runs: time, memory and the page's size grow no faster than they may."""

import json
import resource
import time

import pytest

from adaptbench.reports.report import write_report

N_LEARNERS, SIZES, N_SEEDS = 10, (4, 16, 64, 256, 1024), 20
# A tenth of what ten thousand runs may take, with room for the start: 60 s and 4 GiB.
SECONDS, GIBIBYTES = 20, 2


@pytest.mark.slow
def test_a_thousand_runs_take_a_tenth_of_what_ten_thousand_may(folder, tmp_path):
    for learner in range(N_LEARNERS):
        for size in SIZES:
            for seed in range(N_SEEDS):
                folder.plan("omniglot", f"l{learner}", f"L{learner}", f"f{learner % 3}", seed, size, tests=[(5, 1)])
    folder.write_suite()
    first = folder.cells[0]
    folder.write_run(first)
    files = {path.name: path.read_bytes() for path in (folder.path / first["run_id"]).iterdir()}
    result = json.loads(files["result.json"])
    for cell in folder.cells[1:]:
        path = folder.path / cell["run_id"]
        path.mkdir()
        own = {name: cell[name] for name in ("run_id", "seed", "train_classes", "learner", "family")}
        for name, content in files.items():
            (path / name).write_bytes(json.dumps(result | own).encode() if name == "result.json" else content)
    start = time.process_time()
    report = write_report(folder.path, tmp_path / "out")
    assert len(report.runs) == N_LEARNERS * len(SIZES) * N_SEEDS == 1000
    assert time.process_time() - start < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20 < GIBIBYTES
    assert report.page.stat().st_size < 8_000_000
