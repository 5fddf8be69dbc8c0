"""Events of several keys in, the values of features at each of them out.

A key's events that are still in reach stand in a queue made of two stacks (Tangwongsan, Hirzel,
Schneider and Wu, "General incremental sliding-window aggregation", PVLDB 8(7), 2015): an event that
comes is folded into the element of the back; the element of a node in the front is that of itself
and all that is younger there.

    front  oldest -> ... -> youngest                  what there is of all events:
    back   youngest -> ... -> oldest                  element of front's first + element of back

Once the front is used up the back is turned over into it. So every event is folded twice, nothing
is ever subtracted, and rounding errors leave together with the events that caused them. Where
nothing can leave no nodes are kept. Python grows buffers between calls: `process` returns the first
row for which there was no room.
"""

from __future__ import annotations

import math

import numpy as np

from cep.engine.kernels.features_elements import append, lift
from cep.engine.kernels.features_layout import (
    ASKS,
    ASKS_FIRST,
    ELEMENT_WORDS,
    EVENTS_MAX,
    FEEDS,
    FREE,
    FRESH,
    KEEPS_NODES,
    KEY_BACK,
    KEY_DISTINCT,
    KEY_ELEMENT,
    KEY_EVENTS,
    KEY_FRONT,
    KEY_ROOT,
    KEY_TIME_US,
    KEY_TREE_WORDS,
    NODE_ELEMENT,
    NODE_LINK,
    NODE_TIME_US,
    NONE,
    NOTHING,
    OUTPUT_ANSWER,
    OUTPUT_AT,
    OUTPUT_REAL,
    OUTPUT_WHOLE,
    OVERFLOW,
    RANGE_US,
    TREE_INPUT,
    TREE_REAL,
    TREE_SIZE,
    TREE_WORDS,
    USED,
    VALUE,
    Answer,
    Bools,
    Events,
    Plan,
    Results,
    State,
)
from cep.engine.kernels.features_trees import (
    NAN_ORDER,
    insert,
    ordered,
    remove,
    size_of,
    unordered,
    value_at,
)
from cep.engine.kernels.jit import helper, inlined, kernel
from cep.engine.kernels.layout import Floats, Int64s

TWO_TO_64 = 18446744073709551616.0
TWO_TO_63 = 9223372036854775808.0


@inlined
def node_tree(plan: Plan, tree: int) -> int:
    """The first column of a tree in the nodes."""
    column: int = NODE_ELEMENT + plan.settings[ELEMENT_WORDS] + TREE_WORDS * tree
    return column


@inlined
def key_tree(plan: Plan, tree: int) -> int:
    """The first column of a tree in the keys."""
    column: int = KEY_ELEMENT + plan.settings[ELEMENT_WORDS] + KEY_TREE_WORDS * tree
    return column


# ---------------------------------------------------------------- events come


@inlined
def has_room(state: State) -> bool:
    return bool(state.counters[FREE] >= 0 or state.counters[FRESH] < state.nodes.shape[0])


@inlined
def new_node(state: State) -> int:
    node: int = state.counters[FREE]
    if node >= 0:
        state.counters[FREE] = state.nodes[node, NODE_LINK]
    else:
        node = state.counters[FRESH]
        state.counters[FRESH] = node + 1
    state.counters[USED] += 1
    return node


@inlined
def free_node(state: State, node: int) -> None:
    state.nodes[node, NODE_LINK] = state.counters[FREE]
    state.counters[FREE] = node
    state.counters[USED] -= 1


@inlined
def push(plan: Plan, state: State, events: Events, row: int, key: int) -> None:
    """The event becomes the youngest of its key."""
    rank = events.text_rank
    if plan.settings[KEEPS_NODES] != 0:
        node = new_node(state)
        state.nodes[node, NODE_TIME_US] = events.time_us[row]
        state.nodes[node, NODE_LINK] = state.keys[key, KEY_BACK]
        state.keys[key, KEY_BACK] = node
        lift(plan, events, row, state.nodes, state.nodes_f, node, NODE_ELEMENT)
        append(
            plan, state.keys, state.keys_f, key, KEY_ELEMENT,
            state.nodes, state.nodes_f, node, NODE_ELEMENT, rank,
        )  # fmt: skip
        for tree in range(plan.trees.shape[0]):
            plant(plan, state, events, row, key, node, tree)
    else:
        lift(plan, events, row, state.scratch, state.scratch_f, 0, 0)
        append(
            plan, state.keys, state.keys_f, key, KEY_ELEMENT,
            state.scratch, state.scratch_f, 0, 0, rank,
        )  # fmt: skip
    state.keys[key, KEY_EVENTS] += 1
    state.keys[key, KEY_TIME_US] = events.time_us[row]


