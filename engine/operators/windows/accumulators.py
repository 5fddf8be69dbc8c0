"""Aggregated nodes -> what is accumulated for them, and from there their values as columns.

    sum(x), count(x), avg(x)  ─►  lanes: words of an entry that a kernel adds to and merges
    median(x), collect(x)     ─►  gatherings: a Python object per entry (`accumulators_gathered`)

Nodes that need the same lane share it: avg(x) is sum(x) over count(x).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from cep.engine.algebra.expression import Aggregated, DataType, Expression, walk
from cep.engine.batch import Bools, Int64s
from cep.engine.columns.arithmetic import INT64_MAX, INT64_MIN, OVERFLOW, as_duration
from cep.engine.columns.data import (
    ARROW_TYPES,
    NULL_COLUMN,
    NUMPY_TYPES,
    Array,
    Column,
    Report,
    text_column,
    without,
)
from cep.engine.kernels import windows_layout as layout
from cep.engine.operators.windows.accumulators_gathered import (
    Gathering,
    UserFunction,
    gathering_of,
    typed,
)
from cep.engine.state.interning import TextCodes

INITIAL: dict[int, tuple[int | float, ...]] = {
    layout.COUNT: (0,),
    layout.SUM_I: (0, 0),
    layout.SUM_F: (0.0, 0.0),
    layout.MIN_I: (INT64_MAX,),
    layout.MAX_I: (INT64_MIN,),
    layout.MIN_F: (float("nan"),),
    layout.MAX_F: (float("nan"),),
    layout.MIN_TEXT: (-1,),
    layout.MAX_TEXT: (-1,),
    layout.FIRST_OF: (INT64_MAX, INT64_MAX, 0, 0),
    layout.LAST_OF: (INT64_MIN, -1, 0, 0),
    layout.MOMENTS: (0, 0, 0, 0, 0),
}
EXTREMES = {
    "min": {DataType.FLOAT: layout.MIN_F, DataType.TEXT: layout.MIN_TEXT},
    "max": {DataType.FLOAT: layout.MAX_F, DataType.TEXT: layout.MAX_TEXT},
}
WHOLE_EXTREMES = {"min": layout.MIN_I, "max": layout.MAX_I}
ENDS = {"first": layout.FIRST_OF, "last": layout.LAST_OF}
IN_LANES = ("count", "sum", "avg", "min", "max", "stddev", *ENDS)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a node's value comes from: `lanes` are first words by kind, `gathering` a number."""

    argument: int = -1
    lanes: Mapping[int, int] | None = None
    gathering: int = -1


