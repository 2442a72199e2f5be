"""The tables beside the main one: gains per doubling, pairs, computation, transfer, published numbers."""

from collections.abc import Iterable, Sequence

from adaptbench.reports.comparison.comparison import Comparison
from adaptbench.reports.comparison.gains import Gain
from adaptbench.reports.results.runs import Outcome
from adaptbench.reports.tables.computation import compute_sheet
from adaptbench.reports.tables.gains import gain_sheet
from adaptbench.reports.tables.layout import Sheet, lay_out
from adaptbench.reports.tables.order_sensitivity import order_frame, order_layout
from adaptbench.reports.tables.pairs import pair_sheet
from adaptbench.reports.tables.records import entry_records
from adaptbench.reports.tables.transfer import ablation, choices


def sheets(
    comparison: Comparison, name: str, outcomes: Iterable[Outcome], doublings: Sequence[Gain]
) -> tuple[Sheet, ...]:
    """Every table of a comparison, the main one first; those that would be empty are left out.

    Args:
        comparison: The comparison.
        name: Its name in file names.
        outcomes: The outcomes that it is made of.
        doublings: Its gains per doubling.
    """
    found = [Sheet(f"table-{name}", lay_out(comparison), entry_records(comparison))]
    if doublings:
        found.append(gain_sheet(comparison, doublings, name))
    if any(comparison.pairs):
        found.append(pair_sheet(comparison, name))
    if any(entry.runs for entry in comparison.all_entries()):
        found.append(compute_sheet(comparison, name))
    order = order_layout(comparison)
    if order is not None:
        found.append(Sheet(f"order-{name}", order, order_frame(comparison)))
    own = tuple(outcomes)
    for stem, table in {"transfer": ablation(own), "chosen": choices(own)}.items():
        if table is not None:
            found.append(Sheet(f"{stem}-{name}", *table))
    return tuple(found)
