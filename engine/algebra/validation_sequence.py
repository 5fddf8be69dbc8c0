"""Steps of a pattern -> what is wrong with their order, negations and repetitions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cep.engine.algebra.errors import Problem, Span
from cep.engine.algebra.pattern import (
    Alternation,
    Contiguity,
    Element,
    Group,
    Negation,
    Pattern,
    Permutation,
    Step,
    Variable,
    variables,
)

UNFOLDED_MAX = 10_000  # states; an automaton of this size is built in about a second


def sequence_problems(pattern: Pattern) -> Iterator[Problem]:
    """Problems of the sequence alone: what its names and conditions mean is checked elsewhere."""
    if not pattern.steps:
        yield Problem("an empty pattern", pattern.span, "write at least one variable after 'match'")
        return
    yield from _steps_problems(pattern.steps, pattern, _Place(outermost=True))
    size = _unfolded(pattern.steps)
    if size > UNFOLDED_MAX:
        message = f"with its repetitions written out the pattern has {size:,} parts"
        hint = (
            f"at most {UNFOLDED_MAX:,} are allowed: repeat with {{n,}} and a condition on count()"
        )
        yield Problem(message, pattern.span, hint)
    if all(_nullable(step) for step in pattern.steps):
        message = "every part of the pattern is optional"
        hint = "only matches with at least one event are reported"
        yield Problem(message, pattern.span, hint, warning=True)


def _unfolded(steps: tuple[Step, ...]) -> int:
    """How many states, roughly, the automaton of a sequence needs: one per repetition."""
    return sum(_unfolded_step(step) for step in steps)


def _unfolded_step(step: Step) -> int:
    times = max(step.quantifier.maximum or step.quantifier.minimum, 1)
    match step.element:
        case Group(steps):
            return times * _unfolded(steps)
        case Alternation(branches):
            return times * sum(_unfolded(branch) for branch in branches)
        case Permutation(elements):
            orders = int(2 ** min(len(elements), 64))
            return times * orders * _unfolded(elements)
        case _:
            return times


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a sequence stands: `outermost` is the pattern itself, else `what` names its holder."""

    what: str = "the pattern"
    outermost: bool = False


def _steps_problems(steps: tuple[Step, ...], pattern: Pattern, place: _Place) -> Iterator[Problem]:
    if not steps:
        yield Problem(
            f"{place.what} is empty", pattern.span, "put a variable in it or leave it out"
        )
        return
    for position, step in enumerate(steps):
        if isinstance(step.element, Negation):
            yield from _negation_problems(steps, position, pattern, place)
        yield from _quantifier_problems(step, pattern)
        yield from _element_problems(step.element, pattern)


# ---- negation


def _negation_problems(
    steps: tuple[Step, ...], position: int, pattern: Pattern, place: _Place
) -> Iterator[Problem]:
    step, before = steps[position], steps[:position]
    assert isinstance(step.element, Negation)
    name, span = step.element.name, step.element.span
    if not step.quantifier.is_one or step.until is not None:
        hint = "'not' already means that none occurs"
        yield Problem(f"'not {name}' cannot repeat", span, hint)
    if all(isinstance(earlier.element, Negation) for earlier in before):
        hint = "begin with a variable that takes an event"
        yield Problem(f"{place.what} cannot begin with 'not {name}'", span, hint)
    elif all(_nullable(earlier) for earlier in before):
        hint = "make a part before it required"
        message = f"{place.what} could begin with 'not {name}': all before it is optional"
        yield Problem(message, span, hint)
    elif _nullable(before[-1]) and not isinstance(before[-1].element, Negation):
        hint = "write two patterns, one with the optional part and one without it"
        yield Problem(f"'not {name}' directly after an optional part", span, hint)
    if position == len(steps) - 1:
        yield from _trailing_problems(step, pattern, place, span)
    elif step.within_us is not None and step.contiguity is not Contiguity.STRICT:
        hint = "put the bound on the link behind it, or make the negation the end of the pattern"
        message = f"a bound on 'not {name}', which something follows, bounds nothing"
        yield Problem(message, span, hint, warning=True)


def _trailing_problems(
    step: Step, pattern: Pattern, place: _Place, span: Span | None
) -> Iterator[Problem]:
    assert isinstance(step.element, Negation)
    name = step.element.name
    if not place.outermost:
        hint = "end it with a variable that takes an event, or move 'not' behind it"
        yield Problem(f"{place.what} cannot end with 'not {name}'", span, hint)
    elif (
        step.contiguity is not Contiguity.STRICT
        and pattern.within_us is None
        and step.within_us is None
    ):
        hint = "add a clause such as 'within 5 minutes': absence is known when its time has passed"
        yield Problem(f"the pattern ends with 'not {name}' and has no 'within'", span, hint)


