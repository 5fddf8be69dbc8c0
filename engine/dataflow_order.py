"""Features and statements that make streams -> the order in which they run, with levels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cep.engine.dataflow_reads import reads_of, sources_of
from cep.engine.errors import Problem
from cep.engine.pattern import Pattern
from cep.engine.plan import Aggregate, Feature, Join

Item = Feature | Pattern | Aggregate | Join


def in_order(items: Sequence[Item], problems: list[Problem]) -> Iterator[tuple[Item, int]]:
    """Each item after those that it reads, else in the order given, with its level.

    A feature has level 0 where its stream and source are base streams, a statement where all that
    it reads has; what reads the stream of a statement of level n has level n + 1. Items in a
    circle, and what depends on them, are left out: each circle is a problem.
    """
    needed = _needed(items)
    levels: dict[int, int] = {}
    waiting = list(range(len(items)))
    while waiting:
        ready = [number for number in waiting if all(n in levels for n in needed[number])]
        for number in ready:
            steps = (levels[n] + (not isinstance(items[n], Feature)) for n in needed[number])
            levels[number] = max(steps, default=0)
            yield items[number], levels[number]
        waiting = [number for number in waiting if number not in levels]
        if not ready:
            problems += _circles(items, needed, waiting)
            return


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


def _circles(
    items: Sequence[Item], needed: list[list[int]], waiting: list[int]
) -> Iterator[Problem]:
    """One problem for each circle among the items that wait for each other."""
    rest = set(waiting)
    while rest:
        circle = _circle_from(min(rest), needed, rest)
        yield _problem([items[number] for number in circle])
        lost = set(circle)
        while more := {n for n in rest - lost if lost & set(needed[n])}:
            lost |= more
        rest -= lost
        rest = {n for n in rest if any(other in rest for other in needed[n])}


def _circle_from(start: int, needed: list[list[int]], rest: set[int]) -> list[int]:
    """The circle that is reached by going from what is read to what that reads."""
    path = [start]
    while True:
        follow = next(n for n in needed[path[-1]] if n in rest)
        if follow in path:
            circle = path[path.index(follow) :]
            first = circle.index(min(circle))
            return circle[first:] + circle[:first]
        path.append(follow)


def _problem(circle: list[Item]) -> Problem:
    names = [f"'{item.name}'" for item in circle]
    if len(names) == 1:
        return Problem(f"{names[0]} reads itself", circle[0].span, "read what it is made of")
    following = [*names[1:], names[0]]
    steps = [f"{one} reads {other}" for one, other in zip(names, following, strict=True)]
    return Problem(f"a circle: {', '.join(steps)}", circle[0].span, "begin with a stream of events")
