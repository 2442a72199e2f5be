"""The command `adaptbench run`: plan, workers, progress, summary, report."""

import itertools
import shlex
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape

from adaptbench.benchmarks.commands.run_options import RunOptions, kind_of, wandb_of
from adaptbench.benchmarks.commands.wandb_sync import close_with_report
from adaptbench.benchmarks.executors.interruption import interruption
from adaptbench.benchmarks.executors.options import ExecutorOptions
from adaptbench.benchmarks.executors.plan import ONLY_ARGUMENTS, Plan, PlannedRun, add_learner, make_plan, with_encoder
from adaptbench.benchmarks.executors.progress import SuiteProgress, say_failed
from adaptbench.benchmarks.executors.schedule import Backend, Status, drive
from adaptbench.benchmarks.executors.time_left import estimate
from adaptbench.benchmarks.executors.worker import Job
from adaptbench.benchmarks.runs.devices import CPU, Devices, cores
from adaptbench.benchmarks.store.store import Store
from adaptbench.benchmarks.suites.suite import Suite, load_suite
from adaptbench.benchmarks.tracking.wandb_runs import Target, folder_id, is_mirrored
from adaptbench.reports.comparison.published import read_numbers
from adaptbench.reports.format import Manifest, ManifestCell
from adaptbench.reports.plural import count_of
from adaptbench.reports.results.manifest import suite_names
from adaptbench.reports.results.runs import Source
from adaptbench.reports.selection import parse_only
from adaptbench.reports.sources.sources import opened
from adaptbench.reports.words.waiting import waiting_for

SUCCESS, FAILURE, INTERRUPTED = 0, 1, 130


@dataclass(frozen=True)
class Standing:
    """The progress of a plan.

    Attributes:
        finished: finished, intact runs, and those that other folders hold.
        damaged: what is wrong with finished, damaged runs, by id; they are set aside and computed again.
        left: runs to do, including the damaged ones. What a run to do adapts is among them unless its weights are here.
    """

    finished: list[PlannedRun]
    damaged: Mapping[str, str]
    left: list[PlannedRun]

    @classmethod
    def of(cls, plan: Plan, store: Store, others: Sequence[Store] = (), again: bool = False) -> "Standing":
        """Checks the published runs, without reading all files.

        Args:
            plan: what is wanted.
            store: where runs are published.
            others: where runs may be finished, too; they may lack weights.
            again: whether all are to do, finished or not.
        """
        if again:
            return cls(finished=[], damaged={}, left=plan.runs())
        runs = {run.spec.run_id: run for run in plan.runs()}
        found = {run_id: store.damage(run_id, thorough=False) for run_id in runs if store.is_published(run_id)}
        here = {run_id for run_id, trouble in found.items() if trouble is None}
        done = here | {run_id for run_id in runs if any(other.is_published(run_id) for other in others)}
        done -= {need for run_id, run in runs.items() if run_id not in done for need in run.needs if need not in here}
        return cls(
            finished=[run for run_id, run in runs.items() if run_id in done],
            damaged={
                run_id: f"it was published, and {trouble}"
                for run_id, trouble in found.items()
                if trouble and run_id not in done
            },
            left=[run for run_id, run in runs.items() if run_id not in done],
        )


