"""Ray and SLURM: real clusters on loopback, a lost node, a met time limit; skipped where they are not installed."""

import os
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from adaptbench.benchmarks.commands.run import _devices, make_backend
from adaptbench.benchmarks.commands.run_options import RunOptions, kind_of
from adaptbench.benchmarks.executors.options import ExecutorOptions, parse_slurm
from adaptbench.benchmarks.executors.plan import PlannedRun, make_plan
from adaptbench.benchmarks.executors.schedule import drive
from adaptbench.benchmarks.executors.worker import Job, work
from adaptbench.benchmarks.store.store import Store
from adaptbench.benchmarks.suites.suite import load_suite
from adaptbench.benchmarks.tracking.wandb_runs import Target

ROOT = Path(__file__).parents[3]


@pytest.fixture
def sweep(write_suite, tmp_path):
    """A tiny suite's runs, its store, and the jobs of its runs."""
    runs = make_plan(load_suite(str(write_suite(seeds=(0, 1))))).runs()
    store = Store(tmp_path / "runs")
    store.root.mkdir()

    def make_job(run):
        return Job(spec=run.spec, root=store.root, name=run.name, checkpoint_seconds=0.0)

    return SimpleNamespace(runs=runs, store=store, make_job=make_job)


@pytest.fixture
def undisturbed(sweep, tmp_path, contents):
    """What the same runs give here, one after the other."""
    for run in sweep.runs:
        assert work(replace(sweep.make_job(run), root=tmp_path / "whole")).how == "done"
    return contents(tmp_path / "whole")


