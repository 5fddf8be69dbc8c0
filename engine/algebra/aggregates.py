"""The aggregate functions of `aggregate` and `feature` statements: names, arguments, result types.

The registry says what may be written; the operators of windows and features say how it is computed.
Aggregates pass over NULLs, except `first` and `last`, which read the first and the last event
whatever its value. Over no events they are NULL, but for the counts, which are 0, and `collect`,
which is an empty list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cep.engine.algebra.errors import Problem, RuleError
from cep.engine.algebra.expression import CAPTURE_FUNCTIONS, DataType, Expression, Literal
from cep.engine.algebra.functions import (
    ANY,
    FLOAT,
    FUNCTIONS,
    INTEGER,
    NULL,
    NUMBERS,
    ORDERED,
    QUANTITIES,
    TEXT,
)


@dataclass(frozen=True, slots=True)
class AggregateForm:
    """What a call of a built-in aggregate may look like.

    `argument` lists the types it takes. `result` None means that of the argument; with `averages`
    a number gives a float and a duration a duration. `fraction`: a constant between 0 and 1 follows
    the argument. `star`: it may be written with `*`, for all events.
    """

    name: str
    argument: tuple[DataType, ...]
    result: DataType | None
    averages: bool = False
    fraction: bool = False
    star: bool = False

    @property
    def form(self) -> str:
        """How it is written, for hints."""
        return f"{self.name}(amount, 0.95)" if self.fraction else f"{self.name}(amount)"

    def type_over(self, argument: DataType) -> DataType:
        """The type of the result over an argument of this type; NULL where it is not known yet."""
        if self.averages:
            return FLOAT if argument in NUMBERS else argument
        return argument if self.result is None else self.result


AGGREGATES: dict[str, AggregateForm] = {
    form.name: form
    for form in (
        AggregateForm("count", ANY, INTEGER, star=True),
        AggregateForm("sum", QUANTITIES, None),
        AggregateForm("min", ORDERED, None),
        AggregateForm("max", ORDERED, None),
        AggregateForm("avg", QUANTITIES, None, averages=True),
        AggregateForm("stddev", NUMBERS, FLOAT),
        AggregateForm("first", ANY, None),
        AggregateForm("last", ANY, None),
        AggregateForm("count_distinct", ANY, INTEGER),
        AggregateForm("approx_count_distinct", ANY, INTEGER),
        AggregateForm("median", QUANTITIES, None, averages=True),
        AggregateForm("quantile", QUANTITIES, None, averages=True, fraction=True),
        AggregateForm("approx_quantile", QUANTITIES, None, averages=True, fraction=True),
        AggregateForm("collect", ANY, TEXT),
    )
}
"""`stddev` is that of a sample; `median` and `quantile` lie between two values where they must (so
that they are floats); `collect` gives the values in the order of their events, as a JSON array."""


@dataclass(frozen=True, slots=True)
class AggregateFunction:
    """An aggregate function written in Python, for `cep.compile(..., functions=[...])`.

    `create()` gives an accumulator, `add(accumulator, value)` the one that has seen one value more
    (never NULL), `merge(a, b)` the one that has seen what a and then b saw, `result(accumulator)`
    the value, or None. Accumulators are values that JSON has (None, bool, int, float, str, lists
    and dicts of text of these), so that they can be saved; `add` and `merge` may change and return
    what they are given. `type` is that of the result, `argument` that of the values; None takes
    any. Times and durations are whole microseconds. `version`: say another one when the function
    has changed so that it cannot go on with accumulators that were saved before.
    """

    name: str
    create: Callable[[], Any]
    add: Callable[[Any, Any], Any]
    merge: Callable[[Any, Any], Any]
    result: Callable[[Any], Any]
    type: DataType
    argument: DataType | None = None
    version: str = ""


Functions = Mapping[str, AggregateFunction]
"""The user-defined aggregate functions of a rule set, by name."""

NO_FUNCTIONS: Functions = {}


def functions_by_name(functions: Iterable[AggregateFunction]) -> Functions:
    """The registry of these functions. Raises RuleError where a name is taken or cannot be written.

    >>> functions_by_name([])
    {}
    """
    found: dict[str, AggregateFunction] = {}
    problems = []
    for function in functions:
        problem = _problem_with_name(function.name, found)
        if problem is not None:
            problems.append(problem)
        found[function.name] = function
    if problems:
        raise RuleError(problems, name="functions")
    return found


def _problem_with_name(name: str, found: Functions) -> Problem | None:
    if not (name.isidentifier() and name == name.lower()):
        hint = "use lower-case letters, digits and _: rules write it in front of brackets"
        return Problem(f"{name!r} is no name for a function", hint=hint)
    if name in AGGREGATES or name in FUNCTIONS or name in (*CAPTURE_FUNCTIONS, "prev", "cast"):
        return Problem(f"the language has a function {name!r}", hint="choose another name")
    if name in found:
        return Problem(f"two functions {name!r}", hint="choose another name for one of them")
    return None


def takes_star(function: str) -> bool:
    """Whether the function may be written with `*`."""
    return function in AGGREGATES and AGGREGATES[function].star


def problem_with_parameters(function: str, parameters: tuple[Literal, ...]) -> str | None:
    """What is wrong with the constants behind the argument, in words; None when they are right."""
    form = AGGREGATES.get(function)
    if form is None or not form.fraction:
        return f"{function} takes one argument, not {1 + len(parameters)}" if parameters else None
    if len(parameters) != 1:
        return f"{function} takes two arguments, not {1 + len(parameters)}"
    value = parameters[0].value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return f"the second argument of {function} must be a number between 0 and 1"
    return None


def allowed_argument(function: str, functions: Functions) -> tuple[DataType, ...]:
    """The types that a known function takes."""
    if function in AGGREGATES:
        return AGGREGATES[function].argument
    only = functions[function].argument
    return ANY if only is None else (only,)


def aggregate_type(function: str, argument: Expression | None, functions: Functions) -> DataType:
    """The type of a call of a known function over a bound argument."""
    if function in AGGREGATES:
        kind = NULL if argument is None else argument.type or NULL
        return AGGREGATES[function].type_over(kind)
    return functions[function].type
