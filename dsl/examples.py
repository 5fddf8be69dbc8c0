"""Wrong statements of the commonest kinds, each with what to say about them.

To add a message: write a statement that goes wrong in the way that is meant, as short as possible.
The parser stops at one token of it; wherever it stops in the same state at a token of the same
kind, the message is used. `{token}` is that token, `{before}` the one before. tests/language/bad
shows the messages as they are printed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from cep.dsl.example import Example
from cep.dsl.examples_statements import CLAUSES_OF_STATEMENTS

# The parser is in another state after each kind of step and of value; an example about what follows
# one is tried after all of them.
STEPS = (
    *("a", "a+", "a+?", "a{2}", "(a)", "not a", "a+ consecutive", "a+ gap 5 s", "permute(a)"),
    *("a+ until b", "a+ until (x)", "permute(a) consecutive", "a -> b", "a | b", "a b"),
    *("a+ optional", "a+ greedy"),
)
OPERANDS = (
    *("x", "a.x", "5", "5.0", "'t'", "5 s", "f(x)", "(x)", "x + 1", "-x", "x * 2", "f()"),
    *("count(*)", "case when x then y end", "timestamp '2024-01-01'"),
)
VALUES = (
    *OPERANDS,
    *(
        "x is null",
        "x is not null",
        "x = 1",
        "x = y",
        "x in (1)",
        "x like 't'",
        "x between 1 and 2",
    ),
    *("not x", "x and y", "x or y"),
)


def after_steps(*rests: str, before: str = "") -> tuple[str, ...]:
    return tuple(f"pattern p match {before}{step} {rest}" for step in STEPS for rest in rests)


def after_values(*rests: str, clause: str = "define a as") -> tuple[str, ...]:
    return tuple(f"pattern p match a {clause} {value} {rest}" for value in VALUES for rest in rests)


def in_pattern(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"pattern p match {text}" for text in texts)


STATEMENTS = (
    Example(
        "a statement begins with 'stream', 'table', 'feature', 'aggregate', 'join' or 'pattern', "
        "not with '{token}'",
        "the conditions of a pattern stand in its define clause, columns in its select clause",
        ("match a", "5", "'text'", "name", "(x)"),
        any_token=True,
    ),
    Example(
        "'match' is missing before '{token}'",
        "a pattern is written: pattern NAME from STREAM by FIELD match SEQUENCE",
        (
            *("pattern p a -> b", "pattern p from s a -> b", "pattern p by k a -> b"),
            *("pattern p (a)", "pattern p within 5 s", "pattern p define a"),
            "pattern p from s within 5 s",
        ),
    ),
    Example(
        "the pattern has no 'match'",
        "a pattern is written: pattern NAME from STREAM by FIELD match SEQUENCE",
        ("pattern p", "pattern p from s", "pattern p by k", "pattern p from s by k"),
    ),
    Example(
        "the {before} has no name",
        "write the name between '{before}' and '{token}'",
        ("pattern 5", "pattern (a", "stream (a text)", "pattern 'p' match a", "stream 5"),
        any_token=True,
    ),
    Example(
        "'(' is missing before '{token}'",
        "the fields of a stream stand in brackets: stream s (card text, amount float)",
        ("stream s card text", 'stream s "card" text'),
    ),
    Example(
        "',' is missing before '{token}'",
        "fields are separated by commas: stream s (card text, amount float)",
        ("stream s (a text b int)", 'stream s (a text "b" int)'),
    ),
    Example(
        "the field '{before}' has no type",
        "write a type after the name: text, int, float, boolean, timestamp or duration",
        ("stream s (a, b int)", "stream s (a)"),
        caret_before=True,
    ),
    Example(
        "a ',' too many before '{token}'",
        "leave it out, or add a field",
        ("stream s (a text, )",),
        caret_before=True,
    ),
)

SEQUENCES = (
    Example(
        "',' cannot stand between variables",
        "write a b for the very next event, a -> b for a later one, permute(a, b) for any order",
        after_steps(", b"),
    ),
    Example(
        "conditions do not stand in the sequence",
        "name the variable only; its condition goes into a define clause: define a as amount > 5",
        after_steps("where x > 5", ". x > 5", "= 5", "> 5", "< 5", ">= 5", "<= 5", "<> 5", "!= 5")
        + after_steps("> 5", "= 5", "< 5", ".", before="("),
    ),
    Example(
        "'{token}' comes before 'match'",
        "write: pattern NAME from STREAM by FIELD match SEQUENCE",
        after_steps("from s", "by k"),
    ),
    Example("'or' between variables", "write a | b for either of them", after_steps("or b")),
    Example(
        "'and' between variables",
        "write a -> b for b after a, or permute(a, b) for both in any order",
        after_steps("and b"),
    ),
    Example("'||' joins texts", "write one | between alternatives: a | b", after_steps("|| b")),
    Example(
        "'{token}' is missing its 'after match'",
        "write: after match skip past last event",
        after_steps("skip past last event"),
    ),
    Example(
        "'{token}' is not written out",
        "repetitions are greedy; a '?' behind them makes them reluctant: a+?",
        after_steps("reluctant"),
    ),
    Example(
        "'{token}' after something that does not repeat",
        "write it after + * or {{...}}: a+ {token} ...",
        in_pattern(("a until b", "a consecutive", "a combinations", "a gap 5 s", "(a b) until c"))
        + in_pattern(("a greedy", "(a b) greedy", "permute(a) greedy", "not a greedy")),
    ),
    Example(
        "'{token}' stands behind a repetition only",
        "write a? for one or none, (a b)? for a group, a{{2,4}} optional for two to four or none",
        in_pattern(("a optional", "(a b) optional", "permute(a) optional", "not a optional"))
        + in_pattern(("optional a", "a -> optional b", "a ->> optional b", "(optional a)"))
        + in_pattern(("permute(a) consecutive optional", "permute(optional a)", "a | optional b")),
    ),
    Example(
        "'{token}' behind a modifier",
        "a '?' stands directly behind the repetition, in front of its modifiers: a+? consecutive",
        in_pattern(f"{step} ?" for step in ("a+ consecutive", "a+ optional", "a+ greedy"))
        + in_pattern(f"{step} ?" for step in ("a+ gap 5 s", "a+ until b", "a+ until (x)")),
    ),
    Example(
        "the condition after 'until' needs brackets",
        "write until (x > 5), or until NAME with a defined name",
        in_pattern(f"a+ until x {rest}" for rest in ("> 5", "= 5", "< 5", "is null", "in (1)", "."))
        + in_pattern(("a+ until 5 > x",)),
    ),
    Example(
        "a repetition stands before its variable",
        "write it behind: a{{3}}, a+, a*, a?",
        in_pattern(
            ("{3} a", "+ a", "* a", "? a", "a -> {3} b", "a -> + b", "a ->> * b", "({2} a)")
        ),
    ),
    Example(
        "a second repetition",
        "write one: a{{3,}}; a repetition of a repetition stands in brackets: (a{{3}})+",
        in_pattern(f"a{first} {second} b" for first in ("*", "+", "{2}") for second in "*+{")
        + in_pattern(f"a{first}? {second} b" for first in ("*", "{2}", "?") for second in "*+?{"),
    ),
    Example(
        "a variable is missing after '{before}'",
        "an arrow stands between two variables: a -> b",
        in_pattern(("a -> -> b", "a ->> -> b", "a -> | b", "a -> )", "(a -> )", "a -> , b"))
        + in_pattern(f"a {arrow} {rest}" for arrow in ("->", "->>") for rest in ("", "select x"))
        + in_pattern(f"a {arrow} {rest}" for arrow in ("->", "->>") for rest in ("define a", ")")),
    ),
    Example(
        "a variable is missing before '{token}'",
        "an arrow stands between two variables: a -> b",
        in_pattern(("-> a", "->> a", "(-> a)", "| a")),
    ),
    Example(
        "the sequence is empty",
        "write at least one variable after 'match'",
        in_pattern(("", "longest", "define a", "within 5 s", "longest define a", "()")),
    ),
    Example(
        "permute takes variables separated by ','",
        "write permute(a, b); a sequence inside it stands in brackets: permute((a -> b), c)",
        in_pattern(("permute(a -> b)", "permute(a b)", "permute(a | b)", "permute(a+ -> b)")),
    ),
    Example(
        "'permute' needs brackets",
        'write permute(a, b); a variable of that name is written "permute"',
        in_pattern(("permute a b", "permute -> b", "permute")),
        any_token=True,
    ),
    Example(
        "a number of repetitions is missing before '{token}'",
        "write a{{3}}, a{{3,}}, a{{,5}} or a{{3,5}}",
        in_pattern(("a{x}", "a{}", "a{2.5}", "a{-1}")),
    ),
)

CLAUSES = (
    Example(
        "',' is missing before '{token}'",
        "columns are separated by commas: select card, count(a) as n",
        in_pattern(("a select x as y z",)),
    ),
    Example(
        "a second 'match'",
        "a pattern has one sequence; join two with ->, or write two patterns",
        (*after_steps("match b"), *after_values("match b"), "pattern p match a within 5 s match b"),
    ),
    Example(
        "'select' is missing after 'on timeout'",
        "write: on timeout select card, count(a) as n",
        in_pattern(("a on timeout x", "a on timeout", "a on timeout define a")),
        any_token=True,
    ),
    Example(
        "'events' is missing after 'between'",
        "write: within 5 minutes between events",
        in_pattern(("a within 5 s between", "a within 5 s between x")),
        any_token=True,
    ),
    Example(
        "'as' is missing before '{token}'",
        "write: define NAME as CONDITION",
        in_pattern(f"a define a {rest}" for rest in ("x > 5", "(x", "5", "'t'", "not x", "case"))
        + in_pattern(
            f"a define a {rest}" for rest in ("= x > 5", ". x", "> 5", '"x"', "-1", "< 5")
        ),
    ),
    Example(
        "',' is missing before '{token}'",
        "write: define a as CONDITION, b as CONDITION",
        after_values('"b" as y > 5') + in_pattern(("a define a as 't' b", "a define a as f(x) b")),
    ),
    Example(
        "',' is missing before '{before}'",
        "write: define a as CONDITION, b as CONDITION",
        in_pattern(("a define a as 5 b as x",)),
        caret_before=True,
    ),
    Example(
        "the list ends with ','",
        "leave the ',' out, or go on with the list",
        in_pattern(f"a define a as x, {rest}" for rest in ("", "5", "->"))
        + in_pattern(("a select x,",)),
        caret_before=True,
    ),
    Example(
        "'*' is no column",
        "name the columns: select card, a.amount, count(b)",
        in_pattern(("a select *", "a on timeout select *", "a select x, *")),
    ),
    Example(
        "skip what?",
        "write: after match skip past last event, skip to next row, skip to first NAME, "
        "skip to last NAME, or after match no skip",
        in_pattern(f"a after match {rest}" for rest in ("", "skip", "skip to", "skip no skip"))
        + in_pattern(f"a after match {rest}" for rest in ("skip to a", "skip past", "no", "past"))
        + in_pattern(("a after match skip past first", "a after match skip to next")),
        any_token=True,
    ),
)

DURATIONS = (
    Example(
        "the duration has no unit",
        "write a unit behind the number: 10 minutes, 30 seconds, 500 ms",
        (
            *in_pattern(
                ("a within 5", "a within 5.5", "a within 5 define a", "a -> within 5 -> b")
            ),
            "stream s lateness 5",
        ),
        any_token=True,
    ),
    Example(
        "a duration is missing after '{before}'",
        "write a number and a unit: 10 minutes, 30 seconds, 500 ms",
        (
            *in_pattern(("a within minutes", "a -> within b", "a+ gap b", "a within '5' minutes")),
            "stream s lateness x",
        ),
        any_token=True,
    ),
)

VALUES_WRONG = (
    Example(
        "'{token}' cannot follow 'not'",
        "write: not x = 5, x <> 5, x not in (5), x not between 1 and 5 or x not like 'PAY%'",
        in_pattern(f"a define a as x not {rest}" for rest in ("5", "= 5", "x", "'t'", "null", "")),
        any_token=True,
    ),
    Example(
        "'where' stands after the stream of a define only",
        "join conditions with 'and'; rows are not filtered in select",
        after_values("where x", clause="select"),
    ),
    Example(
        "comparisons cannot follow one another",
        "write: x > 1 and x < 5, or x between 1 and 5",
        in_pattern(
            f"a define a as x > {value} {operator} 5"
            for value in OPERANDS
            for operator in ("=", "<>", "!=", "<", "<=", ">", ">=")
        ),
    ),
    Example(
        "'in' needs a list in brackets",
        "write: x in (1, 2, 3)",
        in_pattern(("a define a as x in 5", "a define a as x not in 5")),
        any_token=True,
    ),
    Example(
        "'is' goes with null only",
        "write: x is null, or x = 5 to compare",
        in_pattern(("a define a as x is 5", "a define a as x is not 5")),
        any_token=True,
    ),
    Example(
        "'like' needs a text in single quotes",
        "write: merchant like 'PAY%'",
        in_pattern(
            ("a define a as x like y", "a define a as x like 5", "a define a as x not like 5")
        ),
        any_token=True,
    ),
    Example(
        "only one '.' can stand in a name",
        "write variable.field",
        in_pattern(("a define a as b.x.y > 5", "a select b.x.y")),
    ),
    Example(
        "the 'case' has no 'end'",
        "write: case when CONDITION then VALUE else VALUE end",
        after_values("", clause="define a as case when x then")
        + after_values("", clause="define a as case when x then y else"),
    ),
    Example(
        "'when' is missing after 'case'",
        "write: case when CONDITION then VALUE else VALUE end",
        in_pattern(("a define a as case x when 1 then 2 end", "a define a as case")),
        any_token=True,
    ),
    Example(
        "'and' is missing after 'between'",
        "write: x between 1 and 5",
        in_pattern(
            f"a define a as x between {low} {rest}" for low in OPERANDS for rest in ("", ", 5")
        )
        + in_pattern(f"a define a as x between {low} or 5" for low in OPERANDS),
    ),
    Example(
        "a value is missing after '{before}'",
        "",
        in_pattern(
            f"a define a as {start}"
            for start in ("", "x >", "x and", "x or", "x +", "x *", "not", "-", "x between")
        )
        + in_pattern(f"a define a as {start}" for start in ("x in (", "x in (1,", "(", "f(x,"))
        + in_pattern(("a unless", "a select", "a on timeout select", "a define a as s where"))
        + in_pattern(
            (
                "a define a as x between 1 and",
                "a define a as case when x then",
            )
        )
        + in_pattern(("a define a as case when", "a define a as x not between")),
        any_token=True,
    ),
)

ANYWHERE = tuple(replace(example, anywhere=True) for example in VALUES_WRONG[::-1] + DURATIONS)

EXAMPLES: tuple[Example, ...] = (
    *ANYWHERE,
    *CLAUSES,
    *SEQUENCES,
    *CLAUSES_OF_STATEMENTS,
    *STATEMENTS,
)
"""All of them; where two share a state and token, the later one wins."""
