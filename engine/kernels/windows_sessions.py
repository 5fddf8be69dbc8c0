"""Sessions: an event joins the session that it touches, makes two of them one, or begins its own.

An entry is a session [ID, END). Those of a key do not touch: between any two lies a moment that
belongs to neither.
"""

from __future__ import annotations

from cep.engine.kernels.jit import inlined, kernel
from cep.engine.kernels.layout import ZERO
from cep.engine.kernels.windows import (
    BLOCK,
    clear,
    has_free,
    insert,
    put,
    remove,
    shrink,
    take_in,
    touch_newest,
)
from cep.engine.kernels.windows_lanes import merge_lanes
from cep.engine.kernels.windows_layout import (
    CLOSES,
    CODE,
    DIRTY,
    DUE,
    EARLY,
    END,
    EVENTS,
    FIRING,
    FIRINGS,
    FIRST,
    HEADER,
    ID,
    INT64_MAX,
    LOOK,
    MEMBERS,
    MERGED,
    OLDER,
    OUT,
    OUT_CODE,
    OUT_END,
    OUT_EVENTS,
    OUT_FIRST,
    OUT_MEMBERS,
    OUT_UPDATE,
    OUT_WINDOW,
    PENDING,
    ROWS,
    USED,
    Arrivals,
    Entries,
    Fired,
    Int64s,
    Lanes,
)


@inlined
def kept_until(end_us: int, lateness_us: int) -> int:
    """End + lateness, or the last moment there is."""
    return INT64_MAX if end_us > INT64_MAX - lateness_us else end_us + lateness_us


@inlined
def has_room(entries: Entries, fired: Fired) -> bool:
    members = entries.counters[MEMBERS] < fired.members.shape[0] or fired.members.shape[0] == 0
    return members and entries.counters[ROWS] < fired.rows.shape[0]  # type: ignore[no-any-return]


@inlined
def emit_session(
    lanes: Lanes, entries: Entries, fired: Fired, entry: int, reason: int, discards: bool
) -> None:
    table, rows = entries.table, fired.rows
    row = entries.counters[ROWS]
    for i in range(lanes.initial.shape[0]):
        rows[row, OUT + i] = lanes.initial[i]
    merge_lanes(lanes, rows, fired.rows_f, row, OUT, table, entries.table_f, entry, HEADER)
    if fired.members.shape[0] > 0:
        fired.members[entries.counters[MEMBERS]] = entry
        entries.counters[MEMBERS] += 1
    rows[row, OUT_CODE] = table[entry, CODE]
    rows[row, OUT_WINDOW] = table[entry, ID]
    rows[row, OUT_END] = entries.links[entry, END]
    rows[row, OUT_FIRST] = table[entry, FIRST]
    rows[row, OUT_EVENTS] = table[entry, EVENTS]
    rows[row, OUT_UPDATE] = entries.links[entry, FIRINGS]
    rows[row, OUT_MEMBERS] = entries.counters[MEMBERS]
    entries.counters[ROWS] = row + 1
    if reason == FIRING:
        entries.links[entry, FIRINGS] += 1
        entries.links[entry, PENDING] = 0
    if discards and reason != LOOK:
        clear(lanes, entries, entry)


@inlined
def join(
    lanes: Lanes, entries: Entries, fired: Fired, entry: int, start_us: int, end_us: int
) -> None:
    """The session now reaches over start_us..end_us too, and takes in what it comes to touch."""
    table = entries.table
    table[entry, ID] = min(table[entry, ID], start_us)
    entries.links[entry, END] = max(entries.links[entry, END], end_us)
    older = entries.links[entry, OLDER]
    while older >= 0 and entries.links[older, END] >= table[entry, ID]:
        table[entry, ID] = min(table[entry, ID], table[older, ID])
        take_in(lanes, entries, fired, entry, older)
        older = entries.links[entry, OLDER]


@kernel
def add(
    lanes: Lanes,
    entries: Entries,
    arrivals: Arrivals,
    fired: Fired,
    begin: int,
    watermark_us: int,
    lateness_us: int,
    is_late: bool,
    discards: bool,
) -> int:
    """Events begin.. into sessions; the index of the first one not added, for lack of room.

    `is_late`: they come behind the watermark. One whose session would be gone by now is too late
    (its entry is -1); where the session is over, it fires at once.
    """
    table, counters = entries.table, entries.counters
    size: int = arrivals.rows.shape[0]
    for event in range(begin, size):
        if (event - begin) % BLOCK == 0:
            touch_newest(entries, arrivals, event, min(event + BLOCK, size))
        code, start_us = arrivals.codes[event], arrivals.ids[event]
        end_us = arrivals.ends_us[event]
        entry, newer = entries.newest[code], -1
        while entry >= 0 and table[entry, ID] > end_us:
            newer = entry
            entry = entries.links[entry, OLDER]
        if is_late and not has_room(entries, fired):
            return event
        if entry >= 0 and entries.links[entry, END] >= start_us:
            join(lanes, entries, fired, entry, start_us, end_us)
        elif is_late and kept_until(end_us, lateness_us) <= watermark_us:
            arrivals.entry[event] = -1
            continue
        elif not has_free(entries):
            return event
        else:
            entry = insert(lanes, entries, code, start_us, entry, newer)
            entries.links[entry, END] = end_us
            counters[CLOSES] = min(counters[CLOSES], kept_until(end_us, lateness_us))
        put(lanes, entries, arrivals, event, entry)
        entries.links[entry, PENDING] = 1
        counters[DUE] = min(counters[DUE], entries.links[entry, END])
        if is_late and entries.links[entry, END] <= watermark_us:
            emit_session(lanes, entries, fired, entry, FIRING, discards)
    return size


@kernel
def fire(
    lanes: Lanes,
    entries: Entries,
    fired: Fired,
    begin: int,
    watermark_us: int,
    reason: int,
    discards: bool,
) -> int:
    """Put out the sessions that are over, or (EARLY, LOOK) those that are not; first one not done.

    O(entries).
    """
    table = entries.table
    used: int = entries.counters[USED]
    for entry in range(begin, used):
        if table[entry, CODE] < 0 or entries.links[entry, PENDING] == 0:
            continue
        if (entries.links[entry, END] <= watermark_us) != (reason == FIRING):
            continue
        if table[entry, EVENTS] == 0:  # all of it has come out early
            entries.links[entry, PENDING] = 0 if reason == FIRING else 1
            continue
        if reason == EARLY and table[entry, DIRTY] == 0:
            continue
        if not has_room(entries, fired):
            return entry
        emit_session(lanes, entries, fired, entry, reason, discards)
    return used


@kernel
def drop(entries: Entries, watermark_us: int, lateness_us: int, freed: Int64s) -> int:
    """Let go of the sessions that no event can change any more; how many, and which. O(entries)."""
    table, counters = entries.table, entries.counters
    count, top = 0, ZERO
    counters[MERGED] = 0
    counters[DUE], counters[CLOSES] = INT64_MAX, INT64_MAX
    for entry in range(counters[USED]):
        if table[entry, CODE] < 0:
            continue
        until_us = kept_until(entries.links[entry, END], lateness_us)
        if until_us <= watermark_us:
            remove(entries, entry)
            freed[count] = entry
            count += 1
            continue
        top = entry + 1
        counters[CLOSES] = min(counters[CLOSES], until_us)
        if entries.links[entry, PENDING]:
            counters[DUE] = min(counters[DUE], entries.links[entry, END])
    shrink(entries, top)
    return count
