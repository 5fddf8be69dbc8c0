"""How often windows have fired: what a plain dict would say, for windows that are open."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cep.engine.operators.windows.firings import Firings

steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 5), st.integers(-4, 9), st.integers(1, 3)),
        st.tuples(st.just("close"), st.integers(-5, 9)),
        st.tuples(st.just("keep")),
    ),
    max_size=30,
)


def test_a_window_counts_for_each_key_until_it_closes() -> None:
    firings = Firings()
    assert firings.of(7, 3, otherwise=1) == 1
    firings.put(7, 3, 2)
    firings.put(8, 3, 4)
    firings.put(7, 4, 5)
    assert [firings.of(7, 3, 0), firings.of(8, 3, 0), firings.of(7, 4, 0)] == [2, 4, 5]
    assert firings.of(8, 4, otherwise=0) == 0
    firings.close(3)
    assert list(firings) == [(7, 4, 5)]
    assert firings.of(7, 3, otherwise=0) == 0


def test_kept_keys_get_new_codes() -> None:
    firings = Firings()
    firings.put(5, 1, 2)
    firings.put(9, 1, 3)
    firings.keep_keys(np.array([2, 5, 9]))
    assert sorted(firings) == [(1, 1, 2), (2, 1, 3)]


@given(steps)
def test_counts_are_those_of_a_dict(taken: list[tuple[int | str, ...]]) -> None:
    firings, known = Firings(), dict[tuple[int, int], int]()
    for step in taken:
        match step:
            case ("put", int(code), int(window), int(count)):
                firings.put(code, window, count)
                known[code, window] = count
            case ("close", int(last)):
                firings.close(last)
                known = {key: count for key, count in known.items() if key[1] > last}
            case _:
                kept = sorted({code for code, _ in known})
                firings.keep_keys(np.array(kept, np.int64))
                known = {(kept.index(code), w): count for (code, w), count in known.items()}
        assert sorted(firings) == sorted((*key, count) for key, count in known.items())
