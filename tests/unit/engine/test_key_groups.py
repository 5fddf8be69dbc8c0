"""The group of a key follows from its values: the same for ever, however they are held."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cep.engine.algebra.expression import DataType
from cep.engine.columns.data import column_of
from cep.engine.columns.evaluator import Column
from cep.engine.state.key_groups import KEY_GROUPS, KeyGrouping, key_groups


def column(data: list[Any], kind: Any = None) -> Column:
    return column_of(pa.chunked_array([pa.array(data, kind)]))


def groups(*columns: Column) -> list[int]:
    found: list[int] = key_groups(columns, np.arange(len(columns[0].values))).tolist()
    return found


def test_groups_never_change_since_stored_state_is_found_by_them() -> None:
    assert groups(column([0, 1, -1, 2**63 - 1])) == [95, 11, 63, 53]
    assert groups(column([0.0, 0.5, -1.5])) == [95, 79, 50]
    assert groups(column([False, True])) == [95, 11]
    assert groups(column(["", "a", "card-00000001", "é" * 40])) == [119, 97, 79, 54]
    assert groups(column([1, 1, 2]), column(["a", "b", "a"])) == [71, 85, 126]


def test_without_key_fields_all_events_are_in_one_group() -> None:
    assert key_groups([], np.arange(3)).tolist() == [69, 69, 69]


@pytest.mark.parametrize("kind", [pa.int8(), pa.int16(), pa.uint32(), pa.int64()])
def test_the_width_of_an_integer_does_not_show(kind: Any) -> None:
    assert groups(column([1, 5, 100], kind)) == groups(column([1, 5, 100], pa.int64()))


def test_zero_and_minus_zero_are_in_one_group() -> None:
    assert len(set(groups(column([0.0, -0.0])))) == 1


@given(st.lists(st.text(), min_size=1, max_size=20))
def test_how_texts_are_held_does_not_show(texts: list[str]) -> None:
    plain = groups(column(texts, pa.string()))
    assert groups(column(texts, pa.large_string())) == plain
    encoded = pa.array(texts, pa.string()).dictionary_encode()
    assert groups(Column(DataType.TEXT, encoded)) == plain
    other = pa.array(["another", *texts]).dictionary_encode().slice(1)
    assert groups(Column(DataType.TEXT, other)) == plain


@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.text(max_size=9)), min_size=1))
def test_a_key_is_in_the_same_group_alone_and_among_others(keys: list[tuple[int, str]]) -> None:
    columns = [column([i for i, _ in keys], pa.int64()), column([t for _, t in keys], pa.string())]
    together = groups(*columns)
    assert all(0 <= group < KEY_GROUPS for group in together)
    for row, group in enumerate(together):
        assert key_groups(columns, np.array([row])).tolist() == [group]


def test_the_order_of_the_fields_shows() -> None:
    one, two = column(list(range(50))), column(list(range(50, 100)))
    assert groups(one, two) != groups(two, one)


def test_keys_spread_over_all_groups() -> None:
    numbers = np.bincount(groups(column(list(range(12_800)))), minlength=KEY_GROUPS)
    texts = np.bincount(groups(column([f"user{i}" for i in range(12_800)])), minlength=KEY_GROUPS)
    assert numbers.min() > 50
    assert numbers.max() < 150
    assert texts.min() > 50
    assert texts.max() < 150


def test_another_dictionary_is_hashed_anew() -> None:
    grouping = KeyGrouping(1)
    for texts in (["a", "b"], ["b", "a"], ["b", "a"], ["c", "d", "e"]):
        encoded = Column(DataType.TEXT, pa.array(texts).dictionary_encode())
        rows = np.arange(len(texts))
        assert grouping.groups([encoded], rows).tolist() == groups(column(texts))
