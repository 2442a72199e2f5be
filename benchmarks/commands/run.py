"""Running a suite from the command line: plan, workers, progress, summary, report."""

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from rich.console import Console
from rich.markup import escape

from adaptbench.benchmarks.commands.wandb_sync import close_with_report
from adaptbench.benchmarks.executors.choose import make_backend
from adaptbench.benchmarks.executors.interruption import Interruption
from adaptbench.benchmarks.executors.options import ExecutorOptions, check_executor
from adaptbench.benchmarks.executors.plan import Plan, PlannedRun, add_learner, make_plan, parse_only
from adaptbench.benchmarks.executors.progress import SuiteProgress, estimate
from adaptbench.benchmarks.executors.schedule import Status, drive
from adaptbench.benchmarks.executors.worker import Order
from adaptbench.benchmarks.store.store import Store
from adaptbench.benchmarks.suites.suite import load_suite
from adaptbench.benchmarks.tracking.wandb_logger import Mode, default_mode
from adaptbench.benchmarks.tracking.wandb_runs import Target

if TYPE_CHECKING:
    pass

SUCCESS, FAILURE, INTERRUPTED = 0, 1, 130


@dataclass(frozen=True)
class RunOptions:
    """The options of `adaptbench run`, as typed.

    Attributes:
        only: KEY=VALUE pairs that select cells.
        learners: dotted paths of learners to add.
        jobs: a number, or "auto".
        out: folder of the runs.
        wandb: "auto", "online", "offline" or "off".
        device: "auto", "cpu" or "cuda".
        dry_run: whether only to say what would be done.
        report: whether to end with a report.
        wandb_models: whether W&B gets the weights too.
        retry: how often a run that failed is tried again.
        runs_per_gpu: how many runs share a GPU.
        executor: where runs are executed; its devices follow from `jobs` and `device`.
    """

    only: list[str]
    learners: list[str]
    jobs: str
    out: Path
    wandb: str
    device: str
    dry_run: bool
    report: bool
    wandb_models: bool = False
    retry: int = 0
    runs_per_gpu: int = 1
    executor: ExecutorOptions = field(default_factory=ExecutorOptions)


def run_suite(name: str, options: RunOptions, console: Console) -> int:
    """Runs what is unfinished of a suite; returns the exit code.

    Raises:
        ValueError: if the suite or an option is wrong; nothing has been run then.
    """
    check_executor(options.executor.name)
    device, wandb = _device(options), _wandb(options)
    devices = _devices(options.jobs, device, options.runs_per_gpu)
    suite = load_suite(name)
    for learner in options.learners:
        suite, refusals = add_learner(suite, learner)
        for task, reason in refusals.items():
            console.print(f"[yellow]left out[/] {learner} on {task}: {escape(reason)}", highlight=False)
    plan = make_plan(suite, parse_only(options.only))
    store = Store(options.out)
    runs = plan.runs()
    finished = [run for run in runs if store.is_published(run.spec.run_id)]
    damaged = _damaged(finished, store)
    sound = {run.spec.run_id for run in finished} - damaged.keys()
    left = [run for run in runs if run.spec.run_id not in sound]
    _check_devices(left, devices, options)
    _announce(plan, len(runs), left, devices, options, console)
    if options.dry_run:
        return _announce_time(finished, left, store, len(devices), damaged, console)
    _prepare(store, damaged)
    added = [argument for learner in options.learners for argument in ("--learner", learner)]
    store.write_manifest(plan.manifest([name, *added]))
    template = Order(
        "", "", options.out.absolute(), suite.suite, "", wandb, device, options.wandb_models, suite.checkpoint_seconds
    )
    options = replace(options, executor=replace(options.executor, devices=devices))
    status = _execute(left, damaged, store, template, options, console, finished=len(sound))
    if status is None:
        console.print("Stopped. What is finished is kept; the same command goes on from here.")
        return INTERRUPTED
    _conclude(plan, status, wandb, options, console)
    return FAILURE if status.failed else SUCCESS


def _damaged(finished: list[PlannedRun], store: Store) -> dict[str, str]:
    """Says what is wrong with finished runs, as far as that can be seen without reading all their files."""
    found = ((run.spec.run_id, store.damage(run.spec.run_id, thorough=False)) for run in finished)
    return {run_id: f"it was published, and {trouble}" for run_id, trouble in found if trouble is not None}


def _prepare(store: Store, damaged: Iterable[str]) -> None:
    """Makes sure that the folder can be written to, and takes what is damaged or left behind out of the way.

    Raises:
        OSError: if the folder cannot be written to.
    """
    try:
        store.root.mkdir(parents=True, exist_ok=True)
        store.tidy()
        for run_id in damaged:
            store.set_aside(run_id)
    except OSError as error:
        raise OSError(
            f"Expected `--out` to be a folder that can be written to, but {store.root} is not: {error}."
        ) from error


def _execute(
    left: list[PlannedRun],
    damaged: Mapping[str, str],
    store: Store,
    template: Order,
    options: RunOptions,
    console: Console,
    finished: int,
) -> Status | None:
    """Runs everything; returns None if Ctrl-C stopped it."""

    def order(run: PlannedRun) -> Order:
        return replace(template, run_id=run.spec.run_id, spec=run.spec.model_dump_json(), name=run.name)

    last = Status([])
    try:
        with Interruption() as interruption:
            backend = make_backend(options.executor, store, order)
            execution = drive(left, backend, store, options.retry, interruption, damaged)
            with SuiteProgress(console, store, finished, backend.slots) as progress, closing(execution):
                for status in execution:
                    progress.show(status)
                    last = status
    except KeyboardInterrupt:
        return None
    store.tidy()
    return None if last.stopping else last


