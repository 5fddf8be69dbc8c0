"""Patterns built in Python equal the patterns of the text that says the same."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cep.builder import PatternBuilder, Sequence, either, group, pattern, permute, var
from cep.dsl import parse_rules
from cep.engine.algebra.errors import RuleError
from cep.engine.algebra.expression import Binary, Field, Literal
from cep.engine.algebra.pattern import Pattern


def parsed(text: str) -> Pattern:
    (found,) = parse_rules(text)[0].patterns
    return found


def built(sequence: Sequence | str) -> PatternBuilder:
    return pattern("p").match(sequence).within("1 hour")


@pytest.mark.parametrize(
    ("sequence", "text"),
    [
        (var("a"), "a"),
        (var("a").then("b").followed_by("c").followed_by_any("d"), "a b -> c ->> d"),
        (var("a").not_next("n").then("b"), "a not n b"),
        (var("a").not_followed_by("n"), "a -> not n"),
        (
            var("a").followed_by("b", within=timedelta(seconds=30)).then("c", within="5 ms"),
            "a -> within 30 seconds b next within 5 ms c",
        ),
        (var("a").not_followed_by("n", within="1 minute"), "a -> within 1 minute not n"),
        (var("a").times(2).then(var("b").times(2, 4)), "a{2} b{2,4}"),
        (var("a").times(1).then(var("b").times(0, 3)), "a b{0,3}"),
        (var("a").at_least(3).then(var("b").one_or_more().reluctant()), "a{3,} b+?"),
        (var("a").zero_or_more().then(var("b").optional()), "a* b?"),
        (var("a").times(2, 4).optional(), "a{2,4} optional"),
        (var("a").times(2, 4).reluctant().optional(), "a{2,4}? optional"),
        (var("a").one_or_more().optional(), "a*"),
        (group(var("a").times(2, 4)).optional(), "(a{2,4})?"),
        (var("a").followed_by("b").times(2).optional(), "(a -> b){2} optional"),
        (var("a").times(2).times(3), "(a{2}){3}"),
        (group(var("a")).one_or_more().consecutive(), "(a)+ consecutive"),
        (either("a", "b").one_or_more(), "(a | b)+"),
        (group(either("a", "b")).one_or_more(), "(a | b)+"),
        (var("a").one_or_more().combinations().greedy(), "a+ greedy combinations"),
        (var("a").times(3).combinations(), "a{3} combinations"),
        (var("a").not_next(group(var("n"))).then("b"), "a not n b"),
        (var("a").one_or_more().consecutive(), "a+ consecutive"),
        (var("a").one_or_more().combinations().until("x = 1"), "a+ combinations until (x = 1)"),
        (var("a").at_least(2).gap("5 seconds"), "a{2,} gap 5 seconds"),
        (var("a").followed_by("b").times(2), "(a -> b){2}"),
        (var("a").then(var("b").then("c")), "a (b c)"),
        (group(var("a").then("b")).then("c"), "(a b) c"),
        (group(var("a")).then("b"), "a b"),
        (either("a", var("b").then("c")), "a | b c"),
        (var("a").followed_by(either("b", "c")), "a -> (b | c)"),
        (permute("a", var("b").one_or_more()), "permute(a, b+)"),
        (permute("a", "b").consecutive(), "permute(a, b) consecutive"),
        (permute("a", "b").combinations().times(2), "permute(a, b) combinations{2}"),
    ],
)
def test_a_sequence_equals_the_text_that_says_the_same(sequence: Sequence, text: str) -> None:
    assert str(sequence) == text
    assert built(sequence).build() == parsed(f"pattern p match {text} within 1 hour")


def test_a_whole_pattern_equals_the_text_that_says_the_same() -> None:
    probe = var("probe").where("amount < 2.00 and kind = 'purchase'").at_least(3)
    hit = var("hit").where(Binary(">", Field("amount"), Literal(500)))
    rule = (
        pattern("card_testing", "transactions", key="card")
        .match(probe.followed_by(hit))
        .within(timedelta(minutes=10))
        .unless("kind = 'pin_reset'")
        .skip_to_last("probe")
        .select("card", "hit.amount", "last(probe.amount)", probes="count(probe)")
        .on_timeout_select("card")
    )
    assert rule.build() == parsed(
        """
        pattern card_testing from transactions by card match probe{3,} -> hit within 10 minutes
          define probe as amount < 2.00 and kind = 'purchase', hit as amount > 500
          unless kind = 'pin_reset'
          after match skip to last probe
          select card, hit.amount, last(probe.amount), count(probe) as probes
          on timeout select card
        """
    )


def test_variables_are_bound_to_streams() -> None:
    rule = pattern("p", "logins", "transfers", key=("customer", "bank")).match(
        var("login").on("logins").followed_by(var("wire").on("transfers").where("amount > 1e4"))
    )
    assert rule.build() == parsed(
        "pattern p from logins, transfers by customer, bank match login -> wire "
        "define login as logins, wire as transfers where amount > 1e4"
    )


def test_clauses_can_be_overwritten_and_parts_shared() -> None:
    base = pattern("p").match("a", longest=True).define(a="x = 1")
    assert base.no_skip().build() == parsed(
        "pattern p match longest a define a as x = 1 after match no skip"
    )
    assert base.skip_to_next_row().skip_past_last_event().build() == base.build()
    assert base.skip_to_first("a").build().skip.variable == "a"
    assert base.within("5 seconds", between_events=True).build() == parsed(
        "pattern p match longest a within 5 seconds between events define a as x = 1"
    )


def test_a_pattern_that_makes_no_sense_is_refused_when_it_is_built() -> None:
    rule = pattern("p").match(var("a").not_followed_by("n")).select("q.x")
    with pytest.raises(RuleError) as caught:
        rule.build()
    assert str(caught.value) == (
        "error: the pattern ends with 'not n' and has no 'within'\n"
        "  hint: add a clause such as 'within 5 minutes': absence is known when its time has passed"
        "\n\n"
        "error: no variable 'q' in the pattern\n"
        "  hint: its variables are a"
    )


def test_a_condition_that_cannot_be_parsed_is_shown_with_a_caret() -> None:
    with pytest.raises(RuleError) as caught:
        var("a").where("amount >")
    assert str(caught.value) == (
        "<text>:1:9: error: a value is missing after '>'\n  amount >\n          ^"
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: var("a").reluctant(), "nothing repeats here"),
        (lambda: var("a").one_or_more().greedy(), "only a repetition in all combinations has"),
        (lambda: var("a").greedy(), "nothing repeats here"),
        (lambda: var("a").times(3, 2), "a repetition of 3 to 2 times"),
        (lambda: var("a").times(0), "a repetition of 0 to 0 times"),
        (lambda: var("a").then("b").where("x = 1"), ".where(...) is about one variable"),
        (lambda: var("a").not_next(var("b").then("c")), "a negation of more than one variable"),
        (lambda: var("a").where("x = 1; y = 2"), "not one expression but 2"),
        (lambda: var("a").followed_by("b", within="5"), "the duration has no unit"),
        (lambda: pattern("p").select("x as"), "expected a name"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused_at_once(wrong: object, message: str) -> None:
    assert callable(wrong)
    with pytest.raises(RuleError, match=message.replace("(...)", r"\(\.\.\.\)")):
        wrong()
