"""The table of learning rates: the validation score of each rate that was tried, and the best one."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from adaptbench.reports.format import Environment, PretrainingCandidate
from adaptbench.reports.results.metrics import Metric
from adaptbench.reports.results.names import place_name
from adaptbench.reports.results.runs import Outcome, Run
from adaptbench.reports.results.settings import Setting
from adaptbench.reports.tables.table import ABSENT, Column, Table, TableCell, frame_of, training_labels

GUESS_SHARE = 0.02
"""A learner whose best rate goes less than this share of the way from a guess to perfection gets no rate chosen."""
END_MARK, DISAGREE_MARK, GUESS_MARK = "e", "s", "g"
NOTES = {
    GUESS_MARK: f"no rate goes {100 * GUESS_SHARE:g} % of the way from a guess to perfection, so none is chosen",
    END_MARK: "the best rate is at an end of the grid, so a rate beyond it may be better",
    DISAGREE_MARK: "the seeds, each by itself, prefer different rates",
}


@dataclass(frozen=True)
class Rates:
    """The rates of a learner at one number of training classes and one budget.

    Args:
        runs: The runs that chose a rate, by seed.
        scores: The validation score of each rate, by seed.
        metric: The metric of the scores.
    """

    runs: Mapping[int, Run]
    scores: Mapping[float, Mapping[int, float]]
    metric: Metric

    @property
    def run(self) -> Run:
        """One of the runs."""
        return next(iter(self.runs.values()))

    def mean(self, rate: float) -> float:
        """The mean over seeds, geometric for errors; each seed's score is a mean over all numbers of shots."""
        values = list(self.scores[rate].values())
        if self.metric.logarithmic and min(values) > 0:
            return math.exp(math.fsum(map(math.log, values)) / len(values))
        return math.fsum(values) / len(values)

    @property
    def best(self) -> float:
        """The rate with the best mean."""
        return max(self.scores, key=lambda rate: self.metric.sign * self.mean(rate))

    @property
    def chosen(self) -> float | None:
        """The best rate; None if no rate takes the learner far from a guess, so that the best one is noise."""
        known = [self.run.score(setting) for setting in self.run.cell.settings]
        chances = [score.chance for score in known if score and score.chance is not None]
        if not chances or self.metric.perfect is None:
            return self.best
        chance = math.fsum(chances) / len(chances)
        share = (self.mean(self.best) - chance) / (self.metric.perfect - chance)
        return None if share < GUESS_SHARE else self.best

    @property
    def at_end(self) -> bool:
        """Whether the best rate is the smallest or the largest."""
        return self.best in (min(self.scores), max(self.scores))

    @property
    def disagree(self) -> bool:
        """Whether the best rates of single seeds differ."""
        own = {max(self.scores, key=lambda rate: self.metric.sign * self.scores[rate][seed]) for seed in self.runs}
        return len(own) > 1


def rate_table(outcomes: Iterable[Outcome], name: str) -> Table | None:
    """A row for each learner with several rates, with the mean validation score of each; None if there is none."""
    rows = _rows([each for each in outcomes if isinstance(each, Run) and each.result.pretrainings])
    rows = [row for row in rows if len(row.scores) > 1]
    if not rows:
        return None
    first = rows[0]
    rates = sorted({rate for row in rows for rate in row.scores})
    seeds = sorted({seed for row in rows for seed in row.runs})
    over = "seeds " if len(seeds) > 1 else "seed "
    mean = "geometric mean" if first.metric.logarithmic else "mean"
    return Table(
        name=f"rates-{name}",
        title=f"Learning rates: {place_name(*first.run.cell.group)}",
        caption=(
            f"{first.metric.heading} on validation episodes for each learning rate, each trained with the whole "
            f"budget: {mean} over {over}{', '.join(map(str, seeds))}, and mean over all numbers of shots. "
            "Bold: the one that is chosen. Test episodes have no part in it."
        ),
        frame=frame_of(_COLUMNS, [(row, rate) for row in rows for rate in row.scores]),
        columns=(*(f"{rate:g}" for rate in rates), "seeds"),
        groups=(("learning rate", len(rates)), ("", 1)),
        rows=tuple(
            (
                label,
                (*(_cell(row, rate) for rate in rates), TableCell(str(len(row.runs)))),
            )
            for label, row in zip(training_labels([row.run.cell for row in rows]), rows, strict=True)
        ),
        notes=tuple((mark, text) for mark, text in NOTES.items() if any(mark in _marks(row) for row in rows)),
        corner="Learner",
    )


def _rows(runs: Iterable[Run]) -> list[Rates]:
    groups: dict[tuple[str, Setting], dict[int, Run]] = {}
    for run in runs:
        groups.setdefault((run.cell.learner, _size(run)), {})[run.cell.seed] = run
    return [_rates(group) for group in groups.values()]


def _rates(runs: Mapping[int, Run]) -> Rates:
    scores: dict[float, dict[int, float]] = {}
    for seed, run in runs.items():
        for each in own_trainings(run):
            scores.setdefault(each.lr, {})[seed] = each.score
    cell = next(iter(runs.values())).cell
    metric = Metric.named(cell.metric, higher_is_better=cell.higher_is_better)
    return Rates(runs, dict(sorted(scores.items())), metric)


def own_trainings(run: Run) -> list[PretrainingCandidate]:
    """The candidates that learned from the run's own task, one for each rate."""
    return [each for each in run.result.pretrainings if not each.source]


def _size(run: Run) -> Setting:
    return run.cell.settings[0]


def _marks(row: Rates) -> tuple[str, ...]:
    if row.chosen is None:
        return (GUESS_MARK,)
    holds = {END_MARK: row.at_end, DISAGREE_MARK: row.disagree}
    return tuple(mark for mark, found in holds.items() if found)


def _cell(row: Rates, rate: float) -> TableCell:
    if rate not in row.scores:
        return ABSENT
    marks = _marks(row) if rate == row.best else ()
    return TableCell(row.metric.value(row.mean(rate)), bold=rate == row.chosen, marks=marks)


def _environment(source: tuple[Rates, float]) -> Environment | None:
    """Where and when the first seed was trained with a rate."""
    row, rate = source
    trained = next(each.run_id for each in own_trainings(row.run) if each.lr == rate)
    return row.run.environment_of(trained)


_COLUMNS: tuple[Column[tuple[Rates, float]], ...] = (
    Column("task", lambda source: source[0].run.cell.called),
    Column("protocol", lambda source: source[0].run.cell.protocol),
    Column("train_classes", lambda source: source[0].run.cell.train_classes),
    Column("examples", lambda source: source[0].run.cell.examples),
    Column("learner", lambda source: source[0].run.cell.learner),
    Column("label", lambda source: source[0].run.cell.label),
    Column("rate", lambda source: source[1]),
    Column("metric", lambda source: source[0].metric.name),
    Column("mean", lambda source: source[0].mean(source[1])),
    Column("chosen", lambda source: source[1] == source[0].chosen),
    Column("at_end", lambda source: source[0].at_end),
    Column("seeds_disagree", lambda source: source[0].disagree),
    Column("seed_list", lambda source: " ".join(map(str, source[0].scores[source[1]]))),
    Column("seed_scores", lambda source: " ".join(f"{score:.6g}" for score in source[0].scores[source[1]].values())),
    Column("git_commit", lambda source: (made := _environment(source)) and made.machine.git_commit),
    Column("date", lambda source: (made := _environment(source)) and made.times.finished.date().isoformat()),
)
