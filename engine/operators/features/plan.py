"""Features -> groups that share a queue, and what each group keeps and answers, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from cep.engine.algebra.errors import CepError
from cep.engine.algebra.expression import (
    Aggregated,
    DataType,
    Expression,
    Field,
    Literal,
    children,
    rebuild,
    walk,
)
from cep.engine.algebra.plan import Feature, Over
from cep.engine.algebra.printer import print_expression
from cep.engine.batch import Int64s
from cep.engine.kernels import features_layout as layout
from cep.engine.kernels.features_layout import Answer, Partial

IN_PYTHON = ("collect",)  # beside user-defined functions
RANGE_US_MAX = 1 << 61  # more than there is between two event times; no overflow in time - range


class UserAggregate(Protocol):
    """A user-defined aggregate: what `engine.algebra.aggregates` keeps for each of them.

    `add` and `merge` give the new accumulator and may change the old; `result` only reads.
    """

    @property
    def create(self) -> Any: ...
    @property
    def add(self) -> Any: ...
    @property
    def merge(self) -> Any: ...
    @property
    def result(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Later(Aggregated):
    """An aggregate of a feature that began when its queue had begun already: in a later `epoch`.

    It is another one than an aggregate of the same text in another epoch, and has state of its own:
    what it sees are the events since.
    """

    epoch: int = 0


def epoch_of(node: Aggregated) -> int:
    return node.epoch if isinstance(node, Later) else 0


def _in_epoch(expression: Expression, epoch: int) -> Expression:
    if epoch > 0 and isinstance(expression, Aggregated):
        function, argument, parameters = (
            expression.function,
            expression.argument,
            expression.parameters,
        )
        return Later(
            function, argument, parameters, epoch, span=expression.span, type=expression.type
        )
    return rebuild(expression, lambda operand: _in_epoch(operand, epoch))


@dataclass(frozen=True, slots=True)
class FeatureGroup:
    """Features that share one queue: equal but for their names and values.

    `epochs`: that of each feature, () where all have begun together. `level`: how many features
    deep what they read is.
    """

    features: tuple[Feature, ...]
    epochs: tuple[int, ...] = ()
    level: int = 0

    def begun(self, epochs: Sequence[int]) -> FeatureGroup:
        """The same features with state of their own for each epoch."""
        pairs = zip(self.features, epochs, strict=True)
        features = (replace(f, value=_in_epoch(f.value, epoch)) for f, epoch in pairs)
        return replace(self, features=tuple(features), epochs=tuple(epochs))

    @property
    def epoch_by_name(self) -> dict[str, int]:
        epochs = self.epochs or (0,) * len(self.features)
        return {f.name: epoch for f, epoch in zip(self.features, epochs, strict=True)}

    @property
    def queue(self) -> str:
        """Which queue it is, as text that says so to people as well."""
        first = self.first
        where = "" if first.where is None else f" where {print_expression(first.where)}"
        over = first.over.range_us if first.over.range_us is not None else first.over.events
        unit = " us" if first.over.range_us is not None else " events"
        words = "over all" if over is None else f"over {over}{unit}"
        key = f" by {', '.join(map(repr, first.key))}" if first.key else ""
        excluding = " excluding current" if first.excluding_current else ""
        return f"on {first.stream!r} from {self.source!r}{where} {words}{key}{excluding}"

    @property
    def first(self) -> Feature:
        return self.features[0]

    @property
    def source(self) -> str:
        return self.first.source if self.first.source is not None else self.first.stream

    @property
    def over(self) -> Over:
        return self.first.over

    @property
    def aggregates(self) -> tuple[Aggregated, ...]:
        """The distinct `Aggregated` nodes, in order."""
        nodes = (n for f in self.features for n in walk(f.value) if isinstance(n, Aggregated))
        return tuple(dict.fromkeys(nodes))


def group_features(features: Sequence[Feature]) -> list[FeatureGroup]:
    """Groups in an order in which each reads fields of earlier ones only.

    `features`: in an order in which each reads earlier ones only. Not to be mixed up with what a
    group may share with another: features of one group never read each other.
    """
    level_of: dict[tuple[str, str], int] = {}
    groups: dict[tuple[object, ...], list[Feature]] = {}
    for feature in features:
        read = (level_of[name] for name in _fields_read(feature) if name in level_of)
        level = max(read, default=-1) + 1
        level_of[feature.stream, feature.name] = level
        groups.setdefault((level, *_queue_of(feature)), []).append(feature)
    ordered = sorted(groups, key=lambda key: int(str(key[0])))  # stable: by level alone
    return [FeatureGroup(tuple(groups[key]), level=int(str(key[0]))) for key in ordered]


def _queue_of(f: Feature) -> tuple[object, ...]:
    source = f.stream if f.source is None else f.source
    return f.stream, source, f.where, f.over, f.key, f.excluding_current


def _fields_read(feature: Feature) -> set[tuple[str, str]]:
    """(stream, field) of all that the feature reads."""
    source = feature.stream if feature.source is None else feature.source
    found = {(stream, name) for stream in (feature.stream, source) for name in feature.key}
    found |= {(feature.stream, name) for name in own_fields(feature.value)}
    inner = [n.argument for n in walk(feature.value) if isinstance(n, Aggregated)]
    read = [e for e in (*inner, feature.where) if e is not None]
    return found | {(source, n.name) for e in read for n in walk(e) if isinstance(n, Field)}


def own_fields(value: Expression) -> list[str]:
    """The fields of the current event that a feature's value reads."""
    found, stack = [], [value]
    while stack:
        node = stack.pop()
        if isinstance(node, Field):
            found.append(node.name)
        elif not isinstance(node, Aggregated):
            stack += children(node)
    return list(dict.fromkeys(found))


