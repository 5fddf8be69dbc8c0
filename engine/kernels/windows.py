"""Panes and the windows made of them: events into entries, entries merged into fired rows.

                 pane  0   1   2   3        an event is added to the entry of its key and pane
    window 0          [---------]           (size 3, slide 1); a window fires by merging the
    window 1              [---------]       entries that it covers, never by taking one away

Windows are numbered in the order of their ends. Where `grid[ALONE]` is set an entry is a window.
"""

from __future__ import annotations

from cep.engine.kernels.jit import inlined, kernel
from cep.engine.kernels.layout import ZERO
from cep.engine.kernels.windows_lanes import add_event, merge_lanes
from cep.engine.kernels.windows_layout import (
    ALONE,
    CLOSES,
    CODE,
    CUMULATES,
    CURSOR,
    DIRTY,
    DIRTY_ENTRIES,
    DUE,
    EARLY,
    END,
    EVENTS,
    FIRINGS,
    FIRST,
    FROM_ZERO,
    HEADER,
    ID,
    INT64_MAX,
    LAST,
    LINKS,
    LIVE,
    LOOK,
    MEMBERS,
    MERGED,
    NEWER,
    NONE,
    OLDER,
    OUT,
    OUT_CODE,
    OUT_END,
    OUT_EVENTS,
    OUT_FIRST,
    OUT_LAST,
    OUT_MEMBERS,
    OUT_UPDATE,
    OUT_WINDOW,
    PENDING,
    RESUME,
    ROWS,
    SHIFT,
    SIZE,
    SLIDE,
    USED,
    WARM,
    Arrivals,
    Entries,
    Fired,
    Int64s,
    Lanes,
)

BLOCK = 32  # events or entries whose memory is asked for together

# ---------------------------------------------------------------- which windows


@inlined
def first_window(grid: Int64s, id_: int) -> int:
    """The first window that covers a pane."""
    if grid[ALONE] or grid[CUMULATES]:
        return id_
    window: int = (id_ - grid[SHIFT] - grid[SIZE]) // grid[SLIDE] + 1
    return max(window, 0) if grid[FROM_ZERO] else window


@inlined
def last_window(grid: Int64s, id_: int) -> int:
    last: int = (id_ - grid[SHIFT]) // grid[SLIDE]
    if grid[CUMULATES]:
        last = id_ // grid[SIZE] * grid[SIZE] + grid[SIZE] - 1
    return id_ if grid[ALONE] else last


@inlined
def first_pane(grid: Int64s, window: int) -> int:
    pane: int = window * grid[SLIDE] + grid[SHIFT]
    if grid[CUMULATES]:
        pane = window // grid[SIZE] * grid[SIZE]
    return window if grid[ALONE] else pane


@inlined
def end_pane(grid: Int64s, window: int) -> int:
    """The first pane behind the window."""
    if grid[ALONE] or grid[CUMULATES]:
        return window + 1
    pane: int = window * grid[SLIDE] + grid[SHIFT] + grid[SIZE]
    return pane


# ---------------------------------------------------------------- the list of a key's entries


@inlined
def has_free(entries: Entries) -> bool:
    """At most three quarters are in use, or a free one would be long to find."""
    free: bool = 4 * entries.counters[LIVE] <= 3 * entries.table.shape[0]
    return free and entries.counters[LIVE] < entries.table.shape[0]


@inlined
def clear(lanes: Lanes, entries: Entries, entry: int) -> None:
    """Nothing is in it any more, but it is still there."""
    entries.table[entry, EVENTS] = 0
    for i in range(lanes.initial.shape[0]):
        entries.table[entry, HEADER + i] = lanes.initial[i]


@inlined
def insert(lanes: Lanes, entries: Entries, code: int, id_: int, older: int, newer: int) -> int:
    """A new entry between two of its key; there is a free one."""
    table, links, counters = entries.table, entries.links, entries.counters
    entry = counters[CURSOR]
    while table[entry, CODE] >= 0:
        entry += 1
        if entry == table.shape[0]:
            entry = ZERO
    counters[CURSOR] = entry
    counters[USED] = max(counters[USED], entry + 1)
    counters[LIVE] += 1
    table[entry, CODE] = code
    table[entry, ID] = id_
    table[entry, FIRST] = INT64_MAX
    table[entry, DIRTY] = 0
    for i in range(LINKS):
        links[entry, i] = 0
    links[entry, OLDER] = older
    links[entry, NEWER] = newer
    clear(lanes, entries, entry)
    if older >= 0:
        links[older, NEWER] = entry
    if newer >= 0:
        links[newer, OLDER] = entry
    else:
        entries.newest[code] = entry
    return entry  # type: ignore[no-any-return]


