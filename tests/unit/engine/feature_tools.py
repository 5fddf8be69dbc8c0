"""Features written in short, and a small runtime that feeds an operator and shuffles its state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import Aggregated, Binary, DataType, Expression, Field, Literal
from cep.engine.algebra.plan import Feature, Over
from cep.engine.batch import EventBatch, Int64s
from cep.engine.columns.evaluator import ARROW_TYPES
from cep.engine.operators.features.operator import FeatureOperator, group_features
from cep.engine.operators.fed import Fed
from cep.engine.state.interning import TextCodes
from tests.reference.features import Happening

BOOLEAN, INTEGER, FLOAT = DataType.BOOLEAN, DataType.INTEGER, DataType.FLOAT
TEXT, TIMESTAMP, DURATION = DataType.TEXT, DataType.TIMESTAMP, DataType.DURATION
NULL = DataType.NULL

TYPES = {
    "k": INTEGER,
    "i": INTEGER,
    "x": FLOAT,
    "t": TEXT,
    "b": BOOLEAN,
    "s": TIMESTAMP,
    "d": DURATION,
}
FIELDS = {name: Field(name, type=kind) for name, kind in TYPES.items()}
STREAMS = {"a": 0, "b": 1}


def agg(function: str, name: str | None = None, p: float | None = None) -> Aggregated:
    """An aggregate of a field, bound."""
    argument = None if name is None else FIELDS[name]
    parameters = () if p is None else (Literal(p, type=FLOAT),)
    return Aggregated(function, argument, parameters, type=_type_of(function, argument))


def _type_of(function: str, argument: Field | None) -> DataType | None:
    if argument is None or function.endswith(("count", "distinct")):
        return INTEGER
    if function == "collect":
        return TEXT
    averages = function in ("avg", "median", "quantile", "stddev", "spread")
    return FLOAT if averages and argument.type is INTEGER else argument.type


def op(left: Expression, operator: str, right: Expression, kind: DataType) -> Binary:
    return Binary(operator, left, right, type=kind)


def feature(value: Expression, over: Over | None = None, name: str = "f", **others: Any) -> Feature:
    return Feature(
        name, others.pop("stream", "a"), value, over or Over(), **{"key": ("k",)} | others
    )


def happening(time_us: int, stream: str = "a", **fields: Any) -> Happening:
    return Happening(stream, time_us, {"k": 1, **fields})


def table_of(events: Sequence[Happening]) -> pa.Table:
    columns = {
        name: pa.array([e.fields.get(name) for e in events], type=ARROW_TYPES[kind])
        for name, kind in TYPES.items()
    }
    return pa.table(columns)


@dataclass
class Driver:
    """Feeds events to an operator; key codes and shards as a runtime would have them."""

    features: Sequence[Feature]
    shards: int = 1
    capacity: int = 1
    functions: Mapping[str, Any] = field(default_factory=dict)
    two_streams: bool = True
    together: bool = False  # whether shards run on threads of their own
    base: int = 0
    types: list[pa.DataType] = field(default_factory=list)
    failures: list[tuple[str, str | None, list[int]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.operator = self._new_operator()
        self.codes: list[dict[Any, int]] = [{} for _ in range(self.shards)]
        self.found: dict[str, list[Any]] = {f.name: [] for f in self.features}

    def _new_operator(self) -> FeatureOperator:
        (group,) = group_features(self.features)
        return FeatureOperator(group, STREAMS, self.shards, self.capacity, self.functions)

    def feed(self, events: Sequence[Happening]) -> None:
        if not events:
            return
        fed = Fed(self._batch(events), self.base, TextCodes())
        self.operator.forget_texts()
        prepared = self.operator.prepare(fed)

        def process(shard: int) -> None:
            rows, codes = self._keys_of(shard, events, prepared.rows)
            with np.errstate(all="ignore"):  # kernels as plain Python; threads do not inherit it
                self.operator.process(shard, prepared, rows, codes)

        if self.together:
            with ThreadPoolExecutor(self.shards) as pool:
                list(pool.map(process, range(self.shards)))
        else:
            list(map(process, range(self.shards)))
        columns, failures = self.operator.columns(fed, prepared)
        self.types = [array.type for _, array in columns]
        for name, array in columns:
            self.found[name] += _plain(array)
        for f in failures:
            self.failures.append((f.reason, f.variable, (f.rows + self.base).tolist()))
        self.base += len(events)

    def _batch(self, events: Sequence[Happening]) -> EventBatch:
        streams = np.array([STREAMS[e.stream] for e in events], np.int16)
        return EventBatch(
            table_of(events),
            np.array([e.time_us for e in events], np.int64),
            streams if self.two_streams else None,
        )

    def _keys_of(
        self, shard: int, events: Sequence[Happening], interest: Int64s
    ) -> tuple[Int64s, Int64s]:
        rows, codes = [], []
        for row in interest.tolist():
            key = tuple(events[row].fields.get(name) for name in self.operator.key)
            if None in key or sum(map(int, key)) % self.shards != shard:
                continue
            rows.append(row)
            codes.append(self.codes[shard].setdefault(key, len(self.codes[shard])))
        return np.array(rows, np.int64), np.array(codes, np.int64)

    # ---- what a runtime does between slices; none of it may show

    def advance(self, time_us: int) -> None:
        for shard in range(self.shards):
            self.operator.advance_to(shard, time_us)

    def forget_idle_keys(self, time_us: int) -> None:
        for shard in range(self.shards):
            active = self.operator.active_keys(shard, time_us)
            self.operator.keep_keys(shard, active)
            place = {code: i for i, code in enumerate(active.tolist())}
            known = self.codes[shard].items()
            self.codes[shard] = {key: place[code] for key, code in known if code in place}

    def restart(self, shards: int) -> None:
        """Into a new operator with another number of shards, keys with other codes."""
        snapshots = [self.operator.snapshot(shard) for shard in range(self.shards)]
        before, self.shards = self.codes, shards
        self.operator = self._new_operator()
        self.codes = [{} for _ in range(shards)]
        renamed = [[np.full(len(b), -1, np.int64) for b in before] for _ in range(shards)]
        for old, codes in enumerate(before):
            for key, code in reversed(codes.items()):
                shard = sum(map(int, key)) % shards
                now = self.codes[shard].setdefault(key, len(self.codes[shard]))
                renamed[shard][old][code] = now
        for shard in range(shards):
            parts = list(zip(snapshots, renamed[shard], strict=True))
            self.operator.restore(shard, parts)


def _plain(array: Any) -> list[Any]:
    if pa.types.is_timestamp(array.type) or pa.types.is_duration(array.type):
        array = array.view(pa.int64())
    found: list[Any] = array.to_pylist()
    return found


def values_of(features: Feature | list[Feature], events: Sequence[Happening]) -> list[Any]:
    """The values of one feature, or a list per feature, for all events as one batch."""
    listed = features if isinstance(features, list) else [features]
    driver = Driver(listed)
    driver.feed(events)
    assert driver.failures == []
    found = [driver.found[f.name] for f in listed]
    return found if isinstance(features, list) else found[0]
