"""Verification of a bundle: computes sampled runs again, and writes a statement that can be signed."""

import getpass
import hashlib
import secrets
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import typer
from rich.console import Console
from rich.markup import escape

from adaptbench.benchmarks.commands.verify import Verdict, choose, draw, verify_runs
from adaptbench.benchmarks.runs.devices import CPU
from adaptbench.benchmarks.runs.environment import describe_machine
from adaptbench.benchmarks.store.store import write_json
from adaptbench.benchmarks.suites.description import describe, name_of
from adaptbench.benchmarks.suites.registry import KINDS, is_name_of_another, suite_files
from adaptbench.benchmarks.suites.spec import RunSpec, read_spec
from adaptbench.benchmarks.suites.suite import load_suite
from adaptbench.reports.bundle_format import Statement
from adaptbench.reports.format import Manifest, Result
from adaptbench.reports.plural import count_of
from adaptbench.reports.reading import read
from adaptbench.reports.sources.bundles import code_of, unpack
from adaptbench.reports.sources.statements import NAMESPACE, agreement, statement_path
from adaptbench.reports.words.waiting import waiting_for

FREE = {"examples", "departs_from", "remarks", "source", "task_label"}
"""Fields of a cell of a manifest that are no name of the run."""
COMPUTED_AGAIN = "the runs, which are computed again"


def verify_and_show(
    runs: Path, *, sample: int | None, seed: int | None, jobs: int, trusted: bool, key: Path | None, console: Console
) -> bool:
    """Verifies a folder of runs or a bundle, whose code must be trusted, and prints the verdicts.

    Args:
        runs: the folder, or the file of the bundle.
        sample: number of runs; None for all.
        seed: seed of the sample; None for 0, or a random one for a bundle.
        jobs: runs at a time.
        trusted: whether to run a bundle's code unasked.
        key: the SSH key that signs the statement about a bundle.
        console: where to print.

    Returns:
        Whether no run differs or fails.

    Raises:
        ValueError: if there are too few runs, there is no such bundle or key, or it is not a bundle.
    """
    if not runs.exists():
        raise ValueError(f"Expected a folder of runs or the file of a bundle but {runs} does not exist.")
    if key is not None and not runs.is_file():
        raise ValueError(f"Expected `--key` with a bundle, whose statement it signs, but {runs} is a folder.")
    if key is not None and not key.is_file():
        raise ValueError(f"Expected `--key` to be the file of an SSH key but {key} does not exist.")
    counts = Counter[str]()

    def show(verdict: Verdict) -> None:
        console.print(verdict.shown, soft_wrap=True)
        counts[verdict.word] += 1

    if not runs.is_file():
        with waiting_for(COMPUTED_AGAIN, console):
            for verdict in verify_runs(runs, choose(runs, sample, seed or 0), jobs):
                show(verdict)
    else:
        with TemporaryDirectory(prefix="adaptbench-verify-") as folder:
            bundle = Path(folder, runs.name)  # what is shown is what runs, even if the file changes meanwhile
            shutil.copyfile(runs, bundle)
            path = statement_path(runs)
            verify_bundle(
                bundle, sample, seed, jobs=jobs, trusted=trusted, key=key, path=path, show=show, console=console
            )
    said = ", ".join(f"{number} {word}" for word, number in counts.items())
    console.print(f"Verified {count_of(counts.total(), 'run')}: {said}.")
    return not counts["differs"] and not counts["failed"]


def needs_trust(code: Mapping[str, str], specs: Iterable[RunSpec], console: Console) -> bool:
    """Whether verifying a bundle runs code that is not ours; that code is shown.

    Args:
        code: the source files of the bundle, by module.
        specs: what its runs are made from.
        console: shows the code.
    """
    parts = [part for spec in specs for part in (spec, *spec.candidates)]
    foreign = sorted({name for part in parts for name in part.components.values() if "." in name})
    for module, text in code.items():
        console.print(f"[yellow]code[/] {module}, {len(text.splitlines())} lines:", highlight=False)
        console.print(escape(_plain(text)), highlight=False, soft_wrap=True)
    for name in foreign:
        where = "in the bundle" if name.rpartition(".")[0] in code else "not in the bundle, imported from this machine"
        console.print(f"[yellow]foreign[/] {escape(name)}: {where}", highlight=False)
    return bool(foreign or code)


