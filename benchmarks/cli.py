"""The command line; heavy imports wait until a command needs them."""

import io
import logging
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from adaptbench.benchmarks import options as opts
from adaptbench.benchmarks.console import complaining, complaints, console, show_version
from adaptbench.reports.selection import parse_only
from adaptbench.reports.words.waiting import waiting_for

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def adaptbench(
    _: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A reproducible benchmark of learning to learn."""
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # it tells of its cache, once a machine
    os.environ["MPLBACKEND"] = "agg"  # a notebook's backend is not there for its commands
    os.environ.pop("WANDB_SERVICE", None)  # the W&B of the process that calls may know our runs, or end before us
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # what the encoding lacks


@app.command()
def run(
    suite: opts.Suite = "quick",
    only: opts.Only = None,
    learner: Annotated[list[str] | None, typer.Option(help="Your own learner, as package.Class; repeatable.")] = None,
    rates: opts.Rates = "",
    encoder: opts.Encoder = None,
    seeds: opts.Seeds = None,
    bundles: opts.Bundles = None,
    jobs: opts.Jobs = "auto",
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    wandb: opts.Wandb = "auto",
    project: opts.Project = opts.PROJECT,
    entity: opts.Entity = "",
    device: Annotated[str, typer.Option(help="cpu, cuda, or `auto` (cuda if available).")] = "auto",
    wandb_models: Annotated[bool, typer.Option("--wandb-models", help="Upload the weights to W&B, too.")] = False,
    dry_run: opts.DryRun = False,
    again: Annotated[bool, typer.Option("--again", help="Compute finished runs again.")] = False,
    report: Annotated[bool, typer.Option(help="End with the suite's report.")] = True,
    retry: Annotated[int, typer.Option(min=0, help="How many more times a failed run is tried.")] = 0,
    time_limit: Annotated[
        float | None, typer.Option(min=1, help="Seconds after which a run is stopped and counts as failed (local).")
    ] = None,
    runs_per_gpu: Annotated[int, typer.Option(min=1, help="Runs that share a GPU (local).")] = 1,
    executor: Annotated[str, typer.Option(help="local, ray or slurm.")] = "local",
    address: Annotated[str | None, typer.Option(help="A Ray cluster; by default one is started here.")] = None,
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
    from adaptbench.benchmarks.commands.run import run_suite
    from adaptbench.benchmarks.commands.run_options import RunOptions
    from adaptbench.benchmarks.executors.options import ExecutorOptions, parse_slurm

    opts.set_wandb(project, entity)
    with complaining():
        where = ExecutorOptions(
            name=executor, time_limit=time_limit, address=address, cpus=cpus, gpus=gpus, partition=partition,
            minutes=time, memory=memory, max_parallel=max_parallel, slurm=parse_slurm(slurm or []), cluster=cluster,
        )  # fmt: skip
        options = RunOptions(
            only=only or [], learners=learner or [], seeds=seeds, jobs=jobs, out=out, wandb=wandb, device=device,
            dry_run=dry_run, again=again, report=report, wandb_models=wandb_models, retry=retry,
            runs_per_gpu=runs_per_gpu, bundles=bundles or [], executor=where, encoder=encoder,
            rates=opts.read_rates(rates),
        )  # fmt: skip
        raise typer.Exit(run_suite(suite, options, console))


@app.command()
def compare(
    learner: opts.Learner,
    suite: Annotated[str, typer.Option(help="A suite whose bundle ships, or the file of a bundle.")] = "quick",
    detect: opts.Detect = None,
    rates: opts.Rates = "",
    encoder: opts.Encoder = None,
    seeds: opts.Seeds = None,
    only: opts.Only = None,
    jobs: opts.Jobs = "auto",
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    wandb: opts.Wandb = "auto",
    project: opts.Project = opts.PROJECT,
    entity: opts.Entity = "",
    dry_run: opts.DryRun = False,
) -> None:
    """Trains your learner alone, and ranks it among the learners whose results ship with adaptbench."""
    from adaptbench.benchmarks.commands.compare import compare_learner
    from adaptbench.benchmarks.commands.run_options import RunOptions

    opts.set_wandb(project, entity)
    with complaining():
        options = RunOptions(
            only=only or [], learners=[learner], seeds=seeds, jobs=jobs, out=out, wandb=wandb, dry_run=dry_run,
            encoder=encoder, rates=opts.read_rates(rates),
        )  # fmt: skip
        raise typer.Exit(compare_learner(suite, options, detect, console))


@app.command()
def submit(
    runs: opts.Sources = None,
    suite: Annotated[str | None, typer.Option(help="The suite, if the folder has several.")] = None,
    only: opts.Only = None,
    out: Annotated[Path | None, typer.Option(help="The file; SUITE.zip by default.")] = None,
    predictions: Annotated[bool, typer.Option("--predictions", help="Also write a file of all predictions.")] = False,
) -> None:
    """Packs finished runs into one file that others can compare with: a bundle.

    Of a run that several folders or bundles hold, the first counts.
    """
    from adaptbench.benchmarks.commands.bundles.submit import submit_runs

    with complaining():
        chosen = parse_only(only or [])
        submit_runs(runs or ["runs"], suite, only=chosen, out=out, console=console, predictions=predictions)


@app.command()
def report(
    runs: opts.Sources = None,
    out: Annotated[Path | None, typer.Option(help="By default RUNS/report-SUITE; with --part, this folder.")] = None,
    suite: Annotated[list[str] | None, typer.Option(help="The suite; repeat it to join several of a folder.")] = None,
    only: opts.Only = None,
    laboratory: Annotated[bool, typer.Option("--laboratory", help="Let trained networks answer in the page.")] = False,
    part: Annotated[list[str] | None, typer.Option(help="Only this table or figure; repeatable.")] = None,
    style: Annotated[str, typer.Option(help="The look of figures: paper (345 points wide) or talk.")] = "paper",
    font: Annotated[str | None, typer.Option(help="The family of letters in figures, such as serif.")] = None,
) -> None:
    """Writes tables (Markdown, LaTeX, CSV), figures (PNG, PDF) and one page (HTML) from the finished runs.

    Several sources are compared with each other where their test episodes, budgets and versions agree.
    """
    from adaptbench.reports.figures.styles import parameters
    from adaptbench.reports.report import write_parts
    from adaptbench.reports.terminal import show_report

    with complaining():
        sources, wanted, look = runs or ["runs"], parse_only(only or []), parameters(style, font)
        if part and laboratory:
            raise ValueError("Expected `--laboratory` without `--part`, because it is for the page.")
        if part:
            with waiting_for("the report, which is being drawn", console):
                paths = write_parts(sources, out or Path(), part, suite, wanted, look)
            console.print(*paths, sep="\n", markup=False, highlight=False, soft_wrap=True)
            return
        if laboratory:
            from adaptbench.benchmarks.laboratory.laboratory import write_laboratory

            with waiting_for("the trained networks, which are being packed", console):
                write_laboratory(Path(sources[0]), suite[0] if suite else None)
        report = show_report(sources, out=out, suite=suite, console=console, only=wanted, look=look)
        raise typer.Exit(1 if report.unreadable else 0)


@app.command("wandb-sync")
def wandb_sync(
    runs: Annotated[Path, typer.Argument(help="Folder of the runs.")] = Path("runs"),
    suite: Annotated[str | None, typer.Option(help="The suite to upload, if the folder has several.")] = None,
    project: opts.Project = opts.PROJECT,
    entity: opts.Entity = "",
    wandb: Annotated[str, typer.Option(help="auto (online if you are logged in), online or offline.")] = "auto",
    models: Annotated[bool, typer.Option("--models", help="Also upload the trained weights, as artifacts.")] = False,
    only: opts.Only = None,
    again: Annotated[bool, typer.Option("--again", help="Upload as new runs what was uploaded, or deleted.")] = False,
) -> None:
    """Uploads finished runs and their report to W&B, each run once; repeat it to continue after an interruption."""
    from adaptbench.benchmarks.commands.wandb_sync import mode_of, sync_suite
    from adaptbench.benchmarks.tracking.wandb_runs import Target

    opts.set_wandb(project, entity)
    with complaining():
        target = Target("", mode_of(wandb), models=models)
        raise typer.Exit(0 if sync_suite(runs, suite, target, console, parse_only(only or []), again) else 1)


@app.command()
def dashboard(
    runs: Annotated[Path, typer.Argument(help="Folder of the runs.")] = Path("runs"),
    entity: opts.Entity = "",
    project: opts.Project = opts.PROJECT,
    suite: Annotated[str | None, typer.Option(help="The suite to show, if the folder has several.")] = None,
    out: Annotated[Path | None, typer.Option(help="The JSON file; RUNS/dashboard-SUITE.json by default.")] = None,
) -> None:
    """Creates the suite's report in W&B; without a login, writes it as JSON instead."""
    from adaptbench.reports.dashboard import build_dashboard

    with complaining(), waiting_for("W&B, which gets the report", console):
        said = build_dashboard(runs, entity=entity, project=project, suite=suite, out=out)
    console.print(escape(said), highlight=False, soft_wrap=True)


@app.command()
def show(
    task: opts.Task = None,
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

    with complaining():
        if card:
            return show_card(task or "", console)
        picture = show_episode(
            task, run, out, console, ways=ways, shots=shots, queries=queries, part=part, seed=seed, split=split,
            scope=scope, path=path,
        )  # fmt: skip
    console.print(f"Picture: {shlex.quote(str(picture))}", markup=False, highlight=False, soft_wrap=True)


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
    their scores within a tolerance of each learner and metric. What is found about a bundle is written beside it, as
    BUNDLE.statement.json.
    """
    from adaptbench.benchmarks.commands.bundles.verify_bundle import verify_and_show

    with complaining():
        sound = verify_and_show(runs, sample=sample, seed=seed, jobs=jobs, trusted=trust_code, key=key, console=console)
    raise typer.Exit(0 if sound else 1)


@app.command()
def doctor(
    runs: Annotated[Path, typer.Argument(help="Folder of the runs.")] = Path("runs"),
    repair: Annotated[bool, typer.Option("--repair", help="Set damaged runs aside and remove leftover files.")] = False,
) -> None:
    """Checks every file in a folder of runs and lists what is wrong; exits with 1 if anything is."""
    from adaptbench.benchmarks.commands.runs.doctor import show_complaints

    with complaining():
        raise typer.Exit(1 if show_complaints(runs, repair, console) else 0)


@app.command()
def speed(
    repeats: Annotated[
        int | None,
        typer.Option(min=1, help="Measurements of each number; the median counts. By default 5, or 1 with --until."),
    ] = None,
    only: Annotated[str | None, typer.Option(help="Part of a row's name; with --until, of a learner's.")] = None,
    until: Annotated[
        float | None, typer.Option(min=0, max=1, help="Instead, race against peers until this test accuracy.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="With --until: threads of torch.")] = 2,
    limit: Annotated[float, typer.Option(min=1, help="With --until: seconds after which a race is lost.")] = 1800,
    examples: Annotated[
        int, typer.Option(min=128, help="With --until: the training budget that sets our learning-rate schedule.")
    ] = 512_000,
    augment: Annotated[bool, typer.Option("--augment", help="With --until: augment our training images.")] = False,
    snell: Annotated[bool, typer.Option("--snell", help="With --until: on the protocol of Snell et al. 2017.")] = False,
    bf16: Annotated[bool, typer.Option("--bf16", help="With --until: train ours in bfloat16.")] = False,
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
    with complaining():
        if growth and not (until is None and only is None):
            raise ValueError("Expected `--growth` without `--until` and `--only`, because it measures something else.")
        out.parent.mkdir(parents=True, exist_ok=True)
        if growth:
            measure_scaling(repeats, out, console=console, progress=complaints)
        else:
            race = None if until is None else {
                "accuracy": until, "threads": threads, "limit": limit, "examples": examples, "augment": augment,
                "snell": snell, "precision": "bf16" if bf16 else "float32",
            }  # fmt: skip
            measure_speed(repeats, only, racing=race, out=out, console=console, progress=complaints)


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="Your learner, encoder, strategy or task, as package.Class.")],
) -> None:
    """Tries a class of your own as its run would: a training step, shapes, gradients, guards."""
    from adaptbench.benchmarks.own import check_class

    with complaining():
        check_class(name, console)


@app.command()
def new(
    what: Annotated[str, typer.Argument(help="suite, the only thing that can be made.")],
    images: Annotated[Path, typer.Option(help="A folder with a folder of images for each class.")],
    out: Annotated[Path | None, typer.Option(help="The file; the folder's name with .yaml by default.")] = None,
) -> None:
    """Writes a suite for a folder of images, with comments."""
    from adaptbench.benchmarks.own import new_suite

    with complaining():
        if what != "suite":
            raise ValueError(f"Expected `suite` but got `{what}`.")
        new_suite(images, out, console)


@app.command("list")
def list_(
    what: opts.What,
    runs: Annotated[Path, typer.Argument(help="With runs: their folder.")] = Path("runs"),
    only: opts.Only = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Add digests to tasks, and forms to learners.")] = False,
) -> None:
    """Lists suites, tasks, learners, or the runs of a folder, one per line."""
    from adaptbench.benchmarks.commands import listing

    with complaining():
        if what != "runs":
            if only:
                raise ValueError(f"Expected `--only` with `list runs` but the list is of `{what}`.")
            return listing.show_list(what, verbose, console)
        from adaptbench.benchmarks.commands.runs.kept_runs import list_runs  # imports torch

        list_runs(runs, parse_only(only or []), console)


@app.command()
def remove(
    runs: Annotated[Path, typer.Argument(help="Folder of the runs.")] = Path("runs"),
    only: opts.Only = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Removes the runs that --only selects, finished or not."""
    from adaptbench.benchmarks.commands.runs.kept_runs import remove_runs

    with complaining():
        raise typer.Exit(1 if remove_runs(runs, parse_only(only or []), console, ask=not yes) else 0)


@app.command()
def data(name: Annotated[str, typer.Argument(help="The data set.")] = "omniglot") -> None:
    """Downloads, verifies and prepares a data set."""
    from adaptbench.datamodules.lake_runs import load_runs
    from adaptbench.datamodules.omniglot_images import load_images

    with complaining():
        if name != "omniglot":
            raise ValueError(f"Expected `omniglot`, the only data set, but got `{name}`.")
        images = load_images()
        number, drawings = images.pixels.shape[:2]
        console.print(f"Omniglot is ready: {number} characters, {drawings} drawings each, {images.digest[:16]}.")
        console.print(f"Its official one-shot runs are ready: {load_runs().answers.size} trials.")