@inlined
def remove(entries: Entries, entry: int) -> None:
    links = entries.links
    older, newer = links[entry, OLDER], links[entry, NEWER]
    if older >= 0:
        links[older, NEWER] = newer
    if newer >= 0:
        links[newer, OLDER] = older
    else:
        entries.newest[entries.table[entry, CODE]] = older
    entries.table[entry, CODE] = -1
    entries.counters[LIVE] -= 1


@inlined
def shrink(entries: Entries, used: int) -> None:
    """Entries from `used` on are free; where few are in use, new ones go to the front again.

    Otherwise a moment with many keys would make every later look at all entries a long one.
    """
    counters = entries.counters
    counters[USED] = ZERO if counters[LIVE] == 0 else used
    if 4 * counters[LIVE] < used:
        counters[CURSOR] = 0


@inlined
def find_or_insert(grid: Int64s, lanes: Lanes, entries: Entries, code: int, id_: int) -> int:
    """The key's entry of this number; -1: there is none, and no free one."""
    older, newer = entries.newest[code], -1
    while older >= 0 and entries.table[older, ID] > id_:
        newer = older
        older = entries.links[older, OLDER]
    if older >= 0 and entries.table[older, ID] == id_:
        return older  # type: ignore[no-any-return]
    if not has_free(entries):
        return -1
    entries.counters[DUE] = min(entries.counters[DUE], first_window(grid, id_))
    entries.counters[CLOSES] = min(entries.counters[CLOSES], last_window(grid, id_))
    return insert(lanes, entries, code, id_, older, newer)


@inlined
def put(lanes: Lanes, entries: Entries, arrivals: Arrivals, event: int, entry: int) -> None:
    """An event into an entry."""
    table = entries.table
    sequence = arrivals.base[0] + arrivals.rows[event]
    table[entry, FIRST] = min(table[entry, FIRST], sequence)
    table[entry, EVENTS] += 1
    table[entry, DIRTY] = 1
    entries.counters[DIRTY_ENTRIES] = 1
    add_event(lanes, arrivals, event, table, entries.table_f, entry, HEADER)
    arrivals.entry[event] = entry


# ---------------------------------------------------------------- putting out


@inlined
def emit(
    grid: Int64s,
    lanes: Lanes,
    entries: Entries,
    fired: Fired,
    newest: int,
    window: int,
    reason: int,
) -> bool:
    """A row for the window that covers `newest` and older entries of its key; False: no room."""
    table, rows = entries.table, fired.rows
    row, members = entries.counters[ROWS], entries.counters[MEMBERS]
    if row == rows.shape[0]:
        return False
    for i in range(lanes.initial.shape[0]):
        rows[row, OUT + i] = lanes.initial[i]
    events, dirty, first = 0, 0, INT64_MAX
    begin = first_pane(grid, window)
    entry = newest
    while entry >= 0 and table[entry, ID] >= begin:
        if fired.members.shape[0] > 0:
            if members == fired.members.shape[0]:
                return False
            fired.members[members] = entry
            members += 1
        merge_lanes(lanes, rows, fired.rows_f, row, OUT, table, entries.table_f, entry, HEADER)
        events += table[entry, EVENTS]
        dirty |= table[entry, DIRTY]
        first = min(first, table[entry, FIRST])
        entry = -1 if grid[ALONE] else entries.links[entry, OLDER]
    if events == 0 or (reason == EARLY and dirty == 0):
        return True
    rows[row, OUT_CODE] = table[newest, CODE]
    rows[row, OUT_WINDOW] = window
    rows[row, OUT_END] = entries.links[newest, END]
    rows[row, OUT_FIRST] = first
    rows[row, OUT_LAST] = entries.links[newest, LAST]
    rows[row, OUT_EVENTS] = events
    rows[row, OUT_UPDATE] = entries.links[newest, FIRINGS]
    rows[row, OUT_MEMBERS] = members
    entries.counters[ROWS] = row + 1
    entries.counters[MEMBERS] = members
    if grid[ALONE] and reason != LOOK:
        if reason != EARLY:
            entries.links[newest, FIRINGS] += 1
        clear(lanes, entries, newest)
    return True


