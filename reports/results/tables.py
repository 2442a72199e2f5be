"""Reads tables of a run's folder, and checks them against the columns of the format."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no annotations
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from adaptbench.reports.format_tables import TABLES
from adaptbench.reports.reading import Unreadable


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
        found = table.schema.field(name).type
        kind = columns[name].kind if name in columns else "number"
        if not _holds(found, kind):
            raise Unreadable(f"Expected column `{name}` of {path.name} to be of kind {kind} but got {found}.")
    return table


def _holds(found: pa.DataType, kind: str) -> bool:
    """Whether a column is of the declared kind; a column of absent values only is of any kind."""
    integer = pa.types.is_integer(found)
    fits = {
        "integer": integer,
        "number": integer or pa.types.is_floating(found),
        "text": pa.types.is_string(found) or pa.types.is_large_string(found),
    }
    return pa.types.is_null(found) or fits[kind]
