"""Types are set on every node, and what does not fit is said once, with a hint."""

from __future__ import annotations

import pytest

from cep.engine.algebra.errors import Span
from cep.engine.algebra.expression import DataType, Expression, Field, Literal, walk
from cep.engine.algebra.pattern import (
    Definition,
    Group,
    Negation,
    Output,
    Pattern,
    Quantifier,
    Step,
    Stream,
    StreamField,
    Variable,
)
from cep.engine.binding.patterns import Schema, bind_pattern
from tests.unit.engine.expression_tools import (
    among,
    between,
    call,
    cap,
    case,
    cast,
    exp,
    f,
    is_null,
    like,
    neg,
    no,
    op,
    stream,
    us,
)

BOOLEAN, INTEGER, FLOAT = DataType.BOOLEAN, DataType.INTEGER, DataType.FLOAT
TEXT, TIMESTAMP, DURATION, NULL = (
    DataType.TEXT,
    DataType.TIMESTAMP,
    DataType.DURATION,
    DataType.NULL,
)

TRANSACTIONS = stream(
    "transactions",
    card=TEXT,
    ts=TIMESTAMP,
    amount=FLOAT,
    merchant=INTEGER,
    kind=TEXT,
    flagged=BOOLEAN,
    waited=DURATION,
)
LOGINS = stream("logins", card=TEXT, ts=TIMESTAMP, amount=INTEGER, device=TEXT)
STREAMS = {"transactions": TRANSACTIONS, "logins": LOGINS}
STEPS = (Step(Variable("a")), Step(Variable("b")))


def selected(expression: object, *, streams: tuple[str, ...] = ("transactions",)) -> Expression:
    pattern, problems = bind_pattern(
        Pattern("p", STEPS, streams=streams, select=(Output("x", exp(expression)),)), STREAMS
    )
    assert problems == []
    return pattern.select[0].value


def said(expression: object, *, streams: tuple[str, ...] = ("transactions",)) -> list[str]:
    pattern = Pattern("p", STEPS, streams=streams, select=(Output("x", exp(expression)),))
    return messages(pattern)


def messages(pattern: Pattern) -> list[str]:
    return [f"{p.message} | {p.hint}" for p in bind_pattern(pattern, STREAMS)[1]]


def defining(condition: object, *, on: str | None = None, **more: object) -> Pattern:
    definition = Definition("a", exp(condition), on)
    return Pattern("p", STEPS, (definition,), streams=("transactions",), **more)  # type: ignore[arg-type]


# ---------------------------------------------------------------- types


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (op(f("merchant"), "+", 1), INTEGER),
        (op(f("merchant"), "/", 2), FLOAT),
        (op(f("merchant"), "%", 2), INTEGER),
        (op(f("merchant"), "*", 1.5), FLOAT),
        (op(f("ts"), "-", f("ts")), DURATION),
        (op(f("ts"), "+", us(1)), TIMESTAMP),
        (op(us(1), "+", f("ts")), TIMESTAMP),
        (op(f("ts"), "-", us(1)), TIMESTAMP),
        (op(us(1), "+", f("waited")), DURATION),
        (op(f("waited"), "*", 2), DURATION),
        (op(0.5, "*", f("waited")), DURATION),
        (op(f("waited"), "/", 2), DURATION),
        (op(f("waited"), "/", us(1)), FLOAT),
        (op(f("kind"), "||", "x"), TEXT),
        (op(f("amount"), "<", 2), BOOLEAN),
        (op(f("flagged"), "=", True), BOOLEAN),
        (op(f("kind"), "=", None), BOOLEAN),
        (op(None, "+", 1.5), FLOAT),
        (neg(f("merchant")), INTEGER),
        (no(f("flagged")), BOOLEAN),
        (is_null(f("kind")), BOOLEAN),
        (like(f("kind"), "p%"), BOOLEAN),
        (among(f("kind"), "a", None), BOOLEAN),
        (between(f("ts"), "2024-04-01", "2024-04-02"), BOOLEAN),
        (case((f("flagged"), 1), otherwise=0.5), FLOAT),
        (case((f("flagged"), None)), NULL),
        (cast(f("kind"), INTEGER), INTEGER),
        (cap("count", "a"), INTEGER),
        (cap("count", None, f("kind")), INTEGER),
        (cap("sum", "a", f("merchant")), INTEGER),
        (cap("sum", "a", f("waited")), DURATION),
        (cap("avg", "a", f("merchant")), FLOAT),
        (cap("avg", "a", f("waited")), DURATION),
        (cap("stddev", "a", f("merchant")), FLOAT),
        (cap("min", "a", f("ts")), TIMESTAMP),
        (cap("last", None, f("kind")), TEXT),
        (call("round", f("merchant")), INTEGER),
        (call("round", f("merchant"), 1), FLOAT),
        (call("coalesce", f("merchant"), 0.5), FLOAT),
        (call("length", f("kind")), INTEGER),
        (call("nullif", f("merchant"), 2.5), INTEGER),
    ],
    ids=str,
)
def test_the_type_of(expression: Expression, expected: DataType) -> None:
    found = selected(expression)
    assert found.type is expected
    assert all(node.type is not None for node in walk(found))


