"""The reference matcher, operator by operator. Events are one letter each, one millisecond apart.

`a b b c` are events 0 to 3 at 0, 1, 2 and 3 ms; a number between them moves time on that many ms
(`a 5 b`: b is at 5 ms). Every lower-case variable takes events of its letter.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from cep.dsl import parse_rules
from cep.engine.algebra.expression import DataType
from cep.engine.algebra.pattern import Stream, StreamField
from cep.engine.binding.patterns import bind_pattern
from tests.reference.matcher import ReferenceResult, reference_matches

FIELDS = (
    StreamField("name", DataType.TEXT),
    StreamField("ts", DataType.INTEGER),
    StreamField("k", DataType.TEXT),
)
STREAM = Stream("", FIELDS, time="ts")


def timed(letters: str) -> list[dict[str, Any]]:
    events, step, now = [], 1, -1
    for word in letters.split():
        if word.isdigit():
            step = int(word)
            continue
        now, step = now + step, 1
        events.append({"name": word[0], "ts": now, "k": word[1:] or "x"})
    return events


def run(
    match: str, letters: str, clauses: str = "", *, by: str = "", end_of_stream: bool = True
) -> ReferenceResult:
    """Run `match` with further clauses; without one that says how to skip, nothing is skipped."""
    names = sorted(set(re.findall(r"(?<!')\b[a-e]\b", match)))
    defined = ", ".join(f"{name} as name = '{name}'" for name in names)
    skip = "" if "after match" in clauses else "after match no skip"
    rules, _ = parse_rules(f"pattern p {by} match {match} {clauses} define {defined} {skip}")
    bound, problems = bind_pattern(rules.patterns[0], {"": STREAM})
    assert not [problem for problem in problems if not problem.warning]
    return reference_matches(bound, timed(letters), end_of_stream=end_of_stream)


def found(match: str, letters: str, clauses: str = "", **options: Any) -> list[str]:
    """Each match as text: 'a0 b12' is a: event 0, b: events 1 and 2."""
    return sorted(shown(run(match, letters, clauses, **options).matches))


def found_by_text(text: str, letters: str) -> list[str]:
    """The matches of a whole pattern statement."""
    rules, _ = parse_rules(text)
    bound, _ = bind_pattern(rules.patterns[0], {"": STREAM})
    return sorted(shown(reference_matches(bound, timed(letters)).matches))


def shown(matches: list[dict[str, list[int]]]) -> list[str]:
    return [
        " ".join(f"{name}{''.join(map(str, taken))}" for name, taken in sorted(match.items()))
        for match in matches
    ]


# -- contiguity and repetition -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("match", "letters", "expected"),
    [
        ("a b", "a b", ["a0 b1"]),
        ("a b", "a c b", []),
        ("a -> b", "a c b b", ["a0 b2"]),
        ("a ->> b", "a c b b", ["a0 b2", "a0 b3"]),
        ("a? b", "b", ["b0"]),
        ("a? b", "a b", ["a0 b1", "b1"]),
        ("a+? b", "a a b", ["a01 b2", "a1 b2"]),
        ("a{2}", "a c a a", ["a02", "a23"]),
        ("a{2} consecutive", "a c a a", ["a23"]),
        ("a{2} combinations", "a a a", ["a01", "a02", "a12"]),
        ("a{1,2}", "a a", ["a0", "a01", "a1"]),
        ("a{2,}", "a a a", ["a01", "a012", "a12"]),
        ("b a* c", "b c", ["b0 c1"]),
        ("b -> a+? -> c", "b a a c", ["a1 b0 c3", "a12 b0 c3"]),
        ("b -> a+ -> c", "b a a c", ["a12 b0 c3"]),
        ("b -> a+ -> c", "b a d a c", ["a13 b0 c4"]),
        ("a+ until (name = 'd') -> c", "a d a c", ["a0 c3", "a2 c3"]),
    ],
)
def test_links_and_quantifiers_take_what_flink_takes(
    match: str, letters: str, expected: list[str]
) -> None:
    assert found(match, letters) == expected


@pytest.mark.parametrize(
    ("reluctant", "expected"),
    [("", ["a01 x2", "a1 x2"]), ("?", ["a0 x1", "a01 x2", "a1 x2"])],
)
def test_a_greedy_loop_does_not_offer_its_events_to_what_follows(
    reluctant: str, expected: list[str]
) -> None:
    defined = "define a as name = 'a', x as name in ('a', 'c')"
    text = f"pattern p match a+{reluctant} x {defined} after match no skip"
    assert found_by_text(text, "a a c") == expected


def test_a_gap_bounds_the_repetitions_that_are_still_needed() -> None:
    assert found("b -> a{2,} gap 3 ms", "b a a 5 a") == ["a12 b0", "a123 b0"]
    assert found("b -> a{2,} gap 3 ms", "b a 3 a") == []


# -- groups, alternation, permutation ------------------------------------------------------------


@pytest.mark.parametrize(
    ("match", "letters", "expected"),
    [
        ("(a b){2}", "a b a b", ["a02 b13"]),
        ("c (a b)? d", "c d", ["c0 d1"]),
        ("c (a b)? d", "c a b d", ["a1 b2 c0 d3"]),
        ("a (b | c) d", "a b d a c d", ["a0 b1 d2", "a3 c4 d5"]),
        ("a -> (b | c)", "a d c b", ["a0 c2"]),
        ("a ->> (b | c)", "a d c b", ["a0 b3", "a0 c2"]),
        ("a (b | c)", "a d c", []),
        ("a -> (b c | d)", "a b e d", []),
        ("a -> (b? c | d)", "a e c", ["a0 c2"]),
        ("a -> (b | c){2}", "a b e c", ["a0 b1 c3"]),
        ("(a | b)+ consecutive c", "a b c", ["a0 b1 c2", "b1 c2"]),
        ("permute(a, b)", "b c a", ["a2 b0"]),
        ("permute(a, b) consecutive", "b c a b", ["a2 b3"]),
        ("permute(a, b, c)", "c a b", ["a1 b2 c0"]),
    ],
)
def test_groups_alternations_and_permutations_are_entered_as_one(
    match: str, letters: str, expected: list[str]
) -> None:
    assert found(match, letters) == expected


def test_after_a_relaxed_link_the_branches_wait_together() -> None:
    assert found("a -> (b -> d | c -> e)", "a b c e d") == ["a0 b1 d4"]


def test_an_event_that_two_branches_begin_with_goes_to_both() -> None:
    defined = "define a as name = 'a', x as name = 'b', y as name = 'b'"
    text = f"pattern p match a -> (x | y) {defined} after match no skip"
    assert found_by_text(text, "a b") == ["a0 x1", "a0 y1"]


def test_a_loop_over_a_group_of_optional_parts_ends() -> None:
    assert found("c (a? b?)* d", "c a b a d") == ["a13 b2 c0 d4"]
    assert found("c (a* b*)+ d", "c d") == ["c0 d1"]


# -- negation ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("match", "letters", "expected"),
    [
        ("a not b", "a c", ["a0"]),
        ("a not b", "a b c", []),
        ("a not b", "a", []),
        ("a not b -> c", "a c", ["a0 c1"]),
        ("a -> not b -> c", "a d c", ["a0 c2"]),
        ("a -> not b -> c", "a b c", []),
        ("a -> not b ->> c", "a c b c", ["a0 c1"]),
        ("a -> not b -> d? -> c", "a d b c", ["a0 c3 d1"]),
        ("a+? -> not b -> c", "a a b c", []),
    ],
)
def test_a_negation_ends_the_run_that_meets_it(
    match: str, letters: str, expected: list[str]
) -> None:
    assert found(match, letters) == expected


def test_an_absence_is_found_at_its_deadline() -> None:
    assert found("a -> not b", "a 5 c", "within 3 ms", end_of_stream=False) == ["a0"]
    assert found("a -> not b", "a 2 b 5 c", "within 3 ms") == []
    assert found("a -> not b", "a 3 b", "within 3 ms") == ["a0"]
    assert found("a -> not b", "a c", "within 3 ms", end_of_stream=False) == []
    assert found("a -> not b", "a c", "within 3 ms", end_of_stream=True) == ["a0"]


def test_the_deadline_of_an_absence_may_count_from_the_event_before() -> None:
    assert found("a -> c -> within 3 ms not b", "a 5 c 2 b") == []
    assert found("a -> c -> within 3 ms not b", "a 5 c 3 b") == ["a0 c1"]


# -- time ----------------------------------------------------------------------------------------


def test_within_is_exclusive_and_what_ran_out_is_a_timeout() -> None:
    assert found("a -> b", "a 3 b", "within 4 ms") == ["a0 b1"]
    result = run("a -> b", "a 4 b", "within 4 ms")
    assert (result.matches, result.timeouts) == ([], [{"a": [0]}])


def test_without_an_end_of_stream_the_last_runs_stay_open() -> None:
    assert run("a -> b", "a", "within 4 ms", end_of_stream=False).timeouts == []
    assert run("a -> b", "a", "within 4 ms", end_of_stream=True).timeouts == [{"a": [0]}]


def test_within_between_events_counts_from_the_event_before() -> None:
    clause = "within 3 ms between events"
    assert found("a -> b -> c", "a 2 b 2 c", clause) == ["a0 b1 c2"]
    assert found("a -> b -> c", "a 2 b 3 c", clause) == []


def test_a_bound_on_one_link_bounds_only_that_link() -> None:
    assert found("a -> within 3 ms b -> c", "a 2 b 9 c") == ["a0 b1 c2"]
    assert run("a -> within 3 ms b -> c", "a 3 b 9 c").timeouts == [{"a": [0]}]


def test_a_timed_out_run_is_reported_once_however_many_ways_it_stood_open() -> None:
    assert run("a+? -> b -> c", "a", "within 3 ms").timeouts == [{"a": [0]}]


def test_an_event_of_one_key_moves_the_time_of_all_keys() -> None:
    result = run("a -> not b", "ax 5 cy bx", "within 3 ms", by="by k", end_of_stream=False)
    assert result.matches == [{"a": [0]}]


def test_keys_are_matched_apart_and_events_without_a_key_are_left_out() -> None:
    assert found("a b", "ax ay bx by", by="by k") == ["a0 b2", "a1 b3"]
    events = timed("a b")
    events[0]["k"] = None
    rules, _ = parse_rules("pattern p by k match a b define a as name = 'a', b as name = 'b'")
    bound, _ = bind_pattern(rules.patterns[0], {"": STREAM})
    assert reference_matches(bound, events).matches == []


def test_time_that_goes_back_is_refused() -> None:
    rules, _ = parse_rules("pattern p match a define a as name = 'a'")
    bound, _ = bind_pattern(rules.patterns[0], {"": STREAM})
    with pytest.raises(ValueError, match="event 1 goes back in time, to 0"):
        reference_matches(bound, [{"name": "a", "ts": 1}, {"name": "a", "ts": 0}])


# -- unless --------------------------------------------------------------------------------------


def test_unless_drops_open_runs_and_then_offers_the_event() -> None:
    assert found("a -> b", "a d b", "unless name = 'd'") == []
    assert found("a -> b", "a a b", "unless name = 'a'") == ["a1 b2"]
    assert found("a -> not b", "a d", "within 3 ms unless name = 'd'") == []


def test_unless_may_read_what_the_run_has_taken() -> None:
    assert found("a+? -> b", "a a d b", "unless name = 'd' and count(a) = 2") == ["a0 b3", "a1 b3"]


# -- what is reported ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("skip", "expected"),
    [
        ("no skip", ["a0 b2", "a01 b2", "a1 b2"]),
        ("skip to next row", ["a01 b2", "a1 b2"]),
        ("skip past last event", ["a01 b2"]),
        ("skip to first b", ["a01 b2"]),
        ("skip to last a", ["a01 b2", "a1 b2"]),
    ],
)
def test_a_skip_drops_what_began_too_early(skip: str, expected: list[str]) -> None:
    assert found("a{1,2}? -> b", "a a b", f"after match {skip}") == expected


def test_a_skip_target_that_took_nothing_skips_nothing_and_is_noted() -> None:
    result = run("a -> b? -> c", "a c", "after match skip to first b")
    assert (result.matches, result.missed) == ([{"a": [0], "c": [1]}], [{"a": [0], "c": [1]}])


def test_a_match_waits_for_a_run_that_began_before_it() -> None:
    skip = "after match skip past last event"
    assert found("a b? c? -> d", "a", skip) == []
    assert found("b -> a -> d | c", "b c a d", skip) == ["a2 b0 d3"]


def test_longest_reports_one_match_for_each_first_event() -> None:
    assert found("longest a+", "a a a") == ["a012", "a12", "a2"]
    assert found("longest a+", "a a c", end_of_stream=False) == []
    assert found("longest a+ consecutive", "a a c", end_of_stream=False) == ["a01", "a1"]
    assert found("longest a+", "a a a", "after match skip past last event") == ["a012"]


def test_the_same_assignment_is_reported_once() -> None:
    assert found("(a? -> b?)+ -> c", "a c") == ["a0 c1", "c1"]
