"""How window kernels see state: entries, the lanes that they accumulate, arrivals, fired rows.

An entry is what one key has in one pane (or in one window, or in one session): a header and then
the words of its lanes. The entries of a key form a list from newest to oldest; -1 stands for none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cep.engine.kernels.layout import word

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

INT64_MIN, INT64_MAX = word(-(2**63)), word(2**63 - 1)

# What a lane holds, and in how many words. Lanes on floats read their input as a float.
COUNT = 0  # how many values are not NULL
SUM_I = 1  # two halves of the exact sum: the upper 32 bits of each value, and the lower
SUM_F = 2  # a double-double: the sum and what its rounding left out
MIN_I, MAX_I = 3, 4
MIN_F, MAX_F = 5, 6  # NaN counts only where there is nothing else
MIN_TEXT, MAX_TEXT = 7, 8  # code of a text, -1: none; compared by rank
FIRST_OF, LAST_OF = 9, 10  # time, sequence, whether it is not NULL, value
MOMENTS = 11  # count, and as double-doubles the sum and the sum of squares
WORDS = {COUNT: 1, SUM_I: 2, SUM_F: 2, FIRST_OF: 4, LAST_OF: 4, MOMENTS: 5}  # others: 1


class Lanes(NamedTuple):
    """lanes (l, 4): kind, input, first word, whether the input is a float. `initial`: the words of
    nothing. `rank`: code of a text -> its place in the order of texts.
    """

    lanes: Int64s
    initial: Int64s
    rank: Int64s


LANE_KIND, LANE_INPUT, LANE_WORD, LANE_FLOAT = range(4)
LANE_FIELDS = 4


class Entries(NamedTuple):
    """Entries: `table` (capacity, HEADER + words) has what every event touches, `links` the rest.

    `table_f` is the same memory as `table`. `newest`: of each key code. An entry whose code is -1
    is free. New ones are looked for from the last one on, so that those of a pane lie together:
    windows are put together by reading the table from end to end.
    """

    counters: Int64s
    table: Int64s
    table_f: Floats
    links: Int64s
    newest: Int64s


USED = 0  # entries beyond were never used
CURSOR = 1  # where the next free entry is looked for
LIVE = 2
DUE = 3  # number of the earliest window (sessions: time) at which something may fire
CLOSES = 4  # the same for something that may be dropped
DIRTY_ENTRIES = 5  # more than 0: something has changed since the last early result
ROWS, MEMBERS, MERGED = 6, 7, 8  # filled parts of Fired
RESUME = 9  # the window with which an event goes on that had no room; NONE: it has not begun
WARM = 10  # means nothing: see `windows.touch_newest`
COUNTERS = 11
NONE = INT64_MIN

CODE = 0
ID = 1  # number of the pane or window; sessions: time of the first event
FIRST = 2  # lowest sequence of its events
EVENTS = 3
DIRTY = 4  # 1: changed since the last early result
HEADER = 5

OLDER, NEWER = 0, 1
END = 2  # sessions: exclusive end
LAST_US = 2  # windows by count: time of the last event
FIRINGS = 3  # how often it has fired, early results left out
PENDING = 4  # sessions: 1 where it has not fired since it changed
LAST = 4  # windows by count: sequence of the last event
LINKS = 5


class Arrivals(NamedTuple):
    """Events for one shard: `rows` (n,) of the slice in hand, with their key codes and entry ids.

    `ends_us` (n,): end of the session that each would be alone. By row of the slice: `time_us`,
    `inputs` (rows, i) as raw words, of which `inputs_f` is the same memory, and `valid`. `base`
    (1,): sequence of the slice's first row. `entry` (n,) is written: the entry of each event, -1
    where it is too late.
    """

    rows: Int64s
    codes: Int64s
    ids: Int64s
    ends_us: Int64s
    time_us: Int64s
    inputs: Int64s
    inputs_f: Floats
    valid: Bools
    base: Int64s
    entry: Int64s


class Fired(NamedTuple):
    """What came out: rows (capacity, OUT + words), of which `rows_f` is the same memory.

    `members`: the entries of each row, newest first, up to its OUT_MEMBERS; size 0: not wanted.
    `merged` (m, 2): entries that took in another, and which; size 0: not wanted.
    """

    rows: Int64s
    rows_f: Floats
    members: Int64s
    merged: Int64s


OUT_CODE = 0
OUT_WINDOW = 1  # number of the window; sessions: start
OUT_END = 2  # sessions: end; windows by count: time of the event that filled it
OUT_FIRST = 3  # lowest sequence of its events
OUT_LAST = 4  # windows by count: sequence of the event that filled it
OUT_EVENTS = 5
OUT_UPDATE = 6  # how often it had fired before
OUT_MEMBERS = 7
OUT = 8

# The grid of windows: window n covers panes [n slide + shift, n slide + shift + size); cumulating
# ones all panes from that of the period's start up to its own.
SIZE, SLIDE, SHIFT = 0, 1, 2
CUMULATES = 3
ALONE = 4  # entries are windows, not panes that windows share
FROM_ZERO = 5  # there is no window before number 0
GRID = 6

FIRING, EARLY, LOOK = range(3)  # why a window is put out; LOOK leaves everything as it is
