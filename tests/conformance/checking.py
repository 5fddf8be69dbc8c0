"""What a case expects, and what came out -> what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.conformance.loading import Case

Ids = Mapping[str, Sequence[int]]  # variable -> ids of the events that it took


@dataclass(frozen=True, slots=True)
class Outcome:
    """Matches and timed-out runs by event id, ids of late events in the order of their arrival.

    `missed`: whether a skip target took nothing.
    """

    matches: list[Ids] = field(default_factory=list)
    timeouts: list[Ids] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    missed: bool = False


def problems(case: Case, outcome: Outcome) -> list[str]:
    """What differs from what the case expects; empty where nothing does."""
    found: list[str] = []
    if case.misses_skip_target:
        if not outcome.missed:
            found.append("no error says that the skip target took no event")
        if not outcome.matches:
            found.append("the match is not reported")
        return found
    expected = case.data["expected"]
    if expected is not None:
        found += _compared("matches", expected, outcome.matches, as_set=case.counts_duplicates)
    timeouts = case.data["expected_timeouts"]
    if timeouts is None:
        timeouts = case.data.get("observed_timeouts")
    if timeouts is not None:
        found += _compared("timeouts", timeouts, outcome.timeouts, as_set=True)
    late = case.data.get("expected_late")
    if late is not None and late != outcome.late:
        found.append(f"late: expected {late}, not {outcome.late}")
    if case.data.get("expected_in_order") and expected is not None:
        wanted = [_named(match) for match in expected]
        if not found and wanted != [_named(match) for match in outcome.matches]:
            found.append("the matches are right, their order is not")
    return found


def _compared(what: str, expected: Sequence[Ids], got: Sequence[Ids], *, as_set: bool) -> list[str]:
    by_name = not any("_flat" in match for match in expected)
    wanted, given = _counted(expected, by_name=by_name), _counted(got, by_name=by_name)
    if as_set:
        wanted, given = Counter(set(wanted)), Counter(set(given))
    missing, extra = wanted - given, given - wanted
    if not missing and not extra:
        return []
    return [f"{what}: missing {_shown(missing)}, not expected {_shown(extra)}"]


def _counted(matches: Iterable[Ids], *, by_name: bool) -> Counter[tuple[object, ...]]:
    return Counter(_named(match) if by_name else _flat(match) for match in matches)


def _named(match: Ids) -> tuple[object, ...]:
    return tuple(sorted((name, tuple(ids)) for name, ids in match.items() if ids))


def _flat(match: Ids) -> tuple[object, ...]:
    return tuple(sorted(i for ids in match.values() for i in ids))


def _shown(matches: Counter[tuple[object, ...]]) -> str:
    shown = [f"{count} x {match}" if count > 1 else f"{match}" for match, count in matches.items()]
    return "; ".join(shown[:3]) + (" ..." if len(shown) > 3 else "") or "nothing"
