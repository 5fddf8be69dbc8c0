"""Steps as written -> steps in the one form that equal patterns share.

The parser and the Python builder both end here, so that patterns which say the same compare equal.
"""

from __future__ import annotations

from dataclasses import replace

from cep.engine.algebra.pattern import (
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
    """Reset what has no effect: greed of a fixed count, `inner` and `gap_us` of a single one."""
    if quantifier.is_one:
        return ONE
    if not quantifier.repeats:
        quantifier = replace(quantifier, inner=Contiguity.RELAXED, gap_us=None)
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
    done = [normalise_step(_unlinked(first))]
    done += [normalise_step(step) for step in rest]
    only = done[0] if len(done) == 1 and done[0].within_us is None else None
    if only is not None and isinstance(only.element, Group) and _is_bare(only):
        return only.element.steps
    return tuple(done)


def _unlinked(step: Step) -> Step:
    """The step where nothing of its sequence stands before it."""
    return replace(step, contiguity=Contiguity.STRICT, within_us=None)


def _is_bare(step: Step) -> bool:
    return step.quantifier.is_one and step.until is None


def normalise_step(step: Step) -> Step:
    """One step in canonical form; a group that occurs once around one step is that step.

    A group with a quantifier stays one, also around a single step: `(a{2,4})?` may be left out as a
    whole, `a{2,4} optional` is a repetition of which there may be none, and they are not the same
    where a negation stands before them; `(a)+` repeats by the contiguity of the group. The brackets
    around `a | b` are its own, no group.
    """
    quantifier = normalise_quantifier(step.quantifier)
    step = replace(step, element=_normalise_element(step.element), quantifier=quantifier)
    if isinstance(step.element, Group) and len(step.element.steps) == 1:
        return _unwrap(step, step.element.steps[0])
    return step


def _unwrap(outer: Step, inner: Step) -> Step:
    """`(a{2})` is `a{2}` and `((a | b))+` is `(a | b)+`; the link is that of the brackets."""
    if inner.within_us is not None and outer.within_us is not None:
        return outer
    within_us = outer.within_us if outer.within_us is not None else inner.within_us
    if outer.quantifier.is_one and outer.until is None:
        return replace(inner, contiguity=outer.contiguity, within_us=within_us)
    if isinstance(inner.element, Alternation) and _is_bare(inner):
        return replace(outer, element=inner.element, within_us=within_us)
    return outer


def _normalise_element(element: Element) -> Element:
    match element:
        case Group(steps):
            return Group(normalise_steps(steps))
        case Alternation(branches):
            return Alternation(tuple(normalise_steps(branch) for branch in branches))
        case Permutation(elements, inner):
            return Permutation(tuple(normalise_step(_unlinked(e)) for e in elements), inner)
    return element
