"""Patterns built in Python -> the same algebra that rule text is parsed into.

    sequence = var("probe").where("amount < 2").at_least(3).followed_by(var("hit"))
    rule = pattern("card_testing", "transactions", key="card").match(sequence).within("10 minutes")
    rule.build()

Everything here is immutable: each method returns a new value, so parts can be shared. Conditions
and columns are text in the rule language, or expressions of `cep.engine.algebra.expression`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from cep.dsl.parts import parse_duration, parse_expression, parse_select
from cep.engine.algebra.errors import Problem, RuleError
from cep.engine.algebra.expression import Expression, rebuild
from cep.engine.algebra.normalise import normalise_step, normalise_steps
from cep.engine.algebra.pattern import (
    ONE,
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
    Variable,
    WithinScope,
)
from cep.engine.algebra.validation import validate_pattern

Duration = str | timedelta
Condition = str | Expression


def _duration_us(duration: Duration) -> int:
    if isinstance(duration, timedelta):
        return duration // timedelta(microseconds=1)
    return parse_duration(duration)


def _condition(condition: Condition) -> Expression:
    parsed = parse_expression(condition) if isinstance(condition, str) else condition
    return _without_span(parsed)


def _without_span(expression: Expression) -> Expression:
    """Places in a fragment of text would be misleading in messages about the whole pattern."""
    return replace(rebuild(expression, _without_span), span=None)


@dataclass(frozen=True, slots=True)
class Sequence:
    """Steps that follow one another, with what their variables mean.

    Begins with `var`, `either` or `permute`. A method that repeats (`times`, `optional`, ...) is
    about the whole sequence so far: build the part that repeats first, then chain it.

    >>> print(var("a").followed_by(var("b").one_or_more()).times(2))
    (a -> b+){2}
    """

    steps: tuple[Step, ...]
    definitions: tuple[Definition, ...] = ()

    def __str__(self) -> str:
        from cep.engine.algebra.printer import print_steps

        return print_steps(normalise_steps(self.steps))

    # ---- what the variable takes

    def where(self, condition: Condition) -> Sequence:
        """Define the one variable of this sequence: it takes events that meet the condition."""
        definition = replace(self._own_definition("where"), condition=_condition(condition))
        return replace(self, definitions=(definition,))

    def on(self, stream: str) -> Sequence:
        """Bind the one variable of this sequence to events of a stream."""
        return replace(self, definitions=(replace(self._own_definition("on"), stream=stream),))

    def _own_definition(self, method: str) -> Definition:
        element = normalise_step(self.steps[0]).element
        if len(self.steps) != 1 or not isinstance(element, Variable):
            message = f".{method}(...) is about one variable, and this is a sequence"
            hint = f"write var(name).{method}(...) before joining it with others"
            raise RuleError([Problem(message, hint=hint)])
        return self.definitions[0] if self.definitions else Definition(element.name)

    # ---- what follows

    def then(self, following: Sequence | str, *, within: Duration | None = None) -> Sequence:
        """`a b`: the very next event of the key. `within` bounds the time of this one link."""
        return self._link(following, Contiguity.STRICT, within)

    def followed_by(self, following: Sequence | str, *, within: Duration | None = None) -> Sequence:
        """`a -> b`: the first event that fits; others between are skipped."""
        return self._link(following, Contiguity.RELAXED, within)

    def followed_by_any(
        self, following: Sequence | str, *, within: Duration | None = None
    ) -> Sequence:
        """`a ->> b`: every event that fits, each its own match."""
        return self._link(following, Contiguity.ANY, within)

    def not_next(self, unwanted: Sequence | str, *, within: Duration | None = None) -> Sequence:
        """`a not b`: the very next event must not be one."""
        return self._link(_negated(unwanted), Contiguity.STRICT, within)

    def not_followed_by(
        self, unwanted: Sequence | str, *, within: Duration | None = None
    ) -> Sequence:
        """`a -> not b`: none before what follows; at the end, none before the time is up."""
        return self._link(_negated(unwanted), Contiguity.RELAXED, within)

    def _link(
        self, following: Sequence | str, contiguity: Contiguity, within: Duration | None
    ) -> Sequence:
        part = _sequence(following)
        within_us = None if within is None else _duration_us(within)
        step = replace(part._as_step(), contiguity=contiguity, within_us=within_us)
        return Sequence((*self.steps, step), _joined(self.definitions, part.definitions))

    def _as_step(self) -> Step:
        return self.steps[0] if len(self.steps) == 1 else Step(Group(normalise_steps(self.steps)))

    # ---- how often

    def times(self, low: int, high: int | None = None) -> Sequence:
        """`{low}`, or `{low,high}`."""
        return self._repeated(low, low if high is None else high)

    def at_least(self, low: int) -> Sequence:
        """`{low,}`."""
        return self._repeated(low, None)

    def one_or_more(self) -> Sequence:
        """`+`."""
        return self._repeated(1, None)

    def zero_or_more(self) -> Sequence:
        """`*`."""
        return self._repeated(0, None)

    def optional(self) -> Sequence:
        """`?`, or ` optional` behind a repetition: there may be none.

        A group that may be left out as a whole is not quite the same: `group(...).optional()`.

        >>> print(var("a").times(2, 4).optional(), group(var("a").times(2, 4)).optional())
        a{2,4} optional (a{2,4})?
        """
        if len(self.steps) == 1 and not self.steps[0].quantifier.is_one:
            return self._requantified(lambda quantifier: replace(quantifier, optional=True))
        return self._repeated(0, 1)

    def _repeated(self, low: int, high: int | None) -> Sequence:
        if low < 0 or (high is not None and (high < 1 or high < low)):
            message = f"a repetition of {low} to {high} times"
            raise RuleError([Problem(message, hint="the largest number comes second, above zero")])
        step, quantifier = self._as_step(), Quantifier(max(low, 1), high, optional=low == 0)
        if not step.quantifier.is_one:
            step = Step(Group((step,)))
        return replace(self, steps=(replace(step, quantifier=quantifier),))

    def reluctant(self) -> Sequence:
        """`a+?`: what follows goes first where both could take an event."""
        return self._requantified(lambda quantifier: replace(quantifier, greedy=False))

    def consecutive(self) -> Sequence:
        """Repetitions, or the parts of a permutation, are strictly adjacent."""
        return self._ordered(Contiguity.STRICT)

    def combinations(self) -> Sequence:
        """Repetitions, or the parts of a permutation, in all combinations."""
        return self._ordered(Contiguity.ANY)

    def greedy(self) -> Sequence:
        """`a+ greedy combinations`, after `combinations()`: other repetitions are greedy anyway."""
        sequence = self._requantified(lambda quantifier: replace(quantifier, greedy=True))
        if sequence.steps[0].quantifier.inner is not Contiguity.ANY:
            message = "only a repetition in all combinations has to be told to be greedy"
            raise RuleError([Problem(message, hint="leave it out, or call combinations() before")])
        return sequence

    def _ordered(self, inner: Contiguity) -> Sequence:
        step = self._as_step()
        if isinstance(step.element, Permutation) and step.quantifier.is_one:
            return replace(self, steps=(replace(step, element=replace(step.element, inner=inner)),))

        def change(quantifier: Quantifier) -> Quantifier:
            greedy = quantifier.greedy and inner is not Contiguity.ANY
            return replace(quantifier, inner=inner, greedy=greedy)

        return self._requantified(change)

    def gap(self, duration: Duration) -> Sequence:
        """Repetitions needed to reach the minimum come less than this after the event before."""
        gap_us = _duration_us(duration)
        return self._requantified(lambda quantifier: replace(quantifier, gap_us=gap_us))

    def until(self, condition: Condition) -> Sequence:
        """The repetition ends at an event that meets the condition; it is not taken."""
        (step,) = self._requantified(lambda quantifier: quantifier).steps
        return replace(self, steps=(replace(step, until=_condition(condition)),))

    def _requantified(self, change: Callable[[Quantifier], Quantifier]) -> Sequence:
        step = self._as_step()
        if step.quantifier == ONE:
            hint = "call it after times(), at_least(), one_or_more(), zero_or_more() or optional()"
            raise RuleError([Problem("nothing repeats here", hint=hint)])
        return replace(self, steps=(replace(step, quantifier=change(step.quantifier)),))


def var(name: str) -> Sequence:
    """A pattern variable: takes one event, any event until `where` or `on` says otherwise."""
    return Sequence((Step(Variable(name)),))


def group(sequence: Sequence) -> Sequence:
    """The sequence as one part, as brackets do.

    Keeps `a (b c)` apart from `a b c`, and `(a)+` from `a+`.
    """
    return replace(sequence, steps=(Step(Group(normalise_steps(sequence.steps))),))


def either(*branches: Sequence | str) -> Sequence:
    """`a | b`: one of the branches.

    >>> print(either("a", var("b").then("c")))
    a | b c
    """
    parts = [_sequence(branch) for branch in branches]
    steps = tuple(normalise_steps(part.steps) for part in parts)
    return Sequence((Step(Alternation(steps)),), _joined(*(part.definitions for part in parts)))


def permute(*elements: Sequence | str) -> Sequence:
    """`permute(a, b)`: all of them, in any order."""
    parts = [_sequence(element) for element in elements]
    steps = tuple(part._as_step() for part in parts)
    return Sequence((Step(Permutation(steps)),), _joined(*(part.definitions for part in parts)))


def _sequence(part: Sequence | str) -> Sequence:
    return var(part) if isinstance(part, str) else part


def _negated(part: Sequence | str) -> Sequence:
    sequence = _sequence(part)
    step = normalise_step(sequence.steps[0])
    if len(sequence.steps) != 1 or not isinstance(step.element, Variable):
        hint = "describe what must not happen in the condition of one variable"
        raise RuleError([Problem("a negation of more than one variable", hint=hint)])
    return replace(sequence, steps=(replace(step, element=Negation(step.element.name)),))


def _joined(*definitions: tuple[Definition, ...]) -> tuple[Definition, ...]:
    return tuple(definition for some in definitions for definition in some)


@dataclass(frozen=True, slots=True)
class PatternBuilder:
    """A pattern on its way: add the clauses that are wanted in any order, then `build()`.

    >>> rule = (
    ...     pattern("card_testing", "transactions", key="card")
    ...     .match(var("probe").where("amount < 2").at_least(3).followed_by("hit"))
    ...     .define(hit="amount > 500")
    ...     .within("10 minutes")
    ...     .select("card", "count(probe) as probes")
    ... )
    >>> print(rule.build())
    pattern card_testing
      from transactions by card
      match probe{3,} -> hit
      within 10 minutes
      define probe as amount < 2,
             hit as amount > 500
      select card, count(probe) as probes;
    """

    draft: Pattern

    def match(self, sequence: Sequence | str, *, longest: bool = False) -> PatternBuilder:
        """The sequence to look for. `longest`: of the matches with one start only the last."""
        part = _sequence(sequence)
        definitions = (*part.definitions, *self.draft.definitions)
        steps = normalise_steps(part.steps)
        return self._with(steps=steps, definitions=definitions, longest=longest)

    def define(self, **conditions: Condition) -> PatternBuilder:
        """What variables take, by name; the same as `where` on each."""
        new = (Definition(name, _condition(text)) for name, text in conditions.items())
        return self._with(definitions=(*self.draft.definitions, *new))

    def within(self, duration: Duration, *, between_events: bool = False) -> PatternBuilder:
        """Last minus first event time is less than this; or each event after the one before it."""
        scope = WithinScope.BETWEEN_EVENTS if between_events else WithinScope.FIRST_LAST
        return self._with(within_us=_duration_us(duration), within_scope=scope)

    def unless(self, condition: Condition) -> PatternBuilder:
        """Any event of the key that meets the condition ends the open runs."""
        return self._with(unless=_condition(condition))

    def skip_past_last_event(self) -> PatternBuilder:
        """After a match, go on behind its last event. The default."""
        return self._with(skip=Skip())

    def skip_to_next_row(self) -> PatternBuilder:
        """After a match, go on at the event after its first."""
        return self._with(skip=Skip(SkipStrategy.TO_NEXT_ROW))

    def skip_to_first(self, variable: str) -> PatternBuilder:
        """After a match, go on at the first event of the variable."""
        return self._with(skip=Skip(SkipStrategy.TO_FIRST, variable))

    def skip_to_last(self, variable: str) -> PatternBuilder:
        """After a match, go on at the last event of the variable."""
        return self._with(skip=Skip(SkipStrategy.TO_LAST, variable))

    def no_skip(self) -> PatternBuilder:
        """Report every match."""
        return self._with(skip=Skip(SkipStrategy.NO_SKIP))

    def select(self, *columns: str, **named: Condition) -> PatternBuilder:
        """The columns of a match: `"card"`, `"count(a) as n"`, or `n="count(a)"`."""
        return self._with(select=_outputs(columns, named))

    def on_timeout_select(self, *columns: str, **named: Condition) -> PatternBuilder:
        """The columns of a run that ran out of time."""
        return self._with(timeout_select=_outputs(columns, named) or None)

    def build(self) -> Pattern:
        """The finished pattern. Raises RuleError with everything that is wrong with it."""
        problems = [p for p in validate_pattern(self.draft) if not p.warning]
        if problems:
            raise RuleError(problems, name=self.draft.name)
        return self.draft

    def _with(self, **changes: object) -> PatternBuilder:
        return PatternBuilder(replace(self.draft, **changes))  # type: ignore[arg-type] # names above


def _outputs(columns: tuple[str, ...], named: dict[str, Condition]) -> tuple[Output, ...]:
    positional = (
        Output(output.name, _without_span(output.value)) for output in parse_select(columns)
    )
    return (*positional, *(Output(name, _condition(value)) for name, value in named.items()))


def pattern(name: str, *streams: str, key: str | tuple[str, ...] = ()) -> PatternBuilder:
    """Begin a pattern over these streams (none: the one there is), matched for each key apart."""
    keys = (key,) if isinstance(key, str) else tuple(key)
    return PatternBuilder(Pattern(name, (), streams=streams, key=keys))