@inlined
def feed(plan: Plan, state: State, events: Events, row: int, key: int, most: int) -> None:
    """Let the event in; of the last `most` events (-1: all) the oldest makes way."""
    if most >= 0 and state.keys[key, KEY_EVENTS] >= most:
        if state.keys[key, KEY_FRONT] < 0:
            turn_over(plan, state, key, events.text_rank)
        drop_oldest(plan, state, key)
    push(plan, state, events, row, key)


@helper
def plant(
    plan: Plan, state: State, events: Events, row: int, key: int, node: int, tree: int
) -> None:
    source = plan.trees[tree, TREE_INPUT]
    column = node_tree(plan, tree)
    state.nodes[node, column + TREE_SIZE] = 0
    if events.valid[source, row]:
        value = ordered(events.inputs[source, row], plan.trees[tree, TREE_REAL] != 0)
        insert(state.nodes, column, state.keys, key, key_tree(plan, tree), node, value)


# ---------------------------------------------------------------- events leave


@helper
def turn_over(plan: Plan, state: State, key: int, rank: Int64s) -> None:
    """The back becomes the front, which is used up."""
    younger, node = NONE, state.keys[key, KEY_BACK]
    while node >= 0:
        older = state.nodes[node, NODE_LINK]
        state.nodes[node, NODE_LINK] = younger
        if younger >= 0:
            append(
                plan, state.nodes, state.nodes_f, node, NODE_ELEMENT,
                state.nodes, state.nodes_f, younger, NODE_ELEMENT, rank,
            )  # fmt: skip
        younger, node = node, older
    state.keys[key, KEY_FRONT] = younger
    state.keys[key, KEY_BACK] = NONE
    for word in range(plan.settings[ELEMENT_WORDS]):
        state.keys[key, KEY_ELEMENT + word] = 0


@inlined
def drop_oldest(plan: Plan, state: State, key: int) -> None:
    """The front's first node goes; there is one."""
    node = state.keys[key, KEY_FRONT]
    state.keys[key, KEY_FRONT] = state.nodes[node, NODE_LINK]
    state.keys[key, KEY_EVENTS] -= 1
    for tree in range(plan.trees.shape[0]):
        column = node_tree(plan, tree)
        if state.nodes[node, column + TREE_SIZE] > 0:
            remove(state.nodes, column, state.keys, key, key_tree(plan, tree), node)
    free_node(state, node)


@inlined
def drop_all(plan: Plan, state: State, key: int) -> None:
    """The key is as if it had never been seen."""
    for end in range(KEY_FRONT, KEY_BACK + 1):
        node = state.keys[key, end]
        state.keys[key, end] = NONE
        while node >= 0:
            following = state.nodes[node, NODE_LINK]
            free_node(state, node)
            node = following
    state.keys[key, KEY_EVENTS] = 0
    for word in range(plan.settings[ELEMENT_WORDS]):
        state.keys[key, KEY_ELEMENT + word] = 0
    for tree in range(plan.trees.shape[0]):
        state.keys[key, key_tree(plan, tree) + KEY_ROOT] = NONE
        state.keys[key, key_tree(plan, tree) + KEY_DISTINCT] = 0


@inlined
def expire(plan: Plan, state: State, key: int, bound_us: int, rank: Int64s) -> None:
    """Events with time <= bound_us leave."""
    if state.keys[key, KEY_EVENTS] == 0:
        return
    if state.keys[key, KEY_TIME_US] <= bound_us:
        drop_all(plan, state, key)
        return
    while True:  # one is younger and stays
        if state.keys[key, KEY_FRONT] < 0:
            turn_over(plan, state, key, rank)
        if state.nodes[state.keys[key, KEY_FRONT], NODE_TIME_US] > bound_us:
            return
        drop_oldest(plan, state, key)


# ---------------------------------------------------------------- answers


@inlined
def answer(plan: Plan, state: State, key: int, row: int, results: Results, rank: Int64s) -> None:
    """Write the value of every output for the key as it stands."""
    scratch, scratch_f = state.scratch, state.scratch_f
    front = state.keys[key, KEY_FRONT]
    for word in range(plan.settings[ELEMENT_WORDS]):
        scratch[0, word] = state.nodes[front, NODE_ELEMENT + word] if front >= 0 else 0
    append(plan, scratch, scratch_f, 0, 0, state.keys, state.keys_f, key, KEY_ELEMENT, rank)
    for o in range(plan.outputs.shape[0]):
        kind, at = plan.outputs[o, OUTPUT_ANSWER], plan.outputs[o, OUTPUT_AT]
        if kind == Answer.EVENTS:
            results.words[o, row] = state.keys[key, KEY_EVENTS]
            results.status[o, row] = VALUE
        elif kind == Answer.COUNT:
            results.words[o, row] = scratch[0, at]
            results.status[o, row] = VALUE
        elif kind == Answer.DISTINCT:
            results.words[o, row] = state.keys[key, key_tree(plan, at) + KEY_DISTINCT]
            results.status[o, row] = VALUE
        elif kind == Answer.QUANTILE:
            answer_quantile(plan, state, key, o, row, results)
        elif scratch[0, at] > 0:
            answer_value(plan, scratch, scratch_f, o, row, results)


