"""Makes the executor by name; Ray and SLURM are imported only if they are chosen."""

from collections.abc import Callable

from adaptbench.benchmarks.executors.options import ExecutorOptions
from adaptbench.benchmarks.executors.plan import PlannedRun
from adaptbench.benchmarks.executors.schedule import Backend
from adaptbench.benchmarks.executors.worker import Job
from adaptbench.benchmarks.store.store import Store


def make_backend(options: ExecutorOptions, store: Store, make_job: Callable[[PlannedRun], Job]) -> Backend:
    """Starts the executor.

    Raises:
        ValueError: if it is not installed or does not answer; the message says how to get it.
    """
    if options.name == "ray":
        from adaptbench.benchmarks.executors.ray_cluster import RayBackend

        store.root.mkdir(parents=True, exist_ok=True)
        return RayBackend(options, store, make_job)
    if options.name == "slurm":
        from adaptbench.benchmarks.executors.slurm import SlurmBackend

        return SlurmBackend(options, store, make_job)
    from adaptbench.benchmarks.executors.local import LocalBackend

    return LocalBackend(options.devices, make_job, options.time_limit)
