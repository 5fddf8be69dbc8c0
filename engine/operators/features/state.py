"""Growable buffers around the feature kernels: the queues of one shard's keys, their snapshots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cep.engine.batch import Bools, Int64s
from cep.engine.kernels import features as kernels
from cep.engine.kernels import features_layout as layout
from cep.engine.operators.features.plan import GroupPlan
from cep.engine.state.snapshot import Parts, Snapshot

Renamed = Callable[[Int64s], Int64s]  # text codes -> what has become of them

SORT_KEYS = 4  # rows are sorted by key where there are at most so many keys for each of them


def _taken(events: layout.Events, rows: Int64s) -> layout.Events:
    """These rows, side by side."""
    shape = len(events.inputs), len(rows)
    inputs = np.empty(shape, np.int64)
    taken = layout.Events(
        np.empty(len(rows), np.int64),
        np.empty(len(rows), np.uint8),
        inputs,
        inputs.view(np.float64),
        np.empty(shape, np.bool_),
        events.text_rank,
    )
    kernels.take(events, rows, taken)
    return taken


class QueueState:
    """The state of a group of features over the keys of one shard.

    `capacity` is the first size of every buffer; tests make it tiny. A key costs a row of some
    eight words, an event in reach as much.
    """

    def __init__(self, plan: GroupPlan, capacity: int = 1024) -> None:
        self._plan = plan
        self._tables = plan.tables
        self._capacity = capacity
        words, trees = plan.element_words, len(plan.tables.trees)
        self._node_words = layout.tree_column(words, trees)
        self._key_words = layout.KEY_ELEMENT + words + layout.KEY_TREE_WORDS * trees
        self._counters = np.zeros(layout.COUNTERS, np.int64)
        self._counters[layout.FREE] = -1
        self._nodes = self._empty_nodes(capacity)
        self._keys = self._empty_keys(capacity)
        self._scratch = np.zeros((2, max(words, 2)), np.int64)
        self._worth_cleaning = capacity

    # ------------------------------------------------------------------ running

    def process(
        self, events: layout.Events, rows: Int64s, codes: Int64s, results: layout.Results
    ) -> None:
        """Let these rows of the batch happen, in order; writes the results of those that ask."""
        if len(rows) == 0:
            return
        self._reach(int(codes.max()) + 1)
        now_us = int(events.time_us[rows[0]])
        rows, codes = self._key_by_key(rows, codes)
        own, made = _taken(events, rows), layout.new_results(len(results.words), len(rows))
        done = kernels.process(self._tables, self._state(), own, codes, 0, made)
        while done < len(rows):
            self._make_room(now_us)
            done = kernels.process(self._tables, self._state(), own, codes, done, made)
        kernels.put(made, rows, results)

    def _key_by_key(self, rows: Int64s, codes: Int64s) -> tuple[Int64s, Int64s]:
        """The same rows, those of a key together and in their order.

        Keys do not see each other. Those that lie side by side let events in and out of nodes that
        lie side by side, which a processor reads ahead.
        """
        if len(self._keys) > SORT_KEYS * len(rows):
            return rows, codes
        ordered, of_keys = np.empty_like(rows), np.empty_like(codes)
        kernels.by_key(rows, codes, np.zeros(len(self._keys) + 1, np.int64), ordered, of_keys)
        return ordered, of_keys

    def advance_to(self, time_us: int) -> None:
        """No event with time <= time_us follows: now and then, let go of what none could see."""
        if self.nodes_used > self._worth_cleaning:
            self._clean(time_us)

    def _make_room(self, now_us: int) -> None:
        """More free nodes, by letting go of old events where that helps; amortised O(1)."""
        self._clean(now_us)
        size = len(self._nodes)
        if 2 * self.nodes_used > size:
            larger = self._empty_nodes(2 * size)
            larger[:size] = self._nodes
            self._nodes = larger

    def _clean(self, now_us: int) -> None:
        bound_us = self._bound_us(now_us)
        # Cleaning walks over all keys: that must not be more work than what led up to it.
        if bound_us is not None and len(self._keys) <= 4 * max(len(self._nodes), self._capacity):
            kernels.clean(self._tables, self._state(), bound_us)
        self._worth_cleaning = max(2 * self.nodes_used, self._capacity)

    def _bound_us(self, now_us: int) -> int | None:
        """Events up to this time are out of reach for those at now_us or later."""
        range_us = int(self._tables.settings[layout.RANGE_US])
        return now_us - range_us if range_us >= 0 else None

    def _state(self) -> layout.State:
        nodes, keys, scratch = self._nodes, self._keys, self._scratch
        return layout.State(
            self._counters,
            nodes,
            nodes.view(np.float64),
            keys,
            keys.view(np.float64),
            scratch,
            scratch.view(np.float64),
        )

    # ------------------------------------------------------------------ keys

    @property
    def nodes_used(self) -> int:
        """Events held."""
        return int(self._counters[layout.USED])

    @property
    def bytes_held(self) -> int:
        return self._nodes.nbytes + self._keys.nbytes

    def active_keys(self, time_us: int | None = None) -> Int64s:
        """Codes of keys with events that one later than time_us (None: any) could see."""
        return np.flatnonzero(self._has_state(time_us))

    def _has_state(self, time_us: int | None) -> Bools:
        has: Bools = self._keys[:, layout.KEY_EVENTS] > 0
        bound_us = None if time_us is None else self._bound_us(time_us)
        if bound_us is not None:
            has &= self._keys[:, layout.KEY_TIME_US] > bound_us
        return has

    def keep_keys(self, codes: Int64s) -> None:
        """Key i is from now on what was key codes[i] (sorted); the others hold nothing needed."""
        known = codes[: np.searchsorted(codes, len(self._keys))]
        kept = np.zeros(len(self._keys), np.bool_)
        kept[known] = True
        kernels.drop(self._tables, self._state(), kept)
        keys = self._empty_keys(max(len(codes), self._capacity))
        keys[: len(known)] = self._keys[known]
        self._keys = keys

    def _reach(self, keys: int) -> None:
        """Be ready for key codes below this."""
        if keys > len(self._keys):
            larger = self._empty_keys(max(keys, 2 * len(self._keys)))
            larger[: len(self._keys)] = self._keys
            self._keys = larger

    def _empty_keys(self, size: int) -> Int64s:
        keys = np.zeros((size, self._key_words), np.int64)
        keys[:, layout.KEY_FRONT] = layout.NONE
        keys[:, layout.KEY_BACK] = layout.NONE
        keys[:, self._roots()] = layout.NONE
        return keys

    def _empty_nodes(self, size: int) -> Int64s:
        return np.zeros((size, self._node_words), np.int64)

    def _roots(self) -> list[int]:
        first = layout.KEY_ELEMENT + self._plan.element_words + layout.KEY_ROOT
        return [first + layout.KEY_TREE_WORDS * tree for tree in range(len(self._tables.trees))]

    # ------------------------------------------------------------------ texts

    def text_codes(self) -> Int64s:
        """The codes of all texts that are held, ascending."""
        order, _, _ = self._order(self.active_keys())
        found = [
            held[held[:, guard] > 0, word]
            for word, guard in self._plan.text_words
            for held in (self._elements(order), self._backs())
        ]
        for tree in self._plan.text_trees:
            nodes = order[self._tree(tree, layout.TREE_SIZE)[order] > 0]
            found.append(self._tree(tree, layout.TREE_VALUE)[nodes])
        return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)

    def rename_texts(self, codes: Int64s) -> None:
        """Text i is from now on what was text codes[i] (ascending, all that are held)."""
        order, _, _ = self._order(self.active_keys())
        self._nodes[order, layout.NODE_ELEMENT :] = self._renamed_nodes(order, codes)
        rows = self.active_keys()
        for word, _ in self._plan.text_words:
            column = layout.KEY_ELEMENT + word
            self._keys[rows, column] = np.searchsorted(codes, self._keys[rows, column])

    def _renamed_nodes(self, order: Int64s, codes: Int64s) -> Int64s:
        held = self._nodes[order, layout.NODE_ELEMENT :]
        trees = [self._plan.element_words + layout.TREE_WORDS * t for t in self._plan.text_trees]
        words = [word for word, _ in self._plan.text_words]
        for column in (*words, *(t + layout.TREE_VALUE for t in trees)):
            held[:, column] = np.searchsorted(codes, held[:, column])
        return held

    def _backs(self) -> Int64s:
        backs: Int64s = self._keys[self.active_keys(), layout.KEY_ELEMENT :]
        return backs

    def _elements(self, order: Int64s) -> Int64s:
        end = layout.NODE_ELEMENT + self._plan.element_words
        elements: Int64s = self._nodes[order, layout.NODE_ELEMENT : end]
        return elements

    def _tree(self, tree: int, column: int) -> Int64s:
        nodes: Int64s = self._nodes[:, layout.tree_column(self._plan.element_words, tree) + column]
        return nodes

    # ------------------------------------------------------------------ snapshots

    def snapshot(self) -> Snapshot:
        """Keys (k,) and their events (e,), oldest first; text codes as they are."""
        codes = self.active_keys()
        order, ends, fronts = self._order(codes)
        trees = range(len(self._tables.trees))
        held = [self._tree(t, layout.TREE_SIZE)[order] > 0 for t in trees]
        values = [self._tree(t, layout.TREE_VALUE)[order] for t in trees]
        element = slice(layout.KEY_ELEMENT, layout.KEY_ELEMENT + self._plan.element_words)
        return {
            "codes": codes,
            "events": self._keys[codes, layout.KEY_EVENTS],
            "time_us": self._keys[codes, layout.KEY_TIME_US],
            "back": self._keys[codes, element],
            "ends": ends,
            "fronts": fronts,
            "node_time_us": self._nodes[order, layout.NODE_TIME_US],
            "node_elements": self._elements(order),
            "tree_values": np.array(values, np.int64).reshape(len(values), len(order)),
            "tree_held": np.array(held, np.bool_).reshape(len(held), len(order)),
        }

    def _order(self, codes: Int64s) -> tuple[Int64s, Int64s, Int64s]:
        """(nodes of these keys, oldest first; where each key's end; how many are in the front)."""
        ends, fronts = np.zeros(len(codes), np.int64), np.zeros(len(codes), np.int64)
        kernels.count_nodes(self._state(), codes, ends, fronts)
        order = np.empty(int(ends[-1]) if len(ends) else 0, np.int64)
        kernels.list_nodes(self._state(), codes, ends, order)
        return order, ends, fronts

    def restore(self, parts: Parts, renamed: list[Renamed] | None = None) -> None:
        """Take over the state of snapshots into an empty one; `renamed` one per part."""
        for number, (snapshot, now) in enumerate(parts):
            self._adopt(snapshot, now, None if renamed is None else renamed[number])

    def _adopt(self, snapshot: Mapping[str, Any], now: Int64s, renamed: Renamed | None) -> None:
        codes = now[snapshot["codes"]]
        mine = codes >= 0
        codes = codes[mine]
        if len(codes) == 0:
            return
        counts = np.diff(snapshot["ends"], prepend=0)
        events = np.repeat(mine, counts)
        elements = snapshot["node_elements"][events]
        back = snapshot["back"][mine]
        values = np.ascontiguousarray(snapshot["tree_values"][:, events])
        held = np.ascontiguousarray(snapshot["tree_held"][:, events])
        if renamed is not None:
            self._rename(renamed, elements, back, values, held)
        self._reach(int(codes.max()) + 1)
        self._keys[codes, layout.KEY_EVENTS] = snapshot["events"][mine]
        self._keys[codes, layout.KEY_TIME_US] = snapshot["time_us"][mine]
        end = layout.KEY_ELEMENT + self._plan.element_words
        self._keys[codes, layout.KEY_ELEMENT : end] = back
        order = self._new_nodes(snapshot["node_time_us"][events], elements)
        kernels.link_nodes(
            self._tables,
            self._state(),
            codes,
            np.cumsum(counts[mine]),
            order,
            np.ascontiguousarray(snapshot["fronts"][mine]),
            values,
            held,
        )

    def _new_nodes(self, time_us: Int64s, elements: Int64s) -> Int64s:
        first = int(self._counters[layout.FRESH])
        order = np.arange(first, first + len(time_us))
        while first + len(time_us) > len(self._nodes):
            self._nodes = np.concatenate([self._nodes, self._empty_nodes(len(self._nodes))])
        self._counters[layout.FRESH] += len(time_us)
        self._counters[layout.USED] += len(time_us)
        self._nodes[order, layout.NODE_TIME_US] = time_us
        end = layout.NODE_ELEMENT + self._plan.element_words
        self._nodes[order, layout.NODE_ELEMENT : end] = elements
        return order

    def _rename(
        self, renamed: Renamed, elements: Int64s, back: Int64s, values: Int64s, held: Bools
    ) -> None:
        for word, guard in self._plan.text_words:
            for rows in (elements, back):
                rows[:, word] = np.where(rows[:, guard] > 0, renamed(rows[:, word]), 0)
        for tree in self._plan.text_trees:
            values[tree] = np.where(held[tree], renamed(values[tree]), 0)
