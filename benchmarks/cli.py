"""The command line; heavy imports wait until a command needs them."""

import io
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from subprocess import SubprocessError
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from adaptbench.datamodules.errors import DataUnavailable

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console(width=None if sys.stdout.isatty() else 110)
complaints = Console(stderr=True)
Only = Annotated[list[str] | None, typer.Option(help="Only cells with this value, as KEY=VALUE; repeatable.")]
Sources = Annotated[
    list[str] | None,
    typer.Argument(help="Folders of runs, bundles, and suites whose bundle ships; the folder `runs` by default."),
]
Jobs = Annotated[str, typer.Option(help="Runs at a time; `auto` means one per core (or as many as GPUs allow).")]
Wandb = Annotated[str, typer.Option(help="auto (online if you are logged in), online, offline or off.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done, and how long it would take.")]
Seeds = Annotated[int | None, typer.Option(min=1, help="Number of seeds, from 0; those of the suite by default.")]


@contextmanager
def _complaining() -> Iterator[None]:
    """Ends the command with one line: exit code 2 for what was asked wrongly, 1 for what failed, 130 for Ctrl-C."""
    try:
        yield
    except (ValueError, OSError, DataUnavailable, SubprocessError) as error:
        complaints.print(f"[red]error[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2 if isinstance(error, ValueError) else 1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _show_version(wanted: bool) -> None:
    if wanted:
        try:
            console.print(metadata.version("adaptbench"), highlight=False)
        except metadata.PackageNotFoundError:
            console.print("a checkout that is not installed")
        raise typer.Exit


@app.callback()
def adaptbench(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A reproducible benchmark of learning to learn."""
    os.environ["MPLBACKEND"] = "agg"  # a notebook's backend is not there for its commands
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # what the encoding lacks


@app.command()
def run(
    suite: Annotated[
        str, typer.Argument(help="A built-in suite (see `adaptbench list suites`), or a YAML file.")
    ] = "quick",
    only: Only = None,
    learner: Annotated[list[str] | None, typer.Option(help="Your own learner, as package.Class; repeatable.")] = None,
    seeds: Seeds = None,
    bundles: Annotated[
        list[str] | None,
        typer.Option("--from", help="A bundle (or a folder of runs) whose runs count as finished; repeatable."),
    ] = None,
    jobs: Jobs = "auto",
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    wandb: Wandb = "auto",
    device: Annotated[str, typer.Option(help="cpu, cuda, or `auto` (cuda if available).")] = "auto",
    wandb_models: Annotated[bool, typer.Option("--wandb-models", help="Upload the weights to W&B, too.")] = False,
    dry_run: DryRun = False,
    report: Annotated[bool, typer.Option(help="End with the suite's report.")] = True,
    retry: Annotated[int, typer.Option(min=0, help="How many more times a failed run is tried.")] = 0,
    time_limit: Annotated[
        float | None, typer.Option(min=1, help="Seconds after which a run is stopped and counts as failed (local).")
    ] = None,
    runs_per_gpu: Annotated[int, typer.Option(min=1, help="Runs that share a GPU (local).")] = 1,
    executor: Annotated[str, typer.Option(help="local, ray or slurm.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="Address of a Ray cluster; by default one is started on this machine.")
    ] = None,
    cpus: Annotated[int, typer.Option(min=1, help="Cores for each device of a run (ray, slurm).")] = 1,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs for each device (ray, slurm); fractions on Ray.")] = 0,
    partition: Annotated[str | None, typer.Option(help="SLURM's partition.")] = None,
    time: Annotated[float, typer.Option(min=0.1, help="Minutes of a SLURM job; longer runs continue in another.")] = 60,
    memory: Annotated[float | None, typer.Option(help="Gigabytes of a SLURM job.")] = None,
    max_parallel: Annotated[int, typer.Option(min=1, help="SLURM jobs at a time.")] = 256,
    slurm: Annotated[list[str] | None, typer.Option(help="An option of submitit's executor, as NAME=VALUE.")] = None,
    cluster: Annotated[
        str, typer.Option(hidden=True, help="submitit's cluster; `local` runs SLURM's jobs as processes here.")
    ] = "slurm",
) -> None:
    """Trains and tests the unfinished cells of a suite, then writes its report."""
    from adaptbench.benchmarks.commands.run import RunOptions, run_suite
    from adaptbench.benchmarks.executors.options import ExecutorOptions, parse_slurm

    os.environ["WANDB_SILENT"] = "true"
    with _complaining():
        where = ExecutorOptions(
            name=executor, time_limit=time_limit, address=address, cpus=cpus, gpus=gpus, partition=partition,
            minutes=time, memory=memory, max_parallel=max_parallel, slurm=parse_slurm(slurm or []), cluster=cluster,
        )  # fmt: skip
        options = RunOptions(
            only=only or [], learners=learner or [], seeds=seeds, jobs=jobs, out=out, wandb=wandb, device=device,
            dry_run=dry_run, report=report, wandb_models=wandb_models, retry=retry, runs_per_gpu=runs_per_gpu,
            bundles=bundles or [], executor=where,
        )  # fmt: skip
        raise typer.Exit(run_suite(suite, options, console))


@app.command()
def compare(
    learner: Annotated[str, typer.Argument(help="Your learner, as package.Class.")],
    suite: Annotated[str, typer.Option(help="A suite whose bundle ships, or the file of a bundle.")] = "quick",
    detect: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="First say how many seeds and episodes it takes to see this difference: in points of accuracy, or in "
            "per cent of an error.",
        ),
    ] = None,
    seeds: Seeds = None,
    only: Only = None,
    jobs: Jobs = "auto",
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    wandb: Wandb = "auto",
    dry_run: DryRun = False,
) -> None:
    """Trains your learner alone, and ranks it among the learners whose results ship with adaptbench."""
    from adaptbench.benchmarks.commands.compare import compare_learner
    from adaptbench.benchmarks.commands.run import RunOptions

    os.environ["WANDB_SILENT"] = "true"
    with _complaining():
        options = RunOptions(
            only=only or [], learners=[learner], seeds=seeds, jobs=jobs, out=out, wandb=wandb, dry_run=dry_run
        )
        raise typer.Exit(compare_learner(suite, options, detect, console))


@app.command()
def submit(
    runs: Sources = None,
    suite: Annotated[str | None, typer.Option(help="The suite, if the folder has several.")] = None,
    learner: Annotated[list[str] | None, typer.Option(help="Only this learner, by its name in the suite.")] = None,
    out: Annotated[Path | None, typer.Option(help="The file; SUITE.zip by default.")] = None,
    predictions: Annotated[bool, typer.Option("--predictions", help="Also write a file of all predictions.")] = False,
) -> None:
    """Packs finished runs into one file that others can compare with: a bundle.

    Of a run that several folders or bundles hold, the first counts.
    """
    from adaptbench.benchmarks.commands.bundles.submit import submit_runs

    with _complaining():
        submit_runs(runs or ["runs"], suite, learners=learner or [], out=out, console=console, predictions=predictions)


@app.command()
def report(
    runs: Sources = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the report; RUNS/report-SUITE by default.")] = None,
    suite: Annotated[str | None, typer.Option(help="The suite to report, if the folder has several.")] = None,
    only: Only = None,
    laboratory: Annotated[bool, typer.Option("--laboratory", help="Let trained networks answer in the page.")] = False,
) -> None:
    """Writes tables (Markdown, LaTeX, CSV), figures (PNG, PDF) and one page (HTML) from the finished runs.

    Several sources are compared with each other where their test episodes, budgets and versions agree.
    """
    from adaptbench.reports.sources.sources import parse_only
    from adaptbench.reports.terminal import show_report

    with _complaining():
        if laboratory:
            from adaptbench.benchmarks.laboratory.laboratory import write_laboratory

            write_laboratory(Path((runs or ["runs"])[0]), suite)
        report = show_report(runs or ["runs"], out=out, suite=suite, console=console, only=parse_only(only or []))
        raise typer.Exit(1 if report.unreadable else 0)


@app.command("wandb-sync")
def wandb_sync(
    runs: Annotated[Path, typer.Argument(help="Folder of the runs.")] = Path("runs"),
    suite: Annotated[str | None, typer.Option(help="The suite to upload, if the folder has several.")] = None,
    project: Annotated[str, typer.Option(envvar="WANDB_PROJECT", help="W&B's project.")] = "adaptbench",
    entity: Annotated[str | None, typer.Option(envvar="WANDB_ENTITY", help="W&B's user or team.")] = None,
    wandb: Annotated[str, typer.Option(help="auto (online if you are logged in), online or offline.")] = "auto",
    models: Annotated[bool, typer.Option("--models", help="Also upload the trained weights, as artifacts.")] = False,
) -> None:
    """Uploads finished runs and their report to W&B, each run once; repeat it to continue after an interruption."""
    from adaptbench.benchmarks.commands.wandb_sync import sync_suite
    from adaptbench.benchmarks.tracking.wandb_logger import default_mode
    from adaptbench.benchmarks.tracking.wandb_runs import Target

    os.environ["WANDB_SILENT"] = "true"
    with _complaining():
        mode = default_mode() if wandb == "auto" else wandb
        if mode not in ("online", "offline"):
            raise ValueError(f"Expected `--wandb` to be `auto`, `online` or `offline` but got `{mode}`.")
        target = Target("", "online" if mode == "online" else "offline", project=project, entity=entity, models=models)
        raise typer.Exit(1 if sync_suite(runs, suite, target=target, console=console) else 0)


@app.command()
def dashboard(
    runs: Annotated[Path, typer.Argument(help="Folder of the runs.")] = Path("runs"),
    entity: Annotated[str, typer.Option(help="W&B's user or team.")] = "",
    project: Annotated[str, typer.Option(help="W&B's project.")] = "adaptbench",
    suite: Annotated[str | None, typer.Option(help="The suite to show, if the folder has several.")] = None,
    out: Annotated[Path | None, typer.Option(help="The JSON file; RUNS/dashboard-SUITE.json by default.")] = None,
) -> None:
    """Creates the suite's report in W&B; without a login, writes it as JSON instead."""
    from adaptbench.reports.dashboard import build_dashboard

    with _complaining():
        said = build_dashboard(runs, entity=entity, project=project, suite=suite, out=out)
    console.print(escape(said), highlight=False, soft_wrap=True)


@app.command()
def show(
    task: Annotated[str | None, typer.Argument(help="A task (see `adaptbench list tasks`).")] = None,
    run: Annotated[Path | None, typer.Option(help="A run's folder, instead: its answers in its test.")] = None,
    ways: Annotated[int | None, typer.Option(help="Classes; 5 by default, none for regression.")] = None,
    shots: Annotated[int | None, typer.Option(help="Support examples (per class); presentations in a stream.")] = None,
    queries: Annotated[int | None, typer.Option(help="Query examples (per class); none for streams.")] = None,
    part: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    split: Annotated[str | None, typer.Option(help="A split of the task, such as lake.")] = None,
    scope: Annotated[str | None, typer.Option(help="across alphabets, or within one.")] = None,
    path: Annotated[str | None, typer.Option(help="The folder of images, for image_folder.")] = None,
    seed: Annotated[int, typer.Option(help="Number of the episode.")] = 0,
    out: Annotated[Path | None, typer.Option(help="The picture's file; show-TASK.png by default.")] = None,
    card: Annotated[bool, typer.Option("--card", help="Instead, say what it is; also of a learner.")] = False,
) -> None:
    """Draws one episode as a picture; of a run, prints what it answered too; or prints a card."""
    from adaptbench.benchmarks.commands.card import show_card
    from adaptbench.benchmarks.commands.show import show_episode

    with _complaining():
        if card:
            return show_card(task or "", console)
        picture = show_episode(
            task, run, out, console, ways=ways, shots=shots, queries=queries, part=part, seed=seed, split=split,
            scope=scope, path=path,
        )  # fmt: skip
    console.print(f"Picture: {picture}", highlight=False, soft_wrap=True)


@app.command()
def verify(
    runs: Annotated[Path, typer.Argument(help="Folder of the runs, or the file of a bundle.")] = Path("runs"),
    sample: Annotated[int | None, typer.Option(help="Number of runs to verify; all by default.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the choice; 0, or random for a bundle.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 1,
    trust_code: Annotated[bool, typer.Option("--trust-code", help="Run a bundle's code, unasked.")] = False,
    key: Annotated[Path | None, typer.Option(help="SSH key to sign the statement with.")] = None,
) -> None:
    """Computes finished runs again and compares them bit for bit; exits with 1 if any differs or fails.

    Runs of another processor, device or version need not agree to the bit. Their test episodes must be the same, and
    their scores within a tolerance of each learner and metric. What is found about a bundle is written
    beside it, as BUNDLE.statement.json.
    """
    from adaptbench.benchmarks.commands.bundles.verify_bundle import needs_trust, verify_bundle
    from adaptbench.benchmarks.commands.verify import Verdict, choose, verify_runs

    counts = Counter[str]()

    def show(verdict: Verdict) -> None:
        same = "same" if verdict.exact else "close"
        word = "failed" if verdict.failed else same if verdict.difference is None else "differs"
        color = "green" if word == same else "red"
        text = " ".join(filter(None, (verdict.run_id, verdict.name, verdict.difference)))
        console.print(f"[{color}]{word:7}[/] {escape(text)}", highlight=False, soft_wrap=True)
        counts[word] += 1

    with _complaining():
        if not runs.is_file():
            for verdict in verify_runs(runs, choose(runs, sample, seed or 0), jobs):
                show(verdict)
        else:
            if not trust_code and needs_trust(runs, console):
                typer.confirm("Run this code with your rights?", abort=True)
            verify_bundle(runs, sample, seed, jobs=jobs, key=key, show=show, console=console)
    console.print(f"Verified {counts.total()} runs: {', '.join(f'{n} {word}' for word, n in counts.items())}.")
    raise typer.Exit(1 if counts["differs"] or counts["failed"] else 0)


@app.command()
def doctor(
    runs: Annotated[Path, typer.Argument(help="Folder of the runs.")] = Path("runs"),
    repair: Annotated[bool, typer.Option("--repair", help="Set damaged runs aside and remove leftover files.")] = False,
) -> None:
    """Checks every file in a folder of runs and lists what is wrong; exits with 1 if anything is."""
    from adaptbench.benchmarks.commands.doctor import examine
    from adaptbench.benchmarks.store.store import Store

    wrong = 0
    with _complaining():
        for complaint in examine(Store(runs), repair):
            wrong += complaint.wrong
            color = "red" if complaint.wrong else "yellow"
            text = f"[{color}]{complaint.kind}[/] {escape(f'{complaint.path.name}{complaint.name}: {complaint.text}')}."
            console.print(text, highlight=False, soft_wrap=True)
        finished = sum(1 for _ in runs.glob("[!.]*/result.json"))
    repaired = " What could be repaired was." if repair and wrong else ""
    console.print(f"Finished runs: {finished}. Wrong: {wrong}.{repaired}")
    raise typer.Exit(1 if wrong else 0)


@app.command()
def speed(
    repeats: Annotated[
        int | None,
        typer.Option(min=1, help="Measurements of each number; the median counts. By default 5, or 1 with --until."),
    ] = None,
    only: Annotated[str | None, typer.Option(help="Part of a row's name; with --until, of a peer's name.")] = None,
    until: Annotated[
        float | None, typer.Option(min=0, max=1, help="Instead, race against peers until this test accuracy.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="With --until: threads of torch.")] = 2,
    limit: Annotated[float, typer.Option(min=1, help="With --until: seconds after which a race is lost.")] = 1800,
    examples: Annotated[
        int, typer.Option(min=128, help="With --until: the training budget that sets our learning-rate schedule.")
    ] = 512_000,
    augment: Annotated[bool, typer.Option("--augment", help="With --until: augment our training images.")] = False,
    growth: Annotated[
        bool,
        typer.Option("--growth", help="Instead, measure how cost grows with ways, shots and sizes; with a figure."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="JSON file; by default speed.json, race.json or growth.json.")
    ] = None,
) -> None:
    """Measures this project against plain PyTorch and the libraries that are installed, on the same work."""
    from adaptbench.benchmarks.commands.speed import measure_scaling, measure_speed

    repeats = repeats or (5 if until is None else 1)
    out = out or Path("growth.json" if growth else "speed.json" if until is None else "race.json")
    with _complaining():
        if growth and not (until is None and only is None):
            raise ValueError("Expected `--growth` without `--until` and `--only`, because it measures something else.")
        out.parent.mkdir(parents=True, exist_ok=True)
        if growth:
            measure_scaling(repeats, out, console=console, progress=complaints)
        else:
            race = None if until is None else {
                "accuracy": until, "threads": threads, "limit": limit, "examples": examples, "augment": augment
            }  # fmt: skip
            measure_speed(repeats, only, racing=race, out=out, console=console, progress=complaints)


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="suites, tasks or learners.")],
    verbose: Annotated[bool, typer.Option("--verbose", help="Add digests to tasks, and forms to learners.")] = False,
) -> None:
    """Lists suites, tasks or learners, one per line."""
    from adaptbench.benchmarks.commands.listing import show_list

    with _complaining():
        show_list(what, verbose, console)


@app.command()
def data(name: Annotated[str, typer.Argument(help="The data set.")] = "omniglot") -> None:
    """Downloads, verifies and prepares a data set."""
    from adaptbench.datamodules.lake_runs import load_runs
    from adaptbench.datamodules.omniglot_images import load_images

    with _complaining():
        if name != "omniglot":
            raise ValueError(f"Expected `omniglot`, the only data set, but got `{name}`.")
        images = load_images()
        characters, drawings = images.pixels.shape[:2]
        console.print(f"Omniglot is ready: {characters} characters, {drawings} drawings each, {images.digest[:16]}.")
        console.print(f"Its official one-shot runs are ready: {load_runs().answers.size} trials.")