def test_a_text_compared_with_a_timestamp_becomes_one_when_bound() -> None:
    found = selected(op(f("ts"), "<", "1970-01-01 00:00:01"))
    assert found == op(f("ts"), "<", Literal(1_000_000, TIMESTAMP))


def test_the_least_64_bit_integer_can_be_written() -> None:
    assert selected(neg(2**63)) == Literal(-(2**63))


def test_every_place_of_a_pattern_is_bound() -> None:
    loop = Step(Variable("a"), quantifier=Quantifier(1, None), until=op(f("amount"), ">", 9))
    pattern = Pattern(
        "p",
        (Step(Group((loop,))), Step(Variable("b"))),
        (Definition("b", op(f("kind"), "=", "x")),),
        streams=("transactions",),
        key=("card",),
        unless=op(f("kind"), "=", "y"),
        select=(Output("n", cap("count", "a")),),
        timeout_select=(Output("n", cap("count", "a")),),
    )
    found, problems = bind_pattern(pattern, STREAMS)
    assert problems == []
    assert found == pattern
    group = found.steps[0].element
    assert isinstance(group, Group)
    roots = [
        group.steps[0].until,
        found.definitions[0].condition,
        found.unless,
        found.select[0].value,
        (found.timeout_select or ())[0].value,
    ]
    assert [root.type for root in roots if root] == [BOOLEAN, BOOLEAN, BOOLEAN, INTEGER, INTEGER]