def run_suite(
    name: str,
    options: RunOptions,
    console: Console,
    introduce: Callable[[Plan, Standing], None] | None = None,
    beside: Collection[ManifestCell] | None = None,
) -> int:
    """Runs the unfinished cells of a suite; returns the exit code.

    Args:
        name: the suite, or its file.
        options: what to run and how.
        console: where to print.
        introduce: called once the suite and the options are found to be right, before anything is said of the suite.
        beside: cells that those to run stand beside in tables; any cells if None.

    Raises:
        ValueError: if the suite or an option is wrong; then nothing is run.
    """
    kind, wandb = kind_of(options), wandb_of(options)
    options = replace(options, executor=replace(options.executor, devices=_devices(options, kind)))
    suite = _load(name, options, console)
    with waiting_for("the data of the tasks", console):
        plan = make_plan(suite, parse_only(options.only, ONLY_ARGUMENTS))
        plan = plan if beside is None else plan.beside(beside)
    store = Store(options.out)
    with opened(options.bundles) as bundles:
        others = [Store(each.folder) for each in bundles]
        _require_runs(plan, bundles)
        with waiting_for("the files of finished runs, which are being checked", console):
            standing = Standing.of(plan, store, others, again=options.again)
        _check_devices(standing.left, options)
        if introduce is not None:
            introduce(plan, standing)
        _announce(plan, standing, executor=options.executor, console=console)
        if options.dry_run:
            if introduce is None or standing.finished:
                _announce_time(standing, [store, *others], executor=options.executor, console=console)
            return SUCCESS
    added = [argument for learner in options.learners for argument in ("--learner", learner)]
    forgotten = [run.spec.run_id for run in standing.left] if options.again else ()
    _prepare(store, plan.manifest([name, *added, *options.settings]), standing, forgotten)

    target = None
    if standing.left and wandb != "off":
        target = Target(suite.suite, wandb, folder_id(store.root), models=options.wandb_models)

    def make_job(run: PlannedRun) -> Job:
        return Job(
            spec=run.spec, root=options.out.absolute(), name=run.name, target=target, devices=Devices(kind),
            checkpoint_seconds=suite.checkpoint_seconds,
        )  # fmt: skip

    status = _execute(standing, store, make_job, options=options, console=console)
    if status is None:
        console.print("Stopped. Finished runs are kept; the same command continues from here.")
        return INTERRUPTED
    unreadable = _conclude(plan, status, target, options=options, console=console)
    without_data = [cell for cell in plan.cells if cell.attributes.called in plan.unavailable]
    found = {
        "done now": len(status.done) + len(status.found),
        "finished before": len(standing.finished),
        "failed": len(status.failed),
        "unreadable": unreadable or 0,
        "without data": len(without_data),
    }
    console.print(f"Runs: {', '.join(f'{count} {how}' for how, count in found.items() if count)}.", highlight=False)
    unreported = unreadable is None and standing.left
    return FAILURE if status.failed or unreadable or unreported or without_data else SUCCESS


def _load(name: str, options: RunOptions, console: Console) -> Suite:
    """Reads a suite, with the seeds, the encoder and the learners of the options; says what these cannot learn."""
    suite = load_suite(name)
    read_numbers(suite.published_text, suite.published)
    if options.rates and not options.learners:
        raise ValueError("Expected `--rates` with a learner of your own but the suite's learners have their own rates.")
    suite = suite if options.seeds is None else suite.with_seeds(options.seeds)
    refused: list[tuple[str, str, str]] = []
    if options.encoder:
        suite, reasons = with_encoder(suite, options.encoder)
        refused += [(options.encoder, task, reason) for task, reason in reasons.items()]
    for learner in options.learners:
        suite, reasons = add_learner(suite, learner, options.rates)
        refused += [(learner, task, reason) for task, reason in reasons.items()]
    for own, task, reason in refused:
        console.print(f"[yellow]left out[/] {own} on {task}: {escape(reason)}", highlight=False)
    return suite


def _prepare(store: Store, manifest: Manifest, standing: Standing, forgotten: Iterable[str]) -> None:
    """Makes the folder, writes the manifest, removes leftovers, and sets damaged and forgotten runs aside.

    Raises:
        NewerFormat: if a later version of adaptbench wrote the manifest that is there.
        ValueError: if the folder cannot be written to, although there is something to do.
    """
    try:
        store.root.mkdir(parents=True, exist_ok=True)
        store.write_manifest(manifest)
        store.tidy()
        for run_id in standing.damaged:
            store.set_aside(run_id)
        for run_id in forgotten:
            store.forget(run_id)
    except OSError as error:
        if not standing.left:
            return  # all is done, and whoever owns the folder tidies it
        raise ValueError(
            f"Expected `--out` to be a folder that can be written to, but {store.root} is not: {error}; let its owner "
            "allow it, or name another folder."
        ) from error


