"""What a rule file says, as frozen dataclasses: the plan that a front end hands to the engine.

    stream      what events look like             table    what is looked up beside them
    feature     a field computed for each event from those before it
    aggregate   rows over windows of a stream     join     pairs of events of two streams
    pattern     matches

Aggregates, joins and patterns make streams that others may read. `engine.dataflow` binds a rule set
to the fields that its streams have and puts its parts in the order in which they run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from cep.engine.algebra.errors import Places, Span
from cep.engine.algebra.expression import Expression
from cep.engine.algebra.pattern import Output, Pattern, Stream, StreamField


@dataclass(frozen=True, slots=True)
class Table:
    """What is looked up by key: `merchants.risk` in an expression reads a row's field.

    An event's own fields of the names in `key` say which row; no such row gives NULL. With `time`
    the table is a stream of versions: an event reads the last version that is not younger. Until
    `engine.dataflow` has resolved it, a member is Captured("last", "merchants", Field("risk")).
    """

    name: str
    fields: tuple[StreamField, ...]
    key: tuple[str, ...]
    time: str | None = None
    time_unit: str = "ms"
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Over:
    """How far a feature looks back: less than `range_us`, or the last `events`; both None: all."""

    range_us: int | None = None
    events: int | None = None


@dataclass(frozen=True, slots=True)
class Feature:
    """A field that every event of `stream` gets: `value` over what its key did before it.

    `value` is built of `Aggregated` nodes, which read the events of `source` (None: of the same
    stream) for which `where` is true, and of fields of the event itself. Looks back on the events
    before it in time (ties: in order of arrival) with event time > its own - `over.range_us`, and
    on the event itself unless `excluding_current`.
    """

    name: str
    stream: str
    value: Expression
    over: Over
    key: tuple[str, ...] = ()
    source: str | None = None
    where: Expression | None = None
    excluding_current: bool = False
    span: Span | None = field(default=None, compare=False, repr=False)
    places: Places = field(default=(), compare=False, repr=False)


class WindowKind(Enum):
    TUMBLING = "tumbling"
    SLIDING = "sliding"
    CUMULATING = "cumulating"
    SESSION = "session"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Window:
    """Which events belong together; start inclusive, end exclusive, aligned to 1970 + `offset_us`.

    tumbling     [n size, (n + 1) size)
    sliding      `size_us` long, one begins every `slide_us`
    cumulating   begin every `size_us`, one ends every `slide_us` until they are `size_us` long
    session      ends once no event has come for `gap` (a duration, which may read the event)
    count        `size_events` events of the key, one window every `slide_events` (None: as many)
    """

    kind: WindowKind
    size_us: int | None = None
    slide_us: int | None = None
    offset_us: int = 0
    gap: Expression | None = None
    size_events: int | None = None
    slide_events: int | None = None


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Rows over windows of a stream, per key; `window` None: a row per event, over all so far.

    `select` and `having` read key fields, window_start, window_end and `Aggregated` nodes. Events
    that come up to `lateness_us` after the end of their window update it: its row comes again.
    `discarding`: such a row says what is new since the one before, not all. `early_us`: an open
    window says every so often (event time, aligned to 1970) what it has.
    """

    name: str
    stream: str
    select: tuple[Output, ...]
    key: tuple[str, ...] = ()
    window: Window | None = None
    where: Expression | None = None
    having: Expression | None = None
    lateness_us: int = 0
    discarding: bool = False
    early_us: int | None = None
    span: Span | None = field(default=None, compare=False, repr=False)
    places: Places = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Join:
    """Pairs of an event of the left and one of the right stream with the same key.

    Interval join: low_us <= right.time - left.time <= high_us. Window join (`window`, tumbling):
    both in the same window. `where` and `select` read the two events as LEFT.field, RIGHT.field. A
    pair's row has the time of its later event.
    """

    name: str
    left: str
    right: str
    select: tuple[Output, ...]
    key: tuple[str, ...] = ()
    low_us: int = 0
    high_us: int = 0
    window: Window | None = None
    where: Expression | None = None
    span: Span | None = field(default=None, compare=False, repr=False)
    places: Places = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Everything one rule file says; each kind of statement in its order."""

    streams: tuple[Stream, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    tables: tuple[Table, ...] = ()
    features: tuple[Feature, ...] = ()
    aggregates: tuple[Aggregate, ...] = ()
    joins: tuple[Join, ...] = ()

    def __str__(self) -> str:
        from cep.engine.algebra.plan_printer import print_rules

        return print_rules(self)


# ---- bound to data: what engine.dataflow.build makes of a rule set

EVENT_TIME = "(event time)"
"""A field that every event has beside those of its stream: its time, as a timestamp.

Joins with a window, or with bounds both before or both after, read it of streams without a field
that says the time to the microsecond: derived ones, and those with texts or nanoseconds."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """Field `name` ("merchants.risk") of a stream's events, read from a table without time."""

    stream: str
    name: str
    table: str
    field: str
    key: tuple[str, ...]


class NodeKind(Enum):
    PATTERN = "pattern"
    AGGREGATE = "aggregate"
    JOIN = "join"
    RUNNING = "running aggregate"


@dataclass(frozen=True, slots=True)
class Node:
    """One statement that makes a stream. `plan` is bound.

    Joins and aggregates without a window are patterns by now, without a skip strategy, whose
    matches are the rows. `stream`: what it makes, name and fields. `level`: 0 where it reads base
    streams only, else 1 + that of the deepest stream that it reads.
    """

    kind: NodeKind
    plan: Pattern | Aggregate
    stream: Stream
    level: int

    @property
    def name(self) -> str:
        return self.stream.name

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the streams that it reads."""
        if isinstance(self.plan, Aggregate):
            return (self.plan.stream,)
        return self.plan.streams or ("",)

    @property
    def key(self) -> tuple[str, ...]:
        return self.plan.key


@dataclass(frozen=True, slots=True)
class Dataflow:
    """A rule set bound to its streams, ready to run.

    `streams`: the base streams that are read, in the order that numbers them; the fields of each
    are those of the data, then those that lookups and features add, in their order. `features` are
    bound and in an order in which each reads earlier ones only; so are the `nodes`. What a table
    with a time adds is a feature over its stream of versions. `feature_levels` has the level of
    each feature: those of level n are computed before the nodes of level n. Above 0 they read, or
    are fields of, a derived stream.
    """

    streams: tuple[Stream, ...]
    nodes: tuple[Node, ...]
    tables: tuple[Table, ...] = ()
    lookups: tuple[Lookup, ...] = ()
    features: tuple[Feature, ...] = ()
    feature_levels: tuple[int, ...] = ()

    def stream(self, name: str) -> Stream:
        """A base or derived stream by name."""
        made = (node.stream for node in self.nodes)
        return next(s for s in (*self.streams, *made) if s.name == name)


def flow_of(patterns: Sequence[Pattern], streams: Sequence[Stream]) -> Dataflow:
    """Bound patterns that read base streams only, ready to run."""
    nodes = [Node(NodeKind.PATTERN, pattern, Stream(pattern.name), 0) for pattern in patterns]
    return Dataflow(tuple(streams), tuple(nodes))
