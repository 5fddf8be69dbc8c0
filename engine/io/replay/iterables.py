"""Python code that hands out events, with or without positions -> a source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.expression import DataType
from cep.engine.io.dicts import as_schema, chunk_of_dicts
from cep.engine.io.readers import without_views
from cep.engine.io.replay.source import (
    Declared,
    Piece,
    Pieces,
    check_position,
    fields_of,
    schema_bytes,
    schema_of,
)
from cep.engine.io.source import Chunk
from cep.engine.state.snapshot import Value

KIND = "iterable"
Make = Callable[[Value | None], Iterable[Any]]


@dataclass(frozen=True, slots=True)
class IterableSource:
    """What `make(position)` yields: pairs (item, position behind it).

    An item is an event (a dict), a list of them, or a table (anything that speaks Arrow). A
    position is plain: numbers, text, bytes, dicts and lists of them; `make(None)` begins at the
    beginning. None in place of a pair says that there is nothing more for now. Single events are
    collected into tables of `batch_rows`; list and tables are passed on as they are.

    `positions=False`: the iterable yields items alone and cannot be read again.
    """

    make: Make
    stream: str | None = None
    positions: bool = True
    follows: bool = False
    batch_rows: int = 1000
    poll_seconds: float = 0.1

    @property
    def has_positions(self) -> bool:
        return self.positions

    def __str__(self) -> str:
        return f"iterable {getattr(self.make, '__qualname__', type(self.make).__name__)}"

    def read(self, position: Value | None = None, declared: Declared | None = None) -> Pieces:
        """See `ReplaySource.read`."""
        fields, begin, schema = fields_of(declared or {}, self.stream), None, None
        if position is not None:
            value = check_position(position, KIND, str(self))
            begin, schema = value["at"], schema_of(value["schema"])
        return _Items(self, fields, schema).pieces(self._pairs(begin))

    def _pairs(self, begin: Value | None) -> Iterator[tuple[Any, Value] | None]:
        for item in self.make(begin):
            if item is None:
                yield None
            elif not self.positions:
                yield item, None
            elif isinstance(item, tuple) and len(item) == 2:
                yield item
            else:
                message = f"{self}: it yields {type(item).__name__}, not a pair (item, position)"
                raise DataError(f"{message}; say positions=False if it has none")


class _Items:
    """Collects events until they make a table."""

    def __init__(
        self, source: IterableSource, fields: Mapping[str, DataType], schema: pa.Schema | None
    ) -> None:
        self._source = source
        self._fields = fields
        self._schema = schema
        self._waiting: list[Any] = []
        self._at: Value = None

    def pieces(self, pairs: Iterable[tuple[Any, Value] | None]) -> Pieces:
        for pair in pairs:
            if pair is None:
                yield from self._flush()
                yield None
                continue
            item, at = pair
            if isinstance(item, Mapping):
                self._waiting.append(item)
                self._at = at
                if len(self._waiting) >= self._source.batch_rows:
                    yield from self._flush()
                continue
            yield from self._flush()
            yield self._piece(self._chunk(item), at)
        yield from self._flush()

    def _flush(self) -> Iterator[Piece]:
        if self._waiting:
            chunk, self._waiting = self._of_rows(self._waiting), []
            yield self._piece(chunk, self._at)

    def _piece(self, chunk: Chunk, at: Value) -> Piece:
        position = None
        if self._source.positions:
            position = {"source": KIND, "at": at, "schema": schema_bytes(self._schema)}
        return Piece(chunk.table, position, self._source.stream, chunk.broken)

    def _chunk(self, item: Any) -> Chunk:
        if isinstance(item, (list, tuple)):
            return self._of_rows(item)
        if isinstance(item, pa.RecordBatch):
            return Chunk(without_views(pa.Table.from_batches([item])))
        if hasattr(item, "__arrow_c_stream__"):
            return Chunk(without_views(pa.table(item)))
        message = f"{self._source}: an item is {type(item).__name__} {item!r:.60}"
        raise DataError(f"{message}: give a dict, a list of dicts or a table")

    def _of_rows(self, rows: Any) -> Chunk:
        table, broken = chunk_of_dicts(rows, self._fields, str(self._source))
        if self._schema is not None:
            table = as_schema(table, self._schema, self._fields, str(self._source))
        else:
            self._schema = table.schema if table.num_rows else None
        return Chunk(table, broken)
