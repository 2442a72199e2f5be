"""The Ray executor: runs are tasks on the nodes of a cluster."""

import functools
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from adaptbench.benchmarks.executors.interruption import Stopping, now_and_then
from adaptbench.benchmarks.executors.options import ExecutorOptions
from adaptbench.benchmarks.executors.plan import PlannedRun
from adaptbench.benchmarks.executors.worker import Ended, Job, work
from adaptbench.benchmarks.runs.process import initialise
from adaptbench.benchmarks.store.archive import pack, unpack
from adaptbench.benchmarks.store.store import RunElsewhere, Store

try:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise ValueError("The executor `ray` needs Ray, which is not installed: pip install 'adaptbench[ray]'.") from error

TRIES_AFTER_LOSS = 3
"""How often Ray restarts a task whose node or process was lost."""
PROBE_SECONDS = 300.0


class RayBackend:
    """Tasks on a Ray cluster; Ray restarts those of a lost node on other nodes.

    Args:
        options: address of the cluster, and what a run needs.
        store: where runs are published.
        make_job: makes the job of a run.
        shared: whether every node can read the folder of the runs; None to find out.
    """

    def __init__(
        self, options: ExecutorOptions, store: Store, make_job: Callable[[PlannedRun], Job], shared: bool | None = None
    ) -> None:
        self._options, self._store, self._make_job = options, store, make_job
        self._ours = not ray.is_initialized()
        if self._ours:
            _connect(options.address)
        _require_package()
        self._shared = _is_shared(store) if shared is None else shared
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._stopping = ray.remote(num_cpus=0)(Stopping).options(scheduling_strategy=here).remote()
        self._task = ray.remote(max_retries=TRIES_AFTER_LOSS)(_compute)
        self._running: dict[Any, tuple[Job, ExitStack]] = {}
        self._elsewhere: list[str] = []

    @property
    def slots(self) -> int:
        """The number of one-device runs that the cluster has room for now."""
        there = ray.cluster_resources()
        rooms = [there.get("CPU", 0) / self._options.cpus]
        if self._options.gpus:
            rooms.append(there.get("GPU", 0) / self._options.gpus)
        return max(1, int(min(rooms)))

    def submit(self, runs: list[PlannedRun]) -> None:
        """Starts a task for each run; without a shared folder, this process holds its lock and sends what it needs."""
        for run in runs:
            job, claim = self._make_job(run), ExitStack()
            needed: dict[str, bytes] = {}
            if not self._shared:
                try:
                    claim.enter_context(self._store.claimed(job.spec.run_id, on_loss=lambda: None))
                except RunElsewhere:
                    self._elsewhere.append(job.spec.run_id)
                    continue
                needed |= {run_id: pack(self._store.published(run_id)) for run_id in run.needs}
            task = self._task.options(
                num_cpus=self._options.cpus * run.spec.devices, num_gpus=self._options.gpus * run.spec.devices
            )
            reference = task.remote(job, self._stopping, None if self._shared else needed)
            self._running[reference] = job, claim

    def ended(self, seconds: float) -> Iterator[tuple[str, Ended]]:
        """Waits for tasks, and publishes what they return."""
        while self._elsewhere:
            yield self._elsewhere.pop(), Ended("elsewhere")
        if not self._running:
            time.sleep(seconds)
            return
        ready, _ = ray.wait(list(self._running), num_returns=1, timeout=seconds)
        for reference in ready:
            job, claim = self._running.pop(reference)
            with claim:
                ended = self._outcome(reference, job)
            yield job.spec.run_id, ended

    def ask_to_stop(self) -> None:
        """Tells the actor, which every task asks now and then."""
        self._stopping.stop.remote()

    def close(self) -> None:
        """Kills the tasks, and leaves the cluster."""
        for reference, (_, claim) in self._running.items():
            ray.cancel(reference, force=True)
            claim.close()
        self._running.clear()
        if self._ours:
            ray.shutdown()

    def _outcome(self, reference: Any, job: Job) -> Ended:  # noqa: ANN401 - Ray's references are of any type
        try:
            ended, content = ray.get(reference)
            if content is not None:
                unpack(content, self._store.begin(job.spec.run_id))
                self._store.publish(job.spec.run_id)
                if _is_offline(job):
                    ended = replace(ended, unmirrored="a node without the shared folder writes nothing for W&B")
        except Exception as error:  # Ray's, or of the disk here
            error = getattr(error, "cause", None) or error  # without the text of a traceback on the node
            return Ended("failed", " ".join(f"{type(error).__name__}: {error}".split()))
        return ended


