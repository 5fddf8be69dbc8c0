"""Why a match is one: event by event, which variable took it and what held, with which values.

    match: probe probe hit        before each event     what the event says    condition of hit
           0     1     2          2: [probe probe]      2: amount 812          amount > 500  true

What a condition reads of earlier events is computed anew from the match itself, for all its events
at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import Captured, Expression, Field, children, conjuncts, walk
from cep.engine.algebra.pattern import Definition, Negation, Pattern, variables
from cep.engine.algebra.printer import print_expression
from cep.engine.results import MatchBatch
from cep.results.columns import PatternMatches, pick
from cep.results.values import as_written, counted

NOT_KEPT = "not kept with the match"
_TYPES: dict[str, pa.DataType] = {
    "position": pa.int64(),
    "time": pa.timestamp("us"),
    "variable": pa.string(),
    "condition": pa.string(),
    "holds": pa.bool_(),
    "values": pa.string(),
}
SCHEMA = pa.schema(_TYPES)


@dataclass(frozen=True, slots=True)
class Reason:
    """A part of a condition that an event met. `values`: what it reads, as written -> value.

    `holds` is None where it reads a field that is not kept with matches.
    """

    text: str
    holds: bool | None
    values: Mapping[str, Any]

    def __str__(self) -> str:
        if self.holds is None:
            return f"{self.text} ({NOT_KEPT})"
        return f"{self.text} ({shown})" if (shown := self.values_text) else self.text

    @property
    def values_text(self) -> str:
        """The values as rules would write them, but for what the condition itself says."""
        values = [f"{name} = {as_written(value)}" for name, value in self.values.items()]
        return ", ".join(value for value in values if value != self.text)


@dataclass(frozen=True, slots=True)
class Taken:
    """One event of a match. Without `reasons` its variable takes any event."""

    time: datetime
    variable: str
    event: Mapping[str, Any]
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Why:
    """Why a match is one. `str()` is text for people, `to_arrow()` a row for each reason.

    `absent`: what had to stay away, as sentences.
    """

    pattern: str
    key: Any
    within: timedelta | None
    taken: tuple[Taken, ...]
    absent: tuple[str, ...]

    @property
    def title(self) -> str:
        """The match in a line."""
        key = "" if self.key is None else f", key {as_written(self.key)}"
        lasted = as_written(self.taken[-1].time - self.taken[0].time)
        bound = "" if self.within is None else f" (within {as_written(self.within)})"
        size = counted(len(self.taken), "event")
        return f"{self.pattern}{key}: {size} in {lasted}{bound}"

    def __str__(self) -> str:
        absent = (f"  {sentence}" for sentence in self.absent)
        return "\n".join([self.title, *taken_lines(self.taken), *absent])

    def __repr__(self) -> str:
        return f"<Why: {self}>"

    def _repr_html_(self) -> str:
        from cep.display.why import why_html

        return why_html(self)

    def to_arrow(self) -> pa.Table:
        """Columns position, time, variable, condition, holds, values (as text)."""
        return pa.Table.from_pylist(list(self._rows()), SCHEMA)

    def _rows(self) -> Iterator[dict[str, Any]]:
        for position, one in enumerate(self.taken):
            row = {"position": position, "time": one.time.replace(tzinfo=None)}
            row |= {"variable": one.variable}
            if not one.reasons:
                yield row
            for reason in one.reasons:
                values = ", ".join(f"{n} = {as_written(v)}" for n, v in reason.values.items())
                yield row | {"condition": reason.text, "holds": reason.holds, "values": values}


def taken_lines(taken: Sequence[Taken]) -> Iterator[str]:
    """Events with their reasons, a line for each reason, aligned."""
    width = max((len(one.variable) for one in taken), default=0)
    for one in taken:
        reasons = [str(reason) for reason in one.reasons] or ["any event"]
        begin = f"  {one.time.isoformat(' ')}  {one.variable:<{width}}  "
        yield begin + reasons[0]
        yield from (" " * len(begin) + reason for reason in reasons[1:])


def why(source: PatternMatches, index: int, key: Any) -> Why:
    """Why match `index` of these is one."""
    pattern, batch = source.pattern, pick(source.batch, np.array([index]))
    rows: Any = pa.array(batch.row)
    events: Any = batch.events.take(rows)
    found = _reasons(pattern, batch, events)
    names = [batch.variables[number] for number in batch.variable.tolist()]
    times = source.times(batch.event_time_us[batch.row]).to_pylist()
    steps = zip(times, names, events.to_pylist(), strict=True)
    taken = [
        Taken(time, name, event, tuple(reasons[place] for reasons in found.get(name, ())))
        for place, (time, name, event) in enumerate(steps)
    ]
    within = None if pattern.within_us is None else timedelta(microseconds=pattern.within_us)
    return Why(pattern.name, key, within, tuple(taken), tuple(_absent(pattern)))


def _reasons(pattern: Pattern, one: MatchBatch, events: pa.Table) -> dict[str, list[list[Reason]]]:
    """For each variable and each part of its condition a reason for every event of the match."""
    from cep.engine.columns.measures import evaluate_at

    before, size, known = _before_each(one), len(one.row), set(events.schema.names)

    def evaluated(expression: Expression) -> list[Any]:
        values: list[Any] = evaluate_at(before, events, expression).to_pylist()
        return values

    found: dict[str, list[list[Reason]]] = {}
    for definition in pattern.definitions:
        parts = [] if definition.condition is None else conjuncts(definition.condition)
        reasons = [
            reasons_of(part, evaluated, size)
            if _fields_of(part) <= known
            else [Reason(print_expression(part), None, {})] * size
            for part in parts
        ]
        if definition.stream is not None:
            reasons.insert(0, [Reason(f"from {definition.stream}", True, {})] * size)
        found[definition.variable] = reasons
    return found


def reasons_of(
    part: Expression, evaluated: Callable[[Expression], Sequence[Any]], size: int
) -> list[Reason]:
    """What a part of a condition says of so many events, of which `evaluated` gives the values."""
    text = print_expression(part)
    leaves = {print_expression(leaf): evaluated(leaf) for leaf in _leaves(part)}
    return [
        Reason(text, bool(holds), {name: values[at] for name, values in leaves.items()})
        for at, holds in enumerate(evaluated(part))
    ]


def _before_each(one: MatchBatch) -> MatchBatch:
    """For each event of a match the events that it had taken before, as a match of its own."""
    size = len(one.row)
    places = np.concatenate([np.arange(taken) for taken in range(size)])
    return replace(
        one,
        offsets=np.cumsum(np.arange(size + 1)) - np.arange(size + 1),
        variable=one.variable[places],
        row=one.row[places],
        at_us=np.zeros(size, np.int64),
    )


def _leaves(expression: Expression) -> Iterator[Expression]:
    """What it reads: fields of the event, and what it knows of earlier ones."""
    if isinstance(expression, Field | Captured):
        yield expression
        return
    for child in children(expression):
        yield from _leaves(child)


def _fields_of(expression: Expression) -> set[str]:
    return {node.name for node in walk(expression) if isinstance(node, Field)}


def _absent(pattern: Pattern) -> Iterator[str]:
    definitions = {definition.variable: definition for definition in pattern.definitions}
    for variable in variables(pattern.steps, negated=True):
        if isinstance(variable, Negation):
            condition = _condition(definitions.get(variable.name))
            yield f"not {variable.name}: no event with {condition} where it stands"
    if pattern.unless is not None:
        yield f"unless: no event with {print_expression(pattern.unless)} in between"


def _condition(definition: Definition | None) -> str:
    if definition is None or definition.condition is None:
        return "any values"
    return print_expression(definition.condition)