# ---------------------------------------------------------------- tables


@dataclass(frozen=True, slots=True, eq=False)
class GroupPlan:
    """What the kernels and Python keep for a group.

    `inputs`: the arguments that become words. `answered`: the aggregates that kernels answer, one
    per output. `in_python`: those that are computed over Python values. `text_words`: words of the
    element that hold a text code where another word is not 0, as pairs; `text_trees`: trees of
    text codes. `slot_names`, `tree_names`, `value_names`: what each slot, each tree and each of the
    aggregates in Python is, as text by which another plan finds its own again.
    """

    tables: layout.Plan
    inputs: tuple[Expression, ...]
    answered: tuple[Aggregated, ...]
    in_python: tuple[Aggregated, ...]
    text_words: tuple[tuple[int, int], ...]
    text_trees: tuple[int, ...]
    ranks_texts: bool
    slot_names: tuple[str, ...]
    tree_names: tuple[str, ...]
    value_names: tuple[str, ...]

    @property
    def slot_words(self) -> list[range]:
        """The words of each slot in an element."""
        first = self.tables.slots[:, layout.SLOT_AT].tolist()
        kinds = self.tables.slots[:, layout.SLOT_PARTIAL].tolist()
        words = [layout.words_of(Partial(kind)) for kind in kinds]
        return [range(at, at + n) for at, n in zip(first, words, strict=True)]

    @property
    def element_words(self) -> int:
        return int(self.tables.settings[layout.ELEMENT_WORDS])


def plan_group(group: FeatureGroup, functions: Mapping[str, object]) -> GroupPlan:
    """Raises CepError for a function that nobody has defined."""
    return _Planner(group, functions).plan()


_PARTIALS: dict[str, tuple[Partial, Partial, Partial]] = {  # of integers, floats, texts
    "count": (Partial.COUNT,) * 3,
    "sum": (Partial.SUM_WHOLE, Partial.SUM_REAL, Partial.SUM_WHOLE),
    "avg": (Partial.SUM_WHOLE, Partial.SUM_REAL, Partial.SUM_WHOLE),
    "min": (Partial.MIN, Partial.MIN_REAL, Partial.MIN_TEXT),
    "max": (Partial.MAX, Partial.MAX_REAL, Partial.MAX_TEXT),
    "first": (Partial.FIRST,) * 3,
    "last": (Partial.LAST,) * 3,
    "stddev": (Partial.MOMENTS,) * 3,
}
_DISTINCT = ("count_distinct", "approx_count_distinct")  # both exact
_FRACTIONS = ("quantile", "approx_quantile")  # both exact
_TREES = ("median", *_FRACTIONS, *_DISTINCT)


_Slot = tuple[Partial, int, int]  # what it keeps, of which input, since which epoch


