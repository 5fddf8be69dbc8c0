"""Slots of pairs are those of keys, in a table that grows with the pairs in use alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cep.engine.state.key_slots import KeySlots
from cep.engine.state.pair_slots import PairSlots

MEMBERS = 3
pairs = st.integers(0, 4 * MEMBERS - 1)
asks = st.lists(st.tuples(pairs, st.booleans()), max_size=12)
kept = st.lists(st.booleans(), max_size=12)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(asks, st.booleans(), kept), max_size=6))
def test_they_are_given_kept_and_lost_like_those_of_keys(
    steps: list[tuple[list[tuple[int, bool]], bool, list[bool]]],
) -> None:
    of_keys, of_pairs = KeySlots(), PairSlots(MEMBERS, capacity=1)
    for asked, is_added, keep in steps:
        codes = np.array([pair for pair, _ in asked], np.int64)
        wanted = np.array([is_wanted for _, is_wanted in asked], np.bool_)
        slots, fresh = of_keys.ask(codes, wanted)
        found, found_fresh = of_pairs.ask(codes, wanted)
        assert found.tolist() == slots.tolist()
        assert found_fresh.tolist() == fresh.tolist()
        if is_added:
            of_keys.add(fresh)
            of_pairs.add(fresh)
        stay = np.flatnonzero([at >= len(keep) or keep[at] for at in range(of_keys.count)])
        of_keys.keep(stay)
        of_pairs.keep(stay)
        assert of_pairs.codes.tolist() == of_keys.codes.tolist()
        assert [of_pairs.slot(pair) for pair in codes] == [of_keys.slot(pair) for pair in codes]
        assert of_pairs.members_of(np.arange(of_pairs.count)).tolist() == [
            pair % MEMBERS for pair in of_pairs.codes
        ]


def test_pairs_of_renumbered_keys_stay_with_their_members() -> None:
    slots = PairSlots(MEMBERS, capacity=1)
    slots.add(np.array([5 * MEMBERS + 2, 1 * MEMBERS, 5 * MEMBERS]))
    slots.renumber(np.array([1, 5]))
    assert slots.codes.tolist() == [1 * MEMBERS + 2, 0, 1 * MEMBERS]
    assert [slots.slot(pair) for pair in (5, 0, 3, 17)] == [0, 1, 2, -1]