def verify_bundle(
    bundle: Path,
    sample: int | None,
    seed: int | None,
    *,
    jobs: int,
    trusted: bool,
    key: Path | None,
    path: Path,
    show: Callable[[Verdict], None],
    console: Console,
) -> Statement:
    """Computes runs of a bundle again in worker processes, and writes the statement.

    Args:
        bundle: the file.
        sample: number of runs; None for all.
        seed: seed of the sample; None for a random one, which nobody could foresee.
        jobs: runs at a time.
        trusted: whether its code may run without a question.
        key: the SSH key that signs the statement; None for no signature.
        path: the file of the statement.
        show: gets each verdict.
        console: where to print.

    Raises:
        ValueError: if it is not a bundle, its scores contradict its own episodes, or there are fewer runs.
        SubprocessError: if the statement cannot be signed.
    """
    seed_drawn = seed is None
    seed = secrets.randbits(32) if seed is None else seed
    with TemporaryDirectory(prefix="adaptbench-verify-") as folder:
        runs = Path(folder, "runs")
        index = unpack(bundle, runs)
        finished = _finished(runs)
        if not finished:
            raise ValueError(f"Expected {bundle.name} to have runs with scores but it has none.")
        chosen = draw(finished, sample, seed)
        specs = {run_id: read_spec(runs / run_id) for run_id in finished}
        for run_id, spec in specs.items():
            if spec.run_id != run_id:
                raise ValueError(f"Expected run {run_id} of {bundle.name} to have its own spec but it has another.")
        code, verdicts = code_of(bundle), []
        if not trusted and needs_trust(code, specs.values(), console):
            typer.confirm("Run this code with your rights?", abort=True)
        with _importable(code, Path(folder, "code")), waiting_for(COMPUTED_AGAIN, console):
            check_names(index.suite, specs)
            for verdict in verify_runs(runs, chosen, jobs):
                show(verdict)
                verdicts.append(verdict)
    statement = Statement(
        bundle=hashlib.sha256(bundle.read_bytes()).hexdigest(),
        suite=index.suite.name,
        verifier=getpass.getuser(),
        made=datetime.now(UTC).replace(microsecond=0),
        machine=describe_machine(CPU),
        seed=seed,
        seed_drawn=seed_drawn,
        runs=len(finished),
        sampled=tuple(sorted(verdicts, key=lambda each: each.run_id)),
        chance=len(chosen) / len(finished),
    )
    write_json(path, statement)
    path.with_name(f"{path.name}.sig").unlink(missing_ok=True)  # of an earlier statement
    if key is not None:
        _sign(path, key)
    console.print(
        f"{agreement(statement)} (seed {seed}). Every score follows from the scores of its own "
        f"episodes. One forged run among {len(finished)} is sampled with a chance of {statement.chance:.0%}. "
        f"Statement: {escape(str(path))}{' (signed)' if key else ''}",
        highlight=False,
        soft_wrap=True,
    )
    return statement


def check_names(suite: Manifest, specs: Mapping[str, RunSpec]) -> None:
    """Refuses a manifest that calls a run by what its spec does not say, or gives it the name of another component.

    A suite that ships may give its learners labels, and tasks none; others give any that is no component's.

    Raises:
        ValueError: if there is such a run.
    """
    command = suite.command[0] if suite.command else suite.name
    entries = [entry.learners for entry in load_suite(command).tasks] if command in suite_files() else []
    known = KINDS["learner"] | KINDS["strategy"]
    labels = {named.label for named in known.values()}
    labels |= {form.label for named in known.values() for form in named.forms}
    for cell in suite.cells:
        if (spec := specs.get(cell.run_id)) is None or spec.kind == "pretrain":
            continue
        component = spec.learner if spec.kind == "episodic" else spec.strategy
        given = [learners[cell.learner] for learners in entries if cell.learner in learners]
        own = [each for each in given if component in (each.learner, each.strategy)]
        allowed = {describe(spec).label} | {each.label for each in own if each.label}
        foreign = not own if given else cell.learner in known and cell.learner != spec.adapter
        foreign |= cell.label not in allowed and (bool(given) or cell.label in labels)
        foreign |= bool(entries and cell.task_label) or is_name_of_another(cell.task_label, cell.task)
        said, wanted = (each.model_dump(exclude=FREE) for each in (cell, describe(spec, cell.learner, cell.label)))
        if foreign or said != wanted:
            raise ValueError(
                f"Expected run {cell.run_id} to be called {min(allowed)}, as its spec says ({name_of(spec)}), but "
                f"the manifest calls it {cell.label} ({cell.learner}, {cell.family}, {cell.called}, {cell.protocol})."
            )


def _finished(runs: Path) -> list[str]:
    """The ids of the runs that have scores."""
    results = (read(path, Result) for path in sorted(runs.glob("*/result.json")))
    return [result.run_id for result in results if result.scores]


@contextmanager
def _importable(code: Mapping[str, str], folder: Path) -> Iterator[None]:
    """Lets workers import the bundle's modules, after all others, so that they can take nobody's place."""
    for module, text in code.items():
        path = folder.joinpath(*module.split("."))
        package = any(other.startswith(f"{module}.") for other in code)
        path = path / "__init__.py" if package else path.with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _sign(path: Path, key: Path) -> None:
    command = ["ssh-keygen", "-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise subprocess.SubprocessError(f"ssh-keygen did not sign {path}: {' '.join(done.stderr.split())}")


def _plain(text: str) -> str:
    """The text without characters that could steer a terminal."""
    return "".join(each if each in "\n\t" or each.isprintable() else "�" for each in text)
