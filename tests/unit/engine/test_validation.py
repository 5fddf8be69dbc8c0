"""Structural checks of patterns built in Python, where no grammar has ruled anything out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from cep.engine.algebra.expression import Binary, Captured, Expression, Field, Literal, Unary
from cep.engine.algebra.pattern import (
    ONE,
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
    Variable,
)
from cep.engine.algebra.validation import validate_pattern
from tests.strategies import patterns

MINUTE_US = 60_000_000
TRUE = Literal(True)
RELAXED = Contiguity.RELAXED
PLUS = Quantifier(1, None)
MAYBE = Quantifier(optional=True)


def step(name: str, quantifier: Quantifier = ONE) -> Step:
    return Step(Variable(name), RELAXED, quantifier)


def no(name: str, contiguity: Contiguity = RELAXED) -> Step:
    return Step(Negation(name), contiguity)


def defined(*names: str, **conditions: Expression) -> tuple[Definition, ...]:
    plain = tuple(Definition(name) for name in names)
    return plain + tuple(Definition(name, value) for name, value in conditions.items())


A, B, C = step("a"), step("b"), step("c")
AB = Pattern("p", (A, B), defined("a", "b"))


def messages(pattern: Pattern, *, warning: bool = False) -> list[str]:
    return [p.message for p in validate_pattern(pattern) if p.warning == warning]


def messages_of_steps(*steps: Step) -> list[str]:
    return messages(Pattern("p", steps, within_us=MINUTE_US))


def test_a_sound_pattern_has_no_problems() -> None:
    assert validate_pattern(AB) == []


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((), "an empty pattern"),
        ((Step(Group(())), B), "a group is empty"),
        ((Step(Alternation(((A,), ()))),), "a branch of '|' is empty"),
        ((Step(Alternation(())),), "an alternation without branches"),
        ((Step(Permutation(())),), "permute() of nothing"),
        ((no("n"), B), "the pattern cannot begin with 'not n'"),
        ((A, Step(Group((no("n"), B)))), "a group cannot begin with 'not n'"),
        ((A, Step(Group((B, no("n")))), C), "a group cannot end with 'not n'"),
        (
            (A, Step(Alternation(((B,), (no("n"), C))))),
            "a branch of '|' cannot begin with 'not n'",
        ),
        ((A, Step(Permutation((B, no("n"))))), "'not n' inside permute"),
        (
            (step("a", MAYBE), no("n"), B),
            "the pattern could begin with 'not n': all before it is optional",
        ),
        ((A, step("b", MAYBE), no("n"), C), "'not n' directly after an optional part"),
        (
            (A, Step(Group((step("b", MAYBE),))), no("n"), C),
            "'not n' directly after an optional part",
        ),
        ((A, Step(Negation("n"), RELAXED, PLUS), B), "'not n' cannot repeat"),
        ((step("a", Quantifier(0, 1)),), "a repetition of at least 0 times"),
        ((step("a", Quantifier(3, 2)),), "a repetition of 3 to 2 times"),
        ((replace(A, until=TRUE),), "'until' after something that does not repeat"),
        ((A, B, A), "variable 'a' stands in the sequence twice"),
        ((A, no("n"), B, no("n"), C), "variable 'n' stands in the sequence twice"),
        (
            (A, Step(Alternation(((B,), (step("c", MAYBE),))))),
            "a branch of '|' that can be empty",
        ),
        (
            (A, Step(Permutation((B, step("c", MAYBE))))),
            "an element of permute that may be left out",
        ),
        (
            (A, Step(Permutation((B, Step(Group((step("c", MAYBE),)), quantifier=PLUS))))),
            "an element of permute that may be left out",
        ),
        (
            (A, replace(B, within_us=0)),
            "'within' of 0 microseconds: nothing can be that close",
        ),
    ],
)
def test_a_sequence_that_makes_no_sense_is_an_error(steps: tuple[Step, ...], message: str) -> None:
    assert messages_of_steps(*steps) == [message]


def test_a_trailing_negation_needs_a_time_limit_unless_it_is_about_the_very_next_event() -> None:
    relaxed = Pattern("p", (A, no("n")))
    assert messages(relaxed) == ["the pattern ends with 'not n' and has no 'within'"]
    assert messages(replace(relaxed, within_us=MINUTE_US)) == []
    assert messages(replace(relaxed, steps=(A, replace(no("n"), within_us=MINUTE_US)))) == []
    assert messages(replace(relaxed, steps=(A, no("n", Contiguity.STRICT)))) == []


def test_a_negation_before_optional_and_repeated_parts_is_fine() -> None:
    assert messages_of_steps(A, no("n"), step("b", MAYBE), step("c", PLUS)) == []


def test_a_variable_may_be_negated_behind_itself() -> None:
    assert messages_of_steps(A, no("a"), B) == []


def test_a_loop_without_end_is_a_warning_unless_something_ends_it() -> None:
    loop = Pattern("p", (step("a", PLUS), B), defined("a", "b"))
    assert messages(loop) == []
    warned = ["'a' repeats without end: its state may grow"]
    assert messages(loop, warning=True) == warned
    assert messages(replace(loop, within_us=MINUTE_US), warning=True) == []
    ended = replace(loop, steps=(replace(loop.steps[0], until=TRUE), B))
    assert messages(ended, warning=True) == []


def test_a_pattern_of_optional_parts_only_is_a_warning() -> None:
    pattern = Pattern("p", (step("a", MAYBE), step("b", MAYBE)), defined("a", "b"))
    assert messages(pattern, warning=True) == ["every part of the pattern is optional"]


def test_a_variable_that_was_never_defined_is_a_warning() -> None:
    pattern = replace(AB, definitions=defined(a=TRUE))
    assert messages(pattern, warning=True) == ["variable 'b' has no definition: it takes any event"]
    assert messages(replace(AB, definitions=defined("b", a=TRUE)), warning=True) == []


def test_a_definition_that_nothing_uses_is_an_error_with_a_suggestion() -> None:
    pattern = Pattern("p", (step("probe"), B), defined("prob", "b"))
    (problem,) = [p for p in validate_pattern(pattern) if not p.warning]
    assert problem.message == "'prob' is defined, but the sequence does not use it"
    assert problem.hint == "did you mean 'probe'?"


def last(variable: str) -> Expression:
    return Binary("=", Field("x"), Captured("last", variable, Field("x")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unless": last("q")}, "no variable 'q' in the pattern"),
        ({"select": (Output("n", last("q")),)}, "no variable 'q' in the pattern"),
        ({"timeout_select": (Output("n", last("q")),)}, "no variable 'q' in the pattern"),
        ({"definitions": defined("a", b=last("q"))}, "no variable 'q' in the pattern"),
        ({"skip": Skip(SkipStrategy.TO_LAST, "q")}, "no variable 'q' in the pattern"),
        ({"skip": Skip(SkipStrategy.TO_FIRST)}, "'skip to first' needs a variable"),
        ({"skip": Skip(SkipStrategy.TO_NEXT_ROW, "a")}, "'skip to next row' takes no variable"),
        ({"select": (Output("n", TRUE), Output("n", TRUE))}, "a second column 'n'"),
        ({"timeout_select": ()}, "an empty list of timeout columns"),
        ({"definitions": defined("a", "b", "a")}, "a second definition of 'a'"),
        ({"streams": ("s", "s")}, "stream 's' is named twice"),
        ({"key": ("k", "k")}, "key field 'k' is named twice"),
        ({"name": ""}, "an empty name"),
        ({"name": "two\nlines"}, "the name 'two\\nlines' has characters that cannot be shown"),
        ({"within_us": -1}, "'within' of -1 microseconds: nothing can be that close"),
        (
            {"definitions": (Definition("a", stream="t"), Definition("b"))},
            "no stream 't' in the 'from' of this pattern",
        ),
        (
            {"unless": Captured("median", "a", Field("x"))},
            "no function 'median' over captured events",
        ),
        ({"unless": Captured("sum", "a", None)}, "sum needs a field to look at"),
        ({"unless": Captured("sum", None, Field("x"))}, "sum over all variables at once"),
        ({"unless": Captured("sum", "a", last("a"))}, "sum(...) around another such call"),
    ],
)
def test_a_name_or_clause_that_makes_no_sense_is_an_error(
    change: dict[str, object], message: str
) -> None:
    assert messages(replace(AB, **change)) == [message]  # type: ignore[arg-type] # fields of it


def test_a_negated_variable_has_no_events_to_look_at_or_to_skip_to() -> None:
    pattern = Pattern(
        "p",
        (A, no("n"), B),
        defined("a", "n", b=last("n")),
        skip=Skip(SkipStrategy.TO_FIRST, "n"),
    )
    assert messages(pattern) == ["'n' is negated: it never takes an event"] * 2


def test_a_condition_on_a_later_variable_is_a_warning() -> None:
    pattern = replace(AB, definitions=defined("b", a=last("b")))
    assert messages(pattern, warning=True) == [
        "'b' comes after 'a': it has no events yet when 'a' is tested"
    ]
    repeated = replace(pattern, steps=(Step(Group((A, B)), quantifier=Quantifier(2, 2)),))
    assert messages(repeated, warning=True) == []
    permuted = replace(pattern, steps=(Step(Permutation((A, B))),))
    assert messages(permuted, warning=True) == []
    either = replace(pattern, steps=(Step(Alternation(((A,), (B,)))),))
    assert len(messages(either, warning=True)) == 1


def test_a_condition_of_a_single_variable_on_its_own_events_is_a_warning() -> None:
    pattern = replace(AB, definitions=defined("b", a=last("a")), within_us=MINUTE_US)
    assert messages(pattern, warning=True) == [
        "'a' does not repeat: it has no earlier events of its own"
    ]
    assert messages(replace(pattern, steps=(step("a", PLUS), B)), warning=True) == []


def test_trees_too_deep_to_walk_are_errors_and_nothing_else_is_looked_at() -> None:
    deep: Expression = Field("x")
    for _ in range(5_000):
        deep = Unary("not", deep)
    assert messages(replace(AB, unless=deep)) == ["a condition nested deeper than 150 levels"]
    nested = A
    for _ in range(5_000):
        nested = Step(Group((nested,)))
    assert messages(replace(AB, steps=(nested,))) == ["groups nested deeper than 50 levels"]


@settings(max_examples=50, derandomize=True, deadline=None)
@given(patterns())
def test_random_valid_patterns_have_no_errors(pattern: Pattern) -> None:
    assert messages(pattern) == []
