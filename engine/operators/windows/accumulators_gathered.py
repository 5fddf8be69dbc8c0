"""Aggregates that no lane can hold: sets, lists, sketches and states of user-defined functions.

A *gathering* is such a function; its state for one entry is a Python object. States are only ever
added to, merged and read. `dump` turns states into what a snapshot may hold, `load` turns it back.
"""

from __future__ import annotations

import copy
import json
import math
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from cep.engine.algebra.errors import CepError
from cep.engine.algebra.expression import Aggregated, DataType
from cep.engine.batch import Int64s
from cep.engine.columns.arithmetic import INT64_MAX, INT64_MIN
from cep.engine.state.interning import TextCodes
from cep.engine.state.snapshot import Snapshot, Value

State = Any
Recode = Callable[[Int64s], Int64s]  # codes of texts -> what stands for them elsewhere


class UserFunction(Protocol):
    """An aggregate function written in Python; `AggregateFunction` of the algebra is one."""

    @property
    def name(self) -> str: ...
    @property
    def create(self) -> Callable[[], Any]: ...
    @property
    def add(self) -> Callable[[Any, Any], Any]: ...
    @property
    def merge(self) -> Callable[[Any, Any], Any]: ...
    @property
    def result(self) -> Callable[[Any], Any]: ...
    @property
    def type(self) -> DataType: ...
    @property
    def argument(self) -> DataType | None: ...


class Gathering(Protocol):
    """An aggregate function whose state is an object.

    `add` takes the raw words of values that are not NULL, with the times and sequences of their
    events; it returns the state and the places of values that it could not take, each with why.
    `merge` makes a new state of others, oldest first, and leaves them as they are. `rename_texts`
    gives a state in which the text with code c has code mapping[c].
    """

    @property
    def type(self) -> DataType: ...

    def create(self) -> State: ...
    def add(
        self, state: State, words: Int64s, time_us: Int64s, sequence: Int64s, texts: TextCodes
    ) -> tuple[State, list[tuple[int, str]]]: ...
    def merge(self, states: Sequence[State]) -> State: ...
    def result(self, state: State, texts: TextCodes) -> Any: ...
    def dump(self, states: Sequence[State], recode: Recode) -> Snapshot: ...
    def load(self, snapshot: Mapping[str, Value], recode: Recode) -> list[State]: ...
    def used_texts(self, state: State) -> Iterable[int]: ...
    def rename_texts(self, state: State, mapping: Int64s) -> State: ...


class TextFree:
    """A gathering whose states hold no codes of texts."""

    def used_texts(self, state: State) -> Iterable[int]:
        return ()

    def rename_texts(self, state: State, mapping: Int64s) -> State:
        return state


def gathering_of(node: Aggregated, functions: Mapping[str, UserFunction]) -> Gathering:
    """The gathering that computes a node. Raises CepError for a function that does not exist."""
    argument = node.argument.type if node.argument is not None else None
    kind = argument or DataType.NULL
    fraction = float(node.parameters[0].value or 0) if node.parameters else 0.5
    if node.function in functions:
        return UserDefined(functions[node.function], kind)
    match node.function:
        case "count_distinct":
            return Distinct(kind)
        case "approx_count_distinct":
            return ApproximateDistinct(kind)
        case "median" | "quantile":
            return Quantile(kind, fraction)
        case "approx_quantile":
            return ApproximateQuantile(kind, fraction)
        case "collect":
            return Collect(kind)
    raise CepError(f"there is no aggregate function {node.function}")


def value_of(word: int, kind: DataType, texts: TextCodes) -> Any:
    """A raw word as a Python value; times and durations as whole microseconds."""
    if kind is DataType.TEXT:
        return texts.text(word)
    if kind is DataType.FLOAT:
        return float(np.int64(word).view(np.float64))
    return bool(word) if kind is DataType.BOOLEAN else int(word)


def values_of(words: Int64s, kind: DataType, texts: TextCodes) -> list[Any]:
    if kind is DataType.TEXT:
        return [texts.text(code) for code in words.tolist()]
    if kind is DataType.FLOAT:
        return list(np.ascontiguousarray(words).view(np.float64).tolist())
    return list(words.astype(np.bool_).tolist() if kind is DataType.BOOLEAN else words.tolist())


def reals_of(words: Int64s, kind: DataType) -> Any:
    """Raw words of numbers as floats."""
    if kind is DataType.FLOAT:
        return np.ascontiguousarray(words).view(np.float64)
    return words.astype(np.float64)


def same_words(words: Int64s, kind: DataType) -> Int64s:
    """One word for values that are equal: -0.0 is 0.0, and all NaN are one."""
    if kind is not DataType.FLOAT:
        return words
    values = np.ascontiguousarray(words).view(np.float64) + 0.0
    values[np.isnan(values)] = np.nan
    return values.view(np.int64)