def _announce(
    plan: Plan, runs: int, left: list[PlannedRun], devices: tuple[str, ...], options: RunOptions, console: Console
) -> None:
    suite = plan.suite
    console.print(f"[bold]{suite.suite}[/] version {suite.version}: {escape(suite.description)}", highlight=False)
    where = f"{len(devices)} at a time" if options.executor.name == "local" else f"on {options.executor.name}"
    console.print(f"{len(plan.cells)} cells, {runs} runs: {runs - len(left)} finished, {len(left)} to do, {where}.")
    _say_unavailable(plan, console)


def _announce_time(
    finished: list[PlannedRun],
    left: list[PlannedRun],
    store: Store,
    jobs: int,
    damaged: Mapping[str, str],
    console: Console,
) -> int:
    """Ends a dry run: what is damaged, and how long what is left will take, judged by what is finished."""
    for run_id, reason in damaged.items():
        console.print(f"[red]damaged[/] {run_id}: {escape(reason)}", highlight=False)
    if left:
        seconds = estimate([run for run in finished if run.spec.run_id not in damaged], left, store)
        text = "unknown, since nothing is finished" if seconds is None else f"about {_clock(seconds / jobs)}"
        console.print(f"Time left: {text}.", highlight=False)
    return SUCCESS


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _conclude(plan: Plan, status: Status, wandb: Mode, options: RunOptions, console: Console) -> None:
    if options.report:
        from adaptbench.reports.terminal import show_report

        report = show_report(options.out, None, plan.suite.suite, console)
        if wandb != "off" and status.done:
            trouble = close_with_report(report, Target(plan.suite.suite, wandb), options.out)
            if trouble is not None:
                console.print(f"[yellow]warning[/] W&B missed the report ({escape(trouble)}).", highlight=False)
    if wandb != "off" and status.done:
        _say_where_wandb(wandb, status, options.out, console)
    for run_id, reason in status.failed.items():
        console.print(f"[red]failed[/] {run_id}: {escape(reason)}", highlight=False)
    if status.failed:
        console.print("The same command tries what failed again.")
    _say_unavailable(plan, console)


def _say_unavailable(plan: Plan, console: Console) -> None:
    stands_in = {cell.otherwise: cell.attributes.task for cell in plan.cells}
    for task, reason in plan.unavailable.items():
        what = (
            f"{stands_in[task]} stands in for {task}" if task in stands_in else f"The cells of task {task} cannot run"
        )
        console.print(f"[yellow]missing[/] {what}: {escape(reason)}", highlight=False)


def _say_where_wandb(wandb: Mode, status: Status, out: Path, console: Console) -> None:
    folder = out / "wandb"
    if len(status.unmirrored) < len(status.done):
        console.print(
            "W&B: the runs are in project adaptbench, grouped by suite."
            if wandb == "online"
            else f"W&B, offline: `wandb leet {folder}` shows the runs here, "
            f"`wandb sync {folder}/offline-run-*` uploads them."
        )
    for reason, missed in Counter(status.unmirrored.values()).items():
        text = f"W&B missed {missed} of {len(status.done)} runs ({escape(reason)}); their own files hold everything."
        console.print(f"[yellow]warning[/] {text}", highlight=False)


def _devices(jobs: str, device: str, runs_per_gpu: int) -> tuple[str, ...]:
    """Lists the device of each run at a time."""
    import torch

    if jobs != "auto" and (not jobs.isdecimal() or int(jobs) < 1):
        raise ValueError(f"Expected `--jobs` to be `auto` or a positive integer but got `{jobs}`.")
    if device == "cuda":
        gpus = [f"cuda:{index}" for _ in range(runs_per_gpu) for index in range(torch.cuda.device_count())]
        return tuple(itertools.islice(itertools.cycle(gpus), len(gpus) if jobs == "auto" else int(jobs)))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ("cpu",) * (cores if jobs == "auto" else int(jobs))


def _check_devices(left: list[PlannedRun], devices: tuple[str, ...], options: RunOptions) -> None:
    """Refuses runs that need more GPUs than there are; cores they share.

    Raises:
        ValueError: with the number of GPUs.
    """
    wanted = max((run.devices for run in left), default=1)
    if options.executor.name != "local" or devices[0] == "cpu" or wanted == 1:
        return
    if options.runs_per_gpu > 1:
        raise ValueError("Expected `--runs-per-gpu` to be 1 where a cell trains on several devices.")
    if wanted > len(devices):
        raise ValueError(f"Expected {wanted} GPUs, on which a cell of the suite trains, but got {len(devices)}.")


def _device(options: RunOptions) -> Literal["cpu", "cuda"]:
    import torch

    text = options.device
    if options.executor.name != "local" and text in ("auto", "cpu", "cuda"):
        return "cuda" if options.executor.gpus else "cpu"  # this machine's own say nothing of the cluster's
    if text == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if text not in ("cpu", "cuda"):
        raise ValueError(f"Expected `--device` to be `auto`, `cpu` or `cuda` but got `{text}`.")
    if text == "cuda" and not torch.cuda.is_available():
        raise ValueError("Expected a CUDA device for `--device cuda` but torch finds none.")
    return cast(Literal["cpu", "cuda"], text)


def _wandb(options: RunOptions) -> Mode:
    if options.wandb == "auto":
        return "off" if options.dry_run else default_mode()
    if options.wandb not in ("online", "offline", "off"):
        raise ValueError(f"Expected `--wandb` to be `auto`, `online`, `offline` or `off` but got `{options.wandb}`.")
    return cast(Mode, options.wandb)
