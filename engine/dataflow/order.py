"""Features and statements that make streams -> the order in which they run, with levels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush

from cep.engine.algebra.errors import Problem
from cep.engine.algebra.pattern import Pattern
from cep.engine.algebra.plan import Aggregate, Feature, Join
from cep.engine.dataflow.reads import reads_of, sources_of

SHOWN_MAX = 6  # names in a message

Item = Feature | Pattern | Aggregate | Join


def in_order(items: Sequence[Item], problems: list[Problem]) -> Iterator[tuple[Item, int]]:
    """Each item after those that it reads, else in the order given, with its level.

    A feature has level 0 where its stream and source are base streams, a statement where all that
    it reads has; what reads the stream of a statement of level n has level n + 1. Items in a
    circle, and what depends on them, are left out: each circle is a problem. O(n log n).
    """
    needed = _needed(items)
    readers = _readers(needed)
    missing = [len(numbers) for numbers in needed]
    levels: dict[int, int] = {}
    ready = [number for number, count in enumerate(missing) if not count]
    while ready:
        number = heappop(ready)
        steps = (levels[n] + (not isinstance(items[n], Feature)) for n in needed[number])
        levels[number] = max(steps, default=0)
        yield items[number], levels[number]
        for reader in readers[number]:
            missing[reader] -= 1
            if not missing[reader]:
                heappush(ready, reader)
    problems += _circles(items, needed, {n for n in range(len(items)) if n not in levels})


def _needed(items: Sequence[Item]) -> list[list[int]]:
    """For each item the numbers of those that it reads, each once."""
    features = {(f.stream, f.name): n for n, f in enumerate(items) if isinstance(f, Feature)}
    makers = {s.name: n for n, s in enumerate(items) if not isinstance(s, Feature)}
    found = []
    for item in items:
        numbers = [makers[name] for name in sources_of(item) if name in makers]
        for read, streams in reads_of(item):
            keys = ((stream, read.name) for stream in streams)
            numbers += [features[key] for key in keys if key in features]
        found.append(list(dict.fromkeys(numbers)))
    return found


def _readers(needed: list[list[int]]) -> list[list[int]]:
    """For each item the numbers of those that read it."""
    found: list[list[int]] = [[] for _ in needed]
    for number, others in enumerate(needed):
        for other in others:
            found[other].append(number)
    return found


def _circles(
    items: Sequence[Item], needed: list[list[int]], waiting: set[int]
) -> Iterator[Problem]:
    """One problem for each circle among the items that wait for each other."""
    readers = _readers(needed)
    for start in sorted(waiting):
        if start in waiting and (circle := _circle_from(start, needed, waiting)):
            yield _problem([items[number] for number in circle])
            lost = list(circle)
            while lost:
                number = lost.pop()
                if number in waiting:
                    waiting.discard(number)
                    lost += readers[number]


def _circle_from(start: int, needed: list[list[int]], waiting: set[int]) -> list[int]:
    """The circle that is reached by going from what reads to what is read; [] where none is."""
    path = {start: None}
    number = start
    while True:
        follow = next((n for n in needed[number] if n in waiting), None)
        if follow is None:
            return []
        if follow in path:
            numbers = list(path)
            circle = numbers[numbers.index(follow) :]
            first = circle.index(min(circle))
            return circle[first:] + circle[:first]
        path[follow] = None
        number = follow


def _problem(circle: list[Item]) -> Problem:
    names = [f"'{item.name}'" for item in circle]
    if len(names) > SHOWN_MAX:
        message = f"a circle of {len(names)} statements, from {names[0]} back to itself"
        return Problem(message, circle[0].span, "begin with a stream of events")
    if len(names) == 1:
        return Problem(f"{names[0]} reads itself", circle[0].span, "read what it is made of")
    following = [*names[1:], names[0]]
    steps = [f"{one} reads {other}" for one, other in zip(names, following, strict=True)]
    return Problem(f"a circle: {', '.join(steps)}", circle[0].span, "begin with a stream of events")
