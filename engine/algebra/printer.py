"""Algebra -> canonical rule text, which parses to an equal algebra.

One way to write each thing: two-space clauses, one definition a line, brackets only where
precedence asks for them, names quoted only where they would be read as a keyword.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from cep.engine.algebra.expression import (
    Aggregated,
    Between,
    Binary,
    Call,
    Captured,
    Case,
    Cast,
    DataType,
    Expression,
    Field,
    InList,
    IsNull,
    Like,
    Literal,
    Unary,
)
from cep.engine.algebra.normalise import is_exact
from cep.engine.algebra.pattern import (
    Alternation,
    Contiguity,
    Definition,
    Group,
    Negation,
    Output,
    Pattern,
    Permutation,
    Quantifier,
    Skip,
    SkipStrategy,
    Step,
    Stream,
    StreamField,
    Variable,
    WithinScope,
)

RESERVED = frozenset(
    {
        *("after", "case", "combinations", "consecutive", "define", "false", "gap", "greedy"),
        *("longest", "next", "not", "null", "on", "optional", "permute", "select", "true"),
        *("unless", "until", "within"),
    }
)
"""Words that the language takes for something else where a name could stand."""

NO_VARIABLES = RESERVED | {
    *("aggregate", "and", "as", "by", "feature", "from", "match", "or", "pattern", "reluctant"),
    *("skip", "stream", "where"),
}
"""Words that are no variables: a clause in the wrong place must not be read as a sequence."""

PLAIN_NAME = re.compile(r"[^\W\d]\w*")


def print_name(name: str, reserved: frozenset[str] = RESERVED) -> str:
    """The name as the language reads it, in double quotes where it has to be."""
    if PLAIN_NAME.fullmatch(name) and name.lower() not in reserved:
        return name
    return '"' + name.replace('"', '""') + '"'


# ---- expressions

OR, AND, NOT, PREDICATE, SUM, PRODUCT, SIGNED, ATOM = range(8)  # how tightly a text binds

BINDING = {"or": OR, "and": AND, "+": SUM, "-": SUM, "||": SUM, "*": PRODUCT, "/": PRODUCT}
BINDING |= {"%": PRODUCT}


def print_expression(expression: Expression) -> str:
    """Text that parses to an equal expression."""
    return _Printer(None).text(expression, OR)


class _Printer:
    """Prints the expressions of one place; `variable`: inside first(variable...) and its kin."""

    def __init__(self, variable: str | None) -> None:
        self.variable = variable

    def text(self, expression: Expression, least: int) -> str:
        """The expression, in brackets where it binds less tightly than `least`."""
        binding, text = self._print(expression)
        return text if binding >= least else f"({text})"

    def _print(self, expression: Expression) -> tuple[int, str]:
        match expression:
            case Literal():
                return _print_literal(expression)
            case Field(name):
                prefix = "" if self.variable is None else print_name(self.variable) + "."
                return ATOM, prefix + print_name(name)
            case Captured():
                return ATOM, _print_captured(expression)
            case Aggregated(function, argument, parameters):
                listed = "*" if argument is None else self._list((argument, *parameters))
                return ATOM, f"{function}({listed})"
            case Unary("not", operand):
                return NOT, f"not {self.text(operand, NOT)}"
            case Unary(_, operand):
                return SIGNED, f"-{self._operand_of_minus(operand)}"
            case Binary(operator, left, right):
                return self._binary(operator, left, right)
            case Call(function, arguments):
                return ATOM, f"{function}({self._list(arguments)})"
            case Cast(operand, target):
                return ATOM, f"cast({self.text(operand, OR)} as {target})"
            case Case(branches, otherwise):
                return ATOM, self._case(branches, otherwise)
        return PREDICATE, self._predicate(expression)

    def _operand_of_minus(self, operand: Expression) -> str:
        text = self.text(operand, ATOM)
        bare_number = isinstance(operand, Literal) and text[0] in "0123456789"
        return f"({text})" if bare_number else text  # -5 would be one constant

    def _binary(self, operator: str, left: Expression, right: Expression) -> tuple[int, str]:
        binding = BINDING.get(operator, PREDICATE)
        least = SUM if binding == PREDICATE else binding
        text = f"{self.text(left, least)} {operator} {self.text(right, max(binding + 1, least))}"
        return binding, text

    def _list(self, expressions: tuple[Expression, ...]) -> str:
        return ", ".join(self.text(expression, OR) for expression in expressions)

    def _case(
        self, branches: tuple[tuple[Expression, Expression], ...], otherwise: Expression | None
    ) -> str:
        words = ["case"]
        for condition, value in branches:
            words.append(f"when {self.text(condition, OR)} then {self.text(value, OR)}")
        if otherwise is not None:
            words.append(f"else {self.text(otherwise, OR)}")
        return " ".join([*words, "end"])

    def _predicate(self, expression: Expression) -> str:
        match expression:
            case IsNull(operand, negated):
                return f"{self.text(operand, SUM)} is {'not ' * negated}null"
            case InList(operand, items, negated):
                return f"{self.text(operand, SUM)} {'not ' * negated}in ({self._list(items)})"
            case Between(operand, low, high, negated):
                bounds = f"{self.text(low, SUM)} and {self.text(high, SUM)}"
                return f"{self.text(operand, SUM)} {'not ' * negated}between {bounds}"
            case Like(operand, pattern, negated):
                text = print_text(pattern)
                return f"{self.text(operand, SUM)} {'not ' * negated}like {text}"
        raise TypeError(f"no text for {type(expression).__name__}")


def _print_captured(captured: Captured) -> str:
    function, variable, argument = captured.function, captured.variable, captured.argument
    if variable is None:
        if argument is None:
            return f"{function}(*)"
        name = "prev" if function == "last" else function
        return f"{name}({print_expression(argument)})"
    if argument is None:
        return f"{function}({print_name(variable)})"
    text = _Printer(variable).text(argument, OR)
    if function == "last" and isinstance(argument, Field):
        return text
    return f"{function}({text})"


def _print_literal(literal: Literal) -> tuple[int, str]:
    value = literal.value
    if value is None:
        return ATOM, "null"
    if isinstance(value, bool):
        return ATOM, "true" if value else "false"
    if isinstance(value, str):
        return ATOM, print_text(value)
    if literal.unit_type is DataType.TIMESTAMP:
        return ATOM, _print_timestamp(int(value))
    text = repr(value)
    if literal.unit_type is DataType.DURATION:
        text = print_duration(int(value))
    return (SIGNED if text.startswith("-") else ATOM), text


def print_text(text: str) -> str:
    """A text constant; one with line breaks or other control characters as e'...'."""
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return "e'" + "".join(_escape(character) for character in text) + "'"


def _escape(character: str) -> str:
    if character == "'":
        return "''"
    if character == "\\":
        return "\\\\"
    if character.isprintable() or ord(character) > 0xFFFF:
        return character
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character, f"\\u{ord(character):04x}")


UNITS_US = (
    ("day", 86_400_000_000),
    ("hour", 3_600_000_000),
    ("minute", 60_000_000),
    ("second", 1_000_000),
    ("millisecond", 1_000),
    ("microsecond", 1),
)


def print_duration(duration_us: int) -> str:
    """A duration in the largest units that are exact: '1 hour 30 minutes', '500 ms'."""
    rest, words = abs(duration_us), []
    for unit, size_us in UNITS_US:
        number, rest = divmod(rest, size_us)
        if number:
            name = "ms" if unit == "millisecond" else unit if number == 1 else f"{unit}s"
            words.append(f"{number} {name}")
    sign = "-" if duration_us < 0 else ""
    return sign + (" ".join(words) or "0 seconds")


def _print_timestamp(time_us: int) -> str:
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)
    except OverflowError:  # outside the years 1 to 9999, which no text can say
        return f"cast({time_us} as timestamp)"
    return f"timestamp '{moment.replace(tzinfo=None).isoformat(sep=' ')}'"


# ---- sequences

LINKS = {Contiguity.STRICT: "", Contiguity.RELAXED: "->", Contiguity.ANY: "->>"}
ORDERS = {
    Contiguity.STRICT: " consecutive",
    Contiguity.RELAXED: "",
    Contiguity.ANY: " combinations",
}


def print_steps(steps: tuple[Step, ...]) -> str:
    """A sequence as it stands after `match` or inside brackets."""
    if len(steps) == 1 and isinstance(steps[0].element, Alternation) and _is_bare(steps[0]):
        return " | ".join(_print_sequence(branch) for branch in steps[0].element.branches)
    return _print_sequence(steps)


def _is_bare(step: Step) -> bool:
    return step.quantifier.is_one and step.until is None


def _print_sequence(steps: tuple[Step, ...]) -> str:
    parts = []
    for position, step in enumerate(steps):
        words = [_print_link(step)] if position else []
        parts.append(" ".join(word for word in [*words, _print_step(step)] if word))
    return " ".join(parts)


def _print_link(step: Step) -> str:
    link = LINKS[step.contiguity]
    if step.within_us is None:
        return link
    return f"{link or 'next'} within {print_duration(step.within_us)}"


def _print_step(step: Step) -> str:
    element, quantifier = _print_element(step), step.quantifier
    text = element + _print_amount(quantifier)
    if quantifier.optional and quantifier.minimum > 1:
        text += " optional"
    if quantifier.inner is Contiguity.ANY and quantifier.greedy and not is_exact(quantifier):
        text += " greedy"
    text += ORDERS[quantifier.inner]
    if quantifier.gap_us is not None:
        text += f" gap {print_duration(quantifier.gap_us)}"
    if step.until is not None:
        text += f" until ({print_expression(step.until)})"
    return text


def _print_amount(quantifier: Quantifier) -> str:
    low, high = quantifier.minimum, quantifier.maximum
    skippable = quantifier.optional and low == 1
    match low, high:
        case (1, 1):
            text = "?" if skippable else ""
        case (1, None):
            text = "*" if skippable else "+"
        case (_, None):
            text = f"{{{low},}}"
        case (_, _) if skippable:
            text = f"{{0,{high}}}"
        case _:
            text = f"{{{low}}}" if low == high else f"{{{low},{high}}}"
    plain = quantifier.greedy or is_exact(quantifier) or quantifier.inner is Contiguity.ANY
    return text if plain else f"{text}?"


def _print_element(step: Step) -> str:
    match step.element:
        case Variable(name):
            return print_name(name, NO_VARIABLES)
        case Negation(name):
            return f"not {print_name(name, NO_VARIABLES)}"
        case Group(steps):
            return f"({print_steps(steps)})"
        case Alternation(branches):
            return f"({' | '.join(_print_sequence(branch) for branch in branches)})"
        case Permutation(elements, inner):
            permuted = ", ".join(_print_step(element) for element in elements)
            return f"permute({permuted}){ORDERS[inner]}"


# ---- statements


def print_pattern(pattern: Pattern) -> str:
    """The pattern as a statement; parsing it gives an equal pattern if `pattern` is valid."""
    lines = [f"pattern {print_name(pattern.name)}", *_print_source(pattern)]
    longest = "longest " if pattern.longest else ""
    lines.append(f"match {longest}{print_steps(pattern.steps)}")
    if pattern.within_us is not None:
        between = pattern.within_scope is WithinScope.BETWEEN_EVENTS
        scope = " between events" if between else ""
        lines.append(f"within {print_duration(pattern.within_us)}{scope}")
    if pattern.definitions:
        texts = [_print_definition(definition, pattern) for definition in pattern.definitions]
        lines.append("define " + ",\n         ".join(texts))
    if pattern.unless is not None:
        lines.append(f"unless {print_expression(pattern.unless)}")
    if pattern.skip != Skip():
        lines.append(f"after match {_print_skip(pattern.skip)}")
    if pattern.select:
        lines.append(f"select {print_select(pattern.select)}")
    if pattern.timeout_select:
        lines.append(f"on timeout select {print_select(pattern.timeout_select)}")
    return "\n  ".join(lines) + ";"


def _print_source(pattern: Pattern) -> list[str]:
    words = []
    if pattern.streams:
        words.append("from " + print_names(pattern.streams))
    if pattern.key:
        words.append("by " + print_names(pattern.key))
    return [" ".join(words)] if words else []


def _print_definition(definition: Definition, pattern: Pattern) -> str:
    name, condition = print_name(definition.variable), definition.condition
    text = None if condition is None else print_expression(condition)
    if definition.stream is not None:
        stream = print_name(definition.stream)
        return f"{name} as {stream}" if text is None else f"{name} as {stream} where {text}"
    if text is None:
        return name
    if isinstance(condition, Field) and condition.name in pattern.streams:
        return f"{name} as ({text})"  # without brackets it would be the stream
    return f"{name} as {text}"


def _print_skip(skip: Skip) -> str:
    if skip.strategy is SkipStrategy.NO_SKIP:
        return "no skip"
    target = "" if skip.variable is None else f" {print_name(skip.variable)}"
    return f"skip {skip.strategy.value}{target}"


def print_select(outputs: tuple[Output, ...]) -> str:
    """The columns of a select list."""
    return ", ".join(_print_output(output) for output in outputs)


def _print_output(output: Output) -> str:
    text = print_expression(output.value)
    match output.value:
        case Field(name) | Captured("last", str(), Field(name)) if name == output.name:
            return text
    return f"{text} as {print_name(output.name)}"


def print_stream(stream: Stream) -> str:
    """The stream as a statement."""
    text = f"stream {print_name(stream.name)}{print_columns(stream.fields)}"
    if stream.time is not None:
        text += print_time(stream.time, stream.time_unit)
        if stream.tie_breaker is not None:
            text += f" then {print_name(stream.tie_breaker)}"
    if stream.lateness_us:
        text += f" lateness {print_duration(stream.lateness_us)}"
    if stream.partition:
        text += f" by {print_names(stream.partition)}"
    if stream.idle_us is not None:
        text += f" idle after {print_duration(stream.idle_us)}"
    return text + ";"


def print_columns(fields: tuple[StreamField, ...]) -> str:
    """The declared fields in brackets; nothing where there are none."""
    if not fields:
        return ""
    columns = [f"  {print_name(field.name)} {field.type}" for field in fields]
    return " (\n" + ",\n".join(columns) + "\n)"


def print_time(time: str, unit: str) -> str:
    """The clause that says which field holds the time."""
    units = {"s": " in seconds", "us": " in microseconds", "ns": " in nanoseconds"}
    return f" time {print_name(time)}{units.get(unit, '')}"


def print_names(names: tuple[str, ...]) -> str:
    """Names in a list."""
    return ", ".join(map(print_name, names))
