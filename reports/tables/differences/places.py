"""The table of places between two exact predictors: what a learner has of memory and of generalisation."""

from collections.abc import Sequence

from adaptbench.reports.comparison.comparison import Comparison
from adaptbench.reports.comparison.places import Place
from adaptbench.reports.tables.table import ABSENT, Column, Table, TableCell, frame_of, setting_columns
from adaptbench.reports.words.sentences import place_sentence


def place_table(comparison: Comparison, found: Sequence[Place], name: str) -> Table | None:
    """The table, with a row for each learner; None if no place is known."""
    if not found:
        return None
    settings = [setting for setting in comparison.settings if any(place.setting == setting for place in found)]
    by_cell = {(place.learner, place.setting): place for place in found}
    rows = {place.learner: place.label for place in found}
    return Table(
        name=f"places-{name}",
        title=f"Between memory and generalisation: {comparison.place}",
        caption=(
            f"Place of each learner's {comparison.metric.heading} on {comparison.place} between two exact predictors "
            "on the same test episodes, with the ends of 95 % intervals: "
            f"0 is Bayes over the run's own training {comparison.class_word}, 1 is Bayes over all. Columns "
            "in which the two do not differ significantly are left out."
        ),
        frame=frame_of(_columns(found), found),
        columns=tuple(f"{setting.size}, {setting.episode_label}" for setting in settings),
        rows=tuple(
            (label, tuple(_cell(by_cell.get((learner, setting))) for setting in settings))
            for learner, label in rows.items()
        ),
    )


def _cell(place: Place | None) -> TableCell:
    if place is None:
        return ABSENT
    return TableCell(f"{place.value:.2f}", ends=f"[{place.lower:.2f}, {place.upper:.2f}]")


def _columns(found: Sequence[Place]) -> tuple[Column[Place], ...]:
    return (
        Column("learner", lambda place: place.learner),
        *setting_columns(lambda place: place.setting),
        Column("place", lambda place: place.value),
        Column("lower", lambda place: place.lower),
        Column("upper", lambda place: place.upper),
        Column("seeds", lambda place: place.n_seeds),
        Column("sentence", lambda place: place_sentence(place, found)),
    )