# ---------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (f("amuont"), "no field 'amuont' in stream transactions | did you mean 'amount'?"),
        (
            f("qqq"),
            "no field 'qqq' in stream transactions | "
            "its fields: card, ts, amount, merchant, kind, flagged, waited",
        ),
        (f("a"), "no field 'a' in stream transactions | 'a' is a variable: write a.FIELD"),
        (
            op(f("kind"), "<", 2.0),
            "'kind' is text, 2.0 is a float: they cannot be compared | "
            "write cast(... as float), or quote the constant",
        ),
        (
            op(op(f("ts"), "-", f("ts")), "<", 30),
            "ts - ts is a duration, 30 is an int: they cannot be compared | "
            "give the number a unit: 30 seconds",
        ),
        (
            op(f("ts"), ">", "yesterday"),
            "'yesterday' is not a timestamp | write it as '2024-04-01 12:30:00'",
        ),
        (
            op(f("flagged"), "<", True),
            "'flagged' is a boolean: '<' does not order true and false | use = or <>",
        ),
        (
            op(f("kind"), "+", "x"),
            "'kind' is text, 'x' is text: '+' cannot be applied | join texts with ||",
        ),
        (
            op(f("ts"), "+", f("ts")),
            "'ts' is a timestamp, 'ts' is a timestamp: '+' cannot be applied | None",
        ),
        (
            op(f("amount"), "||", "x"),
            "'amount' is a float: '||' takes text | write cast(... as text)",
        ),
        (no(f("amount")), "'amount' is a float: 'not' takes boolean | None"),
        (neg(f("kind")), "'kind' is text: '-' takes int, float or duration | None"),
        (
            op(f("kind"), "and", f("flagged")),
            "'kind' is text: 'and' takes boolean | compare it with something",
        ),
        (like(f("amount"), "x%"), "'amount' is a float: like takes text | write cast(... as text)"),
        (
            like(f("kind"), "x\\"),
            "the pattern 'x\\' ends with a lone \\ | write \\\\ for a backslash",
        ),
        (
            among(f("kind"), "x", 5),
            "'kind' is text, 5 is an int: they cannot be compared | "
            "write cast(... as float), or quote the constant",
        ),
        (
            case((f("flagged"), 1), otherwise="x"),
            "the branches of case have no common type: 1 is an int, 'x' is text | None",
        ),
        (
            cast(f("ts"), INTEGER),
            "'ts' is a timestamp: it cannot be cast to int | epoch(...) gives seconds since 1970",
        ),
        (call("lenght", f("kind")), "no function 'lenght' | did you mean 'length'?"),
        (call("sum", f("amount")), "no function 'sum' | say whose events: sum(VARIABLE.FIELD)"),
        (
            call("substr", f("kind")),
            "substr does not take 1 argument | write substr(text, from[, length])",
        ),
        (
            call("sqrt", f("kind")),
            "'kind' is text: sqrt takes int or float there | write sqrt(number)",
        ),
        (
            call("date_trunc", "fortnight", f("ts")),
            "argument 1 of date_trunc: 'fortnight' is not one of year, quarter, month, week, day, "
            "hour, minute, second | write date_trunc('hour', timestamp)",
        ),
        (
            call("regexp_like", f("kind"), f("card")),
            "argument 2 of regexp_like: must be a text constant | "
            "write regexp_like(text, 'regular expression')",
        ),
        (
            call("greatest", f("kind"), 1),
            "the arguments of greatest have no common type: 'kind' is text, 1 is an int | None",
        ),
        (cap("sum", "a", f("kind")), "'kind' is text: sum takes int, float or duration | None"),
        (cap("first", "q", f("kind")), "no variable 'q' in the pattern | None"),
        (
            cap("sum", "a", cap("last", "b", f("amount"))),
            "sum reads one event at a time: last cannot be inside it | None",
        ),
        (Literal(2**63), "9223372036854775808 does not fit into 64 bits | write it as a float"),
    ],
    ids=str,
)
def test_a_mistake_is_named_once_with_what_to_do(expression: Expression, expected: str) -> None:
    assert said(expression) == [expected]


def test_a_regular_expression_that_does_not_compile_is_refused() -> None:
    (found,) = said(call("regexp_like", f("kind"), "(a"))
    assert found.startswith("argument 2 of regexp_like: '(a' is not a regular expression: ")


def test_one_mistake_does_not_make_others() -> None:
    wrong = op(op(op(f("amuont"), "*", 2), ">", f("merchant")), "and", op(f("amuont2"), "=", "x"))
    assert said(wrong) == [
        "no field 'amuont' in stream transactions | did you mean 'amount'?",
        "no field 'amuont2' in stream transactions | did you mean 'amount'?",
    ]


def test_problems_point_at_the_culprit() -> None:
    span = Span(3, 7, 3, 13)
    _, problems = bind_pattern(defining(op(Field("amuont", span=span), "<", 2)), STREAMS)
    assert [p.span for p in problems] == [span]


def test_a_condition_must_be_true_or_false() -> None:
    assert messages(defining(f("kind"))) == [
        "the condition of a is text, not true or false | compare it with something"
    ]
    assert messages(defining(True, unless=f("amount"))) == [
        "unless is a float, not true or false | compare it with something"
    ]
    assert messages(defining(None)) == []


def test_an_expression_that_is_nested_too_deep_is_refused() -> None:
    deep: Expression = op(f("amount"), ">", 1)
    for _ in range(20_000):
        deep = no(deep)
    assert messages(defining(deep)) == [
        "the expression is nested more than 150 deep | "
        "use in (...) for long lists of alternatives, or split the condition"
    ]


# ---------------------------------------------------------------- streams, variables and keys


