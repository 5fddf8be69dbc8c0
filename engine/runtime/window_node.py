"""An aggregate in a task: its operator, shard by shard, and its rows as those of a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cep.engine.algebra.aggregates import Functions
from cep.engine.algebra.expression import Expression
from cep.engine.algebra.plan import Aggregate, Node
from cep.engine.batch import Int64s
from cep.engine.columns.evaluator import Column
from cep.engine.operators.fed import Failure, Fed
from cep.engine.operators.windows.operator import Prepared, WindowOperator
from cep.engine.operators.windows.rows import FiredRows, KeyColumns, WindowRows
from cep.engine.results import ErrorBatch, Output, RowBatch
from cep.engine.runtime.derived import as_stream
from cep.engine.state.interning import TextCodes
from cep.engine.state.key_space import KeySpace, OperatorShard


@dataclass(frozen=True, slots=True)
class WindowPart:
    """A slice of the feed as an aggregate sees it: its rows, shard by shard."""

    fed: Fed
    prepared: Prepared
    rows: list[Int64s]

    def singly(self) -> dict[int, WindowPart]:
        """Row of the slice -> the same for this row alone."""
        found, none = {}, np.empty(0, np.int64)
        for shard, rows in enumerate(self.rows):
            for place, row in enumerate(rows.tolist()):
                alone = [none] * len(self.rows)
                alone[shard] = rows[place : place + 1]
                found[row] = WindowPart(self.fed, self.prepared, alone)
        return found


class WindowNode:
    """Runs one bound aggregate over its keys."""

    def __init__(
        self,
        node: Node,
        streams: Mapping[str, int],
        texts: TextCodes,
        functions: Functions,
        shards: int,
        capacity: int,
    ) -> None:
        assert isinstance(node.plan, Aggregate), "windows are those of aggregates"
        self.node = node
        self.name = node.name
        number = streams[node.plan.stream] if len(streams) > 1 else None
        self.operator = WindowOperator(node.plan, number, texts, functions, shards, capacity)
        self.shards = [OperatorShard(self.operator, number) for number in range(shards)]

    @property
    def stream(self) -> str:
        """The stream that it reads."""
        (name,) = self.node.reads
        return name

    @property
    def key(self) -> tuple[str, ...]:
        return self.node.key

    @property
    def expressions(self) -> list[Expression]:
        """What is evaluated of every event."""
        return self.operator.expressions

    def status(self) -> dict[str, int]:
        """What is held, as plain values."""
        return {"panes": self.operator.entries, "bytes": self.operator.bytes_held}

    # ------------------------------------------------------------------ events

    def prepare(self, fed: Fed) -> WindowPart:
        """Evaluate what the aggregate reads; changes no state."""
        prepared = self.operator.prepare(fed)
        return WindowPart(fed, prepared, fed.keys[self.key].split(prepared.rows))

    def process(self, shard: int, part: WindowPart, watermark_us: int) -> None:
        """Events of one shard, in order of time, behind the watermark so far."""
        rows = part.rows[shard]
        if len(rows):
            codes = part.fed.keys[self.key].codes(shard, rows)
            self.operator.process(shard, part.prepared, rows, codes, watermark_us)

    def process_late(self, part: WindowPart, watermark_us: int) -> Int64s:
        """Events at or before the watermark; the rows that some window has taken."""
        taken = []
        for shard, rows in enumerate(part.rows):
            if len(rows):
                codes = part.fed.keys[self.key].codes(shard, rows)
                operator = self.operator
                late = operator.process_late(shard, part.prepared, rows, codes, watermark_us)
                taken.append(rows[~late])
        return np.concatenate(taken) if taken else np.empty(0, np.int64)

    def take_failures(self, shard: int) -> list[Failure]:
        """What went wrong while a shard worked on the slice in hand."""
        return self.operator.take_failures(shard)

    def advance_to(self, shard: int, watermark_us: int) -> None:
        """No event at or before this time will come any more for the keys of a shard."""
        self.operator.advance_to(shard, watermark_us)

    # ------------------------------------------------------------------ rows

    def take(self, shard: int, space: KeySpace) -> list[FiredRows]:
        """What a shard has fired since the last call."""
        return self.operator.take_fired(shard, _key_columns(space))

    def output(self, fired: Sequence[FiredRows]) -> Output:
        """The rows of what shards have fired, which may be at work again."""
        return self._output(self.operator.rows(fired))

    def current(self, space: KeySpace) -> Output:
        """The windows that are open, as they are now; nothing changes."""
        return self._output(self.operator.current(_key_columns(space)))

    def _output(self, rows: WindowRows | None) -> Output:
        output = Output()
        if rows is None:
            return output
        if len(rows):
            columns = {name: rows.table.column(name) for name in rows.table.schema.names}
            table = as_stream(columns, self.node.stream)
            made = RowBatch(self.name, table, rows.time_us, rows.position, rows.update)
            output.rows.append(made)
        output.errors += _errors(self.name, rows)
        return output


def _errors(name: str, rows: WindowRows) -> Iterator[ErrorBatch]:
    for failure in rows.failures:
        yield ErrorBatch(failure.reason, failure.rows, None, name, failure.output)


def _key_columns(space: KeySpace) -> KeyColumns:
    def columns(shard: int, codes: Int64s) -> Sequence[Column]:
        return space.shards[shard].codes.columns(codes)

    return columns
