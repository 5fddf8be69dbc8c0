"""Untyped expression + the fields in sight -> the same tree with types, and problems."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace

from cep.engine.algebra.aggregates import (
    AGGREGATES,
    NO_FUNCTIONS,
    Functions,
    aggregate_type,
    allowed_argument,
)
from cep.engine.algebra.errors import Problem, Span
from cep.engine.algebra.expression import (
    CAPTURE_FUNCTIONS,
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
    walk,
)
from cep.engine.algebra.functions import (
    BOOLEAN,
    FLOAT,
    FUNCTIONS,
    INTEGER,
    NULL,
    NUMBERS,
    QUANTITIES,
    TEXT,
    TIMESTAMP,
    Function,
    closest,
    common_type,
    problem_with_constant,
    result_type,
)
from cep.engine.algebra.pattern import Stream
from cep.engine.algebra.timestamp import parse_timestamp
from cep.engine.binding.types import (
    AGGREGATED,
    ARITHMETIC,
    CAST_HINTS,
    CASTS,
    COMPARISONS,
    INT64_MAX,
    LITERAL_TYPES,
    MAX_DEPTH,
    counted,
    deeper_than,
    hint_for_types,
    listed,
    typed,
)


@dataclass(frozen=True, slots=True)
class Scope:
    """The streams whose fields a bare name can mean; `open` when one of them is not known."""

    streams: tuple[Stream, ...]
    open: bool = False

    def __str__(self) -> str:
        named = [s.name for s in self.streams if s.name]
        if not named:
            return "the data"
        return f"stream{'s' if len(named) > 1 else ''} {', '.join(named)}"

    def types_of(self, name: str) -> dict[DataType, str]:
        """Each type that the field has, with the first stream where it has it."""
        found: dict[DataType, str] = {}
        for stream in self.streams:
            for member in stream.fields:
                if member.name == name:
                    found.setdefault(member.type, stream.name)
        return found

    def field_names(self) -> list[str]:
        return [member.name for stream in self.streams for member in stream.fields]


def conflict(what: str, types: Mapping[DataType, str], span: Span | None) -> Problem:
    """The problem that a field has several types; `types` says in which stream it has each."""
    listed_types = " and ".join(f"{kind} in stream {stream}" for kind, stream in types.items())
    hint = "bind the variable to one stream (define v as STREAM where ...), or rename the field"
    return Problem(f"{what} is {listed_types}", span, hint)


@dataclass(slots=True)
class ExpressionBinder:
    """Binds the expressions of one statement; problems are added to `problems`.

    `everything`: what a name can mean that is not tied to one stream. `scopes`: what each defined
    variable's events look like. `takers` are the variables that take events, `negated` the others.
    `aggregated`: the events that aggregate functions look at; `functions` are the user's own.
    """

    everything: Scope
    scopes: Mapping[str, Scope]
    takers: Set[str]
    negated: Set[str]
    problems: list[Problem]
    aggregated: Scope | None = None
    functions: Functions = field(default_factory=lambda: NO_FUNCTIONS)
    scope: Scope = field(init=False)

    def bind(self, expression: Expression, scope: Scope | None = None) -> Expression:
        """The tree with the type of every node set; NULL stands for what could not be typed."""
        self.scope = scope or self.everything
        if deeper_than(expression, MAX_DEPTH):
            hint = "use in (...) for long lists of alternatives, or split the condition"
            said = f"the expression is nested more than {MAX_DEPTH} deep"
            self._problem(said, expression.span, hint)
            return replace(expression, type=NULL)
        return self._bind(expression)

    def _problem(self, message: str, span: Span | None, hint: str | None = None) -> None:
        self.problems.append(Problem(message, span, hint))

    def _bind(self, expression: Expression) -> Expression:
        match expression:
            case Literal():
                return self._bind_literal(expression)
            case Field():
                return replace(expression, type=self._type_of_field(expression))
            case Captured():
                return self._bind_captured(expression)
            case Aggregated():
                return self._bind_aggregated(expression)
            case Unary():
                return self._bind_unary(expression)
            case Binary():
                return self._bind_binary(expression)
            case IsNull():
                operand = self._bind(expression.operand)
                return replace(expression, operand=operand, type=BOOLEAN)
            case InList():
                return self._bind_in_list(expression)
            case Between():
                return self._bind_between(expression)
            case Like():
                return self._bind_like(expression)
            case Case():
                return self._bind_case(expression)
            case Cast():
                return self._bind_cast(expression)
            case Call():
                return self._bind_call(expression)
        raise AssertionError(expression)

    def _bind_literal(self, literal: Literal) -> Expression:
        kind = literal.unit_type or LITERAL_TYPES[type(literal.value)]
        if isinstance(literal.value, int) and not -INT64_MAX - 1 <= literal.value <= INT64_MAX:
            self._problem(
                f"{literal.value} does not fit into 64 bits", literal.span, "write it as a float"
            )
            kind = NULL
        return replace(literal, type=kind)

    def _type_of_field(self, name: Field) -> DataType:
        types = self.scope.types_of(name.name)
        if len(types) == 1:
            return next(iter(types))
        if types:
            self.problems.append(conflict(f"field '{name.name}'", types, name.span))
        elif not self.scope.open:
            known = self.scope.field_names()
            self._problem(
                f"no field '{name.name}' in {self.scope}",
                name.span,
                self._hint_for_field(name.name) or f"its fields: {', '.join(known[:20])}",
            )
        return NULL

    def _hint_for_field(self, name: str) -> str | None:
        if name in self.takers:
            return f"'{name}' is a variable: write {name}.FIELD"
        return closest(name, self.scope.field_names())

    def _bind_captured(self, captured: Captured) -> Expression:
        self._check_variable(captured)
        if captured.function not in CAPTURE_FUNCTIONS:
            hint = closest(captured.function, CAPTURE_FUNCTIONS)
            self._problem(f"no function '{captured.function}'", captured.span, hint)
        if captured.argument is None:
            if captured.function != "count":
                self._problem(f"{captured.function} needs a field to read", captured.span)
            return replace(captured, type=INTEGER if captured.function == "count" else NULL)
        argument = self._bind_argument(captured, captured.argument)
        kind = self._type_of_captured(captured, argument)
        return replace(captured, argument=argument, type=kind)

    def _check_variable(self, captured: Captured) -> None:
        name = captured.variable
        if name is None or name in self.takers:
            return
        if name in self.negated:
            self._problem(f"'{name}' is negated: it never takes an event", captured.span)
        else:
            hint = closest(name, sorted(self.takers))
            self._problem(f"no variable '{name}' in the pattern", captured.span, hint)

    def _bind_argument(self, captured: Captured, argument: Expression) -> Expression:
        """What is read of each captured event, which sees the fields of the variable's stream."""
        nested = next((n for n in walk(argument) if isinstance(n, Captured)), None)
        if nested is not None:
            message = f"{captured.function} reads one event at a time: {nested.function} cannot be"
            self._problem(f"{message} inside it", nested.span)
            return replace(argument, type=NULL)
        outer = self.scope
        if captured.variable is None:
            self.scope = self.everything
        elif captured.variable in self.takers:
            self.scope = self.scopes.get(captured.variable, self.everything)
        else:
            self.scope = replace(self.everything, open=True)
        bound = self._bind(argument)
        self.scope = outer
        return bound

    def _type_of_captured(self, captured: Captured, argument: Expression) -> DataType:
        kind = argument.type or NULL
        allowed = AGGREGATED.get(captured.function)
        if allowed is not None and kind is not NULL and kind not in allowed:
            expected = listed(allowed)
            self._problem(
                f"{typed(argument)}: {captured.function} takes {expected}",
                argument.span,
            )
            return NULL
        if captured.function == "count":
            return INTEGER
        if captured.function in ("avg", "stddev") and kind in NUMBERS:
            return FLOAT
        return kind

    def _bind_aggregated(self, node: Aggregated) -> Expression:
        name = node.function
        if name not in AGGREGATES and name not in self.functions:
            hint = closest(name, [*AGGREGATES, *self.functions])
            self._problem(f"no aggregate function '{name}'", node.span, hint)
            return replace(node, type=NULL)
        if self.aggregated is None:
            hint = "aggregate functions of windows are for 'aggregate' and 'feature'"
            self._problem(f"{name} over a window in a pattern", node.span, hint)
            return replace(node, type=NULL)
        parameters = tuple(replace(p, type=LITERAL_TYPES[type(p.value)]) for p in node.parameters)
        if node.argument is None:
            return replace(node, parameters=parameters, type=INTEGER)
        outer, self.scope = self.scope, self.aggregated
        argument = self._bind(node.argument)
        self.scope = outer
        kind, allowed = argument.type or NULL, allowed_argument(name, self.functions)
        bound = replace(node, argument=argument, parameters=parameters)
        if kind is not NULL and kind not in allowed:
            self._problem(f"{typed(argument)}: {name} takes {listed(allowed)}", argument.span)
            return replace(bound, type=NULL)
        return replace(bound, type=aggregate_type(name, argument, self.functions))

    def _bind_unary(self, unary: Unary) -> Expression:
        if unary.operator == "-" and unary.operand == Literal(INT64_MAX + 1):
            return Literal(-INT64_MAX - 1, span=unary.span, type=INTEGER)
        operand = self._bind(unary.operand)
        allowed = (BOOLEAN,) if unary.operator == "not" else QUANTITIES
        kind = operand.type
        if kind is not NULL and kind not in allowed:
            said = f"'{unary.operator}' takes {listed(allowed)}"
            self._problem(f"{typed(operand)}: {said}", operand.span)
            kind = NULL
        return replace(unary, operand=operand, type=BOOLEAN if unary.operator == "not" else kind)

    def _bind_binary(self, binary: Binary) -> Expression:
        left, right = self._bind(binary.left), self._bind(binary.right)
        operator = binary.operator
        if operator in COMPARISONS:
            left, right = self._as_timestamp(left, right), self._as_timestamp(right, left)
            self._check_comparison(operator, left, right, binary.span)
            kind = BOOLEAN
        elif operator in ("and", "or"):
            for operand in (left, right):
                self._check_is(operand, BOOLEAN, f"'{operator}'", "compare it with something")
            kind = BOOLEAN
        elif operator == "||":
            for operand in (left, right):
                self._check_is(operand, TEXT, "'||'", "write cast(... as text)")
            kind = TEXT
        else:
            kind = self._type_of_arithmetic(operator, left, right, binary.span)
        return replace(binary, left=left, right=right, type=kind)

    def _check_is(self, operand: Expression, wanted: DataType, by: str, hint: str) -> None:
        if operand.type not in (wanted, NULL):
            said = f"{typed(operand)}: {by} takes {listed((wanted,))}"
            self._problem(said, operand.span, hint)

    def _as_timestamp(self, operand: Expression, other: Expression) -> Expression:
        """A text constant that meets a timestamp is one."""
        if not isinstance(operand, Literal) or operand.type is not TEXT:
            return operand
        if other.type is not TIMESTAMP:
            return operand
        assert isinstance(operand.value, str)
        time_us = parse_timestamp(operand.value)
        if time_us is None:
            hint = "write it as '2024-04-01 12:30:00'"
            self._problem(f"'{operand.value}' is not a timestamp", operand.span, hint)
            return replace(operand, type=NULL)
        return Literal(time_us, TIMESTAMP, span=operand.span, type=TIMESTAMP)

    def _check_comparison(
        self, operator: str, left: Expression, right: Expression, span: Span | None
    ) -> None:
        types = (left.type or NULL, right.type or NULL)
        common = common_type(types)
        if common is None:
            both = f"{typed(left)}, {typed(right)}"
            self._problem(f"{both}: they cannot be compared", span, hint_for_types(types))
        elif common is BOOLEAN and operator not in ("=", "<>"):
            said = f"'{operator}' does not order true and false"
            self._problem(
                f"{typed(left if left.type is BOOLEAN else right)}: {said}", span, "use = or <>"
            )

    def _type_of_arithmetic(
        self, operator: str, left: Expression, right: Expression, span: Span | None
    ) -> DataType:
        types = (left.type or NULL, right.type or NULL)
        if NULL in types:
            return self._arithmetic_with_null(operator, left, right)
        kind = ARITHMETIC.get((operator, *types))
        if kind is None:
            both = f"{typed(left)}, {typed(right)}"
            said = f"{both}: '{operator}' cannot be applied"
            self._problem(said, span, hint_for_types(types))
        return kind or NULL

    def _arithmetic_with_null(self, operator: str, left: Expression, right: Expression) -> DataType:
        """The one type possible whatever the unknown side is; NULL where there are several."""
        possible = set()
        for (candidate, first, second), kind in ARITHMETIC.items():
            fits = left.type in (first, NULL) and right.type in (second, NULL)
            if candidate == operator and fits:
                possible.add(kind)
        if not possible:
            known = right if left.type is NULL else left
            said = f"'{operator}' cannot be applied"
            self._problem(f"{typed(known)}: {said}", known.span)
        return possible.pop() if len(possible) == 1 else NULL

    def _bind_in_list(self, in_list: InList) -> Expression:
        operand = self._bind(in_list.operand)
        items = []
        for item in map(self._bind, in_list.items):
            item = self._as_timestamp(item, operand)
            self._check_comparison("=", operand, item, item.span)
            items.append(item)
        return replace(in_list, operand=operand, items=tuple(items), type=BOOLEAN)

    def _bind_between(self, between: Between) -> Expression:
        operand = self._bind(between.operand)
        low, high = self._bind(between.low), self._bind(between.high)
        low, high = self._as_timestamp(low, operand), self._as_timestamp(high, operand)
        self._check_comparison(">=", operand, low, low.span)
        self._check_comparison("<=", operand, high, high.span)
        return replace(between, operand=operand, low=low, high=high, type=BOOLEAN)

    def _bind_like(self, like: Like) -> Expression:
        operand = self._bind(like.operand)
        self._check_is(operand, TEXT, "like", "write cast(... as text)")
        unescaped = like.pattern.replace("\\\\", "")
        if unescaped.endswith("\\"):
            hint = "write \\\\ for a backslash"
            self._problem(f"the pattern '{like.pattern}' ends with a lone \\", like.span, hint)
        return replace(like, operand=operand, type=BOOLEAN)

    def _bind_case(self, case: Case) -> Expression:
        branches = tuple((self._bind(c), self._bind(v)) for c, v in case.branches)
        otherwise = None if case.otherwise is None else self._bind(case.otherwise)
        for condition, _ in branches:
            self._check_is(condition, BOOLEAN, "when", "compare it with something")
        values = [v for _, v in branches] + ([] if otherwise is None else [otherwise])
        kind = self._common("the branches of case", values, case.span)
        return replace(case, branches=branches, otherwise=otherwise, type=kind)

    def _common(self, what: str, values: list[Expression], span: Span | None) -> DataType:
        types = [v.type or NULL for v in values]
        kind = common_type(types)
        if kind is None:
            distinct = dict.fromkeys(t for t in types if t is not NULL)
            said = ", ".join(typed(values[types.index(t)]) for t in distinct)
            self._problem(f"{what} have no common type: {said}", span)
        return kind or NULL

    def _bind_cast(self, cast: Cast) -> Expression:
        operand = self._bind(cast.operand)
        source = operand.type or NULL
        if source not in (NULL, cast.target) and (source, cast.target) not in CASTS:
            said = f"it cannot be cast to {cast.target}"
            hint = CAST_HINTS.get((source, cast.target))
            self._problem(f"{typed(operand)}: {said}", cast.span, hint)
        return replace(cast, operand=operand, type=cast.target)

    def _bind_call(self, call: Call) -> Expression:
        arguments = tuple(self._bind(a) for a in call.arguments)
        bound = replace(call, arguments=arguments, type=NULL)
        function = FUNCTIONS.get(call.function)
        if function is None:
            hint = closest(call.function, [*FUNCTIONS, *CAPTURE_FUNCTIONS])
            if self.aggregated is not None:
                hint = closest(call.function, [*FUNCTIONS, *AGGREGATES, *self.functions])
            elif call.function in AGGREGATES and call.function not in CAPTURE_FUNCTIONS:
                hint = f"{call.function} is for 'aggregate' and 'feature'; a pattern may read these"
            if call.function in CAPTURE_FUNCTIONS:
                hint = f"say whose events: {call.function}(VARIABLE.FIELD)"
            self._problem(f"no function '{call.function}'", call.span, hint)
            return bound
        if not function.takes(len(arguments)):
            said = f"{call.function} does not take {counted(len(arguments), 'argument')}"
            self._problem(said, call.span, f"write {function.form}")
            return bound
        return replace(bound, type=self._type_of_call(function, bound))

    def _type_of_call(self, function: Function, call: Call) -> DataType:
        good = [
            self._check_argument(function, place, argument)
            for place, argument in enumerate(call.arguments)
        ]
        if not all(good):
            return function.result or NULL
        types = [a.type or NULL for a in call.arguments]
        if function.name == "nullif":
            self._check_comparison("=", call.arguments[0], call.arguments[1], call.span)
        kind = result_type(function, types)
        if kind is None:
            return self._common(f"the arguments of {call.function}", [*call.arguments], call.span)
        return kind

    def _check_argument(self, function: Function, place: int, argument: Expression) -> bool:
        allowed = function.allowed(place)
        if argument.type is not NULL and argument.type not in allowed:
            said = f"{typed(argument)}: {function.name} takes"
            hint = f"write {function.form}"
            self._problem(f"{said} {listed(allowed)} there", argument.span, hint)
            return False
        wrong = place in function.constants and problem_with_constant(function.name, argument)
        if wrong:
            said = f"argument {place + 1} of {function.name}: {wrong}"
            self._problem(said, argument.span, f"write {function.form}")
        return not wrong