def typed(value: Any, kind: DataType) -> Any:
    """A result as a value of its type. Raises ValueError for one of another type."""
    if value is None or kind is DataType.NULL:
        return None
    if kind is DataType.FLOAT and isinstance(value, int | float | np.number):
        return float(value)
    if kind is DataType.TEXT and isinstance(value, str):
        return value
    if kind is DataType.BOOLEAN and isinstance(value, bool | np.bool_):
        return bool(value)
    whole = kind in (DataType.INTEGER, DataType.DURATION, DataType.TIMESTAMP)
    if whole and isinstance(value, int | np.integer) and not isinstance(value, bool):
        if INT64_MIN <= value <= INT64_MAX:
            return int(value)
        raise ValueError("integer overflow")
    raise ValueError(f"a result of type {type(value).__name__} is no {kind}")


NO_TROUBLE: list[tuple[int, str]] = []


def _packed(parts: Sequence[Int64s]) -> Snapshot:
    """Lists of words as one, with where each ends."""
    ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
    return {"ends": ends, "words": np.concatenate([np.zeros(0, np.int64), *parts])}


def _unpacked(snapshot: Mapping[str, Value]) -> list[Int64s]:
    ends = snapshot["ends"]
    return list(np.split(snapshot["words"], ends[:-1])) if len(ends) else []


class Distinct:
    """count_distinct: exactly, as a set of words."""

    type = DataType.INTEGER

    def __init__(self, kind: DataType) -> None:
        self._kind = kind

    def create(self) -> set[int]:
        return set()

    def add(
        self, state: State, words: Int64s, time_us: Int64s, sequence: Int64s, texts: TextCodes
    ) -> tuple[State, list[tuple[int, str]]]:
        state.update(same_words(words, self._kind).tolist())
        return state, NO_TROUBLE

    def merge(self, states: Sequence[State]) -> State:
        return set().union(*states)

    def result(self, state: State, texts: TextCodes) -> int:
        return len(state)

    def dump(self, states: Sequence[State], recode: Recode) -> Snapshot:
        parts = [np.array(sorted(state), np.int64) for state in states]
        return _packed([_recoded(part, self._kind, recode) for part in parts])

    def load(self, snapshot: Mapping[str, Value], recode: Recode) -> list[State]:
        return [set(_recoded(part, self._kind, recode).tolist()) for part in _unpacked(snapshot)]

    def used_texts(self, state: State) -> Iterable[int]:
        return state if self._kind is DataType.TEXT else ()

    def rename_texts(self, state: State, mapping: Int64s) -> State:
        if self._kind is not DataType.TEXT:
            return state
        return set(mapping[list(state)].tolist())


def _recoded(words: Int64s, kind: DataType, recode: Recode) -> Int64s:
    return recode(words) if kind is DataType.TEXT else words


class Quantile(TextFree):
    """median and quantile: exactly, from all values; between two of them by linear interpolation,

    as `numpy.quantile` does by default. NaN among the values gives NaN.
    """

    def __init__(self, kind: DataType, fraction: float) -> None:
        self._kind = kind
        self._fraction = fraction
        self.type = _type_between(kind)

    def create(self) -> array[float]:
        return array("d")

    def add(
        self, state: State, words: Int64s, time_us: Int64s, sequence: Int64s, texts: TextCodes
    ) -> tuple[State, list[tuple[int, str]]]:
        state.frombytes(reals_of(words, self._kind).tobytes())
        return state, NO_TROUBLE

    def merge(self, states: Sequence[State]) -> State:
        merged = array("d")
        for state in states:
            merged.extend(state)
        return merged

    def result(self, state: State, texts: TextCodes) -> float | int | None:
        return _in_type(quantile_of(state, self._fraction), self.type) if state else None

    def dump(self, states: Sequence[State], recode: Recode) -> Snapshot:
        return _packed([np.array(state, np.float64).view(np.int64) for state in states])

    def load(self, snapshot: Mapping[str, Value], recode: Recode) -> list[State]:
        return [array("d", part.view(np.float64).tolist()) for part in _unpacked(snapshot)]


FEW = 64  # so many values are sorted faster one by one


def quantile_of(values: array[float], fraction: float) -> float:
    """The quantile of at least one value, bit for bit that of `numpy.quantile`, which is slow.

    >>> quantile_of(array("d", [4.0, 1.0]), 0.25)
    1.75
    """
    ordered = sorted(values) if len(values) < FEW else np.sort(np.array(values)).tolist()
    if any(map(math.isnan, values) if len(values) < FEW else (math.isnan(ordered[-1]),)):
        return math.nan
    place = fraction * (len(ordered) - 1)
    low = int(place)
    below, above = ordered[low], ordered[min(low + 1, len(ordered) - 1)]
    share = place - low
    if below == above or share == 0.0:
        return float(below)
    if share >= 0.5:
        return float(above - (above - below) * (1.0 - share))
    return float(below + (above - below) * share)