@pytest.fixture
def nodes(monkeypatch):
    """A Ray cluster of two nodes with one core each, to which this process is connected."""
    pytest.importorskip("ray", reason="Ray is not installed")
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_worker_niceness", "0")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        other = cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield SimpleNamespace(cluster=cluster, other=other)
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own, of many kinds
@pytest.mark.parametrize("shared", [True, False], ids=["shared folder", "nothing shared"])
def test_ray_loses_a_node_and_no_run(shared, nodes, sweep, undisturbed, tmp_path, contents):
    from adaptbench.benchmarks.executors.ray_cluster import RayBackend

    target = None if shared else Target("tiny", "offline")
    backend = RayBackend(
        ExecutorOptions("ray"), sweep.store, lambda run: replace(sweep.make_job(run), target=target), shared
    )
    assert backend.slots == 2
    lost = False
    for status in drive(sweep.runs, backend, sweep.store):
        if len(status.done) >= 2 and not lost:
            lost = True
            before = {path: path.stat().st_mtime_ns for path in sweep.store.root.glob("[!.]*/result.json")}
            nodes.cluster.remove_node(nodes.other, allow_graceful=False)
    assert lost and not status.failed and len(status.done) == len(sweep.runs)
    assert len(status.unmirrored) == (0 if shared else len(sweep.runs)), "no node writes for W&B where nobody reads it"
    assert all(path.stat().st_mtime_ns == when for path, when in before.items()), "what was published is not run again"
    assert contents(sweep.store.root) == undisturbed
    assert not list(sweep.store.root.glob(".*"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own, of many kinds
@pytest.mark.parametrize("found", [None, "9.9"])
def test_a_node_without_the_package_or_with_another_version_is_one_line(found, nodes, sweep, tmp_path):
    from adaptbench.benchmarks.executors.ray_cluster import RayBackend

    if found is None:
        code = "import importlib.util\nreal = importlib.util.find_spec\n"
        code += "importlib.util.find_spec = lambda name, *rest: None if name == 'adaptbench' else real(name, *rest)\n"
    else:
        code = f"import importlib.metadata\nimportlib.metadata.version = lambda name: {found!r}\n"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "sitecustomize.py").write_text(code)
    nodes.cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": f"{tmp_path / 'other'}{os.pathsep}{ROOT}"})
    has = "does not have it" if found is None else "has 9.9"
    with pytest.raises(
        ValueError, match=f"every node of the Ray cluster to have adaptbench .* {has}; install it there"
    ):
        RayBackend(ExecutorOptions("ray"), sweep.store, sweep.make_job)


def test_sockets_that_ray_cannot_make_are_one_line_that_names_tmpdir(monkeypatch):
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    from adaptbench.benchmarks.executors.ray_cluster import _connect

    def refuse(**_):
        raise OSError("AF_UNIX path length cannot exceed 107 bytes")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(ValueError, match=r"107 bytes\. .* TMPDIR"):
        _connect(None)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_submitit_runs_jobs_here(sweep):
    pytest.importorskip("submitit", reason="submitit is not installed")
    options = ExecutorOptions("slurm", minutes=1.0, max_parallel=2, cluster="local")
    status = list(drive(sweep.runs[:2], make_backend(options, sweep.store, sweep.make_job), sweep.store))[-1]
    assert not status.failed and len(status.done) == 2
    assert not list(sweep.store.root.glob(".*"))


@pytest.fixture
def slurm():
    """Skips where no SLURM answers."""
    pytest.importorskip("submitit", reason="submitit is not installed")
    if shutil.which("sinfo") is None or subprocess.run(["sinfo"], capture_output=True).returncode:
        pytest.skip("no SLURM answers here; .ci/run installs and starts one")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("slurm")
def test_slurm_runs_the_suite_in_arrays_no_larger_than_it_takes(sweep, undisturbed, contents):
    """The one of `.ci/slurm` takes few jobs in an array, so that the suite needs several."""
    from adaptbench.benchmarks.executors.slurm import _largest_array

    if (most := _largest_array()) < len(sweep.runs):
        refused = subprocess.run(["sbatch", f"--array=0-{most + 1}", "--wrap=true"], capture_output=True, text=True)
        assert "Invalid job array specification" in refused.stderr
    backend, arrays = make_backend(ExecutorOptions("slurm", minutes=5), sweep.store, sweep.make_job), []
    submit = backend._executor.map_array
    backend._executor.map_array = lambda work, jobs: arrays.append(len(jobs)) or submit(work, jobs)
    status = list(drive(sweep.runs, backend, sweep.store))[-1]
    assert not status.failed and len(status.done) == len(sweep.runs) == sum(arrays)
    assert max(arrays) == min(most, 4), "four can start at once"
    assert contents(sweep.store.root) == undisturbed
    assert not list(sweep.store.root.glob(".*"))


@pytest.fixture
def small_cluster(tmp_path, monkeypatch):
    """Commands of a SLURM that takes two jobs in an array and three in all; it says which arrays it was given."""
    pytest.importorskip("submitit", reason="submitit is not installed")
    folder = tmp_path / "bin"
    folder.mkdir()
    taken = tmp_path / "taken"
    sbatch = (
        "#!/bin/sh\nn=$(grep -o -- '--array=0-[0-9]*' $1 | grep -o '[0-9]*$')\nn=$((${n:-0} + 1))\n"
        f"all=$(cat {taken} 2>/dev/null | awk '{{all += $1}} END {{print all}}')\n"
        "if [ $n -gt 2 ]; then echo 'sbatch: error: Invalid job array specification' >&2; exit 1; fi\n"
        "if [ $((${all:-0} + n)) -gt 3 ]; then echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1; fi\n"
        f"echo $n >> {taken}\necho Submitted batch job $((100 + ${{all:-0}}))\n"
    )
    scripts = {"sbatch": sbatch, "scontrol": "#!/bin/sh\necho 'MaxArraySize            = 3'\n", "squeue": "#!/bin/sh\n"}
    for name, text in {**scripts, "scancel": "#!/bin/sh\n", "srun": "#!/bin/sh\n"}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return taken


def test_arrays_are_no_larger_than_the_cluster_takes_and_a_limit_is_waited_for(small_cluster, sweep, capfd):
    backend = make_backend(ExecutorOptions("slurm", max_parallel=5), sweep.store, sweep.make_job)
    assert backend.slots == 5
    backend.submit(sweep.runs[:5])
    assert small_cluster.read_text() == "2\n1\n" or small_cluster.read_text() == "2\n"
    back = dict(backend.ended(0))
    assert back and {ended.how for ended in back.values()} == {"stopped"}, "they go back to the waiting runs"
    before = small_cluster.read_text()
    backend.submit(sweep.runs[4:5])
    assert small_cluster.read_text() == before, "not at once"
    backend.close()
    assert capfd.readouterr().err == ""


def test_a_controller_that_hangs_is_asked_again_later(small_cluster, sweep, monkeypatch):
    monkeypatch.setattr("adaptbench.benchmarks.executors.slurm.ANSWER_SECONDS", 0.2)
    (small_cluster.parent / "bin" / "squeue").write_text("#!/bin/sh\nexec sleep 60\n")
    backend = make_backend(ExecutorOptions("slurm"), sweep.store, sweep.make_job)
    assert backend._listed() is None


def test_a_refusal_of_slurm_is_one_line(small_cluster, sweep, tmp_path):
    small_cluster.write_text("3\n")
    backend = make_backend(ExecutorOptions("slurm"), sweep.store, sweep.make_job)
    with pytest.raises(ValueError, match=r"SLURM refused 2 jobs: QOSMaxSubmitJobPerUserLimit\. .*`--max-parallel`"):
        list(drive(sweep.runs[:2], backend, sweep.store))
    assert not list(sweep.store.root.glob(".slurm"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("slurm")
def test_slurm_refuses_a_wrong_partition_in_one_line(sweep):
    with pytest.raises(ValueError, match=r"SLURM refused 2 jobs: invalid partition specified: nowhere; Batch job sub"):
        options = ExecutorOptions("slurm", minutes=5, partition="nowhere")
        list(drive(sweep.runs[:2], make_backend(options, sweep.store, sweep.make_job), sweep.store))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"gpus": 1}, "`--gpus` only with `--executor ray` or `--executor slurm` but the executor is `local`"),
        ({"cpus": 2}, "`--cpus` only"),
        ({"partition": "main"}, "`--partition` only with `--executor slurm`"),
        ({"minutes": 5}, "`--time` only with `--executor slurm`"),
        ({"name": "ray", "max_parallel": 5}, "`--max-parallel` only with `--executor slurm`"),
        ({"name": "slurm", "address": "a:1"}, "`--address` only with `--executor ray`"),
        ({"name": "slurm", "time_limit": 5}, "`--time-limit` only with `--executor local`"),
        ({"name": "slurm", "gpus": 0.5}, "`--gpus` to be a whole number, .* but got 0.5"),
    ],
)
def test_an_option_that_an_executor_would_ignore_is_refused(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        ExecutorOptions(**options)
    assert ExecutorOptions("slurm", gpus=2.0, partition="main").gpus == 2


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"device": "cuda"}, "`--device cpu` with `--executor ray` and `--gpus 0` but got `cuda`"),
        ({"jobs": "2"}, "`--jobs` only with `--executor local`, but it is `ray`"),
        ({"runs_per_gpu": 2}, "`--runs-per-gpu` only with"),
    ],
)
def test_an_option_of_this_machine_is_refused_for_others(options, complaint):
    options = RunOptions(executor=ExecutorOptions("ray"), **options)
    with pytest.raises(ValueError, match=complaint):
        _devices(options, kind_of(options))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("slurm", "own_learners")
