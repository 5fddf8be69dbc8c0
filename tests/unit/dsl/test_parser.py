"""The grammar and the reading of whole texts: keywords, places, many errors, hostile input."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
from lark import Lark

from cep.dsl import parse_duration, parse_expression, parse_rules, parse_select
from cep.dsl.parser import NoLexer, grammar
from cep.engine.algebra.errors import RuleError, Span
from cep.engine.algebra.expression import Binary, DataType, Field, Literal, walk
from cep.engine.algebra.pattern import Pattern, Variable


def pattern_of(text: str) -> Pattern:
    (pattern,) = parse_rules(text)[0].patterns
    return pattern


def errors_of(text: str) -> list[str]:
    with pytest.raises(RuleError) as caught:
        parse_rules(text)
    return [problem.message for problem in caught.value.problems]


def test_the_grammar_is_lalr_without_conflicts() -> None:
    text = files("cep.dsl").joinpath("pattern.lark").read_text(encoding="utf-8")
    assert Lark(text, parser="lalr", lexer=NoLexer, strict=True, start=["start", "expression"])
    ambiguous = text.replace('"(" alternatives ")" ', "alternatives ")
    with pytest.raises(Exception, match="conflict"):
        Lark(ambiguous, parser="lalr", lexer=NoLexer, strict=True)


def test_the_grammar_is_built_once() -> None:
    assert grammar() is grammar()


@pytest.mark.parametrize(
    "name",
    [
        *("time", "count", "first", "last", "type", "key", "by", "kind", "match", "in", "end"),
        *("window", "table", "join", "over", "all", "every", "session", "early", "idle", "having"),
    ],
)
def test_a_keyword_is_a_field_name_where_no_keyword_can_stand(name: str) -> None:
    pattern = pattern_of(f"pattern p from s by {name} match a define a as {name} > 1 select {name}")
    assert pattern.key == (name,)
    assert pattern.definition("a").condition == Binary(">", Field(name), Literal(1))
    assert pattern.select[0].name == name


def test_keywords_are_read_in_any_case_and_names_in_their_own() -> None:
    pattern = pattern_of("PATTERN P MATCH A -> B Define A AS X > 1 aNd NOT Y, B as TRUE")
    assert [step.element for step in pattern.steps] == [Variable("A"), Variable("B")]
    assert pattern.definition("B").condition == Literal(True)


def test_every_node_of_a_condition_has_its_place() -> None:
    text = "pattern p\n  match a\n  define a as x + 1 > 2 and not f(y) in (1, -2)"
    condition = pattern_of(text).definition("a").condition
    assert condition is not None
    spans = [node.span for node in walk(condition)]
    assert None not in spans
    assert spans[:4] == [
        Span(3, 15, 3, 48),
        Span(3, 15, 3, 24),
        Span(3, 15, 3, 20),
        Span(3, 15, 3, 16),
    ]


def test_variables_definitions_and_patterns_have_their_places() -> None:
    pattern = pattern_of("pattern p\n match aa -> not bb within 5 s\n define aa as x > 1, bb")
    first, second = (step.element for step in pattern.steps)
    assert pattern.span == Span(1, 9, 1, 10)
    assert getattr(first, "span", None) == Span(2, 8, 2, 10)
    assert getattr(second, "span", None) == Span(2, 18, 2, 20)
    assert pattern.definitions[1].span == Span(3, 22, 3, 24)


def test_lines_are_counted_as_messages_count_them() -> None:
    text = "-- one\r\n-- two\u2028-- still a comment\npattern p match 5"
    with pytest.raises(RuleError) as caught:
        parse_rules(text)
    assert str(caught.value).splitlines()[1] == "  pattern p match 5"


def test_all_statements_are_read_whichever_of_them_are_wrong() -> None:
    text = "pattern p match a,;\nstream s (x txet);\npattern q match b define b as x = sum(y);"
    assert errors_of(text) == [
        "',' cannot stand between variables",
        "unknown type 'txet'",
        "sum(y) names no variable",
    ]


def test_warnings_are_returned_beside_the_rules() -> None:
    rules, warnings = parse_rules("pattern p match a+ -> b define a as x > 1")
    assert len(rules.patterns) == 1
    assert [problem.message for problem in warnings] == [
        "'a' repeats without end: its state may grow",
        "variable 'b' has no definition: it takes any event",
    ]


def test_many_warnings_hide_no_error() -> None:
    names = " ".join(f"a{number}" for number in range(300))
    assert errors_of(f"pattern p match {names} unless q.x = 1") == [
        "no variable 'q' in the pattern"
    ]


def test_a_file_of_nothing_has_no_rules() -> None:
    assert parse_rules("")[0].patterns == ()
    assert parse_rules(" ;; -- nothing\n;")[0].patterns == ()
    assert parse_rules("\ufeffstream s")[0].streams[0].name == "s"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x" * 1_000_001, "the rules are 1,000,001 characters long; at most 1,000,000 are read"),
        ("pattern p match " + "(" * 10_000, "brackets nested deeper than 150 levels"),
        (
            "pattern p match a define a as " + "(" * 10_000 + "x" + ")" * 10_000,
            "brackets nested deeper than 150 levels",
        ),
        ("pattern p match " + "(" * 100 + "a" + ")" * 100, "this is nested deeper than 150 levels"),
        ("pattern p match a define a as " + "not " * 5_000 + "x", "this is nested deeper"),
        ("pattern p match a define a as " + "- " * 5_000 + "x", "this is nested deeper"),
        ("pattern p match a define a as " + "x + " * 5_000 + "x", "this is nested deeper"),
        ("pattern p match a define a as " + "x or " * 5_000 + "x", "this is nested deeper"),
        (
            "pattern p match a define a as " + "case when x then " * 5_000,
            "a value is missing after 'then'",
        ),
        ("pattern p match " + "a " * 60_000, "a statement of more than 50,000 words and signs"),
        ("pattern p match " + "a " * 2_000, "2,000 variables in one pattern"),
        ("pattern p match a within " + "9" * 5_000 + " days", "the number 9999999999999999"),
        ("pattern p match a{" + "9" * 5_000 + "}", "the number 9999999999999999"),
    ],
)
def test_hostile_input_gets_one_error(text: str, message: str) -> None:
    (found,) = errors_of(text)
    assert found.startswith(message)


def test_deep_conditions_below_the_limit_are_read_printed_and_compared() -> None:
    chain = "pattern p match a define a as " + "x or " * 140 + "y"
    brackets = "pattern p match " + "(z " * 45 + "a" + ")" * 45
    for text in (chain, "pattern p match a define a as " + "not " * 140 + "x"):
        pattern = pattern_of(text)
        assert pattern_of(str(pattern)) == pattern
    assert errors_of(brackets)[0] == "variable 'z' stands in the sequence twice"


def test_at_most_a_hundred_errors_are_printed() -> None:
    assert len(errors_of("x;" * 500)) <= 101
    assert len(errors_of("[" * 500)) <= 101
    assert errors_of("pattern p match a;" * 500)[-1] == (
        "more errors follow; these are the first 100"
    )


def test_parts_of_rules_are_parsed_for_the_builder() -> None:
    assert parse_expression("x > 1") == Binary(">", Field("x"), Literal(1))
    assert parse_expression("30 s") == Literal(30_000_000, DataType.DURATION)
    assert [output.name for output in parse_select(["a.x", "count(a) as n"])] == ["x", "n"]
    assert parse_duration("1 hour 30 minutes") == 5_400_000_000
    for wrong in ("", "x; y", "x >"):
        with pytest.raises(RuleError):
            parse_expression(wrong)


def test_every_grammar_file_is_part_of_the_package() -> None:
    assert Path(str(files("cep.dsl"))).joinpath("pattern.lark").is_file()
