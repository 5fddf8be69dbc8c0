"""Order statistics over the values of a queue: a treap whose nodes are the queue's own.

Each node that holds a value (not NULL) of a tree's input stands in it, ordered by value, and knows
how many stand below it (Seidel and Aragon, "Randomized search trees", Algorithmica 16, 1996). The
priority of a node is a hash of its number: the shape follows from the numbers of the nodes, the
answers do not. Insertion and removal take O(log w) for w values, `value_at` as much.
"""

from __future__ import annotations

import numpy as np

from cep.engine.kernels.features_layout import (
    KEY_DISTINCT,
    KEY_ROOT,
    NONE,
    TREE_LEFT,
    TREE_PARENT,
    TREE_RIGHT,
    TREE_SIZE,
    TREE_VALUE,
)
from cep.engine.kernels.jit import helper, inlined
from cep.engine.kernels.layout import Int64s, word

NAN_ORDER = word(0x7FF8000000000000)
MAGNITUDE = (1 << 63) - 1


@inlined
def ordered(bits: int, is_real: bool) -> int:
    """The word of a value -> an integer in the order of values: -inf .. inf, NaN.

    There is one zero and one NaN.
    """
    if not is_real:
        return bits
    magnitude = bits & MAGNITUDE
    if magnitude > 0x7FF0000000000000:
        return NAN_ORDER
    if magnitude == 0:
        return 0
    return bits if bits >= 0 else bits ^ MAGNITUDE


@inlined
def unordered(value: int) -> int:
    """The word of the float that `ordered` has made an integer of."""
    return value ^ MAGNITUDE if value < 0 else value


@inlined
def priority(node: int) -> int:
    """Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014."""
    z = (np.uint64(node) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64((z ^ (z >> np.uint64(31))) >> np.uint64(1))  # type: ignore[return-value]


@inlined
def size_of(nodes: Int64s, column: int, node: int) -> int:
    size: int = nodes[node, column + TREE_SIZE] if node >= 0 else 0
    return size


@inlined
def rotate_up(nodes: Int64s, column: int, keys: Int64s, key: int, key_column: int, x: int) -> None:
    """Node x and its parent change places: x's inner child becomes the parent's."""
    p = nodes[x, column + TREE_PARENT]
    g = nodes[p, column + TREE_PARENT]
    if nodes[p, column + TREE_LEFT] == x:
        inner = nodes[x, column + TREE_RIGHT]
        nodes[p, column + TREE_LEFT] = inner
        nodes[x, column + TREE_RIGHT] = p
    else:
        inner = nodes[x, column + TREE_LEFT]
        nodes[p, column + TREE_RIGHT] = inner
        nodes[x, column + TREE_LEFT] = p
    if inner >= 0:
        nodes[inner, column + TREE_PARENT] = p
    nodes[p, column + TREE_PARENT] = x
    replace_child(nodes, column, keys, key, key_column, g, p, x)
    nodes[x, column + TREE_SIZE] = nodes[p, column + TREE_SIZE]
    left = size_of(nodes, column, nodes[p, column + TREE_LEFT])
    right = size_of(nodes, column, nodes[p, column + TREE_RIGHT])
    nodes[p, column + TREE_SIZE] = left + right + 1


@inlined
def replace_child(
    nodes: Int64s,
    column: int,
    keys: Int64s,
    key: int,
    key_column: int,
    parent: int,
    old: int,
    new: int,
) -> None:
    """`parent` (-1: the key itself) has `new` (-1: nothing) where it had `old`."""
    if new >= 0:
        nodes[new, column + TREE_PARENT] = parent
    if parent < 0:
        keys[key, key_column + KEY_ROOT] = new
    elif nodes[parent, column + TREE_LEFT] == old:
        nodes[parent, column + TREE_LEFT] = new
    else:
        nodes[parent, column + TREE_RIGHT] = new


@helper
def insert(
    nodes: Int64s, column: int, keys: Int64s, key: int, key_column: int, node: int, value: int
) -> None:
    parent, at = NONE, keys[key, key_column + KEY_ROOT]
    known, goes_left = False, False
    while at >= 0:
        nodes[at, column + TREE_SIZE] += 1
        here = nodes[at, column + TREE_VALUE]
        known = known or here == value  # an equal value, if there is one, stands on this path
        goes_left = value < here
        parent = at
        at = nodes[at, column + (TREE_LEFT if goes_left else TREE_RIGHT)]
    nodes[node, column + TREE_PARENT] = parent
    nodes[node, column + TREE_LEFT] = NONE
    nodes[node, column + TREE_RIGHT] = NONE
    nodes[node, column + TREE_SIZE] = 1
    nodes[node, column + TREE_VALUE] = value
    if parent < 0:
        keys[key, key_column + KEY_ROOT] = node
    else:
        nodes[parent, column + (TREE_LEFT if goes_left else TREE_RIGHT)] = node
    if not known:
        keys[key, key_column + KEY_DISTINCT] += 1
    own = priority(node)
    while nodes[node, column + TREE_PARENT] >= 0:
        if priority(nodes[node, column + TREE_PARENT]) <= own:
            break
        rotate_up(nodes, column, keys, key, key_column, node)


@helper
def remove(nodes: Int64s, column: int, keys: Int64s, key: int, key_column: int, node: int) -> None:
    while True:
        left, right = nodes[node, column + TREE_LEFT], nodes[node, column + TREE_RIGHT]
        if left < 0 or right < 0:
            break
        upper = left if priority(left) < priority(right) else right
        rotate_up(nodes, column, keys, key, key_column, upper)
    parent = nodes[node, column + TREE_PARENT]
    replace_child(nodes, column, keys, key, key_column, parent, node, left if left >= 0 else right)
    while parent >= 0:
        nodes[parent, column + TREE_SIZE] -= 1
        parent = nodes[parent, column + TREE_PARENT]
    nodes[node, column + TREE_SIZE] = 0
    root = keys[key, key_column + KEY_ROOT]
    if not holds(nodes, column, root, nodes[node, column + TREE_VALUE]):
        keys[key, key_column + KEY_DISTINCT] -= 1


@inlined
def holds(nodes: Int64s, column: int, root: int, value: int) -> bool:
    at = root
    while at >= 0:
        here = nodes[at, column + TREE_VALUE]
        if here == value:
            return True
        at = nodes[at, column + (TREE_LEFT if value < here else TREE_RIGHT)]
    return False


@inlined
def value_at(nodes: Int64s, column: int, root: int, place: int) -> int:
    """The value at this place, from 0, in the order of values."""
    at = root
    while True:
        left = nodes[at, column + TREE_LEFT]
        before = size_of(nodes, column, left)
        if place == before:
            found: int = nodes[at, column + TREE_VALUE]
            return found
        if place < before:
            at = left
        else:
            place -= before + 1
            at = nodes[at, column + TREE_RIGHT]
