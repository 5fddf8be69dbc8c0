"""Match counts of Q1 to Q4 by plain loops over lists: what the engine's counts are checked against.

Nothing here knows automata; each query is counted by what it means.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pyarrow as pa

Event = tuple[int, float, str, str]  # time in microseconds, amount, country, kind
MINUTE_US = 60_000_000


def count_matches(table: pa.Table, *, skip: bool) -> dict[str, int]:
    """Matches of each query; `skip` means `skip past last event`, else it is `no skip`."""
    sequences = events_by_card(table)
    return {
        name: sum(count(events, skip) for events in sequences) for name, count in COUNTERS.items()
    }


def events_by_card(table: pa.Table) -> list[list[Event]]:
    columns = [table["ts"].cast(pa.int64()), table["amount"], table["country"], table["kind"]]
    sequences: dict[object, list[Event]] = defaultdict(list)
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    for card, event in zip(table["card"].to_pylist(), rows, strict=True):
        sequences[card].append(event)
    return list(sequences.values())


def _pairs(
    events: list[Event],
    skip: bool,
    within_us: int,
    opens: Callable[[Event], bool],
    closes: Callable[[Event], bool],
    kills: Callable[[Event], bool],
) -> int:
    """An opening event and the first closing one after it, unless a killing one comes between."""
    found, waiting = 0, list[int]()
    for event in events:
        if closes(event):
            fitting = sum(event[0] - start < within_us for start in waiting)
            found += min(fitting, 1) if skip else fitting
            waiting = []
        elif kills(event):
            waiting = []
        elif opens(event):
            waiting.append(event[0])
    return found


def _q1(events: list[Event], skip: bool) -> int:
    def never(_: Event) -> bool:
        return False

    return _pairs(
        events, skip, 10 * MINUTE_US, lambda e: e[1] < 2, lambda e: e[1] > 500, kills=never
    )


def _q2(events: list[Event], skip: bool) -> int:
    """Without skipping, a repetition may also go on past a big one and end with a later one.

    However many small ones a match takes, its big one is the first after the last of them.
    """
    found, runs, is_first = 0, list[tuple[int, int]](), True  # a run: (start, small ones taken)
    for time_us, amount, _, _ in events:
        runs = [run for run in runs if time_us - run[0] < 60 * MINUTE_US]
        if amount < 2:
            runs = [(start, taken + 1) for start, taken in runs] + [(time_us, 1)]
            is_first = True
        elif amount > 500 and is_first:
            complete = sum(taken >= 3 for _, taken in runs)
            if skip and complete:
                complete, runs = 1, []
            found += complete
            is_first = False
    return found


def _q3(events: list[Event], skip: bool) -> int:
    return _pairs(
        events,
        skip,
        60 * MINUTE_US,
        opens=lambda e: e[3] == "cash_out" and e[1] > 300,
        closes=lambda e: e[3] == "refund",
        kills=lambda e: e[3] == "login",
    )


def _q4(events: list[Event], skip: bool) -> int:
    found, taken = 0, -1  # the place of the last event of the last match
    for place in range(1, len(events)):
        a, b = events[place - 1], events[place]
        fits = b[1] > 10 * a[1] and b[2] != a[2] and b[0] - a[0] < 10 * MINUTE_US
        if fits and not (skip and place - 1 <= taken):
            found, taken = found + 1, place
    return found


COUNTERS = {"Q1": _q1, "Q2": _q2, "Q3": _q3, "Q4": _q4}