@inlined
def answer_value(
    plan: Plan, scratch: Int64s, scratch_f: Floats, o: int, row: int, results: Results
) -> None:
    kind, at = plan.outputs[o, OUTPUT_ANSWER], plan.outputs[o, OUTPUT_AT]
    n = scratch[0, at]
    results.status[o, row] = VALUE
    if kind == Answer.VALUE:
        results.words[o, row] = scratch[0, at + 1]
    elif kind == Answer.END:
        results.words[o, row] = scratch[0, at + 1]
        if scratch[0, at + 2] == 0:
            results.status[o, row] = NOTHING
    elif kind == Answer.SUM_WHOLE:
        results.words[o, row] = scratch[0, at + 1]
        if scratch[0, at + 2] != 0:
            results.status[o, row] = OVERFLOW
    elif kind == Answer.DEVIATION:
        results.status[o, row] = VALUE if n > 1 else NOTHING
        if n > 1:
            results.words_f[o, row] = math.sqrt(scratch_f[0, at + 2] / np.float64(n - 1))
    else:
        if kind == Answer.MEAN_REAL:
            total = scratch_f[0, at + 1]
        else:
            total = np.float64(scratch[0, at + 1]) + np.float64(scratch[0, at + 2]) * TWO_TO_64
        write_real(plan, o, row, results, total / np.float64(n))


@inlined
def write_real(plan: Plan, o: int, row: int, results: Results, value: float) -> None:
    """A mean or quantile, where asked for as the nearest integer, ties to even."""
    results.status[o, row] = VALUE
    if plan.outputs[o, OUTPUT_WHOLE] == 0:
        results.words_f[o, row] = value
        return
    whole = np.rint(value)
    if whole >= -TWO_TO_63 and whole < TWO_TO_63:
        results.words[o, row] = np.int64(whole)
    else:
        results.status[o, row] = OVERFLOW


@helper
def answer_quantile(plan: Plan, state: State, key: int, o: int, row: int, results: Results) -> None:
    """Linear between the two values around place p (n - 1), as NumPy does it; NaN with any NaN."""
    tree = plan.outputs[o, OUTPUT_AT]
    is_real = plan.outputs[o, OUTPUT_REAL] != 0
    column = node_tree(plan, tree)
    root = state.keys[key, key_tree(plan, tree) + KEY_ROOT]
    n = size_of(state.nodes, column, root)
    if n == 0:
        return
    place = plan.fractions[o] * np.float64(n - 1)
    low = int(place)
    part = place - np.float64(low)
    a = value_at(state.nodes, column, root, low)
    b = value_at(state.nodes, column, root, low + 1) if part > 0.0 else a
    if is_real and value_at(state.nodes, column, root, n - 1) == NAN_ORDER:
        a, b = NAN_ORDER, NAN_ORDER
    if a == b and plan.outputs[o, OUTPUT_WHOLE] != 0:
        results.words[o, row] = a
        results.status[o, row] = VALUE
        return
    x, y = np.float64(a), np.float64(b)
    if is_real:
        state.scratch[1, 0] = unordered(a)
        state.scratch[1, 1] = unordered(b)
        x, y = state.scratch_f[1, 0], state.scratch_f[1, 1]
    if a == b:
        write_real(plan, o, row, results, x)
    elif part < 0.5:
        write_real(plan, o, row, results, x + (y - x) * part)
    else:
        write_real(plan, o, row, results, y - (y - x) * (1.0 - part))


# ---------------------------------------------------------------- called from Python


@kernel
def process(
    plan: Plan, state: State, events: Events, codes: Int64s, begin: int, results: Results
) -> int:
    """Let the events (of keys `codes`, those of a key in order) happen; returns how many are done.

    Stops before an event that feeds while there is no free node.
    """
    range_us, most = plan.settings[RANGE_US], plan.settings[EVENTS_MAX]
    keeps, asks_first = plan.settings[KEEPS_NODES] != 0, plan.settings[ASKS_FIRST] != 0
    rank = events.text_rank
    for row in range(begin, codes.size):
        key, role = codes[row], events.roles[row]
        if role & FEEDS and keeps and not has_room(state):
            return row
        if range_us >= 0:
            expire(plan, state, key, events.time_us[row] - range_us, rank)
        if role & FEEDS and not asks_first:
            feed(plan, state, events, row, key, most)
        if role & ASKS:
            answer(plan, state, key, row, results, rank)
        if role & FEEDS and asks_first:
            feed(plan, state, events, row, key, most)
    return codes.size