def _execute(
    standing: Standing, store: Store, make_job: Callable[[PlannedRun], Job], *, options: RunOptions, console: Console
) -> Status | None:
    """Runs everything that is left; returns None if Ctrl-C stopped it."""
    last = Status([])
    try:
        with interruption() as stop:
            place = _place(options.executor)
            with waiting_for(place, console):
                backend = make_backend(options.executor, store, make_job)
            execution = drive(standing.left, backend, store, retry=options.retry, stop=stop)
            slots = options.executor.at_a_time or backend.slots
            display = SuiteProgress(console, store, len(standing.finished), slots, place)
            with display.live or nullcontext(), closing(execution):
                for status in execution:
                    display.show(status)
                    last = status
    except KeyboardInterrupt:
        return None
    return None if last.stopping else last


def _announce(plan: Plan, standing: Standing, *, executor: ExecutorOptions, console: Console) -> None:
    suite, finished, left = plan.suite, len(standing.finished), len(standing.left)
    console.print(f"[bold]{suite.suite}[/] version {suite.version}: {escape(suite.description)}", highlight=False)
    where = f"{len(executor.devices)} at a time" if executor.name == "local" else f"on {executor.name}"
    cells, runs = count_of(len(plan.cells), "cell"), count_of(finished + left, "run")
    console.print(f"{cells}, {runs}: {finished} finished, {left} to do, {where}.")
    names = {run.spec.run_id: run.name for run in standing.left}
    for run_id, reason in standing.damaged.items():
        text = f"[yellow]damaged[/] {escape(names[run_id])} ({run_id}): {escape(reason)}; it is computed again."
        console.print(text, highlight=False, soft_wrap=True)
    _say_unavailable(plan, console)


def _place(executor: ExecutorOptions) -> str:
    if executor.name == "ray":
        return f"Ray at {executor.address}" if executor.address else "a Ray cluster on this machine"
    return {"slurm": "SLURM"}.get(executor.name, "the workers")


def _announce_time(standing: Standing, stores: Sequence[Store], executor: ExecutorOptions, console: Console) -> None:
    """Estimates the time left from finished runs."""
    if standing.left:
        seconds = estimate(standing.finished, standing.left, stores, slots=executor.at_a_time or 1)
        condition = "" if executor.at_a_time else ", one run at a time"
        known = seconds is not None and f"about {timedelta(seconds=round(seconds))}{condition}"
        console.print(f"Time left: {known or 'unknown, because nothing is finished'}.", highlight=False)


def _conclude(
    plan: Plan, status: Status, target: Target | None, *, options: RunOptions, console: Console
) -> int | None:
    """Reports, and says what failed; returns how many of the runs the report cannot read, None if it is not written."""
    unreadable: int | None = 0
    if options.report:
        unreadable = _report(plan, status, target, options=options, console=console)
    if target is not None and status.done:
        store = Store(options.out)
        for run_id in [each for each in status.unmirrored if is_mirrored(store, each, target)]:
            del status.unmirrored[run_id]  # W&B took its time, and has it since
        _say_where_wandb(target, status, out=options.out, console=console)
    say_failed(status, Store(options.out), console)
    _say_unavailable(plan, console)
    return unreadable


def _require_runs(plan: Plan, sources: Sequence[Source]) -> None:
    """Refuses a source that has neither the suite nor a run of it, which the report could not read.

    Raises:
        ValueError: if there is one.
    """
    suite, wanted = plan.suite.suite, {cell.attributes.run_id for cell in plan.suite.cells()}
    for source in sources:
        if suite not in suite_names(source.folder) and not any((source.folder / each).exists() for each in wanted):
            raise ValueError(f"Expected `--from {source.name}` to have runs of suite `{suite}` but it has none.")