# ---- repetition


def _quantifier_problems(step: Step, pattern: Pattern) -> Iterator[Problem]:
    quantifier, span = step.quantifier, _span_of(step.element) or pattern.span
    low, high = quantifier.minimum, quantifier.maximum
    if low < 1:
        hint = "set minimum 1 and optional for none at all"
        yield Problem(f"a repetition of at least {low} times", span, hint)
    if high is not None and high < low:
        hint = "the largest number comes second"
        yield Problem(f"a repetition of {low} to {high} times", span, hint)
    if step.until is not None and not quantifier.repeats:
        hint = "write it after + * or {...}"
        yield Problem("'until' after something that does not repeat", span, hint)
    if high is None and step.until is None and pattern.within_us is None:
        message = f"{_shown(step.element)} repeats without end: its state may grow"
        hint = "add a clause such as 'within 1 hour', or 'until' behind the repetition"
        yield Problem(message, span, hint, warning=True)


def _shown(element: Element) -> str:
    return f"'{element.name}'" if isinstance(element, Variable | Negation) else "a group"


def _span_of(element: Element) -> Span | None:
    if isinstance(element, Variable | Negation):
        return element.span
    return next((v.span for v in variables((Step(element),), negated=True)), None)


# ---- what holds steps


def _element_problems(element: Element, pattern: Pattern) -> Iterator[Problem]:
    match element:
        case Group(steps):
            yield from _steps_problems(steps, pattern, _Place(what="a group"))
        case Alternation(branches):
            if not branches:
                yield Problem("an alternation without branches", pattern.span)
            for branch in branches:
                yield from _steps_problems(branch, pattern, _Place(what="a branch of '|'"))
                if branch and all(_nullable(step) for step in branch):
                    hint = "make the whole alternative optional instead: (a | b)?"
                    span = _span_of(branch[0].element) or pattern.span
                    yield Problem("a branch of '|' that can be empty", span, hint)
        case Permutation(elements):
            if not elements:
                yield Problem("permute() of nothing", pattern.span)
            for step in elements:
                yield from _permuted_problems(step, pattern)


def _permuted_problems(step: Step, pattern: Pattern) -> Iterator[Problem]:
    if isinstance(step.element, Negation):
        name = step.element.name
        hint = "permute takes what must occur; put 'not' before or behind it"
        yield Problem(f"'not {name}' inside permute", step.element.span, hint)
        return
    yield from _quantifier_problems(step, pattern)
    yield from _element_problems(step.element, pattern)
    if _nullable(step):
        hint = "write the orders with and without it: permute(a, b) | b"
        yield Problem("an element of permute that may be left out", _span_of(step.element), hint)


def _nullable(step: Step) -> bool:
    """Whether the step can be met by no event at all."""
    if step.quantifier.optional:
        return True
    match step.element:
        case Variable():
            return False
        case Negation():
            return True
        case Group(steps) | Permutation(steps):
            return all(_nullable(inner) for inner in steps)
        case Alternation(branches):
            return any(all(_nullable(inner) for inner in branch) for branch in branches)


# ---- order


def earlier_variables(steps: tuple[Step, ...]) -> dict[str, frozenset[str]]:
    """For each variable, those that may have events when it is tested; itself where it repeats."""
    found: dict[str, frozenset[str]] = {}
    _collect_earlier(steps, frozenset(), found)
    return found


def _collect_earlier(
    steps: tuple[Step, ...], before: frozenset[str], found: dict[str, frozenset[str]]
) -> None:
    for step in steps:
        own = frozenset(variable.name for variable in variables((step,)))
        inside = before | own if step.quantifier.repeats else before
        match step.element:
            case Variable(name) | Negation(name):
                found[name] = found.get(name, frozenset()) | inside
            case Group(inner):
                _collect_earlier(inner, inside, found)
            case Alternation(branches):
                for branch in branches:
                    _collect_earlier(branch, inside, found)
            case Permutation(elements):
                for element in elements:
                    others = tuple(other for other in elements if other is not element)
                    names = frozenset(variable.name for variable in variables(others))
                    _collect_earlier((element,), inside | names, found)
        before |= own