@inlined
def emit_ending_at(
    grid: Int64s,
    lanes: Lanes,
    entries: Entries,
    fired: Fired,
    entry: int,
    first: int,
    last: int,
    reason: int,
) -> bool:
    """The windows first..last of which this entry is the newest; False: no room, nothing done."""
    row, members = entries.counters[ROWS], entries.counters[MEMBERS]
    id_, newer = entries.table[entry, ID], entries.links[entry, NEWER]
    for window in range(max(first, first_window(grid, id_)), min(last, last_window(grid, id_)) + 1):
        if newer >= 0 and entries.table[newer, ID] < end_pane(grid, window):
            break
        if not emit(grid, lanes, entries, fired, entry, window, reason):
            entries.counters[ROWS], entries.counters[MEMBERS] = row, members
            return False
    return True


@inlined
def touch_newest(entries: Entries, arrivals: Arrivals, begin: int, end: int) -> None:
    """Read what events begin..end will need, so that it is in the cache.

    These reads do not wait for each other; with many keys that halves the time for an event.
    """
    found = ZERO
    for event in range(begin, end):
        newest = entries.newest[arrivals.codes[event]]
        if newest >= 0:
            found ^= entries.table[newest, ID] ^ entries.links[newest, END]
    entries.counters[WARM] = found


@inlined
def touch_rows(entries: Entries, fired: Fired, places: Int64s, begin: int, end: int) -> None:
    """The same for the rows of the keys of entries begin..end."""
    found = ZERO
    for entry in range(begin, end):
        code = entries.table[entry, CODE]
        if code >= 0 and places[code] >= 0:
            found ^= fired.rows[places[code], OUT_FIRST]
    entries.counters[WARM] = found


# ---------------------------------------------------------------- kernels


@kernel
def add(grid: Int64s, lanes: Lanes, entries: Entries, arrivals: Arrivals, begin: int) -> int:
    """Events begin.. into their entries; the index of the first one not added, for lack of room.

    O(1) per event in order of time; a late one walks past the newer entries of its key.
    """
    size: int = arrivals.rows.shape[0]
    for block in range(begin, size, BLOCK):
        end = min(block + BLOCK, size)
        touch_newest(entries, arrivals, block, end)
        for event in range(block, end):
            entry = find_or_insert(grid, lanes, entries, arrivals.codes[event], arrivals.ids[event])
            if entry < 0:
                return event
            put(lanes, entries, arrivals, event, entry)
    return size


@kernel
def add_late(
    grid: Int64s,
    lanes: Lanes,
    entries: Entries,
    arrivals: Arrivals,
    fired: Fired,
    begin: int,
    fired_to: int,
    closed_to: int,
) -> int:
    """The same for late events: after each, its windows that have fired and are not closed fire."""
    size: int = arrivals.rows.shape[0]
    table, counters = entries.table, entries.counters
    for event in range(begin, size):
        id_ = arrivals.ids[event]
        if counters[RESUME] == NONE:
            entry = find_or_insert(grid, lanes, entries, arrivals.codes[event], id_)
            if entry < 0:
                return event
            put(lanes, entries, arrivals, event, entry)
            counters[RESUME] = max(first_window(grid, id_), closed_to + 1)
        newest = arrivals.entry[event]
        while counters[RESUME] <= min(last_window(grid, id_), fired_to):
            window = counters[RESUME]
            newer = entries.links[newest, NEWER]
            while newer >= 0 and table[newer, ID] < end_pane(grid, window):
                newest = newer
                newer = entries.links[newest, NEWER]
            if not emit(grid, lanes, entries, fired, newest, window, 0):
                return event
            counters[RESUME] = window + 1
        counters[RESUME] = NONE
    return size


@kernel
def fire(
    grid: Int64s,
    lanes: Lanes,
    entries: Entries,
    fired: Fired,
    begin: int,
    first: int,
    last: int,
    reason: int,
) -> int:
    """Put out windows first..last that have events; the first entry not done, for lack of room.

    O(entries + entries covered by each window).
    """
    used: int = entries.counters[USED]
    for entry in range(begin, used):
        if entries.table[entry, CODE] >= 0 and not emit_ending_at(
            grid, lanes, entries, fired, entry, first, last, reason
        ):
            return entry
    return used


