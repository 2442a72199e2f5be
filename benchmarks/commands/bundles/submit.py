"""The command `adaptbench submit`: packs runs, the source of a user's own learners and a card into one file."""

import shlex
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from adaptbench.benchmarks.commands.part import parts_of
from adaptbench.benchmarks.suites.own_code import own_modules
from adaptbench.benchmarks.suites.spec import RunSpec, read_spec
from adaptbench.reports.errors import ReportError
from adaptbench.reports.format import Environment
from adaptbench.reports.plural import count_of
from adaptbench.reports.reading import read
from adaptbench.reports.results.manifest import Suite, values_of
from adaptbench.reports.selection import Only, select
from adaptbench.reports.sources.bundles import bundle_file, code_of, gather, write_bundle
from adaptbench.reports.sources.sources import opened
from adaptbench.reports.words.waiting import waiting_for


def submit_runs(
    sources: Sequence[str],
    suite: str | None,
    *,
    only: Only,
    out: Path | None,
    console: Console,
    predictions: bool = False,
) -> None:
    """Writes a bundle, and says what it holds.

    Args:
        sources: folders of runs and bundles; of a run that several have, the first counts.
        suite: the suite; None for the only one.
        only: values of which a packed cell must have one, by key; all cells if empty.
        out: the file; None for `SUITE.zip`, or `SUITE-LEARNER.zip`.
        console: where to print.
        predictions: whether to write each run's predictions of its test episodes beside the bundle, as a table.

    Raises:
        ReportError: if there are no such runs.
        ValueError: if a run lacks the weights for its predictions.
    """
    with waiting_for("the runs, which are being packed", console), opened(sources) as found:
        wanted, folders = gather([each.folder for each in found], suite)
        cells = tuple(select(wanted.cells, only, values_of, f"suite `{wanted.name}`"))
        learners = dict.fromkeys(cell.learner for cell in cells) if "learner" in only else ()
        wanted = wanted.model_copy(update={"cells": cells})
        done = [cell for cell in cells if cell.run_id in folders]
        own = [folders[cell.run_id] for cell in done]
        path = out or Path(f"{'-'.join([wanted.name, *learners])}.zip")
        if predictions and {each.folder for each in found if each.bundled} & {folder.parent for folder in own}:
            raise ValueError("Expected folders of runs with `--predictions`, because a bundle holds no weights.")
        code = _code_of(sources) | _code([_spec(each) for each in own])
        write_bundle(wanted, folders, path, code=code, card=_card(wanted, own, learners, parts_of(wanted.name, done)))
        if predictions:
            _write_predictions(own, path.with_name(f"{path.stem}-predictions.parquet"))
    begun = {cell.learner for cell in done}
    never = [cell.learner for cell in cells if cell.learner not in begun]
    missing = len(cells) - len(own) - len(never)
    left = [f"{_are(missing)} not finished"] if missing else []
    left += [f"{_are(len(never))} of {count_of(len({*never}), 'learner')} without a finished run"] if never else []
    said = f" ({', '.join(left)})" if left else ""
    console.print(
        f"{shlex.quote(str(path))}: {len(own)} of {count_of(len(cells), 'run')} of suite {wanted.name}, "
        f"{path.stat().st_size / 1000:.0f} kB{said}.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _write_predictions(folders: Sequence[Path], out: Path) -> None:
    """Writes a row for each query of each run, one run after the other."""
    from adaptbench.benchmarks.runs.trained import predict_tests

    frames = [predict_tests(folder).assign(run_id=folder.name) for folder in folders]
    table = pd.concat(frames, ignore_index=True)
    table.to_parquet(out, index=False, compression="zstd", write_page_checksum=True)


def _are(number: int) -> str:
    return f"{number} {'is' if number == 1 else 'are'}"


def _spec(folder: Path) -> RunSpec:
    try:
        return read_spec(folder)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ReportError(f"Run {folder.name} is damaged ({reason}); `adaptbench doctor` lists such runs.") from error


def _code_of(sources: Sequence[str]) -> dict[str, str]:
    """The source files in those that are bundles."""
    bundles = [bundle_file(source) for source in sources if not Path(source).is_dir()]
    return {module: text for bundle in bundles for module, text in code_of(bundle).items()}


def _code(specs: Sequence[RunSpec]) -> dict[str, str]:
    """The source of the modules that define a user's own classes; our own are in the commit."""
    own = {each for spec in specs for part in (spec, *spec.candidates) for each in part.components.items()}
    return {module: text for component in sorted(own) for module, text in own_modules(*component).items()}


def _card(suite: Suite, folders: Sequence[Path], learners: Collection[str], parts: Sequence[str]) -> str:
    """What a reader should know: what was run, where, when, and by which command."""
    environments = [read(folder / "environment.json", Environment) for folder in folders]
    machines = Counter(
        f"{each.machine.processor}, {each.machine.device}, commit {each.machine.git_commit or 'not recorded'}"
        f"{' with uncommitted changes' if each.machine.git_dirty else ''}"
        for each in environments
    )
    versions = {
        f"{name} {version}" for each in environments for name, version in each.machine.versions.items() if version
    }
    times = [each.times for each in environments]
    minutes = sum((each.train_cpu_seconds or 0.0) + (each.test_seconds or 0.0) for each in times) / 60
    dates = sorted(each.finished.date().isoformat() for each in times)
    return "\n".join(
        [
            f"# Suite {suite.name}, version {suite.version}" + (f": {', '.join(learners)}" if learners else ""),
            "",
            suite.description,
            "",
            f"- Command: `adaptbench run {shlex.join(suite.command or (suite.name,))}`",
            *(f"- Part of it: `{part}`" for part in parts),
            f"- Runs: {len(folders)}, finished from {dates[0]} to {dates[-1]}" if dates else "- Runs: none",
            f"- CPU minutes: {minutes:.1f}",
            *(f"- Machine of {count_of(number, 'run')}: {machine}" for machine, number in sorted(machines.items())),
            f"- Versions: {', '.join(sorted(versions))}",
            "",
        ]
    )