class _Planner:
    def __init__(self, group: FeatureGroup, functions: Mapping[str, object]) -> None:
        self._group = group
        self._functions = functions
        self._inputs: dict[Expression, int] = {}
        self._slots: dict[_Slot, int] = {}  # -> first word
        self._words = 0
        self._trees: dict[tuple[int, int], int] = {}  # by input and epoch
        self._outputs: list[list[int]] = []
        self._fractions: list[float] = []
        self._answered: list[Aggregated] = []
        self._in_python: list[Aggregated] = []

    def plan(self) -> GroupPlan:
        for node in self._group.aggregates:
            self._add(node)
        inputs = tuple(self._inputs)
        tables = layout.Plan(
            _table([self._slot(*slot) for slot in self._slots], layout.SLOT_FIELDS),
            _table([[i, _is_real(inputs[i])] for i, _ in self._trees], layout.TREE_FIELDS),
            _table(self._outputs, layout.OUTPUT_FIELDS),
            np.array(self._fractions, np.float64),
            self._settings(),
        )
        return GroupPlan(
            tables,
            inputs,
            tuple(self._answered),
            tuple(self._in_python),
            tuple(self._text_words(inputs)),
            tuple(tree for (i, _), tree in self._trees.items() if _is_text(inputs[i])),
            any(p in (Partial.MIN_TEXT, Partial.MAX_TEXT) for p, _, _ in self._slots),
            tuple(_named(f"{p.name}({_typed(inputs[i])})", e) for p, i, e in self._slots),
            tuple(_named(_typed(inputs[i]), e) for i, e in self._trees),
            tuple(map(_name_of_value, self._in_python)),
        )

    def _text_words(self, inputs: Sequence[Expression]) -> Iterator[tuple[int, int]]:
        for (partial, source, _), word in self._slots.items():
            if partial is not Partial.COUNT and _is_text(inputs[source]):
                is_end = partial in (Partial.FIRST, Partial.LAST)
                yield word + 1, word + 2 if is_end else word

    def _settings(self) -> Int64s:
        over = self._group.over
        settings = np.full(layout.SETTINGS, -1, np.int64)
        if over.range_us is not None:
            settings[layout.RANGE_US] = min(over.range_us, RANGE_US_MAX)
        if over.events is not None:
            settings[layout.EVENTS_MAX] = over.events
        leave = over.range_us is not None or over.events is not None
        settings[layout.KEEPS_NODES] = leave or bool(self._trees)
        settings[layout.ASKS_FIRST] = self._group.first.excluding_current
        settings[layout.ELEMENT_WORDS] = self._words
        return settings

    def _add(self, node: Aggregated) -> None:
        name, argument = node.function, node.argument
        if name in self._functions or name in IN_PYTHON:
            self._in_python.append(node)
            return
        if argument is None:
            if name != "count":
                raise CepError(f"aggregate {name} has no argument: only count can do without")
            self._add_count(node)
        elif name in _TREES:
            self._add_tree(node, self._input(argument))
        elif name in _PARTIALS:
            self._add_slot(node, self._input(argument))
        else:
            raise CepError(f"{name} is not an aggregate function: define it before it is used")

    def _add_count(self, node: Aggregated) -> None:
        """Of all events: those of the queue, or as many as have come since."""
        if epoch_of(node) == 0:
            self._answer(node, Answer.EVENTS, 0)
        else:
            self._add_slot(node, self._input(Literal(True, type=DataType.BOOLEAN)))

    def _add_tree(self, node: Aggregated, source: int) -> None:
        tree = self._trees.setdefault((source, epoch_of(node)), len(self._trees))
        answer = Answer.DISTINCT if node.function in _DISTINCT else Answer.QUANTILE
        self._answer(node, answer, tree)

    def _add_slot(self, node: Aggregated, source: int) -> None:
        argument = tuple(self._inputs)[source]
        real, text = _is_real(argument), _is_text(argument)
        partial = _PARTIALS[node.function][2 if text else int(real)]
        slot = partial, source, epoch_of(node)
        if slot not in self._slots:
            self._slots[slot] = self._words
            self._words += layout.words_of(partial)
        answers = {
            "count": Answer.COUNT,
            "sum": Answer.VALUE if real else Answer.SUM_WHOLE,
            "avg": Answer.MEAN_REAL if real else Answer.MEAN_WHOLE,
            "stddev": Answer.DEVIATION,
            "first": Answer.END,
            "last": Answer.END,
        }
        self._answer(node, answers.get(node.function, Answer.VALUE), self._slots[slot])

    def _answer(self, node: Aggregated, answer: Answer, at: int) -> None:
        whole = node.type in (DataType.INTEGER, DataType.DURATION, DataType.TIMESTAMP)
        real = node.argument is not None and _is_real(node.argument)
        self._answered.append(node)
        self._outputs.append([answer, at, whole, real])
        self._fractions.append(_fraction(node))

    def _input(self, argument: Expression) -> int:
        return self._inputs.setdefault(argument, len(self._inputs))

    def _slot(self, partial: Partial, source: int, epoch: int) -> list[int]:
        at = self._slots[partial, source, epoch]
        return [partial, source, at, _is_real(tuple(self._inputs)[source])]


def _typed(expression: Expression) -> str:
    return f"{print_expression(expression)}: {expression.type}"


def _named(what: str, epoch: int) -> str:
    return f"{what} since {epoch}"


def _name_of_value(node: Aggregated) -> str:
    argument = "*" if node.argument is None else _typed(node.argument)
    return _named(f"{node.function}({argument})", epoch_of(node))


def _fraction(node: Aggregated) -> float:
    """The p of a quantile."""
    if node.function not in _FRACTIONS:
        return 0.5
    (parameter,) = node.parameters
    value = parameter.value if isinstance(parameter, Literal) else None
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise CepError(f"{node.function} of {value}: it must be a number from 0 to 1")
    return float(value)


def _table(rows: Sequence[Sequence[int]], fields: int) -> Int64s:
    return np.array(rows, np.int64).reshape(len(rows), fields)


def _is_real(expression: Expression) -> bool:
    return expression.type is DataType.FLOAT


def _is_text(expression: Expression) -> bool:
    return expression.type is DataType.TEXT
