"""Pattern -> what is wrong with it, or doubtful, before any schema is known.

The same checks for patterns from rule text and for patterns built in Python. Problems carry the
place in the text where the tree has one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import chain

from cep.engine.algebra.errors import Problem, Span, place_of
from cep.engine.algebra.expression import (
    CAPTURE_FUNCTIONS,
    Captured,
    Expression,
    Field,
    children,
    walk,
)
from cep.engine.algebra.functions import closest
from cep.engine.algebra.pattern import (
    Alternation,
    Definition,
    Element,
    Group,
    Negation,
    Output,
    Pattern,
    Permutation,
    SkipStrategy,
    Step,
    Variable,
    variables,
)
from cep.engine.algebra.validation_sequence import earlier_variables, sequence_problems

PARTS_MAX = 1_000  # variables, definitions, columns, streams, key fields
PROBLEMS_MAX = 100
EXPRESSION_DEPTH_MAX = 150
GROUP_DEPTH_MAX = 50


def validate_pattern(pattern: Pattern, tables: Collection[str] = ()) -> list[Problem]:
    """Everything wrong or doubtful in the structure of a pattern, warnings marked as such.

    `tables`: the names of the tables that it may look things up in.

    Says nothing of fields, functions and types: `engine.binding` does, once the schema is known.
    Never raises; a pattern without errors here has text that parses to an equal pattern.
    """
    too_large = size_problems(pattern)
    if too_large:
        return too_large
    names = _Names.of(pattern, tables)
    errors: list[Problem] = []
    warnings: list[Problem] = []
    for problem in chain.from_iterable(check(pattern, names) for check in CHECKS):
        (warnings if problem.warning else errors).append(problem)
        if len(errors) >= PROBLEMS_MAX:
            break
    return errors + warnings[:PROBLEMS_MAX]


@dataclass(frozen=True, slots=True)
class _Names:
    """The variables of a pattern: those that capture, and those that must not occur."""

    captured: tuple[str, ...]
    negated: tuple[str, ...]
    tables: Collection[str] = ()

    @staticmethod
    def of(pattern: Pattern, tables: Collection[str] = ()) -> _Names:
        found = list(variables(pattern.steps, negated=True))
        captured = [v.name for v in found if isinstance(v, Variable)]
        negated = [v.name for v in found if isinstance(v, Negation)]
        return _Names(tuple(dict.fromkeys(captured)), tuple(dict.fromkeys(negated)), tables)

    @property
    def all(self) -> tuple[str, ...]:
        return self.captured + self.negated

    def unknown(self, name: str, span: Span | None) -> Problem | None:
        """The problem of using a variable's events where it has none, or None."""
        if name in self.captured:
            return None
        if name in self.negated:
            message = f"'{name}' is negated: it never takes an event"
            return Problem(message, span, "use a variable that takes events")
        near = closest(name, (*self.captured, *self.tables))
        hint = near or f"its variables are {_listed(self.captured)}"
        return Problem(f"no variable '{name}' in the pattern", span, hint)


def _listed(names: tuple[str, ...]) -> str:
    """The names for a hint; of many only the first."""
    return ", ".join(names) if len(names) <= 10 else ", ".join(names[:9]) + ", ..."


Check = Callable[[Pattern, _Names], Iterator[Problem]]


# ---- how many, how deep


def size_problems(pattern: Pattern) -> list[Problem]:
    """What is too deep or too much of it; nothing else may look at a pattern that has these.

    Other checks and binding recurse, and some compare each with each.
    """
    return list(_depth_problems(pattern)) or list(_size_problems(pattern))


def _size_problems(pattern: Pattern) -> Iterator[Problem]:
    counts = {
        "variables": sum(1 for _ in variables(pattern.steps, negated=True)),
        "definitions": len(pattern.definitions),
        "columns": max(len(pattern.select), len(pattern.timeout_select or ())),
        "streams": len(pattern.streams),
        "key fields": len(pattern.key),
    }
    for what, count in counts.items():
        if count > PARTS_MAX:
            message = f"{count:,} {what} in one pattern; at most {PARTS_MAX:,} are allowed"
            yield Problem(message, pattern.span, "cut it into several")


def _depth_problems(pattern: Pattern) -> Iterator[Problem]:
    if _sequence_depth(pattern.steps) > GROUP_DEPTH_MAX:
        yield Problem(f"groups nested deeper than {GROUP_DEPTH_MAX} levels", pattern.span)
        return
    for expression in _expressions(pattern):
        if expression_depth(expression) > EXPRESSION_DEPTH_MAX:
            message = f"a condition nested deeper than {EXPRESSION_DEPTH_MAX} levels"
            hint = "of many values write x in (1, 2, 3)"
            yield Problem(message, expression.span or pattern.span, hint)


