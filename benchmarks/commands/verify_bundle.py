"""Verification of a bundle: computes sampled runs again, and writes a statement that can be signed."""

import getpass
import hashlib
import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import typer
from rich.console import Console
from rich.markup import escape

from adaptbench.benchmarks.commands.verify import TOLERANCE, Verdict, choose, draw, verify_runs
from adaptbench.benchmarks.runs.devices import CPU
from adaptbench.benchmarks.runs.environment import describe_machine
from adaptbench.benchmarks.store.store import write_json
from adaptbench.benchmarks.suites.spec import RUN_SPEC
from adaptbench.reports.bundle_format import Statement, VerifiedRun
from adaptbench.reports.format import Result
from adaptbench.reports.reading import read
from adaptbench.reports.sources.bundles import code_of, unpack
from adaptbench.reports.sources.statements import NAMESPACE, statement_path


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
        ValueError: if there are too few runs, or it is not a bundle.
    """
    sound = True

    def show(verdict: Verdict) -> None:
        nonlocal sound
        same = "same" if verdict.exact else f"within {TOLERANCE:.0%}"
        word = "failed" if verdict.failed else same if verdict.difference is None else "differs"
        text = " ".join(filter(None, (verdict.run_id, verdict.name, verdict.difference)))
        color = "green" if word == same else "red"
        console.print(f"[{color}]{word:7}[/] {escape(text)}", highlight=False, soft_wrap=True)
        sound = sound and word == same

    if not runs.is_file():
        for verdict in verify_runs(runs, choose(runs, sample, seed or 0), jobs):
            show(verdict)
    else:
        if not trusted and needs_trust(runs, console):
            typer.confirm("Run this code with your rights?", abort=True)
        verify_bundle(runs, sample, seed, jobs=jobs, key=key, show=show, console=console)
    return sound


def needs_trust(bundle: Path, console: Console) -> bool:
    """Whether verifying a bundle runs code that is not ours; that code is shown.

    Raises:
        ReportError: if it is not a bundle.
    """
    code = code_of(bundle)
    with TemporaryDirectory(prefix="adaptbench-verify-") as folder:
        unpack(bundle, Path(folder, "runs"))
        specs = [json.loads(path.read_bytes()) for path in sorted(Path(folder, "runs").glob("*/spec.json"))]
    foreign = sorted({name for spec in specs for name in _names(spec) if "." in name})
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
    key: Path | None,
    show: Callable[[Verdict], None],
    console: Console,
) -> Statement:
    """Computes runs of a bundle again in worker processes, and writes the statement beside the bundle.

    Args:
        bundle: the file.
        sample: number of runs; None for all.
        seed: seed of the sample; None for a random one, which nobody could foresee.
        jobs: runs at a time.
        key: the SSH key that signs the statement; None for no signature.
        show: gets each verdict.
        console: where to print.

    Raises:
        ValueError: if it is not a bundle, its scores contradict its own episodes, or there are fewer runs.
        SubprocessError: if the statement cannot be signed.
    """
    seed = secrets.randbits(32) if seed is None else seed
    with TemporaryDirectory(prefix="adaptbench-verify-") as folder:
        runs = Path(folder, "runs")
        index = unpack(bundle, runs)
        results = [read(path, Result) for path in sorted(runs.glob("*/result.json"))]
        finished = [result.run_id for result in results if result.scores]
        chosen = draw(finished, sample, seed)
        for run_id in finished:
            if RUN_SPEC.validate_json((runs / run_id / "spec.json").read_bytes()).run_id != run_id:
                raise ValueError(f"Expected run {run_id} of {bundle} to have its own spec but it has another.")
        verdicts = []
        with _importable(code_of(bundle), Path(folder, "code")):
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
        runs=len(finished),
        sampled=tuple(
            VerifiedRun(
                run_id=each.run_id,
                name=each.name,
                exact=each.exact,
                difference=each.difference,
                largest=dict(each.largest),
            )
            for each in sorted(verdicts, key=lambda each: each.run_id)
        ),
        chance=len(chosen) / len(finished),
    )
    path = statement_path(bundle)
    write_json(path, statement)
    path.with_name(f"{path.name}.sig").unlink(missing_ok=True)  # of an earlier statement
    if key is not None:
        _sign(path, key)
    agreed = sum(each.difference is None for each in verdicts)
    console.print(
        f"{agreed} of {len(chosen)} sampled runs agree (seed {seed}). Every score follows from the scores of its own "
        f"episodes. One forged run among {len(finished)} is sampled with a chance of {statement.chance:.0%}. "
        f"Statement: {escape(str(path))}{' (signed)' if key else ''}",
        highlight=False,
        soft_wrap=True,
    )
    return statement


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


def _names(value: object) -> Iterator[str]:
    """Yields the names of all components in a spec."""
    if isinstance(value, Mapping):
        if isinstance(value.get("name"), str):
            yield value["name"]
        for each in value.values():
            yield from _names(each)
    elif isinstance(value, list):
        for each in value:
            yield from _names(each)


def _plain(text: str) -> str:
    """The text without characters that could steer a terminal."""
    return "".join(each if each in "\n\t" or each.isprintable() else "�" for each in text)
