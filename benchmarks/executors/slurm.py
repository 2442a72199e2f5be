"""The SLURM executor: runs are the jobs of job arrays, through submitit."""

import io
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path
from types import FrameType
from typing import Any

from adaptbench.benchmarks.executors.interruption import now_and_then
from adaptbench.benchmarks.executors.options import ExecutorOptions
from adaptbench.benchmarks.executors.plan import PlannedRun
from adaptbench.benchmarks.executors.worker import LOG_CHARACTERS, Ended, Job, last_words, work
from adaptbench.benchmarks.runs.process import initialise
from adaptbench.benchmarks.store.redaction import without_secrets
from adaptbench.benchmarks.store.store import Store
from adaptbench.reports.plural import count_of

try:
    import submitit
except ImportError as error:
    raise ValueError("The executor `slurm` needs submitit: pip install 'adaptbench[slurm]'.") from error

FOLDER = ".slurm"
"""Folder of submitit's files below the runs, with a folder for each command."""
SIGNAL_SECONDS = 90
"""Seconds between the signal to a job and its time limit; at most a quarter of the limit."""
MOST_REQUEUES = 1000
STOP = "stop"
"""A file in that folder that tells jobs to stop."""
USUAL_ARRAY = 1000
"""Jobs in an array, unless SLURM tells its limit."""
ANSWER_SECONDS = 30.0
PATIENCE_SECONDS = 30.0
"""Seconds until jobs that SLURM refused are submitted again."""
LOST_SECONDS = 30.0
"""Seconds after which a job counts as lost if SLURM does not list it and it has no result."""


class SlurmBackend:
    """Job arrays; every job is one run, which continues in a new job after its time limit.

    Args:
        options: what a job needs, and the number of jobs at a time.
        store: where runs are published, on a file system that the nodes share.
        make_job: makes the job of a run.
    """

    def __init__(self, options: ExecutorOptions, store: Store, make_job: Callable[[PlannedRun], Job]) -> None:
        self._make_job, self._store, self._cluster = make_job, store, options.cluster
        self._folder = store.root.absolute() / FOLDER / f"{os.getpid()}-{time.time_ns():x}"
        self._options = options
        self._executor = _executor(options, self._folder)
        self.slots = options.max_parallel
        self._largest = _largest_array() if self._cluster == "slurm" else options.max_parallel
        self._refused: list[str] = []
        self._patient_until = 0.0
        self._jobs: dict[str, submitit.Job[Ended]] = {}
        self._missed: dict[str, float] = {}
        self._failed = False

    def submit(self, runs: list[PlannedRun]) -> None:
        """Submits job arrays, each for one number of devices and no larger than the cluster takes.

        What SLURM refuses while other jobs are there waits for a while, because the refusal may be a limit on jobs.

        Raises:
            ValueError: if SLURM refuses jobs and there is no other.
        """
        for devices in sorted({run.spec.devices for run in runs}):
            asked = [self._make_job(run) for run in runs if run.spec.devices == devices]
            self._executor.update_parameters(**_for_devices(self._options, devices))
            for start in range(0, len(asked), self._largest):
                self._submit_array(asked[start : start + self._largest])

    def _submit_array(self, asked: list[Job]) -> None:
        if self._jobs and time.monotonic() < self._patient_until:
            self._refused += [job.spec.run_id for job in asked]
            return
        try:
            with redirect_stderr(io.StringIO()):  # submitit prints what it raises, too
                jobs = self._executor.map_array(SlurmWork(self._folder / STOP), asked)
        except submitit.core.utils.FailedJobError as error:
            if not self._jobs:
                said = dict.fromkeys(line.replace("sbatch: error: ", "").strip() for line in str(error).splitlines())
                raise ValueError(
                    f"SLURM refused {count_of(len(asked), 'job')}: {'; '.join(said)}. `--partition`, `--time`, "
                    "`--memory`, `--cpus`, `--gpus` and `--slurm` say what a job asks for, `--max-parallel` how many "
                    "there are."
                ) from error
            self._patient_until = time.monotonic() + PATIENCE_SECONDS
            self._refused += [job.spec.run_id for job in asked]
        else:
            self._jobs |= {each.spec.run_id: job for each, job in zip(asked, jobs, strict=True)}

    def ended(self, seconds: float) -> Iterator[tuple[str, Ended]]:
        """Waits, and looks for results of jobs and for lost jobs; what was refused goes back to the waiting runs."""
        time.sleep(seconds)
        while self._refused:
            yield self._refused.pop(), Ended("stopped")
        there = self._listed() if self._jobs else set()
        for run_id, job in list(self._jobs.items()):
            if job.paths.result_pickle.exists():
                yield run_id, self._outcome(self._jobs.pop(run_id), run_id)
            elif there is None or job.job_id in there:
                self._missed.pop(run_id, None)
            elif time.monotonic() - self._missed.setdefault(run_id, time.monotonic()) > LOST_SECONDS:
                yield run_id, self._lost(self._jobs.pop(run_id), run_id, "its job ended without a result")

    def ask_to_stop(self) -> None:
        """Writes the file that running jobs look for; waiting jobs are cancelled by `close`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / STOP).touch()

    def close(self) -> None:
        """Cancels the jobs that are left, and removes submitit's files unless a job failed."""
        for job in self._jobs.values():
            job.cancel(check=False)
        if not self._failed:
            shutil.rmtree(self._folder, ignore_errors=True)
            if self._folder.parent.is_dir() and not any(self._folder.parent.iterdir()):
                self._folder.parent.rmdir()

    def _outcome(self, job: "submitit.Job[Ended]", run_id: str) -> Ended:
        failure = job.exception()
        return job.result() if failure is None else self._lost(job, run_id, " ".join(str(failure).split())[:500])

    def _lost(self, job: "submitit.Job[Ended]", run_id: str, reason: str) -> Ended:
        self._failed = True
        log = last_words(self._store, run_id) or without_secrets((job.stderr() or "")[-LOG_CHARACTERS:])
        return Ended("failed", without_secrets(reason), log)

    def _listed(self) -> set[str] | None:
        """Ids of the jobs that SLURM knows; None if it does not answer."""
        if self._cluster != "slurm":
            return {job.job_id for job in self._jobs.values() if job.state == "RUNNING"}
        command = ["squeue", "--noheader", "--array", "--format=%F_%K %A", "--user", str(os.getuid())]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return set(answer.stdout.split()) if answer.returncode == 0 else None


