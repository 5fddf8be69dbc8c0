"""Values to codes and back: growth, collisions, negative numbers, what is kept."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cep.engine.algebra.expression import DataType
from cep.engine.batch import Int64s
from cep.engine.columns.evaluator import Column
from cep.engine.state.interning import IntegerCodes, KeyCodes, saved_keys

INT64 = st.integers(-(2**63), 2**63 - 1)


def numbers(*values: int) -> Int64s:
    return np.array(values, np.int64)


def column(kind: DataType, *values: object) -> Column:
    if kind is DataType.TEXT:
        return Column(kind, pa.array(values, pa.string()))
    return Column(kind, np.array(values, np.float64 if kind is DataType.FLOAT else np.int64))


# -- integers -------------------------------------------------------------------------------------


def test_codes_are_dense_in_order_of_appearance() -> None:
    codes = IntegerCodes()
    assert codes.encode(numbers(7, -7, 7, 0, -7)).tolist() == [0, 1, 0, 2, 1]
    assert codes.encode(numbers(0, 8)).tolist() == [2, 3]
    assert codes.values(numbers(3, 1)).tolist() == [8, -7]
    assert len(codes) == 4


def test_the_table_grows_in_the_middle_of_an_array() -> None:
    codes = IntegerCodes(capacity=1)
    values = numbers(*range(-50, 50))
    assert codes.encode(values).tolist() == list(range(100))
    assert codes.encode(values[::-1].copy()).tolist() == list(range(99, -1, -1))
    assert codes.values(np.arange(100)).tolist() == list(range(-50, 50))


def test_values_that_fall_on_the_same_slot_keep_apart() -> None:
    codes = IntegerCodes(capacity=2)
    for value in range(0, 2**62, 2**55):
        codes.encode(numbers(value))
    assert codes.encode(numbers(*range(0, 2**62, 2**55))).tolist() == list(range(128))


@pytest.mark.parametrize("value", [0, -1, 1, 2**63 - 1, -(2**63)])
def test_any_64_bit_integer_has_a_code(value: int) -> None:
    codes = IntegerCodes(capacity=1)
    assert codes.encode(numbers(value, value)).tolist() == [0, 0]
    assert codes.values(numbers(0)).tolist() == [value]


def test_nothing_is_encoded_as_nothing() -> None:
    assert IntegerCodes(capacity=1).encode(numbers()).tolist() == []


@given(st.lists(st.lists(INT64 | st.integers(-3, 3), max_size=40), max_size=5))
def test_integer_codes_are_those_of_a_dict(batches: list[list[int]]) -> None:
    codes, known = IntegerCodes(capacity=1), dict[int, int]()
    for batch in batches:
        expected = [known.setdefault(value, len(known)) for value in batch]
        assert codes.encode(numbers(*batch)).tolist() == expected
    assert codes.values(np.arange(len(known))).tolist() == list(known)


# -- keys -----------------------------------------------------------------------------------------


def test_without_key_fields_there_is_one_key() -> None:
    codes = KeyCodes(())
    assert len(codes) == 1
    assert codes.encode([], np.arange(3)).tolist() == [0, 0, 0]


def test_keys_are_tuples_of_their_fields() -> None:
    codes = KeyCodes((DataType.TEXT, DataType.INTEGER, DataType.FLOAT))
    columns = [
        column(DataType.TEXT, "a", "a", "b", "a", "a"),
        column(DataType.INTEGER, 1, -1, 1, 1, 1),
        column(DataType.FLOAT, 0.5, 0.5, 0.5, 0.25, 0.5),
    ]
    assert codes.encode(columns, np.arange(5)).tolist() == [0, 1, 2, 3, 0]
    assert codes.encode(columns, numbers(2)).tolist() == [2]
    assert len(codes) == 4


def test_zero_and_minus_zero_are_one_key() -> None:
    codes = KeyCodes((DataType.FLOAT,))
    assert codes.encode([column(DataType.FLOAT, 0.0, -0.0)], np.arange(2)).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("kinds", "values"),
    [
        ((DataType.INTEGER,), [(5, -6, 7, 8)]),
        ((DataType.TEXT,), [("p", "q", "", "s")]),
        ((DataType.TEXT, DataType.INTEGER), [("p", "p", "q", "q"), (1, -2, 1, -2)]),
        (
            (DataType.INTEGER, DataType.TEXT, DataType.INTEGER),
            [(1, 1, 2, 2), ("x", "y", "x", "y"), (-9, -9, -8, -8)],
        ),
    ],
)
def test_the_keys_that_are_kept_get_new_codes_and_the_others_are_forgotten(
    kinds: tuple[DataType, ...], values: list[tuple[object, ...]]
) -> None:
    codes = KeyCodes(kinds)
    columns = [column(kind, *some) for kind, some in zip(kinds, values, strict=True)]
    assert codes.encode(columns, np.arange(4)).tolist() == [0, 1, 2, 3]
    kept = codes.keep(numbers(3, 1))
    assert len(kept) == 2
    assert kept.encode(columns, numbers(1, 3, 1)).tolist() == [1, 0, 1]
    assert kept.encode(columns, numbers(0, 2)).tolist() == [2, 3]


def values(columns: list[Column]) -> list[tuple[object, ...]]:
    """The keys as tuples."""
    return list(zip(*(c.values.tolist() for c in columns), strict=True))


KEYS = [(5, 0.5, True, "p"), (5, -0.0, False, "q"), (-6, 0.5, True, ""), (5, 0.5, True, "q")]
KEY_TYPES = (DataType.INTEGER, DataType.FLOAT, DataType.BOOLEAN, DataType.TEXT)


def key_columns() -> list[Column]:
    i, x, b, t = zip(*KEYS, strict=True)
    return [
        column(DataType.INTEGER, *i),
        column(DataType.FLOAT, *x),
        Column(DataType.BOOLEAN, np.array(b)),
        column(DataType.TEXT, *t),
    ]


def test_codes_lead_back_to_the_values_of_the_keys() -> None:
    codes = KeyCodes(KEY_TYPES)
    codes.encode(key_columns(), np.arange(4))
    columns = codes.columns(numbers(3, 1, 3))
    assert values(columns) == [KEYS[3], (5, 0.0, False, "q"), KEYS[3]]
    assert [c.values.dtype for c in columns[:3]] == [np.int64, np.float64, np.bool_]
    assert columns[3].values.type == pa.string()


def test_a_snapshot_of_keys_is_not_changed_by_what_comes_later() -> None:
    codes = KeyCodes(KEY_TYPES)
    codes.encode(key_columns(), numbers(2, 0))
    snapshot = codes.snapshot()
    codes.encode(key_columns(), np.arange(4))
    assert values(saved_keys(KEY_TYPES, snapshot)) == [KEYS[2], KEYS[0]]
    assert snapshot["size"] == 2


def test_keys_of_several_snapshots_get_new_codes_in_the_order_given() -> None:
    first, second = KeyCodes(KEY_TYPES), KeyCodes(KEY_TYPES)
    first.encode(key_columns(), numbers(0, 1))
    second.encode(key_columns(), numbers(2, 3))
    parts = [(first.snapshot(), numbers(1)), (second.snapshot(), numbers(1, 0))]
    codes, renamed = KeyCodes.restored(KEY_TYPES, parts)
    assert [now.tolist() for now in renamed] == [[-1, 0], [2, 1]]
    assert codes.encode(key_columns(), np.arange(4)).tolist() == [3, 0, 2, 1]


def test_the_one_key_without_fields_is_restored() -> None:
    parts = [(KeyCodes(()).snapshot(), numbers(0))]
    codes, renamed = KeyCodes.restored((), parts)
    assert len(codes) == 1
    assert [now.tolist() for now in renamed] == [[0]]


@given(st.lists(st.tuples(INT64, st.text(max_size=3)), unique=True, max_size=20), st.integers(1, 3))
def test_keys_that_are_split_over_shards_and_merged_are_the_same_keys(
    keys: list[tuple[int, str]], shards: int
) -> None:
    kinds = (DataType.INTEGER, DataType.TEXT)
    columns = [column(kinds[0], *(i for i, _ in keys)), column(kinds[1], *(t for _, t in keys))]
    codes = KeyCodes(kinds)
    codes.encode(columns, np.arange(len(keys)))
    whole = codes.snapshot()
    owned = [np.arange(shard, len(keys), shards) for shard in range(shards)]
    apart = [KeyCodes.restored(kinds, [(whole, own)])[0] for own in owned]
    assert [len(one) for one in apart] == [len(own) for own in owned]
    merged, _ = KeyCodes.restored(kinds, [(one.snapshot(), np.arange(len(one))) for one in apart])
    order = np.concatenate(owned)
    assert merged.encode(columns, order).tolist() == list(range(len(keys)))
