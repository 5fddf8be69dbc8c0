"""Rules in HTML: each pattern with its automaton, parameters, streams and the other statements."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from cep.display.automaton import automaton_svg
from cep.display.colours import code
from cep.display.html import Content, block, faint, folded, html, scrolled, strong, table, tag
from cep.display.style import PALETTE
from cep.display.tables import more
from cep.engine.algebra.errors import RuleError, render_problem
from cep.engine.algebra.pattern import Pattern, Stream
from cep.engine.algebra.plan_printer import (
    print_aggregate,
    print_feature,
    print_join,
    print_table,
)
from cep.engine.algebra.printer import print_duration, print_name
from cep.results.values import as_written, counted
from cep.rules import Rules

PATTERNS_OPEN = 3
PATTERNS_SHOWN = 20
STATES_DRAWN = 60
FIELDS_SHOWN = 30
DOUBTS_SHOWN = 10


def rules_html(rules: Rules) -> str:
    return html(
        block(
            strong(rules.contents),
            *_patterns(rules),
            *_parameters(rules),
            *_streams(rules),
            *_others(rules),
            *_doubts(rules),
        )
    )


def _patterns(rules: Rules) -> Iterator[Content]:
    """The first ones are open."""
    for place, pattern in enumerate(rules.patterns[:PATTERNS_SHOWN]):
        content = code(str(pattern)), _automaton(rules, pattern)
        yield folded(strong(pattern.name), *content, is_open=place < PATTERNS_OPEN)
    yield more(len(rules.patterns) - PATTERNS_SHOWN, "pattern")


def _automaton(rules: Rules, pattern: Pattern) -> Element:
    """The picture, or what stands in its way."""
    try:
        graph = rules.graph(pattern.name)
    except RuleError as error:
        return tag("div", str(error), style=f"color:{PALETTE[3]};white-space:pre-wrap")
    if len(graph.nodes) > STATES_DRAWN:
        return faint(f"an automaton of {len(graph.nodes):,} states: too many for a picture")
    return scrolled(automaton_svg(graph, pattern))


def _parameters(rules: Rules) -> Iterator[Content]:
    if rules.parameters:
        rows = [
            (f"${each.name}", str(each.type), as_written(each.value), as_written(each.default))
            for each in rules.parameters.values()
        ]
        yield table(("parameter", "type", "value", "default"), rows)


def _streams(rules: Rules) -> Iterator[Content]:
    """The streams that data must be given for, and others that are declared."""
    known = {stream.name: stream for stream in (*rules.streams, *rules.base_streams)}
    rows = [_stream(stream) for stream in known.values() if stream.name]
    if rows:
        yield table(("stream", "time", "lateness", "fields"), rows)


def _stream(stream: Stream) -> tuple[Content, ...]:
    fields = [f"{print_name(f.name)} {f.type}" for f in stream.fields[:FIELDS_SHOWN]]
    fields += ["…"] * (len(stream.fields) > FIELDS_SHOWN)
    lateness = print_duration(stream.lateness_us) if stream.lateness_us else ""
    return stream.name, stream.time or "", lateness, ", ".join(fields) or faint("those of the data")


def _others(rules: Rules) -> Iterator[Content]:
    """Tables, features, aggregates and joins as text."""
    made = rules.rule_set
    texts = [
        *map(print_table, made.tables),
        *map(print_feature, made.features),
        *map(print_aggregate, made.aggregates),
        *map(print_join, made.joins),
    ]
    if texts:
        yield folded("tables, features, aggregates, joins", code("\n\n".join(texts)))


def _doubts(rules: Rules) -> Iterator[Content]:
    texts = [render_problem(doubt, None, rules.name) for doubt in rules.warnings[:DOUBTS_SHOWN]]
    if texts:
        left_out = more(len(rules.warnings) - DOUBTS_SHOWN, "warning")
        title = counted(len(rules.warnings), "warning")
        yield folded(title, *map(faint, texts), left_out)
