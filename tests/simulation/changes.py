"""Random changes of rules from one seed, right and wrong ones, beside rules that never change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

import cep
from cep.engine.checkpoint.tree import take_apart
from cep.engine.state.snapshot import Snapshot

Event = dict[str, Any]
Change = Callable[[cep.Detector], object]

UNTOUCHED = """
stream s (ts timestamp, source int, key int, x int) time ts {more};
feature total on s as sum(x) over 20 seconds by key;
pattern kept from s by key match a -> b -> c within 20 seconds
  define a as x > 2, b as x > a.x, c as total > b.x after match no skip;
pattern silent from s by key match a -> not b within 4 seconds
  define a as x = 6, b as x < 3;
pattern slow from s by key match a -> b within 6 seconds define a as x = 5, b as x = 0
  on timeout select count(a) as n;
aggregate counts from s by key window tumbling 5 seconds select key, sum(x) as n;
pattern above from counts by key match one -> two within 30 seconds
  define one as n > 3, two as n > one.n after match no skip;
"""
PATTERNS = ("kept", "silent", "slow", "above")

RIGHT = [
    "pattern {name} from s by key match a b define a as x > {one}, b as x > {two};",
    "pattern {name} from s by key match a -> b within {two} s define a as x = {one}, b as x = 1;",
    "pattern {name} from s by key match a -> not b within {two} s define a as x > {one}, b as x=2;",
    "pattern {name} from kept match m define m as true;",
    "pattern {name} from s match a define a as total > {one};",
    "aggregate {name} from s window tumbling {two} seconds select count(*) as n, {one} as one;",
    "pattern {name} from counts by key match a define a as n > {one};",
]
WRONG = [
    "pattern {name} from s match a define a as y > {one};",
    "pattern {name} from nowhere match a define a as true;",
    "pattern {name} from s match a -> define a as x > {one};",
    "pattern kept from s match a define a as x > {one};",
    "aggregate {name} from s window tumbling {two} lightyears select count(*) as n;",
    "patern {name}",
    "feature total on s as count(*) over all;",
]


@dataclass(slots=True)
class Changes:
    """What has been added up to now, and what to do next. Names: r0, r1, ..."""

    random: Random
    untouched: str
    active: dict[str, str] = field(default_factory=dict)
    disabled: dict[str, str] = field(default_factory=dict)
    names_max: int = 6

    def next(self) -> tuple[Change, bool]:
        """(a change, whether it must be refused)."""
        wrong = self.random.random() < 0.3
        return (self.wrong() if wrong else self.right()), wrong

    # ---- right ones

    def right(self) -> Change:
        """A change that fits what has been done up to now."""
        possible = [self._update]
        possible += [self._add] * 2 * (len(self.active) + len(self.disabled) < self.names_max)
        possible += [self._replace, self._remove, self._disable] * bool(self.active)
        possible += [self._enable] * 2 * bool(self.disabled)
        return self.random.choice(possible)()

    def _add(self) -> Change:
        names = [f"r{n}" for n in range(self.names_max)]
        name = self.random.choice([n for n in names if n not in self.active | self.disabled])
        text = self.active[name] = self._text(RIGHT, name)
        return lambda detector: detector.add(text)

    def _replace(self) -> Change:
        name = self.random.choice(list(self.active))
        text = self.active[name] = self._text(RIGHT, name)
        return lambda detector: detector.replace(text)

    def _remove(self) -> Change:
        name = self.random.choice(list(self.active))
        del self.active[name]
        return lambda detector: detector.remove(name)

    def _disable(self) -> Change:
        name = self.random.choice(list(self.active))
        self.disabled[name] = self.active.pop(name)
        return lambda detector: detector.disable(name)

    def _enable(self) -> Change:
        name = self.random.choice(list(self.disabled))
        self.active[name] = self.disabled.pop(name)
        return lambda detector: detector.enable(name)

    def _update(self) -> Change:
        """Other rules as a whole; some of what is disabled is left out."""
        self.active = {
            name: self._text(RIGHT, name) if self.random.random() < 0.5 else text
            for name, text in self.active.items()
            if self.random.random() < 0.8
        }
        self.disabled = {n: t for n, t in self.disabled.items() if self.random.random() < 0.8}
        texts = [*self.active.values(), *self.disabled.values()]
        self.random.shuffle(texts)
        return lambda detector: detector.update("\n".join([self.untouched, *texts]))

    # ---- wrong ones

    def wrong(self) -> Change:
        """A change that must be refused."""
        text = self._text(WRONG, "wrong")
        there = self.random.choice([*self.active, *self.disabled, *PATTERNS])
        again = self._text(RIGHT, there)
        read = self.random.choice(["total", "total on s", "counts", "s"])
        off = self.random.choice(["total", "counts", "s"])
        more: list[Change] = [
            lambda detector: detector.add(text),
            lambda detector: detector.add(again),
            lambda detector: detector.replace(self._text(RIGHT, "nix")),
            lambda detector: detector.replace(self._text(WRONG[:3], there)),
            lambda detector: detector.update(self.untouched + text + self._text(WRONG, "kept")),
            lambda detector: detector.remove(read),
            lambda detector: detector.remove("nix"),
            lambda detector: detector.disable(off),
            lambda detector: detector.enable("nix"),
            lambda detector: detector.shadow(self.untouched + self._text(WRONG, "kept")),
        ]
        return self.random.choice(more)

    def _text(self, templates: list[str], name: str) -> str:
        one, two = self.random.randrange(7), self.random.randrange(1, 9)
        return self.random.choice(templates).format(name=name, one=one, two=two)


@dataclass(slots=True)
class Source:
    """Events of one source, in the order of their times unless some are late."""

    random: Random
    number: int = 0
    second: int = 0
    late: bool = False

    def some(self, size: int) -> list[Event]:
        """The next events."""
        return [self._one() for _ in range(size)]

    def _one(self) -> Event:
        self.second += self.random.choice([0, 0, 1, 1, 2])
        second = max(self.second - self.random.choice([0, 0, 0, 1, 2, 9]) * self.late, 0)
        return {
            "ts": 1_735_689_600_000 + 1000 * second,
            "source": self.number,
            "key": 3 * self.number + self.random.randrange(3),
            "x": self.random.randrange(7),
        }


def told(result: cep.Result) -> list[Any]:
    """What rules that are never touched have put out.

    Late events are not: those that no window has taken, and windows come and go.
    """
    found: list[Any] = [(m.pattern, m.id, m.at) for m in result if m.pattern in PATTERNS]
    found += [("timed out", m.id, m.at) for m in result.timeouts if m.pattern in PATTERNS]
    found += [("row", *row.values()) for row in result.tables["counts"].to_pylist()]
    return found


def is_same(one: Snapshot, other: Snapshot) -> bool:
    """Whether two snapshots are the same, byte by byte."""
    (tree, blobs), (tree_of_other, blobs_of_other) = take_apart(one), take_apart(other)
    return tree == tree_of_other and all(map(np.array_equal, blobs, blobs_of_other))