@pytest.mark.skipif("ADAPTBENCH_CHAOS" not in os.environ, reason="SLURM waits minutes: ADAPTBENCH_CHAOS=1 asks for it")
def test_slurm_requeues_what_meets_its_time_limit(sweep, episodic, tmp_path, contents, monkeypatch):
    """A minute is the shortest limit there is, and two minutes pass before SLURM starts a job again."""
    run = PlannedRun(episodic(learner={"name": "own.Slow"}, budget__examples=12000), "slow")
    options = ExecutorOptions("slurm", minutes=1)
    began = time.monotonic()
    execution = drive([run], make_backend(options, sweep.store, sweep.make_job), sweep.store)
    *_, status = execution
    assert not status.failed and [each.spec for each, _ in status.done] == [run.spec]
    assert time.monotonic() - began > 60, "it met no limit"
    times = sweep.store.environment(run.spec.run_id).times
    last_try = (times.finished - times.started).total_seconds() + 1  # both are cut to seconds
    assert times.train_seconds > last_try, "over both tries"
    monkeypatch.setattr(time, "sleep", lambda _: None)
    assert work(replace(sweep.make_job(run), root=tmp_path / "whole")).how == "done"
    assert contents(sweep.store.root) == contents(tmp_path / "whole")
    assert not list(sweep.store.root.glob(".*"))


def test_a_job_told_of_its_time_limit_is_requeued_with_a_checkpoint(sweep, monkeypatch, tmp_path):
    """The signal is put off: submitit's own handler, which requeues, is called once the run has stopped."""
    pytest.importorskip("submitit", reason="submitit is not installed")
    import signal

    from adaptbench.benchmarks.executors import slurm

    requeued = []
    monkeypatch.setattr(slurm, "initialise", lambda: None)
    before = signal.signal(signal.SIGUSR2, lambda *_: requeued.append(True))
    try:
        job = sweep.make_job(sweep.runs[0])

        def told_in_the_middle(job, should_stop):
            before = len(requeued)
            signal.raise_signal(signal.SIGUSR2)
            assert len(requeued) == before
            return work(job, should_stop)

        monkeypatch.setattr(slurm, "work", told_in_the_middle)
        assert slurm.SlurmWork(tmp_path / "stop")(job).how == "stopped"
        assert requeued == [True]
        (tmp_path / "stop").touch()
        signal.signal(signal.SIGUSR2, lambda *_: requeued.append(True))
        assert slurm.SlurmWork(tmp_path / "stop")(job).how == "stopped"
        assert requeued == [True], "whoever stops the sweep wants no new job"
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_an_executor_that_is_not_there_is_said_with_how_to_get_it(sweep, monkeypatch):
    import sys

    for name, module in (("ray", "ray"), ("slurm", "submitit")):
        monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.delitem(
            sys.modules, f"adaptbench.benchmarks.executors.{'ray_cluster' if name == 'ray' else 'slurm'}", raising=False
        )
        with pytest.raises(ValueError, match=rf"pip install 'adaptbench\[{name}\]'"):
            make_backend(ExecutorOptions(name), sweep.store, sweep.make_job)
    with pytest.raises(ValueError, match="Did you mean `slurm`"):
        make_backend(ExecutorOptions("slrum"), sweep.store, sweep.make_job)


def test_options_of_sbatch_are_pairs():
    assert parse_slurm(["account=me", "nice-value=a=b"]) == {"account": "me", "nice_value": "a=b"}
    with pytest.raises(ValueError, match="NAME=VALUE but got `account`"):
        parse_slurm(["account"])
