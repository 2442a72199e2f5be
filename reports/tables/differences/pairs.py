"""The table of one learner against each of the others."""

from itertools import groupby

from adaptbench.reports.comparison.comparison import Comparison
from adaptbench.reports.comparison.pairs import pairs
from adaptbench.reports.tables.differences.against_first import contrast_cell
from adaptbench.reports.tables.table import ABSENT, Column, Table, frame_of, setting_columns


def pair_table(comparison: Comparison, learner: str, name: str) -> Table | None:
    """The paired differences of a learner from every other one; None if it can be compared with none."""
    found = pairs(comparison, learner)
    if not found:
        return None
    labels = {row[0].learner: row[0].label for row in comparison.entries}
    settings = comparison.settings
    scale = "log error" if comparison.metric.logarithmic else comparison.metric.name
    unit = "factor of the error" if comparison.metric.logarithmic else "points"
    columns = (
        Column[tuple[str, int]]("learner", lambda _: learner),
        Column[tuple[str, int]]("other", lambda place: place[0]),
        *setting_columns(lambda place: settings[place[1]]),
        Column[tuple[str, int]]("scale", lambda _: scale),
        Column[tuple[str, int]]("difference", lambda place: found[place].estimate),
        Column[tuple[str, int]]("lower", lambda place: found[place].lower),
        Column[tuple[str, int]]("upper", lambda place: found[place].upper),
        Column[tuple[str, int]]("p_value", lambda place: found[place].p_value),
        Column[tuple[str, int]]("seeds", lambda place: found[place].n_seeds),
    )
    return Table(
        name=f"pairs-{name}",
        title=f"{labels[learner]} against each other learner: {comparison.place}",
        caption=(
            f"{comparison.metric.heading} of {labels[learner]} compared with each other learner on {comparison.place}"
            f": {unit} with the ends of the 95 % interval, paired by episode. "
            "Bold: significantly different (5 %; p-values and intervals corrected for the whole table). The table of "
            "all learners asks who is worse than the best, whoever that is, so it can leave open what is bold here."
        ),
        frame=frame_of(columns, found),
        groups=tuple((label, len(list(run))) for label, run in groupby(setting.size_label for setting in settings)),
        columns=tuple(setting.episode_label for setting in settings),
        rows=tuple(
            (
                f"against {label}",
                tuple(
                    contrast_cell(found[other, column], comparison.metric) if (other, column) in found else ABSENT
                    for column in range(len(settings))
                ),
            )
            for other, label in labels.items()
            if any(place[0] == other for place in found)
        ),
    )
