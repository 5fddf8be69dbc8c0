"""A pandas DataFrame -> `Source`. pandas itself is never imported here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.expression import DataType
from cep.engine.io.dicts import dicts_source
from cep.engine.io.source import Source, table_source


def frame_source(frame: Any, declared: Mapping[str, DataType], label: str) -> Source:
    """The columns of a DataFrame, without its index. NaN is what pandas means by it: NULL.

    Raises DataError for a column of mixed objects that is not declared.
    """
    if getattr(frame, "ndim", 0) != 2:
        raise DataError(f"{label}: give a DataFrame, not a {type(frame).__name__}")
    names = [str(name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{label}: two columns are called {twice[0]!r}")
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        columns = [_column(frame.iloc[:, place]) for place in range(len(names))]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        return dicts_source(rows, declared, label)
    return table_source(table, label)


def _column(series: Any) -> list[Any]:
    missing = series.isna()
    return [
        None if is_missing else value
        for value, is_missing in zip(series.tolist(), missing.tolist(), strict=True)
    ]