def _sequence_depth(steps: tuple[Step, ...]) -> int:
    deepest, stack = 0, [(step, 0) for step in steps]
    while stack and deepest <= GROUP_DEPTH_MAX:
        step, depth = stack.pop()
        deepest = max(deepest, depth)
        stack += [(inner, depth + 1) for inner in _inner_steps(step.element)]
    return deepest


def _inner_steps(element: Element) -> Iterator[Step]:
    match element:
        case Group(steps):
            yield from steps
        case Alternation(branches):
            for branch in branches:
                yield from branch
        case Permutation(elements):
            yield from elements


def expression_depth(expression: Expression) -> int:
    """How many levels it has; counting stops just above EXPRESSION_DEPTH_MAX."""
    deepest, stack = 0, [(expression, 1)]
    while stack and deepest <= EXPRESSION_DEPTH_MAX:
        node, depth = stack.pop()
        deepest = max(deepest, depth)
        stack += [(child, depth + 1) for child in children(node)]
    return deepest


def _all_steps(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        yield from _all_steps(tuple(_inner_steps(step.element)))


def _expressions(pattern: Pattern) -> Iterator[Expression]:
    for definition in pattern.definitions:
        if definition.condition is not None:
            yield definition.condition
    for step in _all_steps(pattern.steps):
        if step.until is not None:
            yield step.until
    if pattern.unless is not None:
        yield pattern.unless
    for output in (*pattern.select, *(pattern.timeout_select or ())):
        yield output.value


# ---- the sequence


def _check_sequence(pattern: Pattern, names: _Names) -> Iterator[Problem]:
    yield from sequence_problems(pattern)


def _check_durations(pattern: Pattern, names: _Names) -> Iterator[Problem]:
    bounds = [("within", pattern.within_us)]
    for step in _all_steps(pattern.steps):
        bounds += [("within", step.within_us), ("gap", step.quantifier.gap_us)]
    for word, bound_us in bounds:
        if bound_us is not None and bound_us <= 0:
            message = f"'{word}' of {bound_us} microseconds: nothing can be that close"
            hint = "bounds are exclusive: even two events of the same time need one above zero"
            yield Problem(message, pattern.span, hint)


# ---- names


def _check_spelling(pattern: Pattern, names: _Names) -> Iterator[Problem]:
    outputs = (*pattern.select, *(pattern.timeout_select or ()))
    defined = (definition.variable for definition in pattern.definitions)
    everything = (pattern.name, *names.all, *defined, *pattern.streams, *pattern.key)
    for name in dict.fromkeys((*everything, *(output.name for output in outputs))):
        if not name:
            yield Problem("an empty name", pattern.span, "give it at least one letter")
        elif not name.isprintable():
            message = f"the name {name!r} has characters that cannot be shown"
            yield Problem(message, pattern.span, "use letters, digits and spaces")


def _check_repeated_variables(pattern: Pattern, names: _Names) -> Iterator[Problem]:
    """A name captures in one place at most, and is negated in one place at most."""
    seen: set[tuple[str, bool]] = set()
    for variable in variables(pattern.steps, negated=True):
        use = (variable.name, isinstance(variable, Negation))
        if use in seen:
            message = f"variable '{variable.name}' stands in the sequence twice"
            hint = "a variable has one place: give the second a name and definition of its own"
            yield Problem(message, variable.span, hint)
        seen.add(use)


def _check_sources(pattern: Pattern, names: _Names) -> Iterator[Problem]:
    for what, listed in (("stream", pattern.streams), ("key field", pattern.key)):
        for name in repeated(listed):
            place = place_of(name, pattern)
            yield Problem(f"{what} '{name}' is named twice", place, "name it once")
    for definition in pattern.definitions:
        stream = definition.stream
        if stream is not None and stream not in pattern.streams:
            hint = (
                closest(stream, pattern.streams) or f"add '{stream}' to the streams of the pattern"
            )
            message = f"no stream '{stream}' in the 'from' of this pattern"
            yield Problem(message, definition.span, hint)


def repeated(names: tuple[str, ...]) -> list[str]:
    """The names that are there more than once."""
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]


