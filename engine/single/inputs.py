"""The fields of one event -> the words that conditions are asked with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from cep.engine.algebra.expression import DataType, Expression, Field, walk
from cep.engine.algebra.plan import EVENT_TIME
from cep.engine.columns.evaluator import Column, ColumnEvaluator
from cep.engine.kernels import conditions as kernel
from cep.engine.kernels.conditions import (
    FAULTY,
    INPUT_STATE,
    INPUT_WORD,
    NULL,
    PENDING,
    VALID,
)
from cep.engine.single.asking import Questions

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

    def known(self, values: Sequence[Any], time_us: int) -> Found:
        """The value where it is remembered, else PENDING."""
        return self._known.get(self._read(values, time_us), (PENDING, 0))

    def value(self, values: Sequence[Any], time_us: int) -> Found:
        """Of one event; some 100 microseconds where it is not remembered."""
        read = self._read(values, time_us)
        if not self._is_kept:
            return self._computed(read)
        found = self._known.get(read)
        if found is None:
            if len(self._known) >= LEAVES_KEPT:
                self._known.clear()
            found = self._known[read] = self._computed(read)
        return found

    def _read(self, values: Sequence[Any], time_us: int) -> tuple[Any, ...]:
        return tuple(time_us if at == TIME_AT else values[at] for _, at, _ in self._reads)

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
    """What is asked of events, and how: writes the inputs of the kernel, and calls it.

    Leaves whose value is not remembered are computed when the kernel wants them: most conditions
    are false before they get there.
    """

    def __init__(self, questions: Questions, schema: pa.Schema) -> None:
        self._tables, self._asked = questions.tables, questions.asked
        self._code_of = questions.texts.get
        self._words, self._floats = self._asked.inputs, self._asked.inputs_f
        self._fields: list[tuple[int, int, Callable[[int, Any], None]]] = []
        self._leaves: dict[int, tuple[Leaf, Callable[[int, Any], None]]] = {}
        for number, expression in enumerate(questions.inputs):
            write = self._writer(expression)
            if isinstance(expression, Field):
                name = expression.name
                at = TIME_AT if name == EVENT_TIME else schema.names.index(name)
                self._fields.append((number, at, write))
            else:
                self._leaves[number] = Leaf(expression, schema), write

    def ask(self, values: Sequence[Any], time_us: int) -> int:
        """Ask all of an event: how many patterns it touches, < 0 where not all can be evaluated."""
        self._write(values, time_us)
        touched: int = kernel.evaluate(self._tables, self._asked)
        while touched < 0 and (wanted := int(self._asked.counters[kernel.WANTED])):
            self._complete(wanted - 1, values, time_us)
            touched = kernel.evaluate(self._tables, self._asked)
        return touched

    def _write(self, values: Sequence[Any], time_us: int) -> None:
        states = self._words
        for number, at, write in self._fields:
            value = time_us if at == TIME_AT else values[at]
            if value is None:
                states[number, INPUT_STATE] = NULL
            else:
                write(number, value)
                states[number, INPUT_STATE] = VALID
        for number, (leaf, write) in self._leaves.items():
            state, value = leaf.known(values, time_us)
            states[number, INPUT_STATE] = state
            if state == VALID:
                write(number, value)

    def _complete(self, number: int, values: Sequence[Any], time_us: int) -> None:
        """Compute the leaf that is this input."""
        leaf, write = self._leaves[number]
        state, value = leaf.value(values, time_us)
        self._words[number, INPUT_STATE] = state
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
