"""The table of memorising: what a test on training classes or functions has above one on unseen ones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.results.metrics import Metric
from adaptbench.reports.results.runs import UNSEEN
from adaptbench.reports.statistics.contrasts import Contrast, contrast
from adaptbench.reports.statistics.intervals import Interval, interval
from adaptbench.reports.statistics.scales import LIMITS
from adaptbench.reports.tables.table import ABSENT, Column, Table, TableCell, frame_of, setting_columns

WORDS = {UNSEEN: "unseen", "seen": "seen", "held_out_drawings": "held-out drawings"}


@dataclass(frozen=True)
class _Memorising:
    """A learner at one setting: its means by what the test is on, and what each is above that on unseen classes."""

    entry: Entry
    means: Mapping[str, Interval]
    gaps: Mapping[str, Contrast]


def memorising_table(comparison: Comparison, name: str) -> Table | None:
    """The table; None if no run was tested on training classes or functions."""
    rows = [row for entry in comparison.all_entries() if (row := _memorising(entry, comparison.metric)).gaps]
    if not rows:
        return None
    shown = [on for on in WORDS if any(on in row.means for row in rows)]
    gaps = shown[1:]
    return Table(
        name=f"memorising-{name}",
        title=f"Memorising: {comparison.place}",
        caption=(
            f"{comparison.metric.heading} on {comparison.place}: on unseen "
            f"{comparison.class_word}, and on the {comparison.class_word} of training. The gap is what a test on "
            "training has above the test on unseen ones. Means over the seeds that have both, with the ends of 95 % "
            "intervals; the episodes differ between columns."
        ),
        frame=frame_of(_gap_columns(comparison.metric), rows),
        columns=(*(WORDS[on] for on in shown), *(f"gap, {WORDS[on]}" for on in gaps)),
        rows=tuple(
            (
                f"{row.entry.label}, {row.entry.setting}",
                (
                    *(_mean_cell(row.means.get(on), comparison.metric) for on in shown),
                    *(_gap_cell(row.gaps.get(on), comparison.metric) for on in gaps),
                ),
            )
            for row in rows
        ),
    )


def _memorising(entry: Entry, metric: Metric) -> _Memorising:
    means: dict[str, Interval] = {}
    gaps: dict[str, Contrast] = {}
    for on in WORDS:
        runs = [run for run in entry.runs if (on, entry.setting) in run.training_scores]
        own = np.array([run.training_scores[on, entry.setting] for run in runs])
        unseen = np.array([run.episode_scores[entry.setting] for run in runs])
        if entry.refusal or not all(_usable(scores, metric) for scores in (own, unseen)):
            continue
        means.setdefault(UNSEEN, interval(list(unseen), metric.scores_are))
        means[on] = interval(list(own), metric.scores_are)
        gaps[on] = contrast([own, unseen], [1.0, -1.0])
    return _Memorising(entry, means, gaps)


def _usable(scores: NDArray[np.float64], metric: Metric) -> bool:
    least, most = LIMITS[metric.scores_are]
    whole = scores.ndim == 2 and scores.shape[1] > 1 and bool(np.isfinite(scores).all())
    return whole and bool(((scores >= least) & (scores <= most)).all())


def _mean_cell(found: Interval | None, metric: Metric) -> TableCell:
    if found is None:
        return ABSENT
    text, ends = metric.parts(found.mean, found.lower, found.upper)
    return TableCell(text, ends=ends)


def _gap_cell(found: Contrast | None, metric: Metric) -> TableCell:
    if found is None:
        return ABSENT
    text, ends = metric.parts(found.estimate, found.lower, found.upper, "+")
    return TableCell(text, ends=ends)


def _gap_columns(metric: Metric) -> tuple[Column[_Memorising], ...]:
    def mean(on: str, what: str) -> Callable[[_Memorising], object]:
        return lambda row: getattr(row.means[on], what) if on in row.means else None

    def gap(on: str, what: str) -> Callable[[_Memorising], object]:
        return lambda row: getattr(row.gaps[on], what) if on in row.gaps else None

    ends = ("lower", "upper")
    return (
        Column("learner", lambda row: row.entry.learner),
        *setting_columns(lambda row: row.entry.setting),
        Column("metric", lambda _: metric.name),
        *(Column(on if what == "mean" else f"{on}_{what}", mean(on, what)) for on in WORDS for what in ("mean", *ends)),
        *(
            Column(f"gap_{on}" if what == "estimate" else f"gap_{on}_{what}", gap(on, what))
            for on in [*WORDS][1:]
            for what in ("estimate", *ends)
        ),
        Column("seeds", lambda row: row.means[UNSEEN].n_seeds),
    )
