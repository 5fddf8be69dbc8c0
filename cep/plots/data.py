"""Tables of events as they come -> Arrow tables and times."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.batch import Int64s
from cep.engine.ingest.event_time import read_times

Times = npt.NDArray[np.datetime64]


def as_table(data: Any) -> pa.Table:
    """A pandas, polars or Arrow table, or a list of dicts. Raises DataError for anything else."""
    if isinstance(data, list):
        return pa.Table.from_pylist(data)
    if not hasattr(data, "__arrow_c_stream__"):
        raise DataError(f"{type(data).__name__} is not a table: give a pandas, polars or Arrow one")
    table = pa.table(data)
    fields = [field.with_type(_plain(field.type)) for field in table.schema]
    return table.cast(pa.schema(fields))


def _plain(type_: pa.DataType) -> pa.DataType:
    """Text that Arrow can take rows of: it cannot yet where polars keeps text as views."""
    return pa.string() if pa.types.is_string_view(type_) else type_


def column_of(table: pa.Table, name: str) -> Any:
    """A column. Raises DataError where there is none of this name."""
    if name not in table.schema.names:
        known = ", ".join(table.schema.names)
        raise DataError(f"no column {name!r}; the table has: {known}")
    return table.column(name)


def times_us(table: pa.Table, name: str, unit: str = "ms") -> Int64s:
    """Event times in whole microseconds; DataError for a row without one."""
    times = read_times(column_of(table, name), name, unit)
    if times.bad:
        reason, rows = times.bad[0]
        raise DataError(f"row {int(rows[0])}: {reason}; leave such rows out")
    return times.time_us


def as_times(time_us: Int64s) -> Times:
    """Microseconds since 1970 as times, in UTC."""
    return time_us.astype("datetime64[us]")