class SlurmWork:
    """The work of a job: its run. It delays submitit's handling of the signal until the run has written a checkpoint.

    Args:
        stop: a file that tells all jobs of a command to stop.
    """

    def __init__(self, stop: Path) -> None:
        self._stop = stop

    def __call__(self, job: Job) -> Ended:
        """Executes the run; after the signal of the time limit, submitit requeues the job once the run has stopped."""
        told: list[tuple[int, FrameType | None]] = []
        requeue = signal.getsignal(signal.SIGUSR2)
        initialise()
        signal.signal(signal.SIGUSR2, lambda number, frame: told.append((number, frame)))
        asked_to_stop = now_and_then(self._stop.exists)
        ended = work(job, lambda: bool(told) or asked_to_stop())
        if ended.how == "stopped" and told and callable(requeue) and not self._stop.exists():
            requeue(*told[0])
        return ended

    def checkpoint(self, job: Job) -> Any:  # noqa: ANN401 - submitit has no types
        """Returns the same job again; the checkpoint is in the run's folder."""
        return submitit.helpers.DelayedSubmission(self, job)


def _executor(options: ExecutorOptions, folder: Path) -> Any:  # noqa: ANN401 - submitit has no types
    """Makes submitit's executor.

    Raises:
        ValueError: if there is no SLURM, or submitit does not know an option.
    """
    warned = min(SIGNAL_SECONDS, int(60 * options.minutes / 4))
    if options.cluster == "local":
        here = submitit.LocalExecutor(folder, max_num_timeout=MOST_REQUEUES)
        here.update_parameters(timeout_min=options.minutes, signal_delay_s=warned)
        return here
    if shutil.which("sbatch") is None:
        raise ValueError("The executor `slurm` needs SLURM, but the command `sbatch` was not found on this machine.")
    executor = submitit.SlurmExecutor(folder, max_num_timeout=MOST_REQUEUES)
    parameters = {
        "job_name": "adaptbench",
        "time": max(1, round(options.minutes)),
        "signal_delay_s": warned,
        "array_parallelism": options.max_parallel,  # no array is larger
        "partition": options.partition,
        "mem": None if options.memory is None else f"{options.memory:g}GB",
        **options.slurm,
    }
    executor.update_parameters(**{name: value for name, value in parameters.items() if value is not None})
    return executor


def _largest_array() -> int:
    """The most jobs that SLURM takes in an array."""
    try:
        answer = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, timeout=ANSWER_SECONDS)
        found = re.search(r"^MaxArraySize\s*=\s*(\d+)", answer.stdout, re.MULTILINE)
    except (OSError, subprocess.TimeoutExpired):
        found = None
    return max(1, int(found[1]) - 1 if found else USUAL_ARRAY)


def _for_devices(options: ExecutorOptions, devices: int) -> dict[str, Any]:
    """Returns what a job with this number of devices needs, except what `--slurm` sets."""
    gpus = int(options.gpus) * devices
    if options.cluster == "local":
        return {"gpus_per_node": gpus}
    needs = {"cpus_per_task": options.cpus * devices, **({"gpus_per_node": gpus} if gpus else {})}
    return {name: value for name, value in needs.items() if name not in options.slurm}
