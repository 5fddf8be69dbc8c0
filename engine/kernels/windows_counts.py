"""Windows by count: the ordinals of a key's events, and the windows that they fill."""

from __future__ import annotations

from cep.engine.kernels.jit import kernel
from cep.engine.kernels.windows import (
    emit,
    end_pane,
    first_window,
    last_window,
    remove,
    shrink,
)
from cep.engine.kernels.windows_layout import (
    CLOSES,
    CODE,
    EVENTS,
    FIRINGS,
    ID,
    LAST,
    LAST_US,
    LOOK,
    MEMBERS,
    NEWER,
    OLDER,
    ROWS,
    SHIFT,
    SIZE,
    SLIDE,
    USED,
    Arrivals,
    Entries,
    Fired,
    Int64s,
    Lanes,
)


@kernel
def number(codes: Int64s, seen: Int64s, ordinals: Int64s) -> None:
    """How many events of its key came before each event; `seen`, by key code, goes on."""
    for event in range(codes.shape[0]):
        ordinals[event] = seen[codes[event]]
        seen[codes[event]] += 1


@kernel
def note_last(entries: Entries, arrivals: Arrivals) -> None:
    """Each entry's last event, by arrival."""
    for event in range(arrivals.rows.shape[0]):
        entry = arrivals.entry[event]
        source = arrivals.rows[event]
        entries.links[entry, LAST_US] = arrivals.time_us[source]
        entries.links[entry, LAST] = arrivals.base[0] + source


@kernel
def fire_full(
    grid: Int64s,
    lanes: Lanes,
    entries: Entries,
    arrivals: Arrivals,
    fired: Fired,
    begin: int,
    pane_events: int,
    freed: Int64s,
) -> int:
    """Put out the windows that events begin.. have filled; the first event not done.

    `freed`: entries that no window needs any more, their number in counters[CLOSES].
    """
    table, counters = entries.table, entries.counters
    size: int = arrivals.rows.shape[0]
    for event in range(begin, size):
        entry = arrivals.entry[event]
        if table[entry, CODE] < 0 or table[entry, EVENTS] < pane_events:
            continue
        full = table[entry, ID]
        window = (full + 1 - grid[SHIFT] - grid[SIZE]) // grid[SLIDE]
        ends = window >= 0 and end_pane(grid, window) == full + 1
        if ends and entries.links[entry, FIRINGS] == 0:
            if not emit(grid, lanes, entries, fired, entry, window, 0):
                return event
            entries.links[entry, FIRINGS] = 1
        while entry >= 0:
            older = entries.links[entry, OLDER]
            if end_pane(grid, last_window(grid, table[entry, ID])) <= full + 1:
                remove(entries, entry)
                freed[counters[CLOSES]] = entry
                counters[CLOSES] += 1
            entry = older
    shrink(entries, counters[USED])
    return size


@kernel
def fire_filling(grid: Int64s, lanes: Lanes, entries: Entries, fired: Fired, begin: int) -> int:
    """Put out, as they are, the windows that have begun and are not full; first entry not done."""
    used: int = entries.counters[USED]
    for entry in range(begin, used):
        code = entries.table[entry, CODE]
        if code < 0 or entries.links[entry, NEWER] >= 0:
            continue
        id_ = entries.table[entry, ID]
        row, members = entries.counters[ROWS], entries.counters[MEMBERS]
        for window in range(first_window(grid, id_), last_window(grid, id_) + 1):
            if entries.links[entry, FIRINGS] and end_pane(grid, window) == id_ + 1:
                continue
            if not emit(grid, lanes, entries, fired, entry, window, LOOK):
                entries.counters[ROWS], entries.counters[MEMBERS] = row, members
                return entry
    return used