class Accumulators:
    """What the distinct Aggregated nodes of some expressions need.

    `arguments`: what is evaluated of each event, in the order of the kernel's inputs. `gatherings`
    come with the number of their argument.
    """

    def __init__(
        self, expressions: Iterable[Expression], functions: Mapping[str, UserFunction]
    ) -> None:
        self.arguments: list[Expression] = []
        self.gatherings: list[tuple[Gathering, int]] = []
        self.sources: dict[Aggregated, Source] = {}
        self._lanes: dict[tuple[int, int], int] = {}  # (kind, argument) -> first word
        self._words = 0
        for expression in expressions:
            for node in walk(expression):
                if isinstance(node, Aggregated) and node not in self.sources:
                    self.sources[node] = self._source(node, functions)

    # ------------------------------------------------------------------ what is needed

    def _source(self, node: Aggregated, functions: Mapping[str, UserFunction]) -> Source:
        if node.argument is None:
            return Source()
        number = self._argument(node.argument)
        if node.argument.type is DataType.NULL:
            return Source(number, {})
        if node.function in IN_LANES:
            kinds = _kinds_of(node.function, node.argument.type)
            return Source(number, {kind: self._lane(kind, number) for kind in kinds})
        self.gatherings.append((gathering_of(node, functions), number))
        return Source(number, None, len(self.gatherings) - 1)

    def _argument(self, expression: Expression) -> int:
        for number, known in enumerate(self.arguments):
            if known == expression and known.type is expression.type:
                return number
        self.arguments.append(expression)
        return len(self.arguments) - 1

    def _lane(self, kind: int, argument: int) -> int:
        if (kind, argument) not in self._lanes:
            self._lanes[kind, argument] = self._words
            self._words += layout.WORDS.get(kind, 1)
        return self._lanes[kind, argument]

    @property
    def words(self) -> int:
        """The width of all lanes together."""
        return self._words

    @property
    def compares_texts(self) -> bool:
        return any(kind in (layout.MIN_TEXT, layout.MAX_TEXT) for kind, _ in self._lanes)

    def lanes(self) -> layout.Lanes:
        """The lanes for the kernel, without ranks of texts."""
        table = np.zeros((len(self._lanes), layout.LANE_FIELDS), np.int64)
        initial = np.zeros(self._words, np.int64)
        for row, ((kind, argument), word) in enumerate(self._lanes.items()):
            is_float = self.arguments[argument].type is DataType.FLOAT
            table[row] = kind, argument, word, is_float
            words = np.array(INITIAL[kind])
            initial[word : word + len(words)] = words.view(np.int64)
        return layout.Lanes(table, initial, np.zeros(0, np.int64))

    def text_words(self) -> list[int]:
        """The words that hold codes of texts."""
        found = []
        for (kind, argument), word in self._lanes.items():
            if kind in (layout.MIN_TEXT, layout.MAX_TEXT):
                found.append(word)
            elif kind in ENDS.values() and self.arguments[argument].type is DataType.TEXT:
                found.append(word + 3)
        return found

    # ------------------------------------------------------------------ values

    def column(
        self,
        node: Aggregated,
        rows: layout.Fired,
        gathered: list[Any],
        texts: TextCodes,
        report: Report,
    ) -> Column:
        """The node's value for every fired row; `gathered`: results of its gathering, if any."""
        source = self.sources[node]
        if node.argument is None:
            return Column(DataType.INTEGER, rows.rows[:, layout.OUT_EVENTS].copy())
        if source.lanes is None:
            kind = self.gatherings[source.gathering][0].type
            return _gathered_column(kind, gathered, report)
        argument = node.argument.type
        if argument is None or argument is DataType.NULL:
            nothing = np.zeros(len(rows.rows), np.int64)
            return Column(DataType.INTEGER, nothing) if node.function == "count" else NULL_COLUMN
        return _Values(rows, source.lanes).value(node.function, argument, texts, report)


def _kinds_of(function: str, argument: DataType | None) -> tuple[int, ...]:
    """The lanes from which a function is computed."""
    if function in ENDS:
        return (ENDS[function],)
    if function == "stddev":
        return (layout.MOMENTS,)
    if function in WHOLE_EXTREMES and argument is not None:
        return EXTREMES[function].get(argument, WHOLE_EXTREMES[function]), layout.COUNT
    if function == "count":
        return (layout.COUNT,)
    return layout.SUM_F if argument is DataType.FLOAT else layout.SUM_I, layout.COUNT


class _Values:
    """Columns from the lanes of fired rows."""

    def __init__(self, rows: layout.Fired, lanes: Mapping[int, int]) -> None:
        self._rows = rows
        self._lanes = lanes

    def _word(self, kind: int, place: int = 0) -> Int64s:
        return self._rows.rows[:, layout.OUT + self._lanes[kind] + place]

    def _real(self, kind: int, place: int = 0) -> Any:
        return self._rows.rows_f[:, layout.OUT + self._lanes[kind] + place]

    def value(self, function: str, argument: DataType, texts: TextCodes, report: Report) -> Column:
        if function in ENDS:
            kind = ENDS[function]
            return column_of_words(argument, self._word(kind, 3), self._word(kind, 2) != 0, texts)
        if function == "stddev":
            return self._deviation()
        counts = self._word(layout.COUNT)
        if function == "count":
            return Column(DataType.INTEGER, counts.copy())
        if function in WHOLE_EXTREMES:
            kind = EXTREMES[function].get(argument, WHOLE_EXTREMES[function])
            return column_of_words(argument, self._word(kind), counts > 0, texts)
        return self._sum_or_mean(function, argument, counts, report)

    def _deviation(self) -> Column:
        """Of a sample: from sums of 106 bits, so that little is lost where the mean is large."""
        counts = self._word(layout.MOMENTS)
        total, squares = (
            (self._real(layout.MOMENTS, i), self._real(layout.MOMENTS, i + 1)) for i in (1, 3)
        )
        deviations = squared_deviations(counts, total, squares)
        variance = deviations / np.maximum(counts - 1, 1)
        return Column(DataType.FLOAT, np.sqrt(variance), counts > 1)

    def _sum_or_mean(
        self, function: str, argument: DataType, counts: Int64s, report: Report
    ) -> Column:
        some = counts > 0
        if argument is DataType.FLOAT:
            total = self._real(layout.SUM_F) + self._real(layout.SUM_F, 1)
            real, too_large = total, np.zeros(len(some), np.bool_)
        else:
            total, real, too_large = self._whole_sum()
        if function == "sum":
            return Column(argument, total, without(some, too_large, OVERFLOW, report))
        mean = real / np.maximum(counts, 1)
        if argument is DataType.DURATION:
            return as_duration(mean, some, report)
        return Column(DataType.FLOAT, mean, some)

    def _whole_sum(self) -> tuple[Int64s, Array, Bools]:
        """Sums of integers, the same as floats, and where they do not fit 64 bits."""
        low = self._word(layout.SUM_I, 1)
        high = self._word(layout.SUM_I) + (low >> 32)
        low = low & 0xFFFFFFFF
        too_large = (high < INT64_MIN >> 32) | (high > INT64_MAX >> 32)
        total = (np.where(too_large, 0, high) << 32) | low
        real = np.where(too_large, high * 2.0**32 + low, total.astype(np.float64))
        return total, real, too_large


