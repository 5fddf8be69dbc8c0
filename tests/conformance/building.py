"""A case -> the pattern and the stream of the algebra that it stands for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from cep.engine.algebra.expression import Binary, Captured, DataType, Expression, Field, Literal
from cep.engine.algebra.normalise import normalise_steps
from cep.engine.algebra.pattern import (
    Contiguity,
    Definition,
    Group,
    Negation,
    Output,
    Pattern,
    Quantifier,
    Skip,
    SkipStrategy,
    Step,
    Stream,
    StreamField,
    Variable,
)
from tests.conformance.conditions import Translation
from tests.conformance.loading import Case, Stage

MS_US = 1_000
LINKS = {
    None: Contiguity.STRICT,
    "next": Contiguity.STRICT,
    "not_next": Contiguity.STRICT,
    "followed_by": Contiguity.RELAXED,
    "not_followed_by": Contiguity.RELAXED,
    "followed_by_any": Contiguity.ANY,
}
SKIPS = {
    "no_skip": SkipStrategy.NO_SKIP,
    "to_next": SkipStrategy.TO_NEXT_ROW,
    "past_last": SkipStrategy.PAST_LAST_EVENT,
    "to_first": SkipStrategy.TO_FIRST,
    "to_last": SkipStrategy.TO_LAST,
}
TAKEN = Output("taken", Captured("count", None, None))
TYPES = {bool: DataType.BOOLEAN, int: DataType.INTEGER, float: DataType.FLOAT, str: DataType.TEXT}


def stream_of(case: Case) -> Stream:
    """The stream of a case's events; a field that holds int and float is a float."""
    types: dict[str, set[type]] = {}
    for event in case.events():
        for name, value in event.items():
            types.setdefault(name, set()).add(type(value))
    fields = tuple(StreamField(name, _field_type(kinds)) for name, kinds in types.items())
    return Stream("events", fields, time="ts", time_unit="ms")


def _field_type(kinds: set[type]) -> DataType:
    kinds = kinds - {type(None)}
    if kinds == {int, float}:
        return DataType.FLOAT
    (kind,) = kinds
    return TYPES[kind]


def translation_of(case: Case) -> Translation:
    stream = stream_of(case)
    present = [set(event) for event in case.events()]
    return Translation(
        frozenset(f.name for f in stream.fields if not all(f.name in names for names in present)),
        frozenset(f.name for f in stream.fields if f.type is DataType.INTEGER),
    )


def build_pattern(case: Case) -> Pattern:
    """The case's pattern, in canonical form, unbound."""
    translation = translation_of(case)
    skip = case.data["skip"] or {"strategy": "no_skip", "var": None}
    return Pattern(
        name="case",
        steps=normalise_steps(_steps(case, case.stages, translation)),
        definitions=tuple(definitions(case.stages, translation)),
        streams=("events",),
        key=(case.data["key"],) if case.data["key"] else (),
        within_us=within_us(case),
        skip=Skip(SKIPS[skip["strategy"]], skip["var"]),
        timeout_select=(TAKEN,),  # without this clause timed-out runs are not reported
    )


def definitions(stages: Sequence[Stage], translation: Translation) -> Iterator[Definition]:
    for stage in stages:
        if stage.get("group"):
            yield from definitions(stage["group"], translation)
        else:
            condition = _condition(stage, translation)
            if condition is not None:
                yield Definition(stage["name"], condition)


def _condition(stage: Stage, translation: Translation) -> Expression | None:
    """Every event is an Event; a stage may ask for another type."""
    where = translation.condition(stage["where"]) if stage["where"] else None
    if stage["type"] in (None, "Event"):
        return where
    is_type = Binary("=", Field("type"), Literal(stage["type"]))
    return is_type if where is None else Binary("and", is_type, where)


def within_us(case: Case) -> int | None:
    """The smallest of all bounds on last minus first; a stage may carry one as well."""
    bounds = [case.data["within_ms"]]
    if not between_events(case):
        bounds += [stage.get("within_ms") for stage in case.stages]
    return min((ms * MS_US for ms in bounds if ms), default=None)


def between_events(case: Case) -> bool:
    return bool(case.data["within_scope"] == "previous_current")


def _steps(case: Case, stages: Sequence[Stage], translation: Translation) -> tuple[Step, ...]:
    return tuple(_step(case, stage, translation) for stage in stages)


def _group(case: Case, stage: Stage, translation: Translation) -> Group:
    """In Flink the first variable of a group repeats as the group does: here it is written out."""
    first, *others = _steps(case, stage["group"], translation)
    if not isinstance(first.element, Group):
        inner = quantifier(stage).inner
        first = replace(first, quantifier=replace(first.quantifier, inner=inner))
    return Group((first, *others))


def _step(case: Case, stage: Stage, translation: Translation) -> Step:
    negative = str(stage["contiguity"]).startswith("not_")
    if stage.get("group"):
        element: Any = _group(case, stage, translation)
    else:
        element = Negation(stage["name"]) if negative else Variable(stage["name"])
    bound_ms = link_bound_ms(case, stage)
    until = stage.get("until")
    return Step(
        element,
        LINKS[stage["contiguity"]],
        quantifier(stage),
        within_us=None if bound_ms is None else bound_ms * MS_US,
        until=translation.condition(until) if until else None,
    )


def link_bound_ms(case: Case, stage: Stage) -> int | None:
    """The bound on one link; in Flink that is a window on a stage which is taken once."""
    if not between_events(case):
        return None
    bound = stage.get("within_ms")
    return int(bound) if bound and not quantifier(stage).repeats else None


def quantifier(stage: Stage) -> Quantifier:
    given = stage.get("quantifier") or {}
    low, high = given.get("min", 1), given.get("max", 1)
    gap = given.get("window_ms")
    return Quantifier(
        minimum=max(1, low),
        maximum=high,
        optional=bool(given.get("optional")) or low == 0,
        greedy=bool(given.get("greedy")),
        inner=LINKS[given.get("inner") or "followed_by"],
        gap_us=gap * MS_US if gap else None,
    )
