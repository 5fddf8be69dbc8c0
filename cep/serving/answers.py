"""What came out of a step (`Result`) -> the JSON of an answer, and the messages for listeners."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic_core import to_json

from cep.results.matches import Match
from cep.results.result import Result

LISTED = 100  # late events and errors that an answer shows; all are counted
SIDES = ("matches", "timeouts", "rows", "late", "errors")
FEW = ("late", "errors")


class Answer(NamedTuple):
    """What events have led to: of each of `SIDES` the JSON of its members, and how many there are.

    The members are joined by commas, without the brackets, so that answers can be put together
    without being read again.
    """

    sides: tuple[bytes, ...]
    counts: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.sides))


NOTHING = Answer((b"",) * len(SIDES), (0,) * len(SIDES))


class Message(NamedTuple):
    """One thing for those who listen: `match`, `timeout` or `row`, and its JSON."""

    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step is answered with, and what is told to listeners."""

    answer: Answer
    messages: tuple[Message, ...] = ()


NO_OUTCOME = Outcome(NOTHING)


def outcome_of(result: Result, events_in_matches: bool) -> Outcome:
    """O(what came out). A result in which there is nothing costs next to nothing."""
    if result.is_empty:
        return NO_OUTCOME
    found: tuple[Iterable[Any], ...] = (
        (_match(match, events_in_matches) for match in result.matches),
        (_match(match, events_in_matches) for match in result.timeouts),
        _rows(result),
        result.late.to_arrow().slice(0, LISTED).to_pylist(),
        result.errors.first(LISTED).to_pylist(),
    )
    sides = [[_json(_in_utc(one)) for one in side] for side in found]
    matches, timeouts, rows = sides[:3]
    counts = (len(matches), len(timeouts), len(rows), len(result.late), len(result.errors))
    told = zip(("match", "timeout", "row"), sides, strict=False)
    messages = tuple(Message(kind, data) for kind, side in told for data in side)
    return Outcome(Answer(tuple(map(b",".join, sides)), counts), messages)


def together(answers: Iterable[Answer]) -> Answer:
    """Several answers as one, in their order. Of late events and errors those of the first few."""
    several = [answer for answer in answers if answer is not NOTHING]
    if len(several) < 2:
        return several[0] if several else NOTHING
    counts = tuple(map(sum, zip(*(answer.counts for answer in several), strict=True)))
    sides = (_joined(several, place, name in FEW) for place, name in enumerate(SIDES))
    return Answer(tuple(sides), counts)


def _joined(several: Sequence[Answer], place: int, few: bool) -> bytes:
    """One side of all; where there are to be few, until there are at least `LISTED`."""
    parts, count = [], 0
    for answer in several:
        if answer.counts[place] and not (few and count >= LISTED):
            parts.append(answer.sides[place])
            count += answer.counts[place]
    return b",".join(parts)


def body_of(answer: Answer, **more: Any) -> bytes:
    """The JSON object that is sent: `more` first, then the sides and how many each has."""
    if answer is NOTHING:
        return _json(more)[:-1] + _NOTHING_SAID
    named = zip(SIDES, answer.sides, strict=True)
    parts = [_json(more)[:-1], *(b'"%s":[%s]' % (side.encode(), text) for side, text in named)]
    parts.append(b'"counts":%s}' % _json(dict(zip(SIDES, answer.counts, strict=True))))
    return b",".join(parts)


def _json(value: Any) -> bytes:
    """Times in ISO 8601, durations in seconds, null for NaN and infinity, which JSON lacks."""
    return to_json(value, timedelta_mode="float", inf_nan_mode="null", fallback=str)


def _in_utc(value: Any) -> Any:
    """Times with their zone: a reader would take one without for a time of his own."""
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if isinstance(value, dict):
        return {name: _in_utc(inner) for name, inner in value.items()}
    return [_in_utc(inner) for inner in value] if isinstance(value, list | tuple) else value


_NOTHING_SAID = b"," + b",".join(
    [*(b'"%s":[]' % side.encode() for side in SIDES), b'"counts":%s}']
) % _json(dict.fromkeys(SIDES, 0))


def _match(match: Match, with_events: bool) -> dict[str, Any]:
    told = {
        "id": match.id,
        "pattern": match.pattern,
        "key": match.key,
        "start": match.start,
        "end": match.end,
        "at": match.at,
        "values": match.values,
    }
    return told | {"events": match.events} if with_events else told


def _rows(result: Result) -> Iterator[dict[str, Any]]:
    for name, size in result.tables.counts().items():
        if size:
            for row in result.tables[name].to_pylist():
                yield {"name": name, "values": row}
