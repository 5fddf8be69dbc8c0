"""Hypothesis strategies: random valid patterns over events with the fields `name` and `price`."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from cep.engine.algebra.errors import Problem
from cep.engine.algebra.expression import (
    Between,
    Binary,
    Call,
    Captured,
    Case,
    Cast,
    DataType,
    Expression,
    Field,
    InList,
    IsNull,
    Like,
    Literal,
    Unary,
)
from cep.engine.algebra.normalise import normalise_quantifier, normalise_steps
from cep.engine.algebra.pattern import (
    ONE,
    Alternation,
    Contiguity,
    Definition,
    Group,
    Negation,
    Pattern,
    Permutation,
    Quantifier,
    Skip,
    SkipStrategy,
    Step,
    Variable,
    WithinScope,
    variables,
)
from cep.engine.algebra.validation import validate_pattern

SECOND_US = 1_000_000
NAMES = ("a", "b", "c", "d", "e", "f")

# ---- conditions


def event_conditions() -> SearchStrategy[Expression]:
    """Conditions on the event under test alone; comparisons of `name` and `price`."""
    texts = st.sampled_from("abcd").map(Literal)
    numbers = st.integers(0, 9).map(Literal)
    equals = st.builds(Binary, st.sampled_from(("=", "<>")), st.just(Field("name")), texts)
    compares = st.builds(
        Binary, st.sampled_from(("<", "<=", ">", ">=")), st.just(Field("price")), numbers
    )
    between = st.builds(Between, st.just(Field("price")), numbers, numbers)
    listed = st.lists(texts, min_size=1, max_size=3).map(tuple)
    in_list = st.builds(InList, st.just(Field("name")), listed, st.booleans())
    is_null = st.builds(IsNull, st.just(Field("price")), st.booleans())
    simple = st.one_of(equals, equals, compares, between, in_list, is_null)
    return st.recursive(
        simple,
        lambda inner: st.one_of(
            st.builds(Binary, st.sampled_from(("and", "or")), inner, inner),
            st.builds(Unary, st.just("not"), inner),
        ),
        max_leaves=3,
    )


def run_conditions(names: tuple[str, ...]) -> SearchStrategy[Expression]:
    """Comparisons of the event's price with what these variables have taken."""
    functions = st.sampled_from(("first", "last", "sum", "min", "max", "avg"))
    price = st.just(Field("price"))
    captured = st.builds(Captured, functions, st.sampled_from(names), price)
    counted = st.builds(Captured, st.just("count"), st.sampled_from(names), st.none())
    operators = st.sampled_from(("<", "<=", ">", ">=", "=", "<>"))
    return st.one_of(
        st.builds(Binary, operators, price, captured),
        st.builds(Binary, operators, counted, st.integers(0, 4).map(Literal)),
    )


# ---- sequences


@st.composite
def quantifiers(draw: DrawFn) -> Quantifier:
    low = draw(st.integers(1, 3))
    high = draw(st.one_of(st.none(), st.integers(low, 4)))
    quantifier = Quantifier(
        minimum=low,
        maximum=high,
        optional=draw(st.booleans()),
        greedy=draw(st.booleans()),
        inner=draw(st.sampled_from(Contiguity)),
        gap_us=draw(st.sampled_from((None, None, None, 2 * SECOND_US))),
    )
    return normalise_quantifier(quantifier)


@st.composite
def _single(draw: DrawFn, name: str) -> Step:
    quantifier = draw(st.one_of(st.just(ONE), quantifiers()))
    until = None
    if quantifier.repeats and draw(st.integers(0, 4)) == 0:
        until = draw(event_conditions())
    return Step(Variable(name), quantifier=quantifier, until=until)


@st.composite
def _steps(draw: DrawFn, names: tuple[str, ...], depth: int) -> tuple[Step, ...]:
    """A sequence that uses each of the names once."""
    steps: list[Step] = []
    rest = list(names)
    while rest:
        taken = draw(st.integers(2, len(rest))) if len(rest) > 1 and depth else 1
        kind = draw(st.sampled_from(("single", "single", "group", "either", "permute")))
        if kind == "group" and taken < 2:
            step = Step(Group((draw(_single(rest.pop(0))),)), quantifier=draw(quantifiers()))
        elif kind == "single" or taken < 2:
            step = draw(_single(rest.pop(0)))
        else:
            part, rest = tuple(rest[:taken]), rest[taken:]
            step = draw(_compound(part, kind, depth - 1))
        steps.append(replace(step, contiguity=draw(st.sampled_from(Contiguity))))
    return tuple(steps)


@st.composite
def _compound(draw: DrawFn, names: tuple[str, ...], kind: str, depth: int) -> Step:
    quantifier = draw(st.one_of(st.just(ONE), quantifiers()))
    cut = draw(st.integers(1, len(names) - 1))
    if kind == "either":
        branches = (draw(_steps(names[:cut], depth)), draw(_steps(names[cut:], depth)))
        required = tuple((_required(branch[0]), *branch[1:]) for branch in branches)
        return Step(Alternation(required), quantifier=quantifier)
    if kind == "permute":
        inner = draw(st.sampled_from(Contiguity))
        elements = tuple(_required(draw(_single(name))) for name in names)
        return Step(Permutation(elements, inner), quantifier=quantifier)
    return Step(Group(draw(_steps(names, depth))), quantifier=quantifier)


def _required(step: Step) -> Step:
    """The step, made to take at least one event: no branch of `|` may be empty."""
    quantifier = normalise_quantifier(replace(step.quantifier, optional=False))
    element = step.element
    match element:
        case Group((first, *rest)):
            element = Group((_required(first), *rest))
        case Permutation((first, *rest), inner):
            element = Permutation((_required(first), *rest), inner)
    until = step.until if quantifier.repeats else None
    return replace(step, element=element, quantifier=quantifier, until=until)


