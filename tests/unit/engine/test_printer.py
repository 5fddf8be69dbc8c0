"""The canonical text of the algebra, and the law that it parses to an equal algebra."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from cep.dsl import parse_expression, parse_rules
from cep.dsl.parser import grammar
from cep.engine.algebra.expression import (
    Binary,
    Captured,
    DataType,
    Expression,
    Field,
    Literal,
    Unary,
)
from cep.engine.algebra.pattern import (
    Alternation,
    Contiguity,
    Definition,
    Group,
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
from cep.engine.algebra.plan import RuleSet
from cep.engine.algebra.printer import (
    NO_VARIABLES,
    RESERVED,
    print_duration,
    print_expression,
    print_name,
    print_text,
)
from tests.strategies import expressions, patterns

X, Y, Z = Field("x"), Field("y"), Field("z")


@settings(max_examples=150, derandomize=True, deadline=None)
@given(patterns())
def test_a_printed_pattern_parses_to_an_equal_pattern(pattern: Pattern) -> None:
    assert parse_rules(str(pattern))[0].patterns == (pattern,)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(expressions())
def test_a_printed_expression_parses_to_an_equal_expression(expression: Expression) -> None:
    assert parse_expression(print_expression(expression)) == expression


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (Binary("-", X, Binary("-", Y, Z)), "x - (y - z)"),
        (Binary("-", Binary("-", X, Y), Z), "x - y - z"),
        (Binary("*", Binary("+", X, Y), Z), "(x + y) * z"),
        (Binary("and", Binary("or", X, Y), Z), "(x or y) and z"),
        (Binary("or", X, Binary("and", Y, Z)), "x or y and z"),
        (Binary("or", X, Binary("or", Y, Z)), "x or (y or z)"),
        (Unary("not", Binary("=", X, Y)), "not x = y"),
        (Binary("=", Unary("not", X), Y), "(not x) = y"),
        (Binary("=", X, Binary("=", Y, Z)), "x = (y = z)"),
        (Literal(-5), "-5"),
        (Unary("-", Literal(5)), "-(5)"),
        (Unary("-", Literal(-5)), "-(-5)"),
        (Unary("-", Unary("-", X)), "-(-x)"),
        (Binary("-", X, Literal(-5)), "x - -5"),
        (Literal(-(2**63)), "-9223372036854775808"),
        (Literal(0.1), "0.1"),
        (Literal(1e300), "1e+300"),
        (Literal(5, DataType.DURATION), "5 microseconds"),
        (Literal(-90_000_000, DataType.DURATION), "-1 minute 30 seconds"),
        (Literal(0, DataType.TIMESTAMP), "timestamp '1970-01-01 00:00:00'"),
        (Literal("it's"), "'it''s'"),
        (Literal("two\nlines"), "e'two\\nlines'"),
        (Field("select"), '"select"'),
        (Field("time"), "time"),
        (Captured("last", "a", X), "a.x"),
        (Captured("last", "a", Binary("+", X, Y)), "last(a.x + a.y)"),
        (Captured("last", None, X), "prev(x)"),
        (Captured("count", None, None), "count(*)"),
        (Captured("count", "two words", None), 'count("two words")'),
    ],
)
def test_an_expression_is_printed_with_the_brackets_it_needs(
    expression: Expression, text: str
) -> None:
    assert print_expression(expression) == text
    assert parse_expression(text) == expression


def sequence_text(*steps: Step) -> str:
    text = str(Pattern("p", steps))
    return text.removeprefix("pattern p\n  match ").removesuffix(";")


A, B = Variable("a"), Variable("b")
MAYBE = Quantifier(optional=True)
EITHER = Alternation(((Step(A),), (Step(B),)))


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ((Step(A), Step(B)), "a b"),
        ((Step(A), Step(B, Contiguity.ANY)), "a ->> b"),
        ((Step(A), Step(B, within_us=1_000_000)), "a next within 1 second b"),
        (
            (Step(A), Step(B, Contiguity.RELAXED, within_us=30_000_000)),
            "a -> within 30 seconds b",
        ),
        ((Step(A, quantifier=Quantifier(1, None, optional=True, greedy=False)),), "a*?"),
        ((Step(A, quantifier=Quantifier(2, 4, optional=True)),), "a{2,4} optional"),
        ((Step(A, quantifier=Quantifier(2, 4, optional=True, greedy=False)),), "a{2,4}? optional"),
        ((Step(A, quantifier=Quantifier(2, 2, optional=True, greedy=False)),), "a{2}? optional"),
        ((Step(A, quantifier=Quantifier(1, 3, optional=True)),), "a{0,3}"),
        (
            (Step(A, quantifier=Quantifier(3, None, optional=True, inner=Contiguity.STRICT)),),
            "a{3,} optional consecutive",
        ),
        (
            (Step(Group((Step(A, quantifier=Quantifier(2, 4)),)), quantifier=MAYBE),),
            "(a{2,4})?",
        ),
        ((Step(Group((Step(A),)), quantifier=Quantifier(1, None)),), "(a)+"),
        ((Step(EITHER, quantifier=Quantifier(1, None)),), "(a | b)+"),
        ((Step(Group((Step(EITHER), Step(B)))), Step(B)), "((a | b) b) b"),
        (
            (Step(A, quantifier=Quantifier(3, None, inner=Contiguity.STRICT, gap_us=2_000)),),
            "a{3,} consecutive gap 2 ms",
        ),
        (
            (Step(A, quantifier=Quantifier(1, None, greedy=False, inner=Contiguity.ANY)),),
            "a+ combinations",
        ),
        (
            (Step(A, quantifier=Quantifier(2, None, optional=True, inner=Contiguity.ANY)),),
            "a{2,} optional greedy combinations",
        ),
        ((Step(A, quantifier=Quantifier(3, 3, inner=Contiguity.ANY)),), "a{3} combinations"),
        ((Step(A), Step(Group((Step(B), Step(Variable("c")))))), "a (b c)"),
        ((Step(Variable("from")), Step(Variable("Match"))), '"from" "Match"'),
    ],
)
def test_a_sequence_is_printed_in_one_way(steps: tuple[Step, ...], text: str) -> None:
    assert sequence_text(*steps) == text


def test_a_condition_that_is_named_like_a_stream_is_printed_in_brackets() -> None:
    pattern = Pattern(
        "p",
        (Step(A), Step(B)),
        (Definition("a", Field("flagged")), Definition("b", stream="flagged")),
        streams=("flagged",),
        skip=Skip(SkipStrategy.TO_FIRST, "b"),
    )
    assert str(pattern) == (
        "pattern p\n"
        "  from flagged\n"
        "  match a b\n"
        "  define a as (flagged),\n"
        "         b as flagged\n"
        "  after match skip to first b;"
    )
    assert parse_rules(str(pattern))[0].patterns == (pattern,)


def test_a_stream_is_printed_with_its_unit_of_time_and_its_lateness() -> None:
    fields = (StreamField("two words", DataType.TEXT), StreamField("at", DataType.INTEGER))
    stream = Stream("s", fields, time="at", time_unit="ns", lateness_us=1_500_000)
    assert str(stream) == (
        'stream s (\n  "two words" text,\n  at int\n)'
        " time at in nanoseconds lateness 1 second 500 ms;"
    )
    assert parse_rules(str(stream))[0] == RuleSet((stream,))


def test_a_duration_is_printed_in_the_largest_units() -> None:
    assert print_duration(0) == "0 seconds"
    assert print_duration(5_400_000_000) == "1 hour 30 minutes"
    assert print_duration(28 * 86_400_000_000) == "28 days"
    assert print_duration(1_000) == "1 ms"
    assert print_duration(1) == "1 microsecond"


def test_names_and_texts_are_quoted_where_they_have_to_be() -> None:
    assert print_name("Größe_2") == "Größe_2"
    assert print_name('say "hi"') == '"say ""hi"""'
    assert print_name("Within") == '"Within"'
    assert print_text("tab\tquote'\\") == "e'tab\\tquote''\\\\'"


def test_every_keyword_is_a_name_when_it_is_printed() -> None:
    for word in [*sorted(grammar().keywords), *sorted(NO_VARIABLES)]:
        steps = (Step(A), Step(Variable(word)), Step(Variable(f"{word}_"), Contiguity.RELAXED))
        condition = Binary("=", Binary("+", Field(word), Literal(5)), Captured("last", word, Y))
        pattern = Pattern(
            word,
            steps,
            (Definition("a", stream=word), Definition(word, condition), Definition(f"{word}_")),
            streams=(word, "s"),
            key=(word, "k"),
            skip=Skip(SkipStrategy.TO_FIRST, word),
            select=(Output(word, Field(word)), Output("n", Captured("count", word, None))),
        )
        stream = Stream("s", (StreamField(word, DataType.TEXT),), time=word)
        assert parse_rules(str(pattern))[0].patterns == (pattern,), word
        assert parse_rules(str(stream))[0].streams == (stream,), word
    assert RESERVED < NO_VARIABLES
