"""What turns into the tables of other libraries, because it turns into an Arrow table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    import pandas
    import polars


class Tabular(ABC):
    """`to_arrow` is what a class has to say. No attributes of its own."""

    __slots__ = ()

    @abstractmethod
    def to_arrow(self) -> pa.Table:
        """All rows."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        table: Any = self.to_arrow()
        return table.__arrow_c_stream__(requested_schema)

    def to_pandas(self) -> pandas.DataFrame:
        """`to_arrow()` as a DataFrame of pandas."""
        return self.to_arrow().to_pandas()

    def to_polars(self) -> polars.DataFrame:
        """`to_arrow()` as a DataFrame of polars."""
        from polars import DataFrame

        return DataFrame(self.to_arrow())