def _check_definitions(pattern: Pattern, names: _Names) -> Iterator[Problem]:
    defined = tuple(definition.variable for definition in pattern.definitions)
    for name in repeated(defined):
        hint = "join the two conditions with 'and'"
        yield Problem(f"a second definition of '{name}'", pattern.span, hint)
    undefined = [name for name in names.all if name not in defined]
    for definition in pattern.definitions:
        if definition.variable not in names.all:
            near = closest(definition.variable, undefined or names.all)
            message = f"'{definition.variable}' is defined, but the sequence does not use it"
            yield Problem(message, definition.span, near or "leave the definition out")
    for name in undefined:
        message = f"variable '{name}' has no definition: it takes any event"
        hint = f"define {name} as a condition; if any event is meant, write 'define {name}' alone"
        yield Problem(message, _place_of(name, pattern), hint, warning=True)


def _place_of(name: str, pattern: Pattern) -> Span | None:
    found = variables(pattern.steps, negated=True)
    return next((variable.span for variable in found if variable.name == name), None)


def _check_conditions(pattern: Pattern, names: _Names) -> Iterator[Problem]:
    for expression in _expressions(pattern):
        for captured in _captured(expression):
            yield from _captured_problems(captured, names)
    for definition in pattern.definitions:
        yield from _too_early(definition, pattern, names)


def _captured(expression: Expression) -> Iterator[Captured]:
    return (node for node in walk(expression) if isinstance(node, Captured))


def _captured_problems(captured: Captured, names: _Names) -> Iterator[Problem]:
    function, argument = captured.function, captured.argument
    if captured.variable in names.tables and captured.variable not in names.all:
        yield from table_problems(captured)
        return
    if function not in CAPTURE_FUNCTIONS:
        hint = closest(function, CAPTURE_FUNCTIONS)
        yield Problem(f"no function '{function}' over captured events", captured.span, hint)
    elif argument is None and function != "count":
        yield Problem(f"{function} needs a field to look at", captured.span)
    elif captured.variable is None and (function, argument is None) not in WHOLE_RUN:
        hint = "name a variable"
        yield Problem(f"{function} over all variables at once", captured.span, hint)
    if captured.variable is not None:
        problem = names.unknown(captured.variable, captured.span)
        if problem is not None:
            yield problem
    if argument is not None and any(_captured(argument)):
        yield Problem(f"{function}(...) around another such call", captured.span)


def table_problems(captured: Captured) -> Iterator[Problem]:
    """What is wrong with a member of a table, `merchants.risk`, which is a Captured("last")."""
    if captured.function != "last" or not isinstance(captured.argument, Field):
        hint = f"write {captured.variable}.FIELD: the field of the row that the event looks up"
        message = f"{captured.function}(...) of table '{captured.variable}', which has no events"
        yield Problem(message, captured.span, hint)


WHOLE_RUN = (("last", False), ("count", True))  # prev(f) and count(*)


def _too_early(definition: Definition, pattern: Pattern, names: _Names) -> Iterator[Problem]:
    """Warnings: the condition looks at a variable that cannot have matched yet."""
    name = definition.variable
    if definition.condition is None or name not in names.all:
        return
    earlier = earlier_variables(pattern.steps).get(name, frozenset())
    for captured in _captured(definition.condition):
        seen = captured.variable
        if seen is None or seen in earlier or seen not in names.captured:
            continue
        message = f"'{seen}' comes after '{name}': it has no events yet when '{name}' is tested"
        hint = f"move the condition to the define of '{seen}'"
        if seen == name:
            message = f"'{name}' does not repeat: it has no earlier events of its own"
            hint = "write the field alone for the event under test"
        yield Problem(message, captured.span, hint, warning=True)


def _check_skip(pattern: Pattern, names: _Names) -> Iterator[Problem]:
    skip = pattern.skip
    targeted = skip.strategy in (SkipStrategy.TO_FIRST, SkipStrategy.TO_LAST)
    if targeted != (skip.variable is not None):
        message = f"'skip {skip.strategy.value}' {'needs a' if targeted else 'takes no'} variable"
        yield Problem(message, skip.span)
    elif skip.variable is not None:
        problem = names.unknown(skip.variable, skip.span)
        if problem is not None:
            yield problem


def _check_outputs(pattern: Pattern, names: _Names) -> Iterator[Problem]:
    if pattern.timeout_select == ():
        yield Problem("an empty list of timeout columns", pattern.span, "use None for none")
    for outputs in (pattern.select, pattern.timeout_select or ()):
        for name in repeated(tuple(output.name for output in outputs)):
            second = [output for output in outputs if output.name == name][1]
            hint = "give it another name with 'as'"
            yield Problem(f"a second column '{name}'", _output_span(second), hint)


def _output_span(output: Output) -> Span | None:
    return output.value.span


CHECKS: tuple[Check, ...] = (
    _check_sequence,
    _check_durations,
    _check_spelling,
    _check_repeated_variables,
    _check_sources,
    _check_definitions,
    _check_conditions,
    _check_skip,
    _check_outputs,
)
