"""Reads tables of a run's folder, and checks them against the columns of the format."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no annotations
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from adaptbench.reports.format import LARGEST_NUMBER
from adaptbench.reports.format_tables import TABLES, Column
from adaptbench.reports.reading import Unreadable

MOST_ROWS = 10_000_000


def read_table(path: Path, names: Sequence[str], optional: Sequence[str] = ()) -> pa.Table:
    """Reads columns of a table.

    Args:
        path: The parquet file; its name says which table it is.
        names: The columns; one that the format does not know is the metric of a user's task.
        optional: Columns that follow them if the table has them.

    Raises:
        Unreadable: The file is not such a table.
    """
    columns = {column.name: column for column in TABLES[path.name]}
    try:
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows > MOST_ROWS:
                raise Unreadable(f"Expected {path.name} to have at most {MOST_ROWS:,} rows.")
            names = [*names, *(name for name in optional if name in file.schema_arrow.names)]
            if absent := sorted(set(names) - set(file.schema_arrow.names)):
                raise Unreadable(f"Expected {path.name} to have a column `{absent[0]}` but it has none.")
            table = file.read(columns=names, use_threads=False).select(names)
        table.validate(full=True)  # invalid text would raise later
    except Unreadable:
        raise
    except Exception as error:  # A damaged file can make a parquet reader raise almost anything.
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise Unreadable(f"{path.name} cannot be read: {reason}") from error
    for name in names:
        _check(table.column(name), columns.get(name, Column(name, "number", "", "")), path.name)
    return table


def _check(values: pa.ChunkedArray, column: Column, file: str) -> None:
    """Refuses values that a column of the format cannot hold."""
    where = f"column `{column.name}` of {file}"
    if not _holds(values.type, column.kind):
        raise Unreadable(f"Expected {where} to be of kind {column.kind} but got {values.type}.")
    if column.kind == "integer" and values.null_count and not column.absent:
        raise Unreadable(f"Expected {where} to have an integer in each row but {values.null_count} are absent.")
    if column.texts and (others := set(pc.unique(values).to_pylist()) - set(column.texts)):
        raise Unreadable(f"Expected {where} to be {' or '.join(column.texts)} but got {min(map(repr, others))[:80]}.")
    if column.kind == "text":
        return
    numbers = values.cast(pa.float64(), safe=False).to_numpy()
    low, high = (0.0, 2.0**63) if column.kind == "integer" else (-LARGEST_NUMBER, LARGEST_NUMBER)
    outside = ((numbers < low) | (numbers > high)) & (np.isfinite(numbers) | (column.kind == "integer"))
    if outside.any():
        raise Unreadable(f"Expected {where} to lie in {low:g} to {high:g} but got {numbers[outside][0]:g}.")


def _holds(found: pa.DataType, kind: str) -> bool:
    """Whether a column is of the declared kind; a column of absent values only is of any kind."""
    integer = pa.types.is_integer(found)
    fits = {
        "integer": integer,
        "number": integer or pa.types.is_floating(found),
        "text": pa.types.is_string(found) or pa.types.is_large_string(found),
    }
    return pa.types.is_null(found) or fits[kind]
