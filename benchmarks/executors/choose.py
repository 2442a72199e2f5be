"""The executors by name: this machine, a Ray cluster, SLURM; the last two are imported only when asked for."""

from collections.abc import Callable

from adaptbench.benchmarks.executors.options import ExecutorOptions, check_executor
from adaptbench.benchmarks.executors.plan import PlannedRun
from adaptbench.benchmarks.executors.schedule import Backend
from adaptbench.benchmarks.executors.worker import Job
from adaptbench.benchmarks.store.store import Store


def make_backend(options: ExecutorOptions, store: Store, make_job: Callable[[PlannedRun], Job]) -> Backend:
    """Starts what executes runs.

    Raises:
        ValueError: if it is not there; the message says how to get it.
    """
    check_executor(options.name)
    if options.name == "ray":
        from adaptbench.benchmarks.executors.ray_cluster import RayBackend

        store.root.mkdir(parents=True, exist_ok=True)
        return RayBackend(options, store, make_job)
    if options.name == "slurm":
        from adaptbench.benchmarks.executors.slurm import SlurmBackend

        return SlurmBackend(options, store, make_job)
    from adaptbench.benchmarks.executors.local import LocalBackend

    return LocalBackend(options.devices, make_job, options.time_limit)