@st.composite
def sequences(draw: DrawFn, negations: bool = True) -> tuple[Step, ...]:
    """Canonical steps of one to five variables, with negations in between and behind."""
    names = NAMES[: draw(st.integers(1, 5))]
    steps = list(draw(_steps(names, draw(st.integers(0, 2)))))
    if negations and draw(st.booleans()):
        position = draw(st.integers(1, len(steps)))
        link = draw(st.sampled_from((Contiguity.STRICT, Contiguity.RELAXED)))
        steps.insert(position, Step(Negation("n"), link))
    bounded = [_bounded(step, draw(st.integers(0, 9))) for step in steps[1:]]
    return normalise_steps((steps[0], *bounded))


def _bounded(step: Step, lot: int) -> Step:
    return replace(step, within_us=3 * SECOND_US) if lot == 0 else step


# ---- patterns


def errors_of(pattern: Pattern) -> list[Problem]:
    return [problem for problem in validate_pattern(pattern) if not problem.warning]


@st.composite
def _definitions(draw: DrawFn, steps: tuple[Step, ...]) -> tuple[Definition, ...]:
    definitions, captured = [], tuple(variable.name for variable in variables(steps))
    for variable in variables(steps, negated=True):
        if draw(st.integers(0, 9)) == 0:
            continue
        condition = draw(event_conditions())
        if draw(st.integers(0, 3)) == 0:
            condition = Binary("and", condition, draw(run_conditions(captured)))
        definitions.append(Definition(variable.name, condition))
    return tuple(definitions)


@st.composite
def skips(draw: DrawFn, captured: tuple[str, ...]) -> Skip:
    strategy = draw(st.sampled_from(SkipStrategy))
    if strategy in (SkipStrategy.TO_FIRST, SkipStrategy.TO_LAST):
        return Skip(strategy, draw(st.sampled_from(captured)))
    return Skip(strategy)


@st.composite
def patterns(draw: DrawFn, negations: bool = True) -> Pattern:
    """Patterns that `validate_pattern` has no errors for, of every operator of the language."""
    steps = draw(sequences(negations=negations))
    captured = tuple(variable.name for variable in variables(steps))
    pattern = Pattern(
        name="p",
        steps=steps,
        definitions=draw(_definitions(steps)),
        longest=draw(st.integers(0, 9)) == 0,
        within_us=draw(st.one_of(st.none(), st.integers(1, 10).map(lambda n: n * SECOND_US))),
        unless=draw(st.one_of(st.none(), st.none(), event_conditions())),
        skip=draw(skips(captured)),
    )
    if pattern.within_us is not None and draw(st.integers(0, 3)) == 0:
        pattern = replace(pattern, within_scope=WithinScope.BETWEEN_EVENTS)
    if errors_of(pattern):
        pattern = replace(pattern, within_us=5 * SECOND_US)
    return pattern if not errors_of(pattern) else _without_negations(pattern)


def _without_negations(pattern: Pattern) -> Pattern:
    kept = tuple(step for step in pattern.steps if not isinstance(step.element, Negation))
    defined = tuple(d for d in pattern.definitions if d.variable != "n")
    return replace(pattern, steps=normalise_steps(kept), definitions=defined)


# ---- expressions of every kind

ODD_NAMES = ("x", "price", "select", "two words", 'a "b"', "not", "time", "Größe", "true", "next")


def literals() -> SearchStrategy[Literal]:
    int64 = st.integers(-(2**63), 2**63 - 1)
    times = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)
    return st.one_of(
        st.none().map(Literal),
        st.booleans().map(Literal),
        int64.map(Literal),
        st.floats(allow_nan=False, allow_infinity=False).map(Literal),
        st.text(max_size=8).map(Literal),
        st.integers(-(2**63) + 1, 2**63 - 1).map(lambda us: Literal(us, DataType.DURATION)),
        times.map(lambda us: Literal(us, DataType.TIMESTAMP)),
    )


def _leaves() -> SearchStrategy[Expression]:
    names = st.sampled_from(ODD_NAMES)
    fields = names.map(Field)
    functions = st.sampled_from(("first", "sum", "avg", "min", "max", "stddev", "count"))
    products = st.builds(Binary, st.just("*"), fields, fields)
    return st.one_of(
        literals(),
        fields,
        st.builds(Captured, st.just("last"), st.one_of(st.none(), names), fields),
        st.builds(Captured, functions, names, st.one_of(fields, products)),
        st.builds(Captured, st.just("count"), st.one_of(st.none(), names), st.none()),
    )


def expressions() -> SearchStrategy[Expression]:
    """Expressions of every kind, well formed but of no sensible type."""
    operators = ["and", "or", "=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "||"]

    def above(inner: SearchStrategy[Expression]) -> SearchStrategy[Expression]:
        some = st.lists(inner, min_size=1, max_size=3).map(tuple)
        branches = st.lists(st.tuples(inner, inner), min_size=1, max_size=2).map(tuple)
        return st.one_of(
            st.builds(Binary, st.sampled_from(operators), inner, inner),
            st.builds(Unary, st.sampled_from(("not", "-")), inner),
            st.builds(IsNull, inner, st.booleans()),
            st.builds(InList, inner, some, st.booleans()),
            st.builds(Between, inner, inner, inner, st.booleans()),
            st.builds(Like, inner, st.text(max_size=5), st.booleans()),
            st.builds(Case, branches, st.one_of(st.none(), inner)),
            st.builds(Cast, inner, st.sampled_from([t for t in DataType if t.value != "null"])),
            st.builds(Call, st.sampled_from(("upper", "coalesce", "abs")), some),
        )

    return st.recursive(_leaves(), above, max_leaves=8)
