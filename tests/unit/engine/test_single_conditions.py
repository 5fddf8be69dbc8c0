"""Conditions asked of single events: masks as the columns have them, and nothing that they miss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cep.engine.algebra.expression import Expression
from cep.engine.columns.evaluator import ColumnEvaluator
from cep.engine.kernels import conditions as kernel
from cep.engine.single.asking import Asker, build_questions
from cep.engine.single.inputs import Inputs
from tests.unit.engine.expression_tools import bound, call, f, op
from tests.unit.engine.random_expressions import BOOLEAN, FLOAT, INTEGER, plain_tables, tree

Answer = tuple[list[int], list[int]] | None
FIRST_FAMILY = 2  # patterns in it


def asked(
    conditions: Sequence[Sequence[Expression | None]], table: pa.Table, values: Sequence[Any] = ()
) -> list[Answer]:
    """For each row the masks of the patterns and which of them it touches.

    None where it could not be said. The patterns are those of two families.
    """
    askers = [Asker(each, restless=False) for each in conditions]
    families = [askers[:FIRST_FAMILY], askers[FIRST_FAMILY:]]
    questions = build_questions(families, values)
    found = questions.asked
    inputs = Inputs(questions, table.schema)
    answers: list[Answer] = []
    for row in raw_rows(table):
        touched = inputs.ask(row, 0)
        answers.append(None if touched < 0 else answer_of(found, touched, len(askers)))
    return answers


def answer_of(found: kernel.Asked, touched: int, patterns: int) -> Answer:
    begin, places = 0, list[int]()
    for family, end in found.families[: found.counters[kernel.TOUCHED_FAMILIES]].tolist():
        assert end > begin
        places += (found.members[begin:end] + (0, FIRST_FAMILY)[family]).tolist()
        begin = end
    assert len(places) == touched
    masks = [0] * patterns
    for place, mask in zip(places, found.masks[:touched].tolist(), strict=True):
        masks[place] = mask
    return masks, places


def raw_rows(table: pa.Table) -> list[list[Any]]:
    """Values as single events have them: times and durations as microseconds."""
    columns: list[Any] = []
    for column in table.columns:
        kind: Any = column.type
        temporal = pa.types.is_temporal(kind)
        raw: Any = column.cast(pa.int64()) if temporal else column
        columns.append(raw.to_pylist())
    return [list(row) for row in zip(*columns, strict=True)]


def by_columns(conditions: Sequence[Sequence[Expression | None]], table: pa.Table) -> list[Answer]:
    """The same by evaluating columns, row by row so that nothing is shared."""
    answers: list[Answer] = []
    for at in range(table.num_rows):
        evaluator = ColumnEvaluator(table.slice(at, 1))
        masks = [
            sum(
                1 << bit
                for bit, one in enumerate(each)
                if one is None or evaluator.true_rows(one)[0]
            )
            for each in conditions
        ]
        failed = any(evaluator.errors_of(one) for each in conditions for one in each if one)
        touched = [number for number, mask in enumerate(masks) if mask]
        answers.append(None if failed else (masks, touched))
    return answers


@st.composite
def askers(draw: st.DrawFn) -> list[list[Expression | None]]:
    """Some patterns, each with some conditions; many compare fields with constants."""
    part = simple() | simple() | tree(BOOLEAN, 2)
    conjunction = st.lists(part, min_size=1, max_size=3).map(_all_of)
    condition = st.just(None) | conjunction | conjunction | conjunction
    return draw(st.lists(st.lists(condition, min_size=1, max_size=3), min_size=1, max_size=4))


def simple() -> st.SearchStrategy[Expression]:
    signs = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
    number = st.integers(-2, 3) | st.sampled_from([0.0, -0.0, 0.5, 2.0**53])
    text = st.sampled_from(["", "a", "ab", "é"])
    return st.one_of(
        st.builds(op, st.sampled_from([f("i"), f("j"), f("x"), f("y")]), signs, number),
        st.builds(op, number, signs, st.sampled_from([f("i"), f("x")])),
        st.builds(op, st.sampled_from([f("t"), f("u")]), signs, text),
        st.builds(op, st.sampled_from([f("b"), f("c")]), st.just("="), st.booleans()),
    )


def _all_of(parts: list[Expression]) -> Expression:
    whole = parts[0]
    for part in parts[1:]:
        whole = op(whole, "and", part)
    return whole


@settings(max_examples=300, deadline=None)
@given(askers(), plain_tables())
def test_masks_equal_those_of_columns(
    conditions: list[list[Expression | None]], table: pa.Table
) -> None:
    typed = [[None if one is None else bound(one, table) for one in each] for each in conditions]
    assert asked(typed, table) == by_columns(typed, table)


@pytest.mark.parametrize("kind", [INTEGER, FLOAT], ids=str)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_values_equal_those_of_columns(kind: Any, data: st.DataObject) -> None:
    table = data.draw(plain_tables())
    typed = bound(data.draw(tree(kind, 2)), table)
    questions = build_questions([[Asker([None], restless=False)]], [typed])
    found, inputs = questions.asked, Inputs(questions, table.schema)
    for at, row in enumerate(raw_rows(table)):
        evaluator = ColumnEvaluator(table.slice(at, 1))
        column = evaluator.evaluate(typed)
        touched = inputs.ask(row, 0)
        assert (touched < 0) == bool(evaluator.errors_of(typed))
        if touched < 0:
            continue
        is_null = typed.type is not kind or (column.valid is not None and not column.valid[0])
        assert (found.values[0, kernel.INPUT_STATE] == kernel.NULL) == is_null
        if not is_null:
            words = found.values[:1, kernel.INPUT_WORD].copy()
            np.testing.assert_array_equal(words.view(column.values.dtype), column.values)


def test_thousands_of_thresholds_are_found_by_search() -> None:
    table = pa.table({"x": [0.5, None, float("nan"), 999.5], "k": ["a", "b", "zz", "a"]})
    conditions: list[list[Expression | None]] = [
        [bound(op(op(f("x"), ">", number), "and", op(f("k"), "=", "ab"[number % 2])), table)]
        for number in range(1000)
    ]
    found = asked(conditions, table)
    assert found == by_columns(conditions, table)
    touched = [len(answer[1]) for answer in found if answer]
    assert touched == [1, 0, 0, 500]


def test_what_is_behind_a_false_part_need_not_be_evaluated() -> None:
    table = pa.table({"i": [0, 1, None, 2]})
    guarded = bound(op(op(f("i"), ">", 0), "and", op(op(1, "/", f("i")), ">", 0.7)), table)
    bare = bound(op(op(1, "/", f("i")), ">", 0.7), table)
    assert asked([[guarded]], table) == [([0], []), ([1], [0]), ([0], []), ([0], [])]
    assert asked([[bare]], table)[0] is None


def test_texts_that_programs_do_not_know_are_looked_up_in_columns() -> None:
    table = pa.table({"t": ["Visa", "visa", "amex", None]})
    condition = bound(op(call("lower", f("t")), "=", "visa"), table)
    assert asked([[condition]], table) == [([1], [0]), ([1], [0]), ([0], []), ([0], [])]