@kernel
def fire_window(
    grid: Int64s,
    lanes: Lanes,
    entries: Entries,
    fired: Fired,
    places: Int64s,
    window: int,
    reason: int,
) -> bool:
    """Put out one window for all keys; False: no room, and nothing is put out.

    Reads the entries as they lie, where `fire` follows the list of each key: for few windows over
    many keys several times as fast. `places`, by key code, is -1 before and after. Without members,
    and not for entries that are windows. O(entries).
    """
    table, rows, counters = entries.table, fired.rows, entries.counters
    begin, end = first_pane(grid, window), end_pane(grid, window)
    before = counters[ROWS]
    count = before
    fits = True
    for block in range(0, counters[USED], BLOCK):
        block_end = min(block + BLOCK, counters[USED])
        touch_rows(entries, fired, places, block, block_end)
        for entry in range(block, block_end):
            code = table[entry, CODE]
            if code < 0 or table[entry, ID] < begin or table[entry, ID] >= end:
                continue
            row = places[code]
            if row < 0:
                fits = count < rows.shape[0]
                if not fits:
                    break
                row = count
                count += 1
                places[code] = row
                begin_row(lanes, fired, row, code, window)
            rows[row, OUT_FIRST] = min(rows[row, OUT_FIRST], table[entry, FIRST])
            rows[row, OUT_EVENTS] += table[entry, EVENTS]
            rows[row, OUT_LAST] |= table[entry, DIRTY]
            merge_lanes(lanes, rows, fired.rows_f, row, OUT, table, entries.table_f, entry, HEADER)
        if not fits:
            break
    for row in range(before, count):
        places[rows[row, OUT_CODE]] = -1
    if not fits:
        return False
    kept = before
    for row in range(before, count):
        if reason != EARLY or rows[row, OUT_LAST]:
            for i in range(rows.shape[1]):
                rows[kept, i] = rows[row, i]
            kept += 1
    counters[ROWS] = kept
    return True


@inlined
def begin_row(lanes: Lanes, fired: Fired, row: int, code: int, window: int) -> None:
    for i in range(OUT):
        fired.rows[row, i] = 0
    for i in range(lanes.initial.shape[0]):
        fired.rows[row, OUT + i] = lanes.initial[i]
    fired.rows[row, OUT_CODE] = code
    fired.rows[row, OUT_WINDOW] = window
    fired.rows[row, OUT_FIRST] = INT64_MAX


@kernel
def drop(
    grid: Int64s,
    lanes: Lanes,
    entries: Entries,
    fired: Fired,
    fired_to: int,
    closed_to: int,
    freed: Int64s,
) -> int:
    """Let go of entries that only closed windows cover; how many, and in `freed` which.

    Steps of a cumulating window that are closed become one, as `fired.merged` tells. O(entries).
    """
    table, counters = entries.table, entries.counters
    count, top = 0, ZERO
    counters[MERGED] = 0
    counters[DUE], counters[CLOSES] = INT64_MAX, INT64_MAX
    for entry in range(counters[USED]):
        if table[entry, CODE] < 0:
            continue
        id_ = table[entry, ID]
        if last_window(grid, id_) <= closed_to:
            remove(entries, entry)
            freed[count] = entry
            count += 1
            continue
        if grid[CUMULATES] and not grid[ALONE] and id_ <= closed_to:
            begin = first_pane(grid, id_)
            older = entries.links[entry, OLDER]
            while older >= 0 and table[older, ID] >= begin:
                take_in(lanes, entries, fired, entry, older)
                freed[count] = older
                count += 1
                older = entries.links[entry, OLDER]
        if last_window(grid, id_) > fired_to:
            counters[DUE] = min(counters[DUE], max(first_window(grid, id_), fired_to + 1))
        top = entry + 1
        counters[CLOSES] = min(counters[CLOSES], last_window(grid, id_))
    shrink(entries, top)
    return count


@inlined
def take_in(lanes: Lanes, entries: Entries, fired: Fired, entry: int, other: int) -> None:
    """The events of another entry of the key go into this one."""
    table, counters = entries.table, entries.counters
    merge_lanes(lanes, table, entries.table_f, entry, HEADER, table, entries.table_f, other, HEADER)
    table[entry, FIRST] = min(table[entry, FIRST], table[other, FIRST])
    table[entry, EVENTS] += table[other, EVENTS]
    table[entry, DIRTY] |= table[other, DIRTY]
    entries.links[entry, PENDING] |= entries.links[other, PENDING]
    entries.links[entry, FIRINGS] = max(
        entries.links[entry, FIRINGS], entries.links[other, FIRINGS]
    )
    if fired.merged.shape[0] > 0:
        fired.merged[counters[MERGED], 0] = entry
        fired.merged[counters[MERGED], 1] = other
        counters[MERGED] += 1
    remove(entries, other)
