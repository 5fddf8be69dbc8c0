"""The pattern algebra: what a pattern says, as frozen dataclasses.

    pattern      a sequence of steps, what its variables mean, and how matches are reported
    step         how an element follows the step before it, and how often it repeats
    element      a variable, a negated variable, a group, an alternation or a permutation

    match  probe{3,}  ->  hit        steps = (Step(Variable("probe"), quantifier={3,}),
                                              Step(Variable("hit"), contiguity=RELAXED))

Patterns compare equal when they mean the same text; `str(pattern)` prints text that parses to an
equal pattern. Nothing here knows Lark, NumPy or a schema. `validation` says which trees make sense,
`engine.automaton.nfa` says what they mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from cep.engine.algebra.errors import Places, Span
from cep.engine.algebra.expression import DataType, Expression


class Contiguity(Enum):
    """How an event must follow the one taken before it."""

    STRICT = "strict"  # the very next event of the key
    RELAXED = "relaxed"  # the first event that fits; others between are skipped
    ANY = "any"  # every event that fits


class WithinScope(Enum):
    FIRST_LAST = "first_last"  # last.time - first.time < within
    BETWEEN_EVENTS = "between_events"  # each event's time - the one before < within


class SkipStrategy(Enum):
    """Where matching resumes after a match; each drops the open runs that began too early."""

    NO_SKIP = "no skip"
    TO_NEXT_ROW = "to next row"
    PAST_LAST_EVENT = "past last event"
    TO_FIRST = "to first"
    TO_LAST = "to last"


@dataclass(frozen=True, slots=True)
class Quantifier:
    """How often an element repeats.

    `minimum` >= 1; `maximum` None means without bound. `optional` allows none at all, so `a*` is
    {1, None} optional, `a{0,3}` is {1, 3} optional and `a{2,4} optional` is {2, 4} optional.
    `(a{2,4})?` is a group with one step: a group with a quantifier is kept.
    `greedy`: an event that the repetition could take is not offered to what follows.
    `inner` is the contiguity between repetitions. `gap_us`: a repetition still needed to reach the
    minimum must come less than this after the event taken before it.
    """

    minimum: int = 1
    maximum: int | None = 1
    optional: bool = False
    greedy: bool = True
    inner: Contiguity = Contiguity.RELAXED
    gap_us: int | None = None

    @property
    def is_one(self) -> bool:
        return self.minimum == 1 and self.maximum == 1 and not self.optional

    @property
    def repeats(self) -> bool:
        return self.maximum != 1


ONE = Quantifier()


@dataclass(frozen=True, slots=True)
class Variable:
    """Takes one event that meets the variable's definition."""

    name: str
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Negation:
    """No event may meet the variable's definition here; never captures.

    After a STRICT link: the very next event must not be one. After a RELAXED link: none between the
    events around it; at the end of a pattern, none before the deadline.
    """

    name: str
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Group:
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Alternation:
    """One of the branches, each a sequence of steps.

    After a RELAXED link events are skipped until one that some branch can begin with.
    """

    branches: tuple[tuple[Step, ...], ...]


@dataclass(frozen=True, slots=True)
class Permutation:
    """All elements, in any order; each pair of neighbours is linked by `inner`."""

    elements: tuple[Step, ...]
    inner: Contiguity = Contiguity.RELAXED


Element = Variable | Negation | Group | Alternation | Permutation


@dataclass(frozen=True, slots=True)
class Step:
    """An element with its link to the step before (`contiguity` of a first step says nothing).

    `within_us` bounds this one link: the first event of the element must come less than this after
    the event taken before it (for a trailing negation: the absence must last this long).
    `until` ends a repetition: an event that meets it is not taken and closes the loop.
    """

    element: Element
    contiguity: Contiguity = Contiguity.STRICT
    quantifier: Quantifier = ONE
    within_us: int | None = None
    until: Expression | None = None


@dataclass(frozen=True, slots=True)
class Definition:
    """What a variable takes: events of `stream` (None: of any) for which `condition` is true."""

    variable: str
    condition: Expression | None = None
    stream: str | None = None
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Skip:
    strategy: SkipStrategy = SkipStrategy.PAST_LAST_EVENT
    variable: str | None = None
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Output:
    """One column of a select list."""

    name: str
    value: Expression


@dataclass(frozen=True, slots=True)
class Pattern:
    """A complete pattern.

    `streams` and `key` may be empty: one unnamed stream, one sequence for all events. `within_us`
    is exclusive: last - first < within. `unless` kills every open run of the key. `longest`: of the
    matches that begin at the same event only the last found is reported, once none of their runs is
    open any more. `timeout_select` None means that timed-out runs carry no columns of their own.
    """

    name: str
    steps: tuple[Step, ...]
    definitions: tuple[Definition, ...] = ()
    streams: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    longest: bool = False
    within_us: int | None = None
    within_scope: WithinScope = WithinScope.FIRST_LAST
    unless: Expression | None = None
    skip: Skip = Skip()
    select: tuple[Output, ...] = ()
    timeout_select: tuple[Output, ...] | None = None
    span: Span | None = field(default=None, compare=False, repr=False)
    places: Places = field(default=(), compare=False, repr=False)

    def definition(self, variable: str) -> Definition:
        """The variable's definition; one that was never written takes any event."""
        for definition in self.definitions:
            if definition.variable == variable:
                return definition
        return Definition(variable)

    def __str__(self) -> str:
        from cep.engine.algebra.printer import print_pattern

        return print_pattern(self)


@dataclass(frozen=True, slots=True)
class StreamField:
    name: str
    type: DataType
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Stream:
    """What an event of a stream looks like.

    `time` names the field that holds event time; where that is an integer, `time_unit` is what it
    counts since 1970 (s, ms, us or ns). `tie_breaker` names the field that orders events of the
    same time; None: they keep the order in which they arrive. `lateness_us` is the bound on
    out-of-orderness. `partition` names the fields that tell the sources of the stream apart, each
    with a watermark of its own: the stream's is their minimum. `idle_us`: a source from which
    nothing has come for so long, by the clock, holds nothing back; None: it always does.
    `fields` empty: the data brings its own schema.
    """

    name: str
    fields: tuple[StreamField, ...] = ()
    time: str | None = None
    time_unit: str = "ms"
    lateness_us: int = 0
    tie_breaker: str | None = None
    partition: tuple[str, ...] = ()
    idle_us: int | None = None
    span: Span | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        from cep.engine.algebra.printer import print_stream

        return print_stream(self)


def variables(steps: tuple[Step, ...], *, negated: bool = False) -> Iterator[Variable | Negation]:
    """Every variable that can capture, left to right; with `negated`, the negated ones as well."""
    for step in steps:
        match step.element:
            case Variable():
                yield step.element
            case Negation():
                if negated:
                    yield step.element
            case Group(inner):
                yield from variables(inner, negated=negated)
            case Alternation(branches):
                for branch in branches:
                    yield from variables(branch, negated=negated)
            case Permutation(elements):
                yield from variables(elements, negated=negated)
