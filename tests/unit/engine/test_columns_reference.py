"""Random expressions over random rows: the columns equal the plain evaluator, row by row."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cep.engine.algebra.expression import DataType
from cep.engine.columns.evaluator import ColumnEvaluator, to_arrow
from tests.reference.expressions import evaluate
from tests.unit.engine.expression_tools import bound
from tests.unit.engine.random_expressions import (
    BOOLEAN,
    DURATION,
    FLOAT,
    INTEGER,
    ROWS,
    TEXT,
    TIMESTAMP,
    tables,
    tree,
)


def shown(value: object) -> str:
    """Something that NaN equals itself in, and 1 does not equal 1.0 or true; -0.0 is 0.0."""
    return repr(value + 0.0 if isinstance(value, float) else value)


@pytest.mark.parametrize("kind", [BOOLEAN, INTEGER, FLOAT, TEXT, TIMESTAMP, DURATION], ids=str)
@settings(derandomize=True, max_examples=120, deadline=None)
@given(data=st.data())
def test_columns_equal_the_plain_evaluator(kind: DataType, data: st.DataObject) -> None:
    table = data.draw(tables())
    typed = bound(data.draw(tree(kind, 2)), table)
    evaluator = ColumnEvaluator(table)
    found: Any = to_arrow(evaluator.evaluate(typed), ROWS, kind)
    if kind in (TIMESTAMP, DURATION):
        found = found.cast(pa.int64())
    expected = [evaluate(typed, event) for event in table.to_pylist()]
    assert list(map(shown, found.to_pylist())) == list(map(shown, expected))
    for error in evaluator.errors:
        assert error.reason
        assert 0 < len(error.rows) <= ROWS
