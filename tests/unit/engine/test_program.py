"""Programs: their instructions, their values by hand, and the reference evaluator on the rest."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from cep.engine.algebra.expression import DataType, Expression, Field, rebuild
from cep.engine.automaton.program import Machine, NotInKernelError, compile_program, split_condition
from cep.engine.kernels.codes import Fault
from tests.reference.expressions import Event, Value
from tests.unit.engine.expression_tools import (
    among,
    between,
    bound,
    call,
    cap,
    case,
    cast,
    exp,
    f,
    is_null,
    neg,
    no,
    op,
)
from tests.unit.engine.machine_tools import expected_value, program_text, run_program
from tests.unit.engine.random_expressions import DATA, tree

BOOLEAN, INTEGER, FLOAT = DataType.BOOLEAN, DataType.INTEGER, DataType.FLOAT
TEXT, TIMESTAMP, DURATION = DataType.TEXT, DataType.TIMESTAMP, DataType.DURATION
MOST = 2**63 - 1
SCHEMA = pa.table({**{n: pa.array([], kind) for n, (kind, _) in DATA.items()}, "n": []}).cast(
    pa.schema([*((n, kind) for n, (kind, _) in DATA.items()), ("n", pa.int64())])
)

Taken = list[tuple[str, Event]]


def typed(expression: Expression) -> Expression:
    return bound(expression, SCHEMA)


def computed(expression: Expression, event: Event, *taken: tuple[str, Event]) -> Value:
    """The value; "fault" instead of NULL where there was one."""
    value, fault = run_program(typed(expression), event, taken)
    assert value is None or fault is Fault.NONE
    return fault.name if fault else value


def last(name: str) -> Expression:
    return cap("last", "a", f(name))


# -- what is compiled -----------------------------------------------------------------------------


def test_a_condition_splits_into_what_columns_and_what_programs_evaluate() -> None:
    own, across = op(f("x"), ">", 1), op(f("x"), ">", last("x"))
    assert split_condition(None) == (None, None)
    assert split_condition(own) == (own, None)
    assert split_condition(across) == (None, across)
    assert split_condition(op(op(own, "and", across), "and", own)) == (op(own, "and", own), across)
    both = op(own, "or", across)
    assert split_condition(both) == (None, both)


def test_a_program_loads_its_leaves_and_leaves_its_value_in_slot_0() -> None:
    condition = typed(op(f("x"), ">", op(exp(10), "*", last("x"))))
    assert program_text(condition) == [
        "input 0 0 0 0",
        "const 1 0 0 0",
        "to_float 1 1 0 0",
        "register 2 0 0 0",
        "multiply_f 1 1 2 0",
        "compare_f 0 0 1 4",
    ]


def test_what_reads_only_the_event_under_test_is_one_input() -> None:
    assert program_text(typed(op(call("length", f("t")), "=", last("i")))) == [
        "input 0 0 0 0",
        "register 1 0 0 0",
        "compare_i 0 0 1 0",
    ]


def test_equal_inputs_and_registers_are_held_once() -> None:
    machine = Machine()
    condition = op(op(f("i"), "<", last("i")), "or", op(f("i"), ">", op(last("i"), "+", 5)))
    compile_program(typed(condition), machine, lambda text: 0)
    assert machine.inputs == [f("i")]
    assert len(machine.registers) == 1


def test_more_values_of_other_events_than_a_word_has_bits_are_refused() -> None:
    condition: Expression = op(last("i"), "=", 0)
    for number in range(64):
        condition = op(condition, "or", op(cap("last", "a", op(f("i"), "+", number)), "=", 0))
    with pytest.raises(NotInKernelError) as refused:
        compile_program(typed(condition), Machine(), lambda text: 0)
    assert "more than 63 values of other events" in refused.value.problem.message


@pytest.mark.parametrize(
    "condition",
    [
        op(op(last("t"), "||", cap("first", "a", f("u"))), "=", "x"),
        call("contains", f("t"), last("t")),
        op(call("upper", cap("max", "a", f("t"))), "=", "X"),
    ],
)
def test_a_text_function_over_two_events_is_refused_with_a_hint(condition: Expression) -> None:
    with pytest.raises(NotInKernelError) as refused:
        compile_program(typed(condition), Machine(), lambda text: 0)
    assert refused.value.problem.message == (
        "a condition across events cannot do this: this operation over fields of different events"
    )
    assert refused.value.problem.hint is not None


def test_a_text_function_of_one_captured_event_is_computed_when_it_is_captured() -> None:
    captured: tuple[tuple[str, Event], ...] = (("a", {"t": "ab"}), ("b", {"t": "-"}))
    assert computed(call("upper", last("t")), {}, *captured) == "AB"
    assert computed(op(last("t"), "||", last("t")), {}, *captured) == "abab"
    assert computed(call("length", cap("first", None, f("t"))), {}, *captured) == 2
    assert computed(op(call("left", last("t"), 1), "=", f("t")), {"t": "a"}, *captured) is True


# -- values by hand -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "held", "value"),
    [
        (op(last("i"), "+", 1), MOST, "OVERFLOW"),
        (op(last("i"), "+", 1), MOST - 1, MOST),
        (op(last("i"), "-", 1), -MOST - 1, "OVERFLOW"),
        (op(exp(0), "-", last("i")), -MOST - 1, "OVERFLOW"),
        (op(last("i"), "*", 2), 2**62, "OVERFLOW"),
        (op(last("i"), "*", 2), -(2**62), -(2**63)),
        (op(last("i"), "*", -1), -MOST - 1, "OVERFLOW"),
        (neg(last("i")), -MOST - 1, "OVERFLOW"),
        (call("abs", last("i")), -MOST - 1, "OVERFLOW"),
        (op(last("i"), "%", 3), -7, -1),
        (op(exp(7), "%", last("i")), -3, 1),
        (op(last("i"), "%", -1), -MOST - 1, 0),
        (op(exp(1), "%", last("i")), 0, "DIVISION_BY_ZERO"),
        (op(exp(1), "/", last("i")), 0, "DIVISION_BY_ZERO"),
        (op(last("i"), "/", 2), 7, 3.5),
        (op(last("i"), "+", None), 7, None),
    ],
)
def test_integer_arithmetic_is_exact_or_a_fault(
    expression: Expression, held: int, value: Value
) -> None:
    assert computed(expression, {}, ("a", {"i": held})) == value


@pytest.mark.parametrize(
    ("expression", "held", "value"),
    [
        (op(last("x"), "/", 0), 1.5, "DIVISION_BY_ZERO"),
        (op(last("x"), "%", 2), -7.5, -1.5),
        (op(last("x"), "%", 0), 1.5, "DIVISION_BY_ZERO"),
        (call("sqrt", last("x")), -1.0, "DOMAIN"),
        (call("ln", last("x")), 0.0, "DOMAIN"),
        (call("log10", last("x")), 1000.0, 3.0),
        (call("power", last("x"), 0.5), -8.0, "DOMAIN"),
        (call("power", last("x"), 2), -8.0, 64.0),
        (call("floor", last("x")), -1.5, -2.0),
        (call("ceil", last("x")), -1.5, -1.0),
        (call("round", last("x")), -2.5, -3.0),
        (call("round", last("x")), 2.4, 2.0),
        (call("exp", last("x")), 0.0, 1.0),
        (call("abs", last("x")), -0.5, 0.5),
        (neg(last("x")), 0.5, -0.5),
        (cast(last("x"), INTEGER), -1.9, -1),
        (cast(last("x"), INTEGER), 1e300, "CAST"),
        (cast(last("x"), INTEGER), math.nan, "CAST"),
    ],
)
def test_float_arithmetic_is_ieee_or_a_fault(
    expression: Expression, held: float, value: Value
) -> None:
    assert computed(expression, {}, ("a", {"x": held})) == value


@pytest.mark.parametrize(
    ("integer", "operator", "number", "truth"),
    [
        (2**53 + 1, "=", 2.0**53, False),
        (2**53 + 1, ">", 2.0**53, True),
        (MOST, "<", 2.0**63, True),
        (-MOST - 1, "=", -(2.0**63), True),
        (-MOST - 1, ">", -1e300, True),
        (3, "<", 3.5, True),
        (-3, ">", -3.5, True),
        (-4, "<", -3.5, True),
        (1, "=", math.nan, False),
        (1, "<>", math.nan, True),
        (1, "<", math.nan, False),
        (MOST, "<", math.inf, True),
        (MOST, "<=", -math.inf, False),
    ],
)
def test_an_integer_compares_with_a_float_exactly(
    integer: int, operator: str, number: float, truth: bool
) -> None:
    mirrored = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(operator, operator)
    taken = ("a", {"x": number})
    assert computed(op(f("i"), operator, last("x")), {"i": integer}, taken) is truth
    assert computed(op(last("x"), mirrored, f("i")), {"i": integer}, taken) is truth


@pytest.mark.parametrize("x", [0.0, 1.0, math.inf])
def test_nan_compares_as_ieee_says(x: float) -> None:
    taken = ("a", {"x": math.nan})
    for operator in ("=", "<", "<=", ">", ">="):
        assert computed(op(last("x"), operator, f("x")), {"x": x}, taken) is False
    assert computed(op(last("x"), "<>", f("x")), {"x": x}, taken) is True
    assert computed(op(last("x"), "=", last("x")), {"x": x}, taken) is False


@pytest.mark.parametrize(
    ("left", "right", "both", "either"),
    [
        (True, True, True, True),
        (True, False, False, True),
        (True, None, None, True),
        (False, False, False, False),
        (False, None, False, None),
        (None, None, None, None),
    ],
)
def test_and_and_or_have_three_values(
    left: bool | None, right: bool | None, both: bool | None, either: bool | None
) -> None:
    for one, other in ((left, right), (right, left)):
        taken = ("a", {"b": one, "c": other})
        assert computed(op(last("b"), "and", last("c")), {}, taken) is both
        assert computed(op(last("b"), "or", last("c")), {}, taken) is either
    negated = None if left is None else not left
    assert computed(no(last("b")), {}, ("a", {"b": left})) is negated


def test_a_fault_counts_unless_the_left_side_has_decided() -> None:
    wrong, right = op(op(exp(1), "%", last("i")), "=", 0), op(last("i"), "=", 0)
    taken = [("a", {"i": 0})]
    assert run_program(typed(op(right, "or", wrong)), {}, taken) == (True, Fault.NONE)
    assert run_program(typed(op(wrong, "or", right)), {}, taken) == (True, Fault.DIVISION_BY_ZERO)
    assert run_program(typed(op(wrong, "and", right)), {}, taken) == (None, Fault.DIVISION_BY_ZERO)
    assert run_program(typed(op(no(right), "and", wrong)), {}, taken) == (False, Fault.NONE)
    assert run_program(typed(is_null(wrong)), {}, taken) == (True, Fault.DIVISION_BY_ZERO)


def test_choices_take_the_first_that_fits() -> None:
    taken = ("a", {"i": 5, "j": None, "x": math.nan, "y": 2.0})
    assert computed(call("coalesce", last("j"), last("i")), {}, taken) == 5
    assert computed(call("coalesce", last("j"), last("y")), {}, taken) == 2.0
    assert computed(call("least", last("i"), 7, last("j")), {}, taken) == 5
    assert computed(call("greatest", last("x"), last("y"), last("i")), {}, taken) == 5.0
    chosen = case((op(last("j"), "=", 1), 1), (op(last("i"), ">", 4), 2), otherwise=3)
    assert computed(chosen, {}, taken) == 2
    assert computed(case((op(last("i"), ">", 5), 2)), {}, taken) is None
    assert computed(case((op(last("i"), ">", 4), 2), otherwise=0.5), {}, taken) == 2.0


def test_lists_and_ranges_are_comparisons() -> None:
    taken = ("a", {"i": 5, "j": None})
    assert computed(among(f("i"), last("i"), last("j")), {"i": 5}, taken) is True
    assert computed(among(f("i"), last("i"), last("j")), {"i": 6}, taken) is None
    assert computed(among(f("i"), last("i"), negated=True), {"i": 6}, taken) is True
    assert computed(between(f("i"), 1, last("i")), {"i": 5}, taken) is True
    assert computed(between(f("i"), last("j"), 3), {"i": 5}, taken) is False
    assert computed(between(f("i"), last("j"), 9, negated=True), {"i": 5}, taken) is None


# -- what a run has captured ----------------------------------------------------------------------

RISING: tuple[tuple[str, Event], ...] = (
    ("a", {"i": 1, "x": 2.0, "t": "b"}),
    ("a", {"i": None, "x": None, "t": None}),
    ("a", {"i": 5, "x": 6.0, "t": "é"}),
    ("b", {"i": 100, "x": 100.0, "t": "a"}),
    ("a", {"i": 3, "x": 4.0, "t": "B"}),
)


@pytest.mark.parametrize(
    ("function", "argument", "value"),
    [
        ("count", None, 4),
        ("count", "i", 3),
        ("sum", "i", 9),
        ("sum", "x", 12.0),
        ("avg", "i", 3.0),
        ("avg", "x", 4.0),
        ("min", "i", 1),
        ("max", "i", 5),
        ("min", "x", 2.0),
        ("max", "x", 6.0),
        ("min", "t", "B"),
        ("max", "t", "é"),
        ("first", "i", 1),
        ("last", "i", 3),
        ("first", "t", "b"),
        ("last", "t", "B"),
        ("stddev", "i", 2.0),
        ("stddev", "x", 2.0),
    ],
)
def test_running_values_are_of_the_events_taken_by_the_variable(
    function: str, argument: str | None, value: Value
) -> None:
    wanted = cap(function, "a", None if argument is None else f(argument))
    assert computed(wanted, {}, *RISING) == value


def test_without_a_variable_all_events_of_the_run_count() -> None:
    assert computed(cap("count", None), {}, *RISING) == 5
    assert computed(cap("max", None, f("i")), {}, *RISING) == 100
    assert computed(cap("last", None, f("i")), {}, *RISING[:4]) == 100


def test_before_anything_is_captured_counts_are_0_and_all_else_is_null() -> None:
    for taken in ((), RISING[3:4]):
        assert computed(cap("count", "a"), {}, *taken) == 0
        assert computed(cap("count", "a", f("i")), {}, *taken) == 0
        for function in ("sum", "avg", "min", "max", "first", "last", "stddev"):
            assert computed(cap(function, "a", f("i")), {}, *taken) is None
            assert computed(cap(function, "a", f("x")), {}, *taken) is None


def test_the_first_and_last_event_count_with_their_nulls() -> None:
    taken: tuple[tuple[str, Event], ...] = (("a", {"i": None}), ("a", {"i": 1}), ("a", {"i": None}))
    assert computed(cap("first", "a", f("i")), {}, *taken) is None
    assert computed(cap("last", "a", f("i")), {}, *taken) is None


def test_a_sum_that_leaves_64_bits_is_a_fault_until_it_comes_back() -> None:
    total, mean = cap("sum", "a", f("i")), cap("avg", "a", f("i"))
    up: list[tuple[str, Event]] = [("a", {"i": MOST}), ("a", {"i": MOST})]
    down: list[tuple[str, Event]] = [("a", {"i": -MOST}), ("a", {"i": 7})]
    assert computed(total, {}, *up) == "OVERFLOW"
    assert computed(total, {}, *up, down[0]) == MOST
    assert computed(total, {}, *up, *down) == "OVERFLOW"
    assert computed(total, {}, *up, *down, down[0]) == 7
    assert computed(total, {}, *down[:1], *down[:1]) == "OVERFLOW"
    assert computed(mean, {}, *up) == 2.0**63


def test_the_deviation_of_one_value_is_null_and_of_equal_values_0() -> None:
    assert computed(cap("stddev", "a", f("x")), {}, ("a", {"x": 0.1})) is None
    same: list[tuple[str, Event]] = [("a", {"x": 0.1})] * 3
    assert computed(cap("stddev", "a", f("x")), {}, *same) == 0.0


def test_nan_is_passed_over_by_min_and_max_unless_there_is_nothing_else() -> None:
    nan, one = ("a", {"x": math.nan}), ("a", {"x": 1.0})
    for function in ("min", "max"):
        assert computed(cap(function, "a", f("x")), {}, nan, one) == 1.0
        assert computed(cap(function, "a", f("x")), {}, one, nan) == 1.0
        only: Any = computed(cap(function, "a", f("x")), {}, nan)
        assert math.isnan(only)


# -- the reference evaluator ----------------------------------------------------------------------

ANY_VALUE = ("first", "last")
FUNCTIONS = {
    BOOLEAN: ANY_VALUE,
    TEXT: (*ANY_VALUE, "min", "max"),
    INTEGER: (*ANY_VALUE, "min", "max", "sum", "count"),
    FLOAT: (*ANY_VALUE, "min", "max", "sum", "avg"),
    TIMESTAMP: (*ANY_VALUE, "min", "max"),
    DURATION: (*ANY_VALUE, "min", "max", "sum"),
}
CAPTURED = {"j": INTEGER, "y": FLOAT, "u": TEXT, "c": BOOLEAN, "r": TIMESTAMP, "d": DURATION}


@st.composite
def across(draw: st.DrawFn, kind: DataType) -> Expression:
    """A random expression in which every second field is read from what the run has captured."""

    def moved(node: Expression) -> Expression:
        if isinstance(node, Field) and node.name in CAPTURED:
            function = draw(st.sampled_from(FUNCTIONS[CAPTURED[node.name]]))
            return cap(function, draw(st.sampled_from(["a", "b", None])), node)
        return rebuild(node, moved)

    return moved(draw(tree(kind, 2)))


@st.composite
def events(draw: st.DrawFn) -> Event:
    return {name: draw(values | st.none()) for name, (_, values) in DATA.items()} | {"n": 1}


def alike(found: Value, expected: Value) -> bool:
    if isinstance(found, float) and isinstance(expected, float):
        return found == expected or (math.isnan(found) and math.isnan(expected))
    return (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize("kind", [BOOLEAN, INTEGER, FLOAT, TEXT, TIMESTAMP, DURATION], ids=str)
@settings(
    derandomize=True,
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
@given(data=st.data())
def test_programs_equal_the_plain_evaluator(kind: DataType, data: st.DataObject) -> None:
    expression = typed(data.draw(across(kind)))
    event = data.draw(events())
    taken = data.draw(st.lists(st.tuples(st.sampled_from(["a", "b"]), events()), max_size=4))
    try:
        found, fault = run_program(expression, event, taken)
    except NotInKernelError:
        reject()
    expected = expected_value(expression, event, taken)
    assert alike(found, expected), (found, fault, expected)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6) | st.none(), max_size=6))
def test_running_deviations_equal_the_two_pass_ones(numbers: list[float | None]) -> None:
    taken: Taken = [("a", {"x": x}) for x in numbers]
    expression = typed(cap("stddev", "a", f("x")))
    found: Any = run_program(expression, {}, taken)[0]
    expected: Any = expected_value(expression, {}, taken)
    assert found == expected or found == pytest.approx(expected, rel=1e-6, abs=1e-6)