def _connect(address: str | None) -> None:
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level="ERROR",
            # A cluster on this machine has no dashboard, and its tasks have the priority of local workers.
            **({} if address else {"include_dashboard": False, "_system_config": {"worker_niceness": 0}}),
        )
    except (OSError, ValueError, RuntimeError) as error:
        if address is None:
            raise ValueError(
                f"Ray does not start on this machine: {error}. Its sockets lie below TMPDIR, whose path must be short."
            ) from error
        raise ValueError(
            f"Expected `--address` to be a Ray cluster's, but {address} does not answer: {error}. "
            "(A cluster with a token answers only with RAY_AUTH_MODE=token in the environment.)"
        ) from error


def _on_each_node(function: Callable[..., Any], *arguments: object) -> list[tuple[str, Any]]:
    """Calls a function on every node; returns the name of each node and what it returned there."""
    call = ray.remote(num_cpus=0)(function)
    nodes = {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}
    calls = [
        call.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=True)).remote(*arguments)
        for node in nodes
    ]
    return list(zip(nodes.values(), ray.get(calls, timeout=PROBE_SECONDS), strict=True))


def _version() -> str | None:
    """The version of this package on a node; None if it has none."""
    from importlib import metadata, util

    if util.find_spec("adaptbench") is None:
        return None
    try:
        return metadata.version("adaptbench")
    except metadata.PackageNotFoundError:
        return "a checkout"


_version.__module__ = "__main__"  # so that Ray sends its code, because a node may lack this module


def _require_package() -> None:
    """Refuses a cluster with a node that lacks this package or has another version of it.

    Raises:
        ValueError: if there is one.
    """
    wanted = _version()
    for node, found in _on_each_node(_version):
        if found != wanted:
            has = "does not have it" if found is None else f"has {found}"
            raise ValueError(
                f"Expected every node of the Ray cluster to have adaptbench ({wanted}, as here) but {node} {has}; "
                "install it there, in the environment that Ray was started in."
            )


def _is_shared(store: Store) -> bool:
    """Whether every node finds a file that this process writes into the folder of the runs."""
    probe = store.root / f".probe-{uuid.uuid4().hex}"
    probe.touch()
    try:
        return all(found for _, found in _on_each_node(os.path.isfile, str(probe)))
    finally:
        probe.unlink()


def _compute(job: Job, stopping: Any, needed: dict[str, bytes] | None) -> tuple[Ended, bytes | None]:  # noqa: ANN401
    """Executes a run on its node, in the shared folder, or in a temporary one whose content it returns."""
    _prepare()
    asked = now_and_then(lambda: _was_asked(stopping))
    if needed is None:
        return work(job, asked), None
    root = Path(tempfile.mkdtemp(prefix="adaptbench-"))
    try:
        for run_id, content in needed.items():
            unpack(content, root / run_id)
        ended = work(replace(job, root=root, target=None if _is_offline(job) else job.target), asked)
        return ended, pack(root / job.spec.run_id) if ended.how == "done" else None
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _is_offline(job: Job) -> bool:
    return job.target is not None and job.target.mode == "offline"


_prepare = functools.cache(initialise)


def _was_asked(stopping: Any) -> bool:  # noqa: ANN401
    """Whether the actor was asked to stop."""
    try:
        return bool(ray.get(stopping.asked.remote()))
    except ray.exceptions.RayError:  # the command is gone, and nobody waits for the run
        return True
