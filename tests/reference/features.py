"""Features, one event at a time over all events before it: the operator is tested against it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cep.engine.algebra.expression import Aggregated, DataType, Expression, Field, rebuild, walk
from cep.engine.algebra.plan import Feature
from tests.reference.expressions import Value, cast, evaluate, fits, whole


@dataclass(frozen=True)
class Happening:
    """An event of a stream; times and durations in `fields` are whole microseconds."""

    stream: str
    time_us: int
    fields: Mapping[str, Value]


User = Callable[[list[Any]], Any]  # a user-defined aggregate, over all values at once


def feature_values(
    feature: Feature, events: Sequence[Happening], user: Mapping[str, User] | None = None
) -> list[Value]:
    """The feature's value at every event, in order; None for events of other streams."""
    return [value_at(feature, events, i, user or {}) for i in range(len(events))]


def value_at(
    feature: Feature, events: Sequence[Happening], i: int, user: Mapping[str, User]
) -> Value:
    event = events[i]
    key = key_of(feature, event)
    if event.stream != feature.stream or None in key:
        return None
    seen = events[: i if feature.excluding_current else i + 1]
    window = [e.fields for e in seen if feeds(feature, e, key)]
    times = [e.time_us for e in seen if feeds(feature, e, key)]
    if feature.over.events is not None:
        window = window[-feature.over.events :]
    if feature.over.range_us is not None:
        oldest = event.time_us - feature.over.range_us
        window = [w for w, time_us in zip(window, times, strict=True) if time_us > oldest]
    return with_aggregates(feature.value, event.fields, window, user)


def key_of(feature: Feature, event: Happening) -> tuple[Value, ...]:
    return tuple(event.fields.get(name) for name in feature.key)


def feeds(feature: Feature, event: Happening, key: tuple[Value, ...]) -> bool:
    if event.stream != (feature.source or feature.stream) or key_of(feature, event) != key:
        return False
    return feature.where is None or evaluate(feature.where, event.fields) is True


def with_aggregates(
    value: Expression,
    own: Mapping[str, Value],
    window: Sequence[Mapping[str, Value]],
    user: Mapping[str, User],
) -> Value:
    """The expression for an event with these fields, whose aggregates run over the window."""
    nodes = {n: f"aggregate {i}" for i, n in enumerate(walk(value)) if isinstance(n, Aggregated)}

    def read(node: Expression) -> Expression:
        if isinstance(node, Aggregated):
            return Field(nodes[node], type=node.type)
        return rebuild(node, read)

    found = {name: aggregated(node, window, user) for node, name in nodes.items()}
    return evaluate(read(value), {**own, **found})


def aggregated(
    node: Aggregated, window: Sequence[Mapping[str, Value]], user: Mapping[str, User]
) -> Value:
    argument = node.argument
    if argument is None:
        return len(window)
    values = [evaluate(argument, fields) for fields in window]
    if node.function in ("first", "last"):
        return values[0 if node.function == "first" else -1] if values else None
    kept: list[Any] = [v for v in values if v is not None]
    if node.function in user:
        result: Value = user[node.function](kept)
        return result
    if node.function == "count":
        return len(kept)
    if node.function in ("count_distinct", "approx_count_distinct"):
        return len({"NaN" if v != v else v for v in kept})
    if node.function == "collect":
        return "[" + ", ".join(as_json(v, argument.type) for v in kept) + "]"
    return over_some(node, kept) if kept else None


def over_some(node: Aggregated, kept: list[Any]) -> Value:
    function, is_whole = node.function, node.type is DataType.DURATION
    if function in ("min", "max"):
        comparable = [v for v in kept if v == v] or kept  # NaN only where there is nothing else
        extreme: Value = (min if function == "min" else max)(comparable)
        return extreme
    if function == "sum":
        return fits(sum(kept)) if isinstance(kept[0], int) else real_sum(kept)
    if function == "stddev":
        return deviation([float(v) for v in kept])
    if function == "avg":
        mean = float(sum(kept) if isinstance(kept[0], int) else real_sum(kept)) / len(kept)
    else:
        p = node.parameters[0].value if node.parameters else 0.5
        assert isinstance(p, int | float)
        mean = quantile(sorted(kept), float(p))
    return whole(mean) if is_whole else mean


def real_sum(numbers: Sequence[float]) -> float:
    """Exactly rounded where that means something."""
    return math.fsum(numbers) if all(map(math.isfinite, numbers)) else sum(numbers)


def deviation(numbers: Sequence[float]) -> float | None:
    if len(numbers) < 2:
        return None
    if not all(map(math.isfinite, numbers)):
        return math.nan
    mean = math.fsum(numbers) / len(numbers)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in numbers) / (len(numbers) - 1))


def quantile(ordered: Sequence[Any], p: float) -> float:
    if any(v != v for v in ordered):
        return math.nan
    place = p * (len(ordered) - 1)
    low = math.floor(place)
    part = place - low
    a = ordered[low]
    b = ordered[low + 1] if part > 0 else a
    apart = float(b) - float(a)
    if a == b:
        return float(a)
    return float(a) + apart * part if part < 0.5 else float(b) - apart * (1 - part)


def as_json(value: Any, kind: DataType | None) -> str:
    if kind is DataType.TIMESTAMP:
        return json.dumps(cast(value, kind, DataType.TEXT))
    if isinstance(value, float) and not math.isfinite(value):
        return "null"
    return json.dumps(value, ensure_ascii=False)