def _type_between(kind: DataType) -> DataType:
    """The type of a value between two others: that of numbers is float."""
    return kind if kind in (DataType.DURATION, DataType.TIMESTAMP) else DataType.FLOAT


def _in_type(value: float, kind: DataType) -> float | int:
    """Between two durations lies a whole number of microseconds, ties to even."""
    return value if kind is DataType.FLOAT or not math.isfinite(value) else round(value)


class Collect:
    """collect: the values in the order of their events, as the text of a JSON array.

    Times are texts (2026-01-31 08:00:00.000000), durations whole microseconds; what JSON cannot
    say (NaN, infinity) is null.
    """

    type = DataType.TEXT

    def __init__(self, kind: DataType) -> None:
        self._kind = kind

    def create(self) -> list[tuple[int, int, int]]:
        return []

    def add(
        self, state: State, words: Int64s, time_us: Int64s, sequence: Int64s, texts: TextCodes
    ) -> tuple[State, list[tuple[int, str]]]:
        state.extend(zip(time_us.tolist(), sequence.tolist(), words.tolist(), strict=True))
        return state, NO_TROUBLE

    def merge(self, states: Sequence[State]) -> State:
        return [item for state in states for item in state]

    def result(self, state: State, texts: TextCodes) -> str:
        words = np.array([word for _, _, word in sorted(state)], np.int64)
        if self._kind is DataType.TIMESTAMP:
            times: Any = pa.array(words).view(pa.timestamp("us"))
            return json.dumps(times.cast(pa.string()).to_pylist())
        values = values_of(words, self._kind, texts)
        if self._kind is DataType.FLOAT:
            values = [value if math.isfinite(value) else None for value in values]
        return json.dumps(values, ensure_ascii=False)

    def dump(self, states: Sequence[State], recode: Recode) -> Snapshot:
        packed = _packed([np.zeros(len(state), np.int64) for state in states])
        items = np.array([i for s in states for i in s], np.int64).reshape(-1, 3)
        words = _recoded(items[:, 2].copy(), self._kind, recode)
        return packed | {"words": words, "time_us": items[:, 0], "sequence": items[:, 1]}

    def load(self, snapshot: Mapping[str, Value], recode: Recode) -> list[State]:
        words = _recoded(snapshot["words"], self._kind, recode)
        columns = (snapshot["time_us"], snapshot["sequence"], words)
        items = list(zip(*(column.tolist() for column in columns), strict=True))
        ends = [0, *snapshot["ends"].tolist()]
        return [items[a:b] for a, b in pairwise(ends)]

    def used_texts(self, state: State) -> Iterable[int]:
        return (word for _, _, word in state) if self._kind is DataType.TEXT else ()

    def rename_texts(self, state: State, mapping: Int64s) -> State:
        if self._kind is not DataType.TEXT:
            return state
        words = mapping[np.array([word for _, _, word in state], np.int64)].tolist()
        return [(at, seq, word) for (at, seq, _), word in zip(state, words, strict=True)]


def _sketches() -> Any:
    """The library of sketches, which is only needed where a rule asks for one."""
    try:
        import datasketches
    except ImportError as error:
        message = "approx_count_distinct and approx_quantile need the package datasketches"
        raise CepError(f"{message}: install cep[sketches]") from error
    return datasketches


class ApproximateDistinct(TextFree):
    """approx_count_distinct: a HyperLogLog sketch of Apache DataSketches.

    2**12 registers: a standard error of 1.6 percent; few values are counted exactly. The estimate
    is that of a union, which does not depend on the order of the values.
    """

    type = DataType.INTEGER
    LOG_REGISTERS = 12

    def __init__(self, kind: DataType) -> None:
        self._kind = kind
        self._library = _sketches()

    def create(self) -> State:
        return self._library.hll_sketch(self.LOG_REGISTERS, self._library.HLL_8)

    def add(
        self, state: State, words: Int64s, time_us: Int64s, sequence: Int64s, texts: TextCodes
    ) -> tuple[State, list[tuple[int, str]]]:
        words = np.unique(same_words(words, self._kind))
        for value in values_of(words, self._kind, texts):
            state.update(int(value) if isinstance(value, bool) else value)
        return state, NO_TROUBLE

    def merge(self, states: Sequence[State]) -> State:
        union = self._library.hll_union(self.LOG_REGISTERS)
        for state in states:
            union.update(state)
        return union.get_result(self._library.HLL_8)

    def result(self, state: State, texts: TextCodes) -> int:
        estimate: float = self.merge([state]).get_estimate()
        return round(estimate)

    def dump(self, states: Sequence[State], recode: Recode) -> Snapshot:
        return {"sketches": [state.serialize_compact() for state in states]}

    def load(self, snapshot: Mapping[str, Value], recode: Recode) -> list[State]:
        return [self._library.hll_sketch.deserialize(text) for text in snapshot["sketches"]]


