"""Bound joins and running aggregates -> the patterns that they run as; all three -> their streams.

join j from a, b within D    match a ->> within D b | b ->> within 0 a  after match no skip
aggregate without a window   match row  after match no skip, over features that count so far
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import reduce

from cep.engine.algebra.expression import (
    Aggregated,
    Binary,
    Captured,
    DataType,
    Expression,
    Field,
    Literal,
    conjuncts,
    rebuild,
    walk,
)
from cep.engine.algebra.functions import BOOLEAN, DURATION, INTEGER, NULL, TIMESTAMP
from cep.engine.algebra.pattern import (
    Alternation,
    Contiguity,
    Definition,
    Output,
    Pattern,
    Skip,
    SkipStrategy,
    Step,
    Stream,
    StreamField,
    Variable,
)
from cep.engine.algebra.plan import EVENT_TIME, Aggregate, Feature, Join, Over, Window
from cep.engine.binding.statements import bounds_of

NO_SKIP = Skip(SkipStrategy.NO_SKIP)
UNITS_US = {"s": 1_000_000, "ms": 1_000, "us": 1}
FAR_US = 1 << 61  # further apart than any two times


def keyed_outputs(key: tuple[StreamField, ...], outputs: tuple[Output, ...]) -> tuple[Output, ...]:
    """The columns of a row: key fields first, but for those that are columns anyway."""
    named = {output.name for output in outputs}
    missing = [column for column in key if column.name not in named]
    return (*(Output(c.name, Field(c.name, type=c.type)) for c in missing), *outputs)


# ---- streams that statements make


def stream_of_outputs(pattern: Pattern) -> Stream:
    """That of a join or running aggregate: what it selects."""
    return Stream(pattern.name, tuple(_columns(pattern.select)))


def stream_of_pattern(pattern: Pattern, key: tuple[StreamField, ...]) -> Stream:
    """Key fields, start and end of the match, each unless it is selected; what is selected."""
    named = {output.name for output in pattern.select}
    times = (StreamField("start", TIMESTAMP), StreamField("end", TIMESTAMP))
    fixed = {column.name: column for column in (*times, *key)}  # a key called `end` is the key
    ordered = dict.fromkeys((*(c.name for c in key), "start", "end"))
    kept = (fixed[name] for name in ordered if name not in named)
    return Stream(pattern.name, (*kept, *_columns(pattern.select)))


def stream_of_aggregate(aggregate: Aggregate) -> Stream:
    """What is selected, then the bounds of the window unless they are."""
    named = {output.name for output in aggregate.select}
    bounds = (column for column in bounds_of(aggregate.window) if column.name not in named)
    return Stream(aggregate.name, (*_columns(aggregate.select), *bounds))


def own_columns(source: Stream | Pattern | Aggregate | Join) -> tuple[str, ...]:
    """The names of the fields that events of a stream have by themselves; () where not known."""
    match source:
        case Stream(fields=fields):
            return tuple(column.name for column in fields)
        case Pattern():
            key = tuple(StreamField(name, NULL) for name in source.key)
            return own_columns(stream_of_pattern(source, key))
        case Aggregate(window=Window()):
            return own_columns(stream_of_aggregate(source))
    return tuple(dict.fromkeys((*source.key, *(output.name for output in source.select))))


def _columns(outputs: Iterable[Output]) -> Iterator[StreamField]:
    return (StreamField(output.name, output.value.type or NULL) for output in outputs)


# ---- aggregates without a window


def running_aggregate(
    aggregate: Aggregate, key: tuple[StreamField, ...]
) -> tuple[list[Feature], Pattern]:
    """Features that say what has been so far, and a pattern that reports each event."""
    features: dict[Aggregated, Feature] = {}

    def visit(node: Expression) -> Expression:
        if not isinstance(node, Aggregated):
            return rebuild(node, visit)
        if node not in features:
            name = f"{aggregate.name}#{len(features) + 1}"
            features[node] = _so_far(name, node, aggregate)
        return Field(features[node].name, span=node.span, type=node.type)

    select = tuple(replace(output, value=visit(output.value)) for output in aggregate.select)
    having = () if aggregate.having is None else (visit(aggregate.having),)
    where = () if aggregate.where is None else (aggregate.where,)
    row = aggregate.stream
    pattern = Pattern(
        aggregate.name,
        steps=(Step(Variable(row)),),
        definitions=(Definition(row, _all((*where, *having)), row or None),),
        streams=(row,) if row else (),
        key=aggregate.key,
        skip=NO_SKIP,
        select=keyed_outputs(key, select),
        span=aggregate.span,
    )
    return list(features.values()), pattern


def _so_far(name: str, value: Aggregated, aggregate: Aggregate) -> Feature:
    return Feature(
        name,
        aggregate.stream,
        value,
        Over(),
        key=aggregate.key,
        where=aggregate.where,
        span=aggregate.span,
    )


# ---- joins


def join_as_pattern(
    join: Join, left: Stream, right: Stream, key: tuple[StreamField, ...]
) -> Pattern:
    """A bound join: either event may come first, and each later one of the other side is a match.

    An event of the left stream may be up to `high_us` older than one of the right, and up to
    -`low_us` younger; bounds of links are exclusive. Where that cannot say it, the definitions
    compare the times.
    """
    high_us, low_us = join.high_us, join.low_us
    if join.window is not None:
        high_us = (join.window.size_us or 1) - 1
        low_us = -high_us
    high_us, low_us = min(high_us, FAR_US), max(low_us, -FAR_US)
    branches = []
    if high_us >= 0:
        branches.append(_either_first(join.left, join.right, high_us))
    if low_us <= 0:
        branches.append(_either_first(join.right, join.left, -low_us))
    steps = branches[0] if len(branches) == 1 else (Step(Alternation(tuple(branches))),)
    conditions = [] if join.where is None else conjuncts(join.where)
    conditions += _time_conditions(join, left, right)
    return Pattern(
        join.name,
        steps=steps,
        definitions=(
            _definition(join.left, join.right, conditions),
            _definition(join.right, join.left, conditions),
        ),
        streams=(join.left, join.right),
        key=join.key,
        within_us=max(high_us, -low_us) + 1,
        skip=NO_SKIP,
        select=keyed_outputs(key, join.select),
        span=join.span,
    )


def _either_first(first: str, second: str, bound_us: int) -> tuple[Step, ...]:
    link = Step(Variable(second), Contiguity.ANY, within_us=bound_us + 1)
    return (Step(Variable(first)), link)


def _definition(own: str, other: str, conditions: list[Expression]) -> Definition:
    """What an event of one side must meet: its own conditions, and if it is second those of both.

    The variables are called like the streams; in a definition a stream's own event is the one under
    test, so that its members are plain fields.
    """
    alone = [c for c in conditions if _sides(c) <= {own}]
    both = [c for c in conditions if own in _sides(c) and other in _sides(c)]
    parts = [_of_event(condition, own) for condition in alone]
    if both:
        parts.append(_binary("or", _is_first(other), _all(_of_event(c, own) for c in both)))
    return Definition(own, _all(parts), own)


def _sides(condition: Expression) -> set[str]:
    found = (node.variable for node in walk(condition) if isinstance(node, Captured))
    return {variable for variable in found if variable is not None}


def _of_event(condition: Expression, own: str) -> Expression:
    match condition:
        case Captured("last", variable, Field() as member) if variable == own:
            return member
    return rebuild(condition, lambda operand: _of_event(operand, own))


def _is_first(other: str) -> Expression:
    taken = Captured("count", other, None, type=INTEGER)
    return _binary("=", taken, Literal(0, type=INTEGER))


def _binary(operator: str, left: Expression, right: Expression | None) -> Expression:
    assert right is not None
    return Binary(operator, left, right, type=BOOLEAN)


def _all(conditions: Iterable[Expression]) -> Expression | None:
    listed = list(conditions)
    if not listed:
        return None
    return reduce(lambda one, other: Binary("and", one, other, type=BOOLEAN), listed)


def _time_conditions(join: Join, left: Stream, right: Stream) -> list[Expression]:
    if join.window is None and join.low_us <= 0 <= join.high_us:
        return []  # the bounds of the links say it all
    left_time, right_time = _time_of(left), _time_of(right)
    if join.window is not None:
        starts = (_window_start(time, join.window) for time in (left_time, right_time))
        return [_binary("=", next(starts), next(starts))]
    between = Binary("-", right_time, left_time, type=DURATION)
    low = Literal(join.low_us, DURATION, type=DURATION)
    high = Literal(join.high_us, DURATION, type=DURATION)
    return [_binary(">=", between, low), _binary("<=", between, high)]


def _time_of(stream: Stream) -> Expression:
    """The time of a side's event, as a timestamp: from its own field where that can say it."""
    fields = {column.name: column.type for column in stream.fields}
    kind = fields.get(stream.time or "")
    unit_us = UNITS_US.get(stream.time_unit)
    if stream.time is None or not (kind is TIMESTAMP or (kind is INTEGER and unit_us)):
        return _member(stream.name, EVENT_TIME, TIMESTAMP)
    if kind is TIMESTAMP:
        return _member(stream.name, stream.time, TIMESTAMP)
    since = Binary(
        "*",
        _member(stream.name, stream.time, INTEGER),
        Literal(unit_us, DURATION, type=DURATION),
        type=DURATION,
    )
    return Binary("+", Literal(0, TIMESTAMP, type=TIMESTAMP), since, type=TIMESTAMP)


def _member(stream: str, name: str, kind: DataType) -> Captured:
    return Captured("last", stream, Field(name, type=kind), type=kind)


def _window_start(time: Expression, window: Window) -> Expression:
    """The time - ((time - offset) mod size), where mod is never negative."""
    size = Literal(window.size_us, DURATION, type=DURATION)
    first = Literal(window.offset_us, TIMESTAMP, type=TIMESTAMP)
    rest = Binary("%", Binary("-", time, first, type=DURATION), size, type=DURATION)
    positive = Binary("%", Binary("+", rest, size, type=DURATION), size, type=DURATION)
    return Binary("-", time, positive, type=TIMESTAMP)
