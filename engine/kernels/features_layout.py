"""How the feature kernels see a plan, events and state: bundles of arrays, and their columns.

A key's events stand in a queue of nodes. What is known of several events together is an *element*:
a few words for every slot, the first of them how many values (not NULL) went in.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cep.engine.kernels.layout import Floats, Int64s, word

Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]


class Partial(IntEnum):
    """What a slot knows of its input's values x; the words behind their number.

    FIRST and LAST count events and read theirs whatever its value; the others pass over NULLs.
    """

    COUNT = 0
    SUM_WHOLE = 1  # modulo 2**64, and how many times 2**64 that has left out
    SUM_REAL = 2  # a double-double: high, low
    MOMENTS = 3  # mean, sum of squared deviations from it
    FIRST = 4  # the value, whether it is one
    LAST = 5
    MIN = 6  # and so on: the value
    MAX = 7
    MIN_REAL = 8
    MAX_REAL = 9
    MIN_TEXT = 10  # by rank
    MAX_TEXT = 11


def words_of(partial: Partial) -> int:
    """How many words a slot has."""
    if partial is Partial.COUNT:
        return 1
    return 3 if partial <= Partial.LAST else 2


class Answer(IntEnum):
    """What an output reads from the combined element or from a tree."""

    EVENTS = 0
    COUNT = 1
    SUM_WHOLE = 2
    VALUE = 3  # the word behind the number
    END = 4  # the same, unless the event had none
    MEAN_WHOLE = 5
    MEAN_REAL = 6
    DEVIATION = 7
    DISTINCT = 8
    QUANTILE = 9


class Plan(NamedTuple):
    """What a group of features keeps and answers.

    slots (s, 4), trees (t, 2), outputs (o, 4), fractions (o,): p of a quantile, settings.
    """

    slots: Int64s
    trees: Int64s
    outputs: Int64s
    fractions: Floats
    settings: Int64s


SLOT_PARTIAL, SLOT_INPUT, SLOT_AT = range(3)  # SLOT_AT: first word in the element
SLOT_REAL = 3  # whether the input is a float
SLOT_FIELDS = 4
TREE_INPUT, TREE_REAL = range(2)
TREE_FIELDS = 2
OUTPUT_ANSWER = 0
OUTPUT_AT = 1  # first word of the slot, or number of the tree
OUTPUT_WHOLE = 2  # whether a mean or quantile is rounded to an integer
OUTPUT_REAL = 3  # whether the tree's values are floats
OUTPUT_FIELDS = 4
RANGE_US = 0  # -1: no bound in time
EVENTS_MAX = 1  # -1: no bound in number
KEEPS_NODES = 2  # whether events may have to leave, or stand in a tree
ASKS_FIRST = 3  # the current event is excluded
ELEMENT_WORDS = 4
SETTINGS = 5


class Events(NamedTuple):
    """A batch: time_us (n,), roles (n,), inputs (m, n) as raw words, valid (m, n): not NULL.

    `inputs_f` is the same memory as `inputs`. `text_rank`: code -> place in the order of texts.
    """

    time_us: Int64s
    roles: Bytes
    inputs: Int64s
    inputs_f: Floats
    valid: Bools
    text_rank: Int64s


FEEDS, ASKS = 1, 2  # bits of a row's role: is aggregated; gets the features' values


class Results(NamedTuple):
    """words (o, n) as raw words, status (o, n). `words_f` is the same memory as `words`."""

    words: Int64s
    words_f: Floats
    status: Bytes


NOTHING, VALUE, OVERFLOW = 0, 1, 2  # status


def new_results(outputs: int, rows: int) -> Results:
    """Nothing yet, for Python."""
    words = np.zeros((outputs, rows), np.int64)
    return Results(words, words.view(np.float64), np.zeros((outputs, rows), np.uint8))


class State(NamedTuple):
    """Nodes, keys, and room to combine two elements in; `_f` is the same memory as floats.

    nodes (N, 2 + element + 5 per tree), keys (K, 4 + element + 2 per tree), scratch (2, element or
    more).
    """

    counters: Int64s
    nodes: Int64s
    nodes_f: Floats
    keys: Int64s
    keys_f: Floats
    scratch: Int64s
    scratch_f: Floats


FREE, FRESH, USED = range(3)  # head of the free list; nodes ever used; nodes in queues
COUNTERS = 3
NODE_TIME_US = 0
NODE_LINK = 1  # front: the next younger; back: the next older; free: the next free
NODE_ELEMENT = 2
TREE_PARENT, TREE_LEFT, TREE_RIGHT = range(3)  # from the tree's first column on
TREE_SIZE = 3  # nodes from here down; 0: not in the tree
TREE_VALUE = 4
TREE_WORDS = 5
KEY_EVENTS = 0
KEY_FRONT = 1  # the oldest node; its element is that of the whole front
KEY_BACK = 2  # the youngest node
KEY_TIME_US = 3  # of the youngest event
KEY_ELEMENT = 4  # of the whole back
KEY_ROOT, KEY_DISTINCT = range(2)  # from the tree's first column on
KEY_TREE_WORDS = 2
NONE = word(-1)


def tree_column(element_words: int, tree: int) -> int:
    """The first column of a tree in the nodes, for Python."""
    return NODE_ELEMENT + element_words + TREE_WORDS * tree
