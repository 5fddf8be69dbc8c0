"""Parameters: values by name, of a type, put in as constants and never as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cep
from cep.dsl import parse_rules
from cep.engine.algebra.errors import RuleError
from cep.engine.algebra.expression import Binary, DataType, Literal
from cep.rules import check

DECLARED = """
parameter $n = 3;
parameter $limit float = 500;
parameter $name = 'x';
parameter $flag = true;
parameter $window = 10 minutes;
parameter $since = timestamp '2024-01-31 12:00:00';
"""
USED = """pattern p match a{$n,} -> b within $window
  define a as v > $limit, b as $flag or t = $name or ts > $since;
"""
TEXT = DECLARED + USED

TYPES: dict[str, tuple[DataType, st.SearchStrategy[Any]]] = {
    "n": (DataType.INTEGER, st.integers(-(2**63), 2**63 - 1)),
    "limit": (DataType.FLOAT, st.floats(allow_nan=False, allow_infinity=False)),
    "name": (DataType.TEXT, st.text()),
    "flag": (DataType.BOOLEAN, st.booleans()),
    "window": (DataType.DURATION, st.timedeltas(timedelta(days=-(10**6)), timedelta(days=10**6))),
    "since": (DataType.TIMESTAMP, st.datetimes(timezones=st.just(UTC))),
}


def constant_in(value: Any, name: str) -> Literal:
    """What stands in a rule where a parameter with this value is read."""
    text = f"{DECLARED} pattern p match a define a as v = ${name};"
    rules, _ = parse_rules(text, parameters={name: value})
    condition = rules.patterns[0].definitions[0].condition
    assert isinstance(condition, Binary)
    assert isinstance(condition.right, Literal)
    return condition.right


@pytest.mark.parametrize("name", TYPES)
@given(st.data())
def test_a_value_becomes_one_constant_of_its_type(name: str, data: st.DataObject) -> None:
    kind, values = TYPES[name]
    value = data.draw(values)
    found = constant_in(value, name)
    expected: Any = value
    if kind is DataType.DURATION:
        expected = value // timedelta(microseconds=1)
    elif kind is DataType.TIMESTAMP:
        expected = (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    unit = kind if kind in (DataType.DURATION, DataType.TIMESTAMP) else None
    assert found == Literal(expected, unit)
    assert repr(found.value) == repr(expected)  # -0.0 too


def test_a_text_that_looks_like_rules_stays_a_text() -> None:
    text = "x' or true; pattern q match b define b as true -- "
    rules, _ = parse_rules(TEXT, parameters={"name": text})
    assert [pattern.name for pattern in rules.patterns] == ["p"]
    assert constant_in(text, "name").value == text


def test_rules_with_values_are_those_with_constants() -> None:
    values = {"n": 5, "limit": 2, "window": "1 hour", "name": "y", "flag": False}
    written = """pattern p match a{5,} -> b within 1 hour
      define a as v > 2.0, b as false or t = 'y' or ts > timestamp '2024-01-31 12:00:00';"""
    assert parse_rules(TEXT, parameters=values)[0] == parse_rules(written)[0]


def test_parameters_may_stand_behind_what_reads_them() -> None:
    assert parse_rules(USED + DECLARED)[0] == parse_rules(TEXT)[0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n": 2.5}, "the value of $n is 2.5"),
        ({"n": True}, "the value of $n is True"),
        ({"n": 2**63}, "the value of $n is 9223372036854775808"),
        ({"limit": "500"}, "the value of $limit is '500'"),
        ({"limit": float("nan")}, "the value of $limit is nan"),
        ({"name": 5}, "the value of $name is 5"),
        ({"flag": 1}, "the value of $flag is 1"),
        ({"window": 5}, "the value of $window is 5"),
        ({"window": "5 parsecs"}, "the value of $window is '5 parsecs'"),
        ({"since": "yesterday"}, "the value of $since is 'yesterday'"),
        ({"limt": 5}, "a value for $limt, which the rules do not declare"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse_rules(TEXT, parameters=values)
    (problem,) = caught.value.problems
    assert problem.message == message
    assert problem.hint is not None


def test_values_of_numpy_fit() -> None:
    values = {"n": np.int32(5), "limit": np.float32(2), "flag": np.True_}
    assert check(TEXT, parameters=values).parameters["n"].value == 5


def test_a_parameter_that_nobody_reads_is_doubtful() -> None:
    (warning,) = parse_rules("parameter $x = 1; pattern p match a define a as v > 1;")[1]
    assert warning.message == "parameter $x is not used"


# ---- rules


def test_rules_say_their_parameters_and_take_other_values() -> None:
    rules = cep.compile(TEXT, parameters={"window": "1 hour"})
    assert {name: each.value for name, each in rules.parameters.items()} == {
        "n": 3,
        "limit": 500.0,
        "name": "x",
        "flag": True,
        "window": timedelta(hours=1),
        "since": datetime(2024, 1, 31, 12, tzinfo=UTC),
    }
    assert rules.parameters["window"].default == timedelta(minutes=10)
    other = rules.with_parameters(limit=7, since=datetime(2025, 1, 1))  # noqa: DTZ001 - means UTC
    assert other.parameters["limit"].value == 7.0
    assert other.parameters["since"].value == datetime(2025, 1, 1, tzinfo=UTC)
    assert other.parameters["window"].value == timedelta(hours=1)
    assert rules.parameters["limit"].value == 500.0
    assert other.text == rules.text


def test_other_values_find_other_matches() -> None:
    rules = cep.compile("parameter $limit = 5; pattern p match a define a as v > $limit;")
    data = [{"ts": n, "v": n} for n in range(10)]
    counts = [len(rules.with_parameters(limit=limit).run(data).matches) for limit in (5, 0, 20)]
    assert counts == [4, 9, 0]


def test_functions_stay_with_the_rules() -> None:
    count = cep.AggregateFunction(
        "seen", create=int, add=lambda s, v: s + 1, merge=lambda a, b: a + b, result=lambda s: s,
        type=DataType.INTEGER, argument=DataType.INTEGER,
    )  # fmt: skip
    text = "parameter $n = 2; aggregate t from s window count $n select seen(v) as n;"
    rules = cep.compile(text, functions=[count])
    data = [{"ts": n, "v": n} for n in range(9)]
    assert rules.with_parameters(n=3).run(data).tables["t"]["n"].to_pylist() == [3, 3, 3]


def test_a_file_of_rules_takes_values(tmp_path: Path) -> None:
    path = tmp_path / "p.cep"
    path.write_text(TEXT, "utf-8")
    assert cep.load(path, parameters={"n": 7}).parameters["n"].value == 7


def test_rules_built_in_python_have_none() -> None:
    built = parse_rules("pattern p match a define a as v > 1")[0]
    assert check(built).parameters == {}
    with pytest.raises(RuleError, match="rules built in Python have no parameters"):
        check(built, parameters={"n": 1})
    with pytest.raises(RuleError, match="rules built in Python have no parameters"):
        check(built).with_parameters(n=1)
