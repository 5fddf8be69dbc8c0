"""Steps as written -> steps in the one form that equal patterns share.

The parser and the Python builder both end here, so that patterns which say the same compare equal.
"""

from __future__ import annotations

from dataclasses import replace

from cep.engine.pattern import (
    ONE,
    Alternation,
    Contiguity,
    Element,
    Group,
    Permutation,
    Quantifier,
    Step,
)


def normalise_quantifier(quantifier: Quantifier) -> Quantifier:
    """Reset what has no effect: greediness of a fixed count, `inner` and `gap_us` of a single one.

    A repetition in all combinations is never greedy: an event it could take is always offered on.
    """
    if quantifier.is_one:
        return ONE
    if not quantifier.repeats:
        quantifier = replace(quantifier, inner=Contiguity.RELAXED, gap_us=None)
    if quantifier.inner is Contiguity.ANY:
        return replace(quantifier, greedy=False)
    if is_exact(quantifier):
        return replace(quantifier, greedy=True)
    return quantifier


def is_exact(quantifier: Quantifier) -> bool:
    """Whether there is nothing to be greedy about: the count is fixed."""
    return quantifier.minimum == quantifier.maximum and not quantifier.optional


def normalise_steps(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """A whole sequence in canonical form: the pattern, a branch, or what a group holds.

    A first step has no link; a group that is the whole sequence and occurs once is its steps.
    """
    if not steps:
        return steps
    first, *rest = steps
    done = [normalise_step(replace(first, contiguity=Contiguity.STRICT))]
    done += [normalise_step(step) for step in rest]
    if len(done) == 1 and isinstance(done[0].element, Group) and _plain(done[0]):
        return done[0].element.steps
    return tuple(done)


def _plain(step: Step) -> bool:
    return step.quantifier.is_one and step.within_us is None and step.until is None


def normalise_step(step: Step) -> Step:
    """One step in canonical form; a group around one step is that step where that is equal."""
    quantifier = normalise_quantifier(step.quantifier)
    step = replace(step, element=_normalise_element(step.element), quantifier=quantifier)
    if isinstance(step.element, Group) and len(step.element.steps) == 1:
        return _unwrap(step, step.element.steps[0])
    return step


def _unwrap(outer: Step, inner: Step) -> Step:
    """`(a{2})` is `a{2}`, `(a)+` is `a+`, and `(a{2,4})?` is `a{2,4}` made optional."""
    around, within = outer.quantifier, inner.quantifier
    if inner.within_us is not None and outer.within_us is not None:
        return outer
    if within.is_one and inner.until is None:
        merged, until = around, outer.until
    elif around.is_one and outer.until is None:
        merged, until = within, inner.until
    elif _only_optional(around) and not within.optional and outer.until is None:
        greedy = around.greedy if is_exact(within) else within.greedy
        merged = normalise_quantifier(replace(within, optional=True, greedy=greedy))
        until = inner.until
    else:
        return outer
    within_us = outer.within_us if outer.within_us is not None else inner.within_us
    return Step(inner.element, outer.contiguity, merged, within_us, until)


def _only_optional(quantifier: Quantifier) -> bool:
    return quantifier.optional and not quantifier.repeats


def _normalise_element(element: Element) -> Element:
    match element:
        case Group(steps):
            return Group(normalise_steps(steps))
        case Alternation(branches):
            return Alternation(tuple(normalise_steps(branch) for branch in branches))
        case Permutation(elements, inner):
            alone = (replace(step, contiguity=Contiguity.STRICT) for step in elements)
            return Permutation(tuple(normalise_step(step) for step in alone), inner)
    return element
