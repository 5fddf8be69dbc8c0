"""Statements of a rule set -> what is wrong with them, or doubtful, before any schema is known.

The same checks for rule text and for rule sets built in Python. `validation` does patterns.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from cep.engine.algebra.aggregates import AGGREGATES, problem_with_parameters, takes_star
from cep.engine.algebra.errors import Problem, Span
from cep.engine.algebra.expression import (
    Aggregated,
    Call,
    Captured,
    DataType,
    Expression,
    Field,
    Literal,
    children,
    walk,
)
from cep.engine.algebra.functions import FUNCTIONS, closest
from cep.engine.algebra.pattern import Stream
from cep.engine.algebra.plan import Aggregate, Feature, Join, RuleSet, Table, Window, WindowKind
from cep.engine.algebra.validation import (
    EXPRESSION_DEPTH_MAX,
    PARTS_MAX,
    expression_depth,
    repeated,
    table_problems,
    validate_pattern,
)

WINDOW_BOUNDS = ("window_start", "window_end")
"""What the rows of windows have beside their key."""

Statement = Feature | Aggregate | Join


def validate_rules(rules: RuleSet, tables: Collection[str] = ()) -> list[Problem]:
    """Everything wrong or doubtful in the structure of the statements. Never raises.

    `tables` are names of further tables, of which nothing else is known. Says nothing of fields and
    types: `engine.dataflow.build` does, once the schema is known.
    """
    tables = (*tables, *(table.name for table in rules.tables))
    problems = [problem for stream in rules.streams for problem in _stream_problems(stream)]
    problems += [problem for table in rules.tables for problem in _table_problems(table)]
    statements: list[Statement] = [*rules.features, *rules.aggregates, *rules.joins]
    for statement in statements:
        problems += too_large(statement) or _statement_problems(statement, tables)
    for pattern in rules.patterns:
        problems += validate_pattern(pattern, tables)
    return problems


# ---- streams and tables


def _stream_problems(stream: Stream) -> Iterator[Problem]:
    yield from _repeated_names("source field", stream.partition, stream.span)
    if stream.idle_us is not None and stream.idle_us <= 0:
        yield Problem("'idle after' needs a time above zero", stream.span)
    if stream.idle_us is not None and not stream.partition:
        message = "'idle after' without 'by': the stream has one source"
        hint = "say which fields tell its sources apart: by FIELD, or leave 'idle after' out"
        yield Problem(message, stream.span, hint)
    if stream.tie_breaker is not None and stream.time is None:
        yield Problem("a field that breaks ties, but none with the time", stream.span, "time FIELD")


def _table_problems(table: Table) -> Iterator[Problem]:
    known = tuple(column.name for column in table.fields)
    yield from _repeated_names("key field", table.key, table.span)
    if not table.key:
        hint = "say by which fields its rows are found: table merchants (...) by merchant"
        yield Problem("the table has no key", table.span, hint)
    for name in table.key:
        if known and name not in known:
            hint = closest(name, known) or f"its fields are {_listed(known)}"
            yield Problem(f"no key field '{name}' in table {table.name}", table.span, hint)
    if table.time is not None and table.time in table.key:
        hint = "the time says which of the versions of a key is read"
        yield Problem(f"'{table.time}' is the time and a key of the table", table.span, hint)


def _repeated_names(what: str, names: tuple[str, ...], span: Span | None) -> Iterator[Problem]:
    for name in repeated(names):
        yield Problem(f"{what} '{name}' is named twice", span, "name it once")


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 10 else ", ".join(names[:9]) + ", ..."


# ---- how many, how deep


def too_large(statement: Statement) -> list[Problem]:
    """What is too deep or too much of it; nothing else may look at a statement that has these."""
    for expression in expressions_of(statement):
        if expression_depth(expression) > EXPRESSION_DEPTH_MAX:
            message = f"an expression nested deeper than {EXPRESSION_DEPTH_MAX} levels"
            return [Problem(message, expression.span or statement.span, "cut it into several")]
    columns = 0 if isinstance(statement, Feature) else len(statement.select)
    for what, count in (("columns", columns), ("key fields", len(statement.key))):
        if count > PARTS_MAX:
            message = f"{count:,} {what} in one statement; at most {PARTS_MAX:,} are allowed"
            return [Problem(message, statement.span, "cut it into several")]
    return []


def expressions_of(statement: Statement) -> Iterator[Expression]:
    """Every expression of the statement, outermost nodes only."""
    if isinstance(statement, Feature):
        yield statement.value
    else:
        yield from (output.value for output in statement.select)
    if isinstance(statement, Aggregate):
        yield from (e for e in (statement.having,) if e is not None)
    if not isinstance(statement, Feature) and statement.window and statement.window.gap:
        yield statement.window.gap
    if statement.where is not None:
        yield statement.where


# ---- features, aggregates, joins


def _statement_problems(statement: Statement, tables: Collection[str]) -> list[Problem]:
    problems = list(_name_problems(statement))
    if not isinstance(statement, Feature) and not statement.select:
        problems.append(_no_columns(statement))
    for expression in expressions_of(statement):
        problems += _aggregated_problems(expression)
    match statement:
        case Feature():
            problems += _feature_problems(statement)
        case Aggregate():
            problems += _aggregate_problems(statement)
        case Join():
            problems += _join_problems(statement, tables)
    if not isinstance(statement, Join):
        problems += _member_problems(statement, tables)
    return problems


def _no_columns(statement: Aggregate | Join) -> Problem:
    if isinstance(statement, Aggregate):
        what, columns = "aggregate", "count(*) as n"
    else:
        what, columns = "join", f"{statement.left}.FIELD, {statement.right}.FIELD"
    hint = f"say what its rows hold: select {columns}"
    return Problem(f"the {what} has no 'select'", statement.span, hint)


def _name_problems(statement: Statement) -> Iterator[Problem]:
    outputs = () if isinstance(statement, Feature) else statement.select
    for name in dict.fromkeys((statement.name, *(o.name for o in outputs), *statement.key)):
        if not name:
            yield Problem("an empty name", statement.span, "give it at least one letter")
        elif not name.isprintable():
            message = f"the name {name!r} has characters that cannot be shown"
            yield Problem(message, statement.span, "use letters, digits and spaces")
    yield from _repeated_names("key field", statement.key, statement.span)
    for name in repeated(tuple(output.name for output in outputs)):
        second = [output for output in outputs if output.name == name][1]
        hint = "give it another name with 'as'"
        yield Problem(f"a second column '{name}'", second.value.span, hint)


def _aggregated_problems(expression: Expression) -> Iterator[Problem]:
    for node in walk(expression):
        if not isinstance(node, Aggregated):
            continue
        name = node.function
        if node.argument is None and not takes_star(name):
            yield Problem(f"{name} needs something to look at", node.span, _form_of(name))
        elif wrong := problem_with_parameters(name, node.parameters):
            yield Problem(wrong, node.span, _form_of(name))
        for inner in walk(node.argument) if node.argument is not None else ():
            if isinstance(inner, Aggregated):
                hint = "the argument is evaluated on one event: it may read that event's fields"
                yield Problem(f"{inner.function}(...) inside {name}(...)", inner.span, hint)


def _form_of(function: str) -> str:
    form = AGGREGATES[function].form if function in AGGREGATES else f"{function}(amount)"
    if function in ("min", "max"):
        other = "least" if function == "min" else "greatest"
        return f"write {form}; of several values {other}(a, b) takes the {other}"
    return f"write {form}"


def _member_problems(statement: Statement, tables: Collection[str]) -> Iterator[Problem]:
    """`merchants.risk` reads a table here, and nothing else."""
    for node in (node for e in expressions_of(statement) for node in walk(e)):
        if not isinstance(node, Captured):
            continue
        if node.variable in tables:
            yield from table_problems(node)
        else:
            hint = closest(node.variable or "", list(tables))
            hint = hint or "variables are for patterns: write the field alone"
            yield Problem(f"no table '{node.variable}'", node.span, hint)


def outside(expression: Expression) -> Iterator[Expression]:
    """The nodes that are about the row itself, not about one of its events; parents first."""
    yield expression
    if not isinstance(expression, Aggregated | Captured):
        for child in children(expression):
            yield from outside(child)


def _feature_problems(feature: Feature) -> Iterator[Problem]:
    nodes = list(walk(feature.value))
    misspelt = any(isinstance(n, Call) and n.function not in FUNCTIONS for n in nodes)
    if not misspelt and not any(isinstance(node, Aggregated) for node in nodes):
        hint = "write for example sum(amount) or count(*); a field is read where it is needed"
        yield Problem("the feature aggregates nothing", feature.value.span or feature.span, hint)
    over = feature.over
    if over.range_us is not None and over.range_us <= 0:
        hint = "the bound is exclusive: it needs a time above zero"
        yield Problem("'over' of no time: nothing is that young", feature.span, hint)
    if over.events is not None and over.events <= 0:
        yield Problem("'over 0 events': there is nothing to look at", feature.span, "over 1 event")
    if feature.excluding_current and feature.source not in (None, feature.stream):
        message = f"'excluding current' says nothing: the events are those of {feature.source}"
        yield Problem(message, feature.span, "leave it out", warning=True)


def _aggregate_problems(aggregate: Aggregate) -> Iterator[Problem]:
    known = (*aggregate.key, *(WINDOW_BOUNDS if aggregate.window else ()))
    for output in aggregate.select:
        yield from _row_problems(output.value, known, aggregate)
    if aggregate.having is not None:
        named = tuple(output.name for output in aggregate.select)
        yield from _row_problems(aggregate.having, (*known, *named), aggregate)
    if aggregate.window is not None:
        yield from _window_problems(aggregate.window, aggregate.span)
    timed = aggregate.window is not None and aggregate.window.kind is not WindowKind.COUNT
    for word, bound in (("lateness", aggregate.lateness_us), ("early", aggregate.early_us)):
        if bound is not None and bound < 0:
            yield Problem(f"'{word}' of less than no time", aggregate.span)
        if bound and not timed:
            hint = "leave it out: without a window there is a row for each event"
            if aggregate.window is not None:
                hint = "leave it out: a window that counts events ends with an event"
            message = f"'{word}' needs a window with an end in time"
            yield Problem(message, aggregate.span, hint)
    if aggregate.early_us == 0:
        yield Problem("'early every' needs a time above zero", aggregate.span)


def _row_problems(
    expression: Expression, known: tuple[str, ...], aggregate: Aggregate
) -> Iterator[Problem]:
    """What select and having read outside of aggregates are facts about the row itself."""
    for node in outside(expression):
        if isinstance(node, Captured):
            message = f"a row of many events looks nothing up in '{node.variable}'"
            hint = f"look up for each event: last({node.variable}.FIELD)"
            yield Problem(message, node.span, hint)
        if not isinstance(node, Field) or node.name in known:
            continue
        if node.name in WINDOW_BOUNDS:
            hint = "leave it out, or say 'window'"
            yield Problem(f"'{node.name}' of an aggregate without a window", node.span, hint)
            continue
        hint = closest(node.name, known) or f"write last({node.name}), or add it to 'by'"
        message = f"'{node.name}' is neither aggregated nor a key field"
        if expression is aggregate.having:
            message = f"'{node.name}' is neither aggregated, nor a key field, nor a column"
        yield Problem(message, node.span, hint)


# ---- windows


def _window_problems(window: Window, span: Span | None) -> Iterator[Problem]:
    yield from (Problem(message, span, hint) for message, hint in _WINDOWS[window.kind](window))
    size, slide = window.size_us or window.size_events, window.slide_us or window.slide_events
    gaps = window.kind in (WindowKind.SLIDING, WindowKind.COUNT)
    if gaps and size and slide and slide > size:
        message = "windows begin further apart than they are long: events between them are lost"
        yield Problem(message, span, "make 'every' at most as long as the window", warning=True)


Wrong = Iterator[tuple[str, str | None]]
ABOVE_ZERO = "sizes are above zero"


def _check_tumbling(window: Window) -> Wrong:
    if not window.size_us or window.size_us <= 0:
        yield f"a {window.kind.value} window of no size", ABOVE_ZERO


def _check_sliding(window: Window) -> Wrong:
    yield from _check_tumbling(window)
    if not window.slide_us or window.slide_us <= 0:
        yield f"a {window.kind.value} window with 'every' of no time", ABOVE_ZERO


def _check_cumulating(window: Window) -> Wrong:
    wrong = list(_check_sliding(window))
    yield from wrong
    if not wrong and window.size_us and window.slide_us and window.size_us % window.slide_us:
        yield "the size of a cumulating window is no multiple of its steps", "1 day every 1 hour"


def _check_session(window: Window) -> Wrong:
    match window.gap:
        case None:
            yield "a session window without a gap", "window session 30 minutes"
        case Literal(int(gap_us), DataType.DURATION) if gap_us <= 0:
            yield "a session with a gap of no time", "gaps are above zero"
    if window.offset_us:
        yield "sessions have no offset: they begin with an event", None


def _check_count(window: Window) -> Wrong:
    if not window.size_events or window.size_events <= 0:
        yield "a window of no events", ABOVE_ZERO
    if window.slide_events is not None and window.slide_events <= 0:
        yield "a window with 'every' of no events", ABOVE_ZERO


_WINDOWS: dict[WindowKind, Callable[[Window], Wrong]] = {
    WindowKind.TUMBLING: _check_tumbling,
    WindowKind.SLIDING: _check_sliding,
    WindowKind.CUMULATING: _check_cumulating,
    WindowKind.SESSION: _check_session,
    WindowKind.COUNT: _check_count,
}


# ---- joins


@dataclass(frozen=True, slots=True)
class _Sides:
    """What a name in front of a '.' can mean in a join."""

    names: tuple[str, str]
    tables: Collection[str]

    def problem(self, node: Captured) -> Problem | None:
        name, span = node.variable or "", node.span
        if name in self.names:
            return None
        if name in self.tables:
            both = " or ".join(f'{side}."{name}.FIELD"' for side in self.names)
            return Problem(f"table '{name}' is looked up for one of the events", span, both)
        hint = closest(name, self.names) or f"it reads {' and '.join(self.names)}"
        return Problem(f"no stream '{name}' in this join", span, hint)


def _join_problems(join: Join, tables: Collection[str]) -> Iterator[Problem]:
    sides = _Sides((join.left, join.right), tables)
    if join.left and join.left == join.right:
        message = f"a join of '{join.left}' with itself"
        hint = "write a pattern: match a ->> b within 10 minutes ... after match no skip"
        yield Problem(message, join.span, hint)
    if join.window is not None:
        yield from _window_problems(join.window, join.span)
        if join.window.kind is not WindowKind.TUMBLING:
            message = f"a join over a {join.window.kind.value} window"
            yield Problem(message, join.span, "joins know window tumbling, within and between")
        if join.low_us or join.high_us:
            yield Problem("the join has a window and bounds on time", join.span, "leave one out")
    if join.low_us > join.high_us:
        message = "'between' goes from the later to the earlier time: nothing is between"
        yield Problem(message, join.span, "the smaller bound comes first")
    for node in (node for e in expressions_of(join) for node in walk(e)):
        if isinstance(node, Captured) and (problem := sides.problem(node)) is not None:
            yield problem
    for expression in expressions_of(join):
        for field in _bare_fields(expression):
            both = " or ".join(f"{side}.{field.name}" for side in sides.names)
            yield Problem(f"'{field.name}' of which event?", field.span, f"write {both}")


def _bare_fields(expression: Expression) -> Iterator[Field]:
    if isinstance(expression, Field):
        yield expression
    elif not isinstance(expression, Captured):
        for child in children(expression):
            yield from _bare_fields(child)
