"""Events as objects of a program: the same as dicts of their fields."""

from __future__ import annotations

import enum
import uuid
from collections import namedtuple
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import attrs
import msgspec
import pydantic
import pytest

import cep

WHEN = datetime.fromisoformat("2025-01-01")
CODE = uuid.UUID("12345678-1234-5678-1234-567812345678")


class Kind(enum.Enum):
    BUY = "buy"
    SELL = "sell"


class Level(enum.IntEnum):
    LOW = 1


@dataclass
class AsDataclass:
    ts: datetime
    card: int
    kind: Kind
    code: uuid.UUID
    level: Level = Level.LOW


@dataclass(slots=True, frozen=True)
class AsSlots:
    ts: datetime
    card: int
    kind: Kind
    code: uuid.UUID
    level: Level = Level.LOW


class AsPydantic(pydantic.BaseModel):
    ts: datetime
    card: int
    kind: Kind
    code: uuid.UUID
    level: Level = Level.LOW


class AsStruct(msgspec.Struct):
    ts: datetime
    card: int
    kind: Kind
    code: uuid.UUID
    level: Level = Level.LOW


@attrs.define
class AsAttrs:
    ts: datetime
    card: int
    kind: Kind
    code: uuid.UUID
    level: Level = Level.LOW


class AsTuple(NamedTuple):
    ts: datetime
    card: int
    kind: Kind
    code: uuid.UUID
    level: Level = Level.LOW


OldTuple = namedtuple("OldTuple", ["ts", "card", "kind", "code", "level"], defaults=[Level.LOW])
CLASSES = [AsDataclass, AsSlots, AsPydantic, AsStruct, AsAttrs, AsTuple, OldTuple]
RULES = """
stream events (ts timestamp, card int, kind text, code text, level int) time ts;
pattern p from events by card match a define a as kind = 'buy' and level = 1
  select kind, code, level
"""
VALUES = {"kind": "buy", "code": str(CODE), "level": 1}


@pytest.mark.parametrize("kind", CLASSES)
def test_an_object_is_an_event(kind: Any) -> None:
    event = kind(ts=WHEN, card=7, kind=Kind.BUY, code=CODE)
    detector = cep.Detector(RULES)
    (match,) = detector.process(event)
    assert (match.key, match.values) == (7, VALUES)
    assert match.events["a"][0]["ts"] == WHEN
    assert len(detector.process(kind(ts=WHEN, card=7, kind=Kind.SELL, code=CODE))) == 0
    (again,) = cep.compile(RULES).run([event])
    assert again.values == VALUES


def test_dicts_and_objects_may_come_together() -> None:
    first = AsDataclass(WHEN, 1, Kind.BUY, CODE)
    second = {"ts": WHEN, "card": 2, "kind": Kind.BUY, "code": CODE, "level": Level.LOW}
    result = cep.Detector(RULES).process_batch([first, second])
    assert [match.values for match in result] == [VALUES, VALUES]


def test_members_of_enumerations_among_other_values_stand_for_theirs() -> None:
    rows = [{"ts": WHEN, "card": 1, "kind": kind, "level": 1} for kind in (Kind.BUY, 5, "buy")]
    result = cep.Detector(RULES).process_batch(rows)
    assert [match.values["kind"] for match in result] == ["buy", "buy"]


def test_a_subclass_has_the_fields_of_both() -> None:
    @dataclass
    class More(AsDataclass):
        amount: float = 5.0

    rules = RULES.replace("level int)", "level int, amount float)").replace(
        "select kind", "select amount, kind"
    )
    (match,) = cep.Detector(rules).process(More(WHEN, 1, Kind.BUY, CODE))
    assert match.values == {"amount": 5.0, **VALUES}


def test_an_object_whose_values_do_not_fit_is_set_aside() -> None:
    event = AsStruct(ts=WHEN, card="many", kind=Kind.BUY, code=CODE)  # type: ignore[arg-type]
    result = cep.Detector(RULES).process(event)
    assert [row.reason for row in result.errors] == ["card is not an int: 'many'"]


@pytest.mark.parametrize("event", [object(), 5, (1, 2), AsDataclass])
def test_what_has_no_fields_is_refused(event: Any) -> None:
    with pytest.raises(cep.DataError, match="not a dict or an object with fields"):
        cep.Detector(RULES).process(event)
