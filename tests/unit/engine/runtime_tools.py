"""Short ways to write a bound pattern and a few events, and to run one over the other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cep.dsl import parse_rules
from cep.engine.algebra.expression import DataType
from cep.engine.algebra.pattern import Pattern, Stream, StreamField
from cep.engine.algebra.plan import flow_of
from cep.engine.automaton.nfa import build_nfa
from cep.engine.automaton.tables import Tables, build_tables
from cep.engine.batch import EventBatch
from cep.engine.binding.patterns import bind_pattern
from cep.engine.results import MatchBatch, Output
from cep.engine.runtime.runtime import Runtime
from cep.engine.state.interning import TextCodes
from tests.unit.engine.arena_check import check

ARROW = {
    DataType.TEXT: pa.string(),
    DataType.INTEGER: pa.int64(),
    DataType.FLOAT: pa.float64(),
    DataType.BOOLEAN: pa.bool_(),
    DataType.TIMESTAMP: pa.timestamp("us"),
    DataType.DURATION: pa.duration("us"),
}
KINDS = {
    "name": DataType.TEXT,
    "k": DataType.TEXT,
    "n": DataType.INTEGER,
    "i": DataType.INTEGER,
    "x": DataType.FLOAT,
    "t": DataType.TEXT,
    "b": DataType.BOOLEAN,
    "s": DataType.TIMESTAMP,
    "d": DataType.DURATION,
}
EVENTS = Stream("", tuple(StreamField(name, kind) for name, kind in KINDS.items()))

Row = dict[str, Any]


def pattern_of(text: str, *streams: Stream) -> Pattern:
    """The bound pattern of a statement `pattern ...`."""
    rules, _ = parse_rules(text)
    schema = {stream.name: stream for stream in streams or (EVENTS,)}
    bound, problems = bind_pattern(rules.patterns[0], schema)
    assert not [problem for problem in problems if not problem.warning]
    return bound


def letters(match: str, clauses: str = "", by: str = "") -> Pattern:
    """A pattern whose variables a to e take events of that name; nothing is skipped if not said."""
    names = sorted(set(re.findall(r"(?<!')\b[a-e]\b(?!\.)", match)))
    defined = ", ".join(f"{name} as name = '{name}'" for name in names)
    skip = "" if "after match" in clauses else "after match no skip"
    return pattern_of(f"pattern p {by} match {match} {clauses} define {defined} {skip}")


def tables_of(pattern: Pattern) -> Tables:
    return build_tables(build_nfa(pattern), TextCodes().code)


def named(word: str, **fields: Any) -> Row:
    """The event of one word: its letter is the name, what follows it the key."""
    return {"name": word[0], "k": word[1:] or "x", **fields}


def batch_of(
    rows: Sequence[Row], times_us: Sequence[int], stream: Sequence[int] | None = None
) -> EventBatch:
    columns = {
        name: pa.array([row.get(name) for row in rows], ARROW[kind]) for name, kind in KINDS.items()
    }
    numbers = None if stream is None else np.array(stream, np.int16)
    return EventBatch(pa.table(columns), np.array(times_us, np.int64), numbers)


class Running:
    """A runtime with tiny buffers, its arenas checked after every step; event i is at i seconds."""

    def __init__(
        self,
        *patterns: Pattern,
        streams: Sequence[Stream] = (EVENTS,),
        capacity: int = 1,
        slice_rows: int = 3,
    ) -> None:
        self.runtime = Runtime(flow_of(patterns, streams), slice_rows=slice_rows, capacity=capacity)
        self.output = Output()
        self.size = 0

    def feed(self, rows: Sequence[Row], stream: Sequence[int] | None = None) -> Output:
        times = [(self.size + i) * 1_000_000 for i in range(len(rows))]
        self.size += len(rows)
        return self.done(self.runtime.process(batch_of(rows, times, stream)))

    def finish(self) -> Output:
        return self.done(self.runtime.finish())

    def done(self, output: Output) -> Output:
        for operator in self.runtime.operators:
            check(operator)
        self.output.extend(output)
        return output


def run(pattern: Pattern, rows: Sequence[Row], **options: Any) -> Output:
    """Everything that comes out for these events, until the final watermark."""
    running = Running(pattern, **options)
    running.feed(rows)
    running.finish()
    return running.output


def shown(batches: Sequence[MatchBatch]) -> list[str]:
    """Matches as text, in the order found: 'a0 b12' is a: event 0, b: events 1 and 2."""
    found = []
    for batch in batches:
        for start, stop in zip(batch.offsets[:-1], batch.offsets[1:], strict=True):
            taken: dict[str, str] = {}
            for at in range(start, stop):
                name = batch.variables[batch.variable[at]]
                position = batch.event_position[batch.row[at]]
                taken[name] = f"{taken.get(name, '')}{position}"
            found.append(" ".join(f"{name}{positions}" for name, positions in taken.items()))
    return found


def failures(output: Output) -> list[tuple[str, str | None, str | None, int]]:
    """(reason, pattern, variable, events) of each error batch."""
    return [(e.reason, e.pattern, e.variable, len(e)) for e in output.errors]
