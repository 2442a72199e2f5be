"""What guards named among images of the user's own, for the notes of a report."""

from collections.abc import Sequence

from adaptbench.reports.results.runs import Run


def image_notes(runs: Sequence[Run]) -> tuple[str, ...]:
    """Says which images of a task are equal or almost equal, from its run with the most training classes."""
    largest: dict[tuple[str, str, str], Run] = {}
    for run in runs:
        before = largest.setdefault(run.cell.group, run)
        if (run.cell.train_classes or 0) > (before.cell.train_classes or 0):
            largest[run.cell.group] = run
    return tuple(note for run in largest.values() for note in _notes(run))


def _notes(run: Run) -> list[str]:
    kept = run.source is None or not run.source.bundled
    notes = []
    for each in run.guards.findings if run.guards else ():
        if each.named:
            more = kept and not all(pair in each.found for pair in each.named)
            notes.append(
                f"{run.cell.called}: {each.found}" + (f" {run.folder / 'guards.json'} names all." if more else "")
            )
    return notes
