"""The fields of one event -> the words that conditions are asked with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from cep.engine.algebra.expression import DataType, Expression, Field, walk
from cep.engine.algebra.plan import EVENT_TIME
from cep.engine.batch import Int64s
from cep.engine.columns.evaluator import Column, ColumnEvaluator
from cep.engine.kernels.conditions import FAULTY, INPUT_STATE, INPUT_WORD, NULL, VALID
from cep.engine.kernels.layout import Floats

LEAVES_KEPT = 1 << 14  # values of one leaf that are remembered
OTHER_TEXT = -1  # a text that no condition asks for
Found = tuple[int, Any]  # NULL, VALID or FAULTY, and the value
TIME_AT = -1  # in place of the column's number: the time of the event


class Leaf:
    """What no program computes: by columns, once for each combination of the fields that it reads.

    Floats are not told apart by equality (0.0 and -0.0, NaN): what reads one is computed each time.
    """

    def __init__(self, expression: Expression, schema: pa.Schema) -> None:
        self._expression = expression
        names = {node.name for node in walk(expression) if isinstance(node, Field)}
        self._reads = [
            (name, TIME_AT if name == EVENT_TIME else schema.names.index(name), kind)
            for name in sorted(names)
            if (kind := pa.timestamp("us") if name == EVENT_TIME else schema.field(name).type)
        ]
        self._is_kept = not any(kind == pa.float64() for _, _, kind in self._reads)
        self._known: dict[tuple[Any, ...], Found] = {}

    def value(self, values: Sequence[Any], time_us: int) -> Found:
        """Of one event."""
        read = tuple(time_us if at == TIME_AT else values[at] for _, at, _ in self._reads)
        if not self._is_kept:
            return self._computed(read)
        found = self._known.get(read)
        if found is None:
            if len(self._known) >= LEAVES_KEPT:
                self._known.clear()
            found = self._known[read] = self._computed(read)
        return found

    def _computed(self, read: tuple[Any, ...]) -> Found:
        columns: Any = {
            name: pa.array([value], kind)
            for value, (name, _, kind) in zip(read, self._reads, strict=True)
        }
        table = pa.table(columns) if columns else pa.table({"": [0]})
        evaluator = ColumnEvaluator(table)
        column = evaluator.evaluate(self._expression)
        if evaluator.errors_of(self._expression):
            return FAULTY, 0
        return _first(column)


def _first(column: Column) -> Found:
    """The value in the first row."""
    if column.type is DataType.NULL:
        return NULL, 0
    if column.type is DataType.TEXT:
        text = column.values[0].as_py()
        return (NULL, 0) if text is None else (VALID, text)
    if column.valid is not None and not column.valid[0]:
        return NULL, 0
    return VALID, column.values[0].item()


class Inputs:
    """Writes the inputs of the kernel, in the order of `expressions`.

    `words`, shape (i, 2): word and state of each; `floats`: the same memory.
    """

    def __init__(
        self,
        expressions: Sequence[Expression],
        schema: pa.Schema,
        texts: Mapping[str, int],
        words: Int64s,
        floats: Floats,
    ) -> None:
        self._code_of = texts.get
        self._words, self._floats = words, floats
        self._fields: list[tuple[int, int, Callable[[int, Any], None]]] = []
        self._leaves: list[tuple[int, Leaf, Callable[[int, Any], None]]] = []
        for number, expression in enumerate(expressions):
            write = self._writer(expression)
            if isinstance(expression, Field):
                name = expression.name
                at = TIME_AT if name == EVENT_TIME else schema.names.index(name)
                self._fields.append((number, at, write))
            else:
                self._leaves.append((number, Leaf(expression, schema), write))

    def write(self, values: Sequence[Any], time_us: int) -> None:
        """Those of one event."""
        states = self._words
        for number, at, write in self._fields:
            value = time_us if at == TIME_AT else values[at]
            if value is None:
                states[number, INPUT_STATE] = NULL
            else:
                write(number, value)
                states[number, INPUT_STATE] = VALID
        for number, leaf, write in self._leaves:
            state, value = leaf.value(values, time_us)
            states[number, INPUT_STATE] = state
            if state == VALID:
                write(number, value)

    def _writer(self, expression: Expression) -> Callable[[int, Any], None]:
        if expression.type is DataType.FLOAT:
            return self._write_float
        return self._write_text if expression.type is DataType.TEXT else self._write_whole

    def _write_float(self, number: int, value: float) -> None:
        self._floats[number, INPUT_WORD] = value

    def _write_whole(self, number: int, value: int) -> None:
        self._words[number, INPUT_WORD] = value

    def _write_text(self, number: int, value: str) -> None:
        self._words[number, INPUT_WORD] = self._code_of(value, OTHER_TEXT)
