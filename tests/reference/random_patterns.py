"""Hypothesis strategies: small patterns of every operator, and event streams that they match.

Patterns are in canonical form and free of errors; they may have warnings.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from cep.engine.algebra.expression import (
    Binary,
    Call,
    Captured,
    DataType,
    Expression,
    Field,
    InList,
    Literal,
)
from cep.engine.algebra.normalise import normalise_steps
from cep.engine.algebra.pattern import (
    Alternation,
    Contiguity,
    Definition,
    Group,
    Negation,
    Output,
    Pattern,
    Permutation,
    Quantifier,
    Skip,
    SkipStrategy,
    Step,
    Stream,
    StreamField,
    Variable,
    WithinScope,
    variables,
)
from cep.engine.algebra.validation import validate_pattern

STREAM = Stream(
    "events",
    (
        StreamField("id", DataType.INTEGER),
        StreamField("ts", DataType.INTEGER),
        StreamField("name", DataType.TEXT),
        StreamField("price", DataType.INTEGER),
        StreamField("k", DataType.TEXT),
    ),
    time="ts",
    time_unit="ms",
)
MS_US = 1_000
LETTERS = "abcd"
LINKS = st.sampled_from([Contiguity.STRICT, Contiguity.RELAXED, Contiguity.RELAXED, Contiguity.ANY])
TAKEN = Output("taken", Captured("count", None, None))


@st.composite
def event_streams(draw: DrawFn, most: int = 9) -> list[dict[str, Any]]:
    """Events ordered by time in ms, some at the same time; prices 1 to 4 or NULL, keys x and y."""
    events, ts = [], 0
    for number in range(draw(st.integers(0, most))):
        ts += draw(st.sampled_from([0, 1, 1, 2, 5]))
        name = draw(st.sampled_from(LETTERS))
        price = draw(st.sampled_from([1, 2, 3, 4, None]))
        key = draw(st.sampled_from("xxy"))
        events.append({"id": number, "ts": ts, "name": name, "price": price, "k": key})
    return events


class _Names:
    """Names for variables, one after the other; which of them capture."""

    def __init__(self) -> None:
        self.count = 0
        self.definitions: list[Definition] = []
        self.capturing: list[str] = []

    def next(self) -> str:
        self.count += 1
        return f"v{self.count}"


@st.composite
def patterns(draw: DrawFn, *, plain: bool = False) -> Pattern:
    """Any valid pattern of up to about six variables; `plain`: without alternation and permute."""
    names = _Names()
    kinds = ["variable"] * 4 + ["group"]
    kinds += [] if plain else ["alternation", "alternation", "permutation"]
    steps = normalise_steps(draw(_sequences(names, kinds, depth=2, outermost=True)))
    within = draw(st.sampled_from([None, 3, 5, 8]))
    ends_open = isinstance(steps[-1].element, Negation)
    if ends_open and within is None and steps[-1].within_us is None:
        within = 5
    scope = draw(st.sampled_from([WithinScope.FIRST_LAST] * 3 + [WithinScope.BETWEEN_EVENTS]))
    pattern = Pattern(
        "random",
        steps,
        tuple(names.definitions),
        streams=("events",),
        key=draw(st.sampled_from([(), (), ("k",)])),
        longest=draw(st.sampled_from([False] * 5 + [True])),
        within_us=None if within is None else within * MS_US,
        within_scope=WithinScope.FIRST_LAST if within is None else scope,
        unless=draw(st.none() | st.none() | _conditions(names, None)),
        skip=draw(_skips([v.name for v in variables(steps)])),
        timeout_select=(TAKEN,),
    )
    errors = [problem for problem in validate_pattern(pattern) if not problem.warning]
    if errors:  # a repaired pattern rather than a rejected draw
        return draw(patterns(plain=plain))
    return pattern


def _skips(captured: list[str]) -> SearchStrategy[Skip]:
    to_variable = [
        Skip(s, v) for s in (SkipStrategy.TO_FIRST, SkipStrategy.TO_LAST) for v in captured
    ]
    others = (SkipStrategy.NO_SKIP, SkipStrategy.NO_SKIP, SkipStrategy.PAST_LAST_EVENT)
    simple = [Skip(s) for s in (*others, SkipStrategy.TO_NEXT_ROW)]
    return st.sampled_from([*simple, *simple, *to_variable])


@st.composite
def _sequences(
    draw: DrawFn, names: _Names, kinds: list[str], depth: int, *, outermost: bool = False
) -> tuple[Step, ...]:
    steps: list[Step] = []
    for position in range(draw(st.integers(1, 3 if outermost else 2))):
        negate = position and draw(st.integers(0, 5)) == 0
        if negate and not steps[-1].quantifier.optional:
            steps.append(draw(_negations(names)))
        else:
            steps.append(draw(_steps(names, kinds, depth)))
    if isinstance(steps[-1].element, Negation) and not outermost:
        steps.append(draw(_steps(names, kinds, depth)))
    return tuple(steps)


@st.composite
def _negations(draw: DrawFn, names: _Names) -> Step:
    name = names.next()
    names.definitions.append(Definition(name, draw(_conditions(names, None))))
    link = draw(st.sampled_from([Contiguity.STRICT, Contiguity.RELAXED, Contiguity.RELAXED]))
    return Step(Negation(name), link)


@st.composite
def _steps(draw: DrawFn, names: _Names, kinds: list[str], depth: int) -> Step:
    kind = draw(st.sampled_from(kinds)) if depth else "variable"
    link = draw(LINKS)
    quantifier = draw(_quantifiers())
    within_us = draw(st.sampled_from([None] * 9 + [2 * MS_US]))
    if link is Contiguity.STRICT:
        within_us = None
    element: Any
    if kind == "group":
        element = Group(draw(_sequences(names, kinds, depth - 1)))
    elif kind == "alternation":
        branches = [draw(_sequences(names, kinds, depth - 1)) for _ in range(2)]
        element = Alternation(tuple(branches))
    elif kind == "permutation":
        steps = [draw(_steps(names, ["variable"], 0)) for _ in range(draw(st.integers(2, 3)))]
        element = Permutation(tuple(_alone(step) for step in steps), draw(LINKS))
    else:
        element = draw(_variables(names))
    until = None
    if quantifier.repeats and draw(st.integers(0, 6)) == 0:
        until = draw(_conditions(names, None))
    return Step(element, link, quantifier, within_us, until)


def _alone(step: Step) -> Step:
    return Step(step.element, Contiguity.STRICT, step.quantifier, None, step.until)


@st.composite
def _variables(draw: DrawFn, names: _Names) -> Variable:
    name = names.next()
    names.definitions.append(Definition(name, draw(_conditions(names, name))))
    names.capturing.append(name)
    return Variable(name)


@st.composite
def _quantifiers(draw: DrawFn) -> Quantifier:
    if draw(st.integers(0, 2)):
        return Quantifier()
    low, high = draw(st.sampled_from([(1, 1), (1, None), (1, None), (2, None), (2, 2), (1, 3)]))
    gap_us = draw(st.sampled_from([None] * 6 + [2 * MS_US])) if high != 1 else None
    return Quantifier(
        low,
        high,
        optional=draw(st.booleans()) if high != 1 else True,
        greedy=draw(st.booleans()),
        inner=draw(LINKS),
        gap_us=gap_us,
    )


@st.composite
def _conditions(draw: DrawFn, names: _Names, own: str | None) -> Expression:
    """A letter or two, often with a condition on what some variable has taken."""
    letters = draw(st.lists(st.sampled_from(LETTERS), min_size=1, max_size=2, unique=True))
    if len(letters) == 1:
        condition: Expression = Binary("=", Field("name"), Literal(letters[0]))
    else:
        condition = InList(Field("name"), tuple(map(Literal, letters)))
    known = [*names.capturing, *([own] if own else [])]
    if not known or draw(st.integers(0, 2)):
        return condition
    variable = draw(st.sampled_from(known))
    price = Field("price")
    more = draw(
        st.sampled_from(
            [
                Binary(">=", price, Captured("last", variable, price)),
                Binary("<>", price, Captured("first", variable, price)),
                Binary("<", Captured("count", variable, None), Literal(2)),
                Binary("<", _total(variable), Literal(6)),
                Binary(">", price, Captured("last", None, price)),
            ]
        )
    )
    return Binary(draw(st.sampled_from(["and", "and", "or"])), condition, more)


def _total(variable: str) -> Expression:
    return Call("coalesce", (Captured("sum", variable, Field("price")), Literal(0)))
