"""The engine and the reference matcher agree; and laws that the reference itself keeps."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cep
from cep.engine.algebra.expression import Binary, Expression, Field, InList, Literal
from cep.engine.algebra.pattern import (
    Alternation,
    Contiguity,
    Definition,
    Pattern,
    Permutation,
    Quantifier,
    Skip,
    SkipStrategy,
    Step,
    Variable,
)
from cep.engine.algebra.plan import RuleSet
from cep.engine.binding.patterns import bind_pattern
from tests.reference.matcher import reference_matches
from tests.reference.random_patterns import LINKS, STREAM, event_streams, patterns

Events = list[dict[str, Any]]
Found = tuple[frozenset[Any], frozenset[Any]]

law = settings(
    derandomize=True,
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def by_reference(pattern: Pattern, events: Events, *, end_of_stream: bool = True) -> Found:
    bound, problems = bind_pattern(pattern, {STREAM.name: STREAM})
    assert not [problem for problem in problems if not problem.warning]
    result = reference_matches(bound, events, end_of_stream=end_of_stream)
    return assignments(result.matches), assignments(result.timeouts)


def by_engine(pattern: Pattern, events: Events, *, end_of_stream: bool = True) -> Found:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cep.RuleWarning)
        rules = cep.compile(str(RuleSet((STREAM,), (pattern,))))
    result = rules.run(events, end_of_stream=end_of_stream)
    found = [[ids(one.events) for one in table] for table in (result.matches, result.timeouts)]
    assert len(found[0]) == len(assignments(found[0])), "a match is reported twice"
    return assignments(found[0]), assignments(found[1])


def ids(taken: Mapping[str, Iterable[Mapping[str, Any]]]) -> dict[str, list[int]]:
    return {name: [event["id"] for event in events] for name, events in taken.items()}


def assignments(matches: Iterable[Mapping[str, Sequence[int]]]) -> frozenset[Any]:
    """Matches as a set: variable -> events, where it took any."""
    return frozenset(
        tuple(sorted((name, tuple(taken)) for name, taken in match.items() if taken))
        for match in matches
    )


@law
@given(patterns(plain=True), event_streams(), st.booleans())
def test_the_engine_finds_what_the_reference_finds(
    pattern: Pattern, events: Events, end_of_stream: bool
) -> None:
    expected = by_reference(pattern, events, end_of_stream=end_of_stream)
    assert by_engine(pattern, events, end_of_stream=end_of_stream) == expected


@law
@given(patterns(), event_streams(), st.booleans())
def test_the_engine_finds_what_the_reference_finds_with_alternation_and_permutation(
    pattern: Pattern, events: Events, end_of_stream: bool
) -> None:
    expected = by_reference(pattern, events, end_of_stream=end_of_stream)
    assert by_engine(pattern, events, end_of_stream=end_of_stream) == expected


@law
@given(patterns(), event_streams())
def test_all_keys_together_give_what_each_key_gives_alone(pattern: Pattern, events: Events) -> None:
    keyed, unkeyed = replace(pattern, key=("k",)), replace(pattern, key=())
    matches: set[Any] = set()
    timeouts: set[Any] = set()
    for key in "xy":
        alone = [event for event in events if event["k"] == key]
        for result, found in zip(
            (matches, timeouts), by_reference_ids(unkeyed, alone), strict=True
        ):
            result |= found
    assert by_reference_ids(keyed, events) == (matches, timeouts)


def by_reference_ids(pattern: Pattern, events: Events) -> tuple[set[Any], set[Any]]:
    bound, _ = bind_pattern(pattern, {STREAM.name: STREAM})
    result = reference_matches(bound, events)
    renamed = [
        [
            {name: [events[i]["id"] for i in taken] for name, taken in match.items()}
            for match in found
        ]
        for found in (result.matches, result.timeouts)
    ]
    return set(assignments(renamed[0])), set(assignments(renamed[1]))


@law
@given(patterns(), event_streams(), st.integers(0, 9))
def test_what_was_found_does_not_change_when_more_events_follow(
    pattern: Pattern, events: Events, number: int
) -> None:
    before, _ = by_reference(pattern, events[:number], end_of_stream=False)
    after, _ = by_reference(pattern, events, end_of_stream=False)
    assert before <= after


# -- alternation and permutation by what they stand for ----------------------------------------


def is_one_of(letters: str) -> Expression:
    return InList(Field("name"), tuple(Literal(letter) for letter in letters))


def is_letter(letter: str) -> Expression:
    return Binary("=", Field("name"), Literal(letter))


quantifiers = st.builds(
    Quantifier,
    minimum=st.sampled_from([1, 2]),
    maximum=st.sampled_from([None, 2, 3]),
    optional=st.booleans(),
    greedy=st.booleans(),
    inner=LINKS,
) | st.just(Quantifier())


@law
@given(event_streams(), LINKS, quantifiers, LINKS, st.sampled_from([None, 4_000]))
def test_an_alternation_of_variables_is_a_variable_that_takes_what_either_takes(
    events: Events,
    link: Contiguity,
    quantifier: Quantifier,
    next_link: Contiguity,
    within_us: int | None,
) -> None:
    def pattern(element: Any, *definitions: Definition) -> Pattern:
        steps = (
            Step(Variable("begin")),
            Step(element, link, quantifier),
            Step(Variable("end"), next_link),
        )
        begin, end = Definition("begin", is_letter("a")), Definition("end", is_one_of("cd"))
        return Pattern(
            "p",
            steps,
            (begin, *definitions, end),
            ("events",),
            (),
            within_us=within_us,
            skip=NO_SKIP,
        )

    either = Alternation(((Step(Variable("b")),), (Step(Variable("c")),)))
    two = pattern(either, Definition("b", is_letter("b")), Definition("c", is_letter("c")))
    one = pattern(Variable("either"), Definition("either", is_one_of("bc")))
    renamed = {"b": "either", "c": "either"}
    assert merged(by_reference(two, events)[0], renamed) == merged(by_reference(one, events)[0], {})


NO_SKIP = Skip(SkipStrategy.NO_SKIP)


def merged(found: frozenset[Any], names: Mapping[str, str]) -> frozenset[Any]:
    result = []
    for match in found:
        together: dict[str, list[int]] = {}
        for name, taken in match:
            together.setdefault(names.get(name, name), []).extend(taken)
        result.append({name: sorted(taken) for name, taken in together.items()})
    return assignments(result)


@law
@given(event_streams(), LINKS)
def test_a_permutation_takes_its_elements_in_any_order(events: Events, link: Contiguity) -> None:
    definitions = tuple(Definition(letter, is_letter(letter)) for letter in "abc")
    elements = tuple(Step(Variable(letter)) for letter in "abc")
    permuted = Pattern(
        "p", (Step(Permutation(elements, link)),), definitions, ("events",), skip=NO_SKIP
    )
    found: set[Any] = set()
    for order in ("abc", "acb", "bac", "bca", "cab", "cba"):
        first, *others = (Variable(letter) for letter in order)
        steps = (Step(first), *(Step(other, link) for other in others))
        found |= by_reference(replace(permuted, steps=steps), events)[0]
    result, _ = by_reference(permuted, events)
    assert result <= found
    if link is not Contiguity.RELAXED:  # relaxed, the orders wait together: the first that fits
        assert result == found


@pytest.mark.parametrize("link", list(Contiguity))
def test_an_empty_stream_matches_nothing(link: Contiguity) -> None:
    pattern = Pattern("p", (Step(Variable("a")), Step(Variable("b"), link)), streams=("events",))
    assert by_reference(pattern, []) == (frozenset(), frozenset())