Pair = tuple[Array, Array]  # a double-double: its value is the sum of the two


def squared_deviations(counts: Int64s, total: Pair, squares: Pair) -> Array:
    """sum((x - mean)**2) = sum(x**2) - sum(x)**2 / n; 0 where it is less than its rounding."""
    count = np.maximum(counts, 1).astype(np.float64)
    high, low = _product(total[0], total[0])
    low = low + 2.0 * total[0] * total[1]
    mean_high = high / count
    back_high, back_low = _product(mean_high, count)
    mean_low = (((high - back_high) - back_low) + low) / count
    difference = squares[0] - mean_high
    part = difference - squares[0]
    error = (squares[0] - (difference - part)) + (-mean_high - part)
    found = difference + (error + squares[1] - mean_low)
    rounding = count * 2.0**-103 * squares[0]
    kept: Array = np.where(found <= rounding, 0.0, found)
    return kept


def _product(a: Array, b: Array) -> Pair:
    """The rounded product and its exact error (Dekker 1971)."""
    a_high, a_low = _split(a)
    b_high, b_low = _split(b)
    product = a * b
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, error


def _split(value: Array) -> Pair:
    scaled = 134217729.0 * value  # 2**27 + 1
    high = scaled - (scaled - value)
    return high, value - high


def column_of_words(kind: DataType, words: Int64s, valid: Bools, texts: TextCodes) -> Column:
    """Raw words as a column of their type; where they are not valid they mean nothing."""
    if kind is DataType.TEXT:
        codes = np.where(valid, words, -1)
        distinct, place = np.unique(codes, return_inverse=True)
        known = [texts.text(int(code)) if code >= 0 else None for code in distinct]
        array: Any = pa.array(known, pa.string())
        return text_column(array.take(pa.array(place.reshape(-1))))
    if kind is DataType.FLOAT:
        return Column(kind, np.ascontiguousarray(words).view(np.float64), valid)
    return Column(kind, words.astype(NUMPY_TYPES[kind]), valid)


def _gathered_column(kind: DataType, values: Sequence[Any], report: Report) -> Column:
    """Python values of a type, None for NULL; what is of another type is reported."""
    found: list[Any] = []
    wrong: dict[str, list[int]] = {}
    for row, value in enumerate(values):
        if isinstance(value, Failed):
            wrong.setdefault(value.reason, []).append(row)
            value = None
        else:
            try:
                value = typed(value, kind)
            except ValueError as error:
                wrong.setdefault(str(error), []).append(row)
                value = None
        found.append(value)
    for reason, rows in wrong.items():
        bad = np.zeros(len(values), np.bool_)
        bad[rows] = True
        report(reason, bad)
    if kind is DataType.NULL:
        return NULL_COLUMN
    if kind is DataType.TEXT:
        return text_column(pa.array(found, ARROW_TYPES[kind]))
    valid = np.array([value is not None for value in found], np.bool_)
    filled = [0 if value is None else value for value in found]
    return Column(kind, np.array(filled, NUMPY_TYPES[kind]), valid)


@dataclass(frozen=True, slots=True)
class Failed:
    """In place of a gathering's result: why there is none."""

    reason: str