def test_a_bound_variable_sees_its_own_stream() -> None:
    both = ("transactions", "logins")
    pattern = Pattern(
        "p",
        STEPS,
        (
            Definition("a", op(f("device"), "=", "x"), "logins"),
            Definition("b", op(f("amount"), ">", cap("last", "a", f("amount"))), "transactions"),
        ),
        streams=both,
    )
    found, problems = bind_pattern(pattern, STREAMS)
    assert problems == []
    condition = found.definitions[1].condition
    assert condition is not None
    assert [node.type for node in walk(condition)] == [BOOLEAN, FLOAT, INTEGER, INTEGER]


def test_a_bound_variable_does_not_see_other_streams() -> None:
    assert messages(defining(op(f("device"), "=", "x"), on="transactions")) == [
        "no field 'device' in stream transactions | "
        "its fields: card, ts, amount, merchant, kind, flagged, waited"
    ]


def test_a_field_with_two_types_needs_a_bound_variable() -> None:
    assert said(f("amount"), streams=("transactions", "logins")) == [
        "field 'amount' is float in stream transactions and int in stream logins | "
        "bind the variable to one stream (define v as STREAM where ...), or rename the field"
    ]
    assert selected(f("device"), streams=("transactions", "logins")).type is TEXT


def test_unknown_streams_do_not_make_their_fields_unknown() -> None:
    assert said(op(f("whatever"), "=", 1), streams=("transaction",)) == [
        "no stream 'transaction' | did you mean 'transactions'?"
    ]
    pattern = defining(op(f("whatever"), "=", 1), on="login")
    assert messages(pattern) == ["no stream 'login' | did you mean 'logins'?"]


def test_a_variable_cannot_be_bound_to_a_stream_that_is_not_read() -> None:
    assert messages(defining(op(f("device"), "=", "x"), on="logins")) == [
        "'a' is bound to stream logins, which is not read | add it: from transactions, logins"
    ]


def test_every_stream_must_have_the_key_with_one_type() -> None:
    pattern = Pattern("p", STEPS, streams=("transactions", "logins"), key=("kind",))
    assert messages(pattern) == [
        "no key field 'kind' in stream logins | its fields: card, ts, amount, device"
    ]
    assert messages(Pattern("p", STEPS, streams=("transactions",), key=("crad",))) == [
        "no key field 'crad' in stream transactions | did you mean 'card'?"
    ]
    pattern = Pattern("p", STEPS, streams=("transactions", "logins"), key=("amount",))
    assert [m.split(" | ")[0] for m in messages(pattern)] == [
        "key field 'amount' is float in stream transactions and int in stream logins"
    ]


def test_a_negated_variable_takes_no_event() -> None:
    steps = (Step(Variable("a")), Step(Negation("n")), Step(Variable("b")))
    pattern = Pattern(
        "p",
        steps,
        streams=("transactions",),
        select=(Output("x", cap("last", "n", f("kind"))),),
    )
    assert messages(pattern) == ["'n' is negated: it never takes an event | None"]


def test_a_stream_without_fields_takes_any_field_until_the_data_comes() -> None:
    pattern = Pattern("p", STEPS, key=("id",), select=(Output("x", op(f("x"), ">", 1)),))
    found, problems = bind_pattern(pattern, {"": Stream("")})
    assert problems == []
    assert found.select[0].value.type is BOOLEAN
    wrong = Pattern("p", STEPS, select=(Output("x", op(call("sqrt", "x"), ">", f("x"))),))
    assert len(bind_pattern(wrong, {"": Stream("")})[1]) == 1


def test_a_pattern_without_from_reads_the_unnamed_stream() -> None:
    pattern = Pattern("p", STEPS, select=(Output("x", f("y")),))
    data = Stream("", (StreamField("x", INTEGER),))
    assert [p.message for p in bind_pattern(pattern, {"": data})[1]] == ["no field 'y' in the data"]
    assert messages(pattern) == [
        "the pattern does not say which stream it reads | write 'from transactions'"
    ]


def test_a_schema_knows_the_fields_of_a_pattern() -> None:
    schema = Schema((TRANSACTIONS, LOGINS))
    pattern = Pattern("p", STEPS, streams=("logins", "transactions"))
    names = [member.name for member in schema.fields_of(pattern)]
    assert names == ["card", "ts", "amount", "device", "merchant", "kind", "flagged", "waited"]
    assert schema.index("logins") == 1
    assert schema.bind(pattern) == (pattern, [])
