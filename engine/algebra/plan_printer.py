"""Rule sets -> canonical rule text, which parses to an equal rule set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cep.engine.algebra.expression import DataType, Literal
from cep.engine.algebra.plan import (
    Aggregate,
    Feature,
    Join,
    Over,
    RuleSet,
    Table,
    Window,
    WindowKind,
)
from cep.engine.algebra.printer import (
    print_columns,
    print_duration,
    print_expression,
    print_name,
    print_names,
    print_select,
    print_time,
)


def print_rules(rules: RuleSet) -> str:
    """Every statement, kind by kind."""
    parts = [
        *map(str, rules.streams),
        *map(print_table, rules.tables),
        *map(print_feature, rules.features),
        *map(print_aggregate, rules.aggregates),
        *map(print_join, rules.joins),
        *map(str, rules.patterns),
    ]
    return "\n\n".join(parts)


def _statement(head: str, clauses: Iterable[str]) -> str:
    return "\n  ".join([head, *clauses]) + ";"


def print_table(table: Table) -> str:
    """The table as a statement."""
    text = f"table {print_name(table.name)}{print_columns(table.fields)}"
    if table.key:
        text += f" by {print_names(table.key)}"
    if table.time is not None:
        text += print_time(table.time, table.time_unit)
    return text + ";"


def print_feature(feature: Feature) -> str:
    """The feature as a statement."""
    head = f"feature {print_name(feature.name)} on {print_name(feature.stream)}"
    return _statement(head, _feature_clauses(feature))


def _feature_clauses(feature: Feature) -> Iterator[str]:
    yield f"as {print_expression(feature.value)}"
    if feature.source is not None:
        yield f"from {print_name(feature.source)}"
    if feature.where is not None:
        yield f"where {print_expression(feature.where)}"
    words = [_print_over(feature.over)]
    if feature.key:
        words.append(f"by {print_names(feature.key)}")
    if feature.excluding_current:
        words.append("excluding current")
    yield " ".join(words)


def _print_over(over: Over) -> str:
    if over.range_us is not None:
        return f"over {print_duration(over.range_us)}"
    if over.events is not None:
        return f"over {over.events} event{'' if over.events == 1 else 's'}"
    return "over all"


def print_aggregate(aggregate: Aggregate) -> str:
    """The aggregate as a statement."""
    return _statement(f"aggregate {print_name(aggregate.name)}", _aggregate_clauses(aggregate))


def _aggregate_clauses(aggregate: Aggregate) -> Iterator[str]:
    source = f"from {print_name(aggregate.stream)}"
    yield source + (f" by {print_names(aggregate.key)}" if aggregate.key else "")
    if aggregate.where is not None:
        yield f"where {print_expression(aggregate.where)}"
    if aggregate.window is not None:
        yield f"window {_print_window(aggregate.window)}"
    if aggregate.lateness_us or aggregate.discarding:
        discarding = " discarding" if aggregate.discarding else ""
        yield f"lateness {print_duration(aggregate.lateness_us)}{discarding}"
    if aggregate.early_us is not None:
        yield f"early every {print_duration(aggregate.early_us)}"
    if aggregate.select:
        yield f"select {print_select(aggregate.select)}"
    if aggregate.having is not None:
        yield f"having {print_expression(aggregate.having)}"


def _print_window(window: Window) -> str:
    words = [window.kind.value]
    if window.gap is not None:
        words.append(_print_gap(window))
    if window.kind is WindowKind.COUNT:
        words.append(str(window.size_events))
        words += [] if window.slide_events is None else [f"every {window.slide_events}"]
    if window.size_us is not None:
        words.append(print_duration(window.size_us))
    if window.slide_us is not None:
        words.append(f"every {print_duration(window.slide_us)}")
    if window.offset_us:
        words.append(f"offset {print_duration(window.offset_us)}")
    return " ".join(words)


def _print_gap(window: Window) -> str:
    match window.gap:
        case Literal(int(value), DataType.DURATION) if value >= 0:
            return print_duration(value)
        case None:
            return ""
        case gap:
            return f"({print_expression(gap)})"


def print_join(join: Join) -> str:
    """The join as a statement."""
    return _statement(f"join {print_name(join.name)}", _join_clauses(join))


def _join_clauses(join: Join) -> Iterator[str]:
    source = f"from {print_names((join.left, join.right))}"
    yield source + (f" by {print_names(join.key)}" if join.key else "")
    if join.window is not None:
        yield f"window {_print_window(join.window)}"
    elif join.low_us == 0 and join.high_us >= 0:
        yield f"within {print_duration(join.high_us)}"
    else:
        yield f"between {print_duration(join.low_us)} and {print_duration(join.high_us)}"
    if join.where is not None:
        yield f"where {print_expression(join.where)}"
    if join.select:
        yield f"select {print_select(join.select)}"