def _report(plan: Plan, status: Status, target: Target | None, *, options: RunOptions, console: Console) -> int | None:
    from adaptbench.reports.terminal import show_report

    try:
        cells = {cell.attributes.run_id for cell in plan.cells}
        sources: list[str | Path] = [options.out, *options.bundles]
        report = show_report(sources, out=None, suite=plan.suite.suite, console=console, asked=cells)
    except OSError as error:
        console.print(f"[yellow]warning[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        return None
    asked = {run.spec.run_id for run in plan.runs()}
    if target is not None and status.done:
        with waiting_for("W&B, which gets the report", console):
            trouble = close_with_report(report, target, options.out)
        if trouble is not None:
            console.print(f"[yellow]warning[/] W&B missed the report ({escape(trouble)}).", highlight=False)
    return sum(problem.cell.run_id in asked for problem in report.unreadable)


def _say_unavailable(plan: Plan, console: Console) -> None:
    others = {cell.otherwise: cell.attributes.called for cell in plan.cells}
    for task, reason in plan.unavailable.items():
        what = f"{others[task]} replaces {task}" if task in others else f"The cells of task {task} cannot run"
        console.print(f"[yellow]missing[/] {escape(f'{what}: {reason}')}", highlight=False)


def _say_where_wandb(target: Target, status: Status, out: Path, console: Console) -> None:
    folder = shlex.quote(str(out / "wandb"))
    if len(status.unmirrored) < len(status.done):
        text = (
            f"W&B: the runs are in project {target.project}, grouped by suite."
            if target.mode == "online"
            else f"W&B, offline: `wandb leet {folder}` shows the runs here, "
            f"`wandb sync {folder}/offline-run-*` uploads them."
        )
        console.print(escape(text), highlight=False, soft_wrap=True)
    for reason, missed in Counter(status.unmirrored.values()).items():
        runs = count_of(len(status.done), "run")
        text = f"W&B missed {missed} of {runs} ({escape(reason)}); their own files are complete, and "
        console.print(f"[yellow]warning[/] {text}`adaptbench wandb-sync` sends them.", highlight=False)


def _devices(options: RunOptions, kind: Literal["cpu", "cuda"]) -> tuple[Devices, ...]:
    """Lists the devices of the local runs at a time; none if other machines execute them.

    Raises:
        ValueError: if `--jobs` is wrong, or for other machines.
    """
    import torch

    if options.jobs != "auto" and (not options.jobs.isdecimal() or int(options.jobs) < 1):
        raise ValueError(f"Expected `--jobs` to be `auto` or a positive integer but got `{options.jobs}`.")
    if options.executor.name != "local":
        ignored = {"--jobs": options.jobs != "auto", "--runs-per-gpu": options.runs_per_gpu > 1}
        if given := next((option for option, is_given in ignored.items() if is_given), None):
            raise ValueError(f"Expected `{given}` only with `--executor local`, but it is `{options.executor.name}`.")
        return ()
    jobs = None if options.jobs == "auto" else int(options.jobs)
    if kind == "cuda":
        gpus = [Devices(kind, (index,)) for index in range(torch.cuda.device_count())] * options.runs_per_gpu
        return tuple(itertools.islice(itertools.cycle(gpus), jobs or len(gpus)))
    return (CPU,) * (jobs or cores())


def _check_devices(left: list[PlannedRun], options: RunOptions) -> None:
    """Refuses runs that need more GPUs than there are; runs may share cores.

    Raises:
        ValueError: if there are too few GPUs.
    """
    wanted, devices = max((run.spec.devices for run in left), default=1), options.executor.devices
    if wanted == 1 or not devices or devices[0].kind == "cpu":
        return
    if options.runs_per_gpu > 1:
        raise ValueError(
            "Expected `--runs-per-gpu` to be 1, because a cell trains on several devices, "
            f"but got {options.runs_per_gpu}."
        )
    if wanted > len(devices):
        raise ValueError(f"Expected {wanted} GPUs, because a cell trains on that many, but found {len(devices)}.")


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
