"""All tables of a comparison, from scores to forms."""

from collections.abc import Iterable, Sequence

from adaptbench.reports.comparison.comparison import Comparison
from adaptbench.reports.comparison.gains import Gain
from adaptbench.reports.comparison.places import places
from adaptbench.reports.results.runs import Outcome
from adaptbench.reports.tables.calibration import calibration_table
from adaptbench.reports.tables.computation import carried_table, computation_table, settings_table
from adaptbench.reports.tables.differences.gains import gain_table
from adaptbench.reports.tables.differences.growth import growth_table
from adaptbench.reports.tables.differences.memorising import memorising_table
from adaptbench.reports.tables.differences.pairs import pair_table
from adaptbench.reports.tables.differences.places import place_table
from adaptbench.reports.tables.forms import forms_table
from adaptbench.reports.tables.order_sensitivity import order_sensitivity_table
from adaptbench.reports.tables.rates import rate_table
from adaptbench.reports.tables.scores import score_table
from adaptbench.reports.tables.table import Table
from adaptbench.reports.tables.transfer import choice_table, source_table, transfer_table


def tables_of(
    comparison: Comparison,
    name: str,
    outcomes: Iterable[Outcome],
    doublings: Sequence[Gain],
    learner: str | None = None,
) -> tuple[Table, ...]:
    """Every table of a comparison that is not empty, the main one first.

    Args:
        comparison: The comparison.
        name: Its name in file names.
        outcomes: The outcomes that it compares.
        doublings: Its gains per doubling.
        learner: The learner that is compared with each other one; None for no such table.
    """
    own = tuple(outcomes)
    found = (
        score_table(comparison, name),
        pair_table(comparison, learner, name) if learner else None,
        gain_table(comparison, doublings, name),
        growth_table(comparison, doublings, name),
        computation_table(comparison, name),
        settings_table(comparison, name),
        carried_table(comparison, name),
        order_sensitivity_table(comparison, name),
        calibration_table(comparison, name),
        memorising_table(comparison, name),
        place_table(comparison, places(comparison), name),
        transfer_table(own, name),
        choice_table(own, name),
        rate_table(own, name),
        forms_table(comparison, name),
        source_table(own, name),
    )
    return tuple(table for table in found if table is not None)