@kernel
def by_key(
    rows: Int64s, codes: Int64s, places: Int64s, ordered_rows: Int64s, ordered_codes: Int64s
) -> None:
    """Write the rows and their codes sorted by code, within a code as they were.

    places (K + 1,): zeros, for codes below K.
    """
    for i in range(codes.size):
        places[codes[i] + 1] += 1
    for key in range(places.size - 1):
        places[key + 1] += places[key]
    for i in range(rows.size):
        at = places[codes[i]]
        places[codes[i]] = at + 1
        ordered_rows[at] = rows[i]
        ordered_codes[at] = codes[i]


@kernel
def take(events: Events, rows: Int64s, taken: Events) -> None:
    """Write these rows side by side: a processor reads ahead, and no two cores share lines."""
    for i in range(rows.size):
        taken.time_us[i] = events.time_us[rows[i]]
        taken.roles[i] = events.roles[rows[i]]
    for n in range(events.inputs.shape[0]):
        for i in range(rows.size):
            taken.inputs[n, i] = events.inputs[n, rows[i]]
            taken.valid[n, i] = events.valid[n, rows[i]]


@kernel
def put(made: Results, rows: Int64s, results: Results) -> None:
    """Write what was made for these rows where they belong."""
    for o in range(results.words.shape[0]):
        for i in range(rows.size):
            results.words[o, rows[i]] = made.words[o, i]
            results.status[o, rows[i]] = made.status[o, i]


@kernel
def clean(plan: Plan, state: State, bound_us: int) -> None:
    """Keys whose events all have time <= bound_us let go of them. O(keys)."""
    for key in range(state.keys.shape[0]):
        if state.keys[key, KEY_EVENTS] > 0 and state.keys[key, KEY_TIME_US] <= bound_us:
            drop_all(plan, state, key)


@kernel
def drop(plan: Plan, state: State, kept: Bools) -> None:
    """Keys that are not kept let go of all. kept (K,)."""
    for key in range(state.keys.shape[0]):
        if not kept[key] and state.keys[key, KEY_EVENTS] > 0:
            drop_all(plan, state, key)


@kernel
def count_nodes(state: State, codes: Int64s, ends: Int64s, fronts: Int64s) -> None:
    """Where the nodes of each key end, were they listed; fronts[i]: how many stand in its front.

    They may be fewer than its events: none were kept before there was a tree.
    """
    at = 0
    for i in range(codes.size):
        begin = at
        for end in range(KEY_FRONT, KEY_BACK + 1):
            node = state.keys[codes[i], end]
            while node >= 0:
                at += 1
                node = state.nodes[node, NODE_LINK]
            if end == KEY_FRONT:
                fronts[i] = at - begin
        ends[i] = at


@kernel
def list_nodes(state: State, codes: Int64s, ends: Int64s, order: Int64s) -> None:
    """Write the nodes of these keys, oldest first, those of key i before order[ends[i]]."""
    at = 0
    for i in range(codes.size):
        node = state.keys[codes[i], KEY_FRONT]
        while node >= 0:
            order[at] = node
            at += 1
            node = state.nodes[node, NODE_LINK]
        at = ends[i]
        node = state.keys[codes[i], KEY_BACK]
        while node >= 0:
            at -= 1
            order[at] = node
            node = state.nodes[node, NODE_LINK]
        at = ends[i]


@kernel
def link_nodes(
    plan: Plan, state: State, codes: Int64s, ends: Int64s, order: Int64s, fronts: Int64s,
    values: Int64s, held: Bools,
) -> None:  # fmt: skip
    """The inverse of `list_nodes`, which also plants the trees: values (t, e), held (t, e)."""
    at = 0
    for i in range(codes.size):
        key = codes[i]
        state.keys[key, KEY_FRONT] = order[at] if fronts[i] > 0 else NONE
        for n in range(at, at + fronts[i]):
            state.nodes[order[n], NODE_LINK] = order[n + 1] if n + 1 < at + fronts[i] else NONE
        back = NONE
        for n in range(at + fronts[i], ends[i]):
            state.nodes[order[n], NODE_LINK] = back
            back = order[n]
        state.keys[key, KEY_BACK] = back
        for tree in range(plan.trees.shape[0]):
            column = node_tree(plan, tree)
            for n in range(at, ends[i]):
                state.nodes[order[n], column + TREE_SIZE] = 0
                if held[tree, n]:
                    insert(
                        state.nodes, column, state.keys, key, key_tree(plan, tree),
                        order[n], values[tree, n],
                    )  # fmt: skip
        at = ends[i]