class ApproximateQuantile(TextFree):
    """approx_quantile: a t-digest of Apache DataSketches; up to 256 values are kept as they are.

    Its error in rank is below 1 percent, far less near 0 and 1. Values go into the digest in blocks
    of 256, so that it does not depend on how they come or on when it was saved. (The library's KLL
    sketches toss coins without a seed: they would give another result with every run.) NaN is
    passed over.
    """

    BLOCK = 256
    COMPRESSION = 200

    def __init__(self, kind: DataType, fraction: float) -> None:
        self._kind = kind
        self._fraction = fraction
        self._library = _sketches()
        self.type = _type_between(kind)

    def create(self) -> State:
        return [None, array("d")]

    def add(
        self, state: State, words: Int64s, time_us: Int64s, sequence: Int64s, texts: TextCodes
    ) -> tuple[State, list[tuple[int, str]]]:
        values = reals_of(words, self._kind)
        state[1].frombytes(values[~np.isnan(values)].tobytes())
        self._digest(state)
        return state, NO_TROUBLE

    def _digest(self, state: State) -> None:
        waiting = state[1]
        whole = len(waiting) // self.BLOCK * self.BLOCK
        for begin in range(0, whole, self.BLOCK):
            if state[0] is None:
                state[0] = self._library.tdigest_double(self.COMPRESSION)
            state[0].update(np.array(waiting[begin : begin + self.BLOCK]))
            state[0].compress()
        state[1] = waiting[whole:]

    def merge(self, states: Sequence[State]) -> State:
        merged = self.create()
        for digest, waiting in states:
            if digest is not None:
                if merged[0] is None:
                    merged[0] = self._library.tdigest_double(self.COMPRESSION)
                merged[0].merge(digest)
                merged[0].compress()
            merged[1].extend(waiting)
        self._digest(merged)
        return merged

    def result(self, state: State, texts: TextCodes) -> float | int | None:
        digest, waiting = state
        if digest is None:
            found = quantile_of(waiting, self._fraction) if waiting else None
            return None if found is None else _in_type(found, self.type)
        whole = self._library.tdigest_double.deserialize(digest.serialize())
        if waiting:
            whole.update(np.array(waiting))
        return _in_type(float(whole.get_quantile(self._fraction)), self.type)

    def dump(self, states: Sequence[State], recode: Recode) -> Snapshot:
        packed = _packed([np.array(waiting, np.float64).view(np.int64) for _, waiting in states])
        digests = [None if digest is None else digest.serialize() for digest, _ in states]
        return packed | {"digests": digests}

    def load(self, snapshot: Mapping[str, Value], recode: Recode) -> list[State]:
        read = self._library.tdigest_double.deserialize
        digests = [None if text is None else read(text) for text in snapshot["digests"]]
        waiting = [array("d", part.view(np.float64).tolist()) for part in _unpacked(snapshot)]
        return [[digest, values] for digest, values in zip(digests, waiting, strict=True)]


class UserDefined(TextFree):
    """A function written in Python. What it raises costs one value and is reported."""

    def __init__(self, function: UserFunction, kind: DataType) -> None:
        self._function = function
        self._kind = kind
        self.type = function.type

    def create(self) -> State:
        return self._function.create()

    def add(
        self, state: State, words: Int64s, time_us: Int64s, sequence: Int64s, texts: TextCodes
    ) -> tuple[State, list[tuple[int, str]]]:
        trouble = []
        for place, value in enumerate(values_of(words, self._kind, texts)):
            try:
                state = self._function.add(state, value)
            except Exception as error:
                trouble.append((place, self.reason(error)))
        return state, trouble

    def reason(self, error: Exception) -> str:
        return f"{self._function.name}: {type(error).__name__}: {error}"

    def merge(self, states: Sequence[State]) -> State:
        merged = self._function.create()
        for state in states:  # copies: what merge returns may be, or hold, what it was given
            merged = self._function.merge(merged, copy.deepcopy(state))
        return merged

    def result(self, state: State, texts: TextCodes) -> Any:
        return self._function.result(state)

    def dump(self, states: Sequence[State], recode: Recode) -> Snapshot:
        return {"states": [copy.deepcopy(state) for state in states]}

    def load(self, snapshot: Mapping[str, Value], recode: Recode) -> list[State]:
        return [copy.deepcopy(state) for state in snapshot["states"]]
