"""Tables beside the events: what is found, what is refused, and how one replaces another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cep.engine.algebra.errors import DataError
from cep.engine.algebra.expression import DataType
from cep.engine.algebra.pattern import StreamField
from cep.engine.algebra.plan import Lookup, Table
from cep.engine.batch import EventBatch
from cep.engine.columns.evaluator import ARROW_TYPES
from cep.engine.operators.fed import Fed
from cep.engine.operators.lookup import Codes, LookupOperator
from cep.engine.state.interning import TextCodes

INTEGER, FLOAT, TEXT = DataType.INTEGER, DataType.FLOAT, DataType.TEXT


def table(*key: str, **fields: DataType) -> Table:
    return Table("m", tuple(StreamField(n, k) for n, k in fields.items()), key)


def operator(of: Table, rows: pa.Table | None = None) -> LookupOperator:
    read = [f.name for f in of.fields if f.name not in of.key]
    lookups = [Lookup("a", f"m.{name}", "m", name, of.key) for name in read]
    made = LookupOperator(lookups, of, {"a": 0, "b": 1})
    if rows is not None:
        made.load(rows)
    return made


def found(by: LookupOperator, events: pa.Table, stream: list[int] | None = None) -> dict[str, Any]:
    times = np.zeros(events.num_rows, np.int64)
    streams = None if stream is None else np.array(stream, np.int16)
    fed = Fed(EventBatch(events, times, streams), 0, TextCodes())
    return {name: array.to_pylist() for name, array in by.columns(fed)}


MERCHANTS = table("merchant", merchant=TEXT, risk=FLOAT, country=TEXT)
ROWS = pa.table({"merchant": ["m1", "m2", "m3"], "risk": [0.1, 0.9, None], "country": list("FGF")})


# -- what is found --------------------------------------------------------------------------------


@pytest.mark.parametrize("encoded", [False, True])
def test_a_key_finds_its_row_and_an_unknown_or_missing_key_finds_none(encoded: bool) -> None:
    texts: Any = pa.array(["m2", "m1", None, "m9", "m3", "m2"])
    events = pa.table({"merchant": texts.dictionary_encode() if encoded else texts})
    assert found(operator(MERCHANTS, ROWS), events) == {
        "m.risk": [0.9, 0.1, None, None, None, 0.9],
        "m.country": ["G", "F", None, None, "F", "G"],
    }


def test_events_of_other_streams_find_nothing() -> None:
    events = pa.table({"merchant": ["m1", "m1", "m2"]})
    assert found(operator(MERCHANTS, ROWS), events, [0, 1, 0])["m.risk"] == [0.1, None, 0.9]


def test_a_key_of_several_fields_is_found_by_all_of_them() -> None:
    limits = table("card", "kind", card=INTEGER, kind=TEXT, limit=INTEGER)
    rows = pa.table({"card": [1, 1, 2], "kind": ["a", "b", "a"], "limit": [10, 20, 30]})
    events = pa.table(
        {"card": [1, 2, 1, 2, None, 3, 1], "kind": ["b", "a", "a", "b", "a", "a", None]}
    )
    expected = [20, 30, 10, None, None, None, None]
    assert found(operator(limits, rows), events) == {"m.limit": expected}


def test_keys_may_be_floats_times_and_booleans() -> None:
    rates = table("x", "s", "b", x=FLOAT, s=DataType.TIMESTAMP, b=DataType.BOOLEAN, rate=INTEGER)
    times = pa.array([5, 6, 5], pa.timestamp("us"))
    columns: dict[str, Any] = {
        "x": pa.array([0.0, 1.5, 1.5]),
        "s": times,
        "b": pa.array([True, True, False]),
    }
    rows = pa.table({**columns, "rate": [1, 2, 3]})
    events = pa.table({**columns, "x": pa.array([-0.0, 1.5, 0.0])})
    assert found(operator(rates, rows), events) == {"m.rate": [1, 2, None]}


def test_integers_find_floats_and_a_key_that_is_null_throughout_finds_nothing() -> None:
    of = table("x", x=FLOAT, row=INTEGER)
    by = operator(of, pa.table({"x": [1.0, 2.5], "row": [10, 20]}))
    assert found(by, pa.table({"x": [2, 1]})) == {"m.row": [None, 10]}
    assert found(by, pa.table({"x": pa.nulls(2)})) == {"m.row": [None, None]}


def test_an_empty_table_finds_nothing_whatever_the_types_of_its_columns() -> None:
    events = pa.table({"merchant": ["m1", None]})
    none: list[Any] = []
    for rows in (ROWS.slice(0, 0), pa.table({n: pa.array(none) for n in ROWS.column_names})):
        assert found(operator(MERCHANTS, rows), events)["m.country"] == [None, None]


def test_integers_pass_for_floats_and_a_column_of_nulls_for_anything() -> None:
    rows = pa.table({"merchant": ["m1"], "risk": pa.array([2], pa.int8()), "country": pa.nulls(1)})
    fed = Fed(EventBatch(pa.table({"merchant": ["m1"]}), np.zeros(1, np.int64)), 0, TextCodes())
    risk, country = (array for _, array in operator(MERCHANTS, rows).columns(fed))
    assert (risk.type, risk.to_pylist()) == (pa.float64(), [2.0])
    assert (country.type.value_type, country.to_pylist()) == (pa.string(), [None])


def test_a_new_table_replaces_the_old_and_a_wrong_one_does_not() -> None:
    events = pa.table({"merchant": ["m1", "m2"]})
    by = operator(MERCHANTS, ROWS)
    with pytest.raises(DataError):
        by.load(ROWS.drop_columns(["risk"]))
    assert found(by, events)["m.risk"] == [0.1, 0.9]
    by.load(pa.table({"merchant": ["m2"], "risk": [0.5], "country": ["N"]}))
    assert found(by, events) == {"m.risk": [None, 0.5], "m.country": [None, "N"]}


def test_chunks_and_their_dictionaries_are_put_together() -> None:
    one, other = pa.array(["m2", "m1"]).dictionary_encode(), pa.array(["m3"]).dictionary_encode()
    chunked: Any = pa.chunked_array([one, other])
    turned: Any = pa.chunked_array([other, one])
    rows = pa.table({"merchant": chunked, "risk": [2.0, 1.0, 3.0], "country": chunked})
    events = pa.table({"merchant": turned})
    assert found(operator(MERCHANTS, rows), events) == {
        "m.risk": [3.0, 2.0, 1.0],
        "m.country": ["m3", "m2", "m1"],
    }


KEYS = st.tuples(st.sampled_from([None, -(2**63), -1, 0, 7]), st.sampled_from([None, "", "a", "b"]))


@given(st.lists(KEYS.filter(lambda k: None not in k), unique=True), st.lists(KEYS), st.booleans())
def test_lookups_are_those_of_a_dictionary(
    keys: list[tuple[Any, Any]], asked: list[tuple[Any, Any]], encoded: bool
) -> None:
    of = table("i", "t", i=INTEGER, t=TEXT, row=INTEGER)
    rows = columns(keys, encoded).append_column("row", pa.array(range(len(keys)), pa.int64()))
    expected = [keys.index(key) if key in keys else None for key in asked]
    assert found(operator(of, rows), columns(asked, encoded)) == {"m.row": expected}


def columns(keys: list[tuple[Any, Any]], encoded: bool) -> pa.Table:
    texts: Any = pa.array([t for _, t in keys], ARROW_TYPES[TEXT])
    numbers: Any = pa.array([i for i, _ in keys], ARROW_TYPES[INTEGER])
    return pa.table({"i": numbers, "t": texts.dictionary_encode() if encoded else texts})


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"merchant": ["m1", "m2", "m1"]}, "key merchant = 'm1' stands in rows 0 and 2"),
        ({"merchant": ["m1", None, "m3"]}, "key field 'merchant' is NULL in row 1: leave the row"),
        ({"merchant": pa.nulls(3)}, "key field 'merchant' is NULL in row 0"),
        ({"merchant": [1, 2, 3]}, "column 'merchant' must be text, not int64"),
        ({"risk": ["a", "b", "c"]}, "column 'risk' must be float, not string"),
        ({"risk": [[1], [2], [3]]}, "column 'risk' must be float, not list"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"table 'm'.*{message}"):
        operator(MERCHANTS, pa.table({**ROWS.to_pydict(), **change}))


def test_a_missing_column_is_named_with_those_there_are() -> None:
    message = "table 'm' has no column 'risk': its columns are merchant, country"
    with pytest.raises(DataError, match=message):
        operator(MERCHANTS, ROWS.drop_columns(["risk"]))


def test_a_key_that_stands_twice_is_named_with_all_its_fields() -> None:
    limits = table("card", "kind", card=INTEGER, kind=TEXT, limit=INTEGER)
    rows = pa.table({"card": [1, 1, 1], "kind": ["b", "a", "a"], "limit": [10, 20, 30]})
    with pytest.raises(DataError, match="key card = 1, kind = 'a' stands in rows 1 and 2: each"):
        operator(limits, rows)


def test_without_rows_nothing_can_be_looked_up() -> None:
    with pytest.raises(DataError, match="table 'm' has no rows yet"):
        found(operator(MERCHANTS), pa.table({"merchant": ["m1"]}))


# -- codes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 7, 8, 9, 1000])
def test_all_values_get_codes_and_no_other_is_found(size: int) -> None:
    codes = Codes(np.arange(size) * 3)
    assert codes.codes.tolist() == list(range(size))
    assert codes.find(np.array([-3, -1, 1, 3 * size])).tolist() == [-1, -1, -1, -1]
