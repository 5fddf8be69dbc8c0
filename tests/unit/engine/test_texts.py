"""Texts to codes and back, what is remembered of a dictionary, what is forgotten, what is kept."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cep.engine.batch import Int64s
from cep.engine.state.texts import SeenDictionary, TextCodes

TYPES = [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]


def numbers(*values: int) -> Int64s:
    return np.array(values, np.int64)


def test_texts_have_codes_and_ranks_by_code_point() -> None:
    texts = TextCodes()
    assert texts.encode(pa.array(["b", "é", "B", "b"])).tolist() == [0, 1, 2, 0]
    assert [texts.text(texts.code(t)) for t in ("b", "é", "B", "")] == ["b", "é", "B", ""]
    order = sorted(["b", "é", "B"], key=lambda t: int(texts.rank()[texts.code(t)]))
    assert order == ["B", "b", "é"]
    texts.code("A")
    assert int(texts.rank()[texts.code("A")]) < int(texts.rank()[texts.code("B")])


def test_a_dictionary_is_encoded_by_its_own_indices() -> None:
    texts = TextCodes()
    texts.code("seen")
    values = pa.array(["x", "seen", "x", None]).dictionary_encode()
    codes = texts.encode(values)
    assert [texts.text(c) for c in codes[:3].tolist()] == ["x", "seen", "x"]
    assert len(texts.encode(pa.array([None, None], pa.string()))) == 2


def test_nothing_is_encoded_as_nothing() -> None:
    texts = TextCodes()
    assert texts.encode(pa.array([], pa.string())).tolist() == []
    assert texts.encode(pa.array([], pa.string()).dictionary_encode()).tolist() == []
    nothing = pa.array([None], pa.string()).dictionary_encode()
    assert texts.encode(nothing).tolist() == [0]
    assert len(texts) == 0


def test_only_texts_of_the_rows_asked_for_get_codes() -> None:
    texts = TextCodes()
    values = pa.array(["a", "b", "c", "b"]).dictionary_encode()
    assert texts.encode(values, numbers(3)).tolist() == [0]
    assert texts.encode(values, numbers(1, 0)).tolist() == [0, 1]
    assert len(texts) == 2


def test_a_dictionary_that_says_a_text_twice_has_one_code_for_it() -> None:
    values = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), pa.array(["a", "b", "a"]))
    assert TextCodes().encode(values).tolist() == [0, 1, 0]


def test_a_dictionary_is_known_by_its_memory_or_its_texts() -> None:
    seen = SeenDictionary()
    first = pa.array(["a", "b", "c"])
    assert [seen.is_same(first), seen.is_same(first)] == [False, True]
    assert seen.is_same(pa.array(["a", "b", "c"]))
    assert not seen.is_same(first.slice(0, 2))
    assert not seen.is_same(first.slice(1, 2))
    assert not seen.is_same(first.cast(pa.large_string()))
    seen.forget()
    assert not seen.is_same(first.cast(pa.large_string()))


@pytest.mark.parametrize("kind", TYPES)
@given(st.lists(st.lists(st.text(max_size=2) | st.sampled_from("abc"), max_size=9), max_size=4))
def test_codes_are_those_of_a_dict_however_texts_are_held(kind: Any, rows: list[list[str]]) -> None:
    texts, known = TextCodes(), dict[str, int]()
    for row in rows:
        expected = [known.setdefault(text, len(known)) for text in row]
        assert texts.encode(pa.array(row, pa.string()).cast(kind)).tolist() == expected
    assert texts.array().to_pylist() == list(known)
    assert texts.texts(np.arange(len(known))[::-1].copy()).to_pylist() == list(known)[::-1]


@given(st.lists(st.lists(st.text(max_size=2), max_size=9), max_size=4))
def test_ranks_are_places_in_the_sorted_texts_whenever_they_are_asked_for(
    rows: list[list[str]],
) -> None:
    texts = TextCodes()
    texts.encode(pa.array([str(number) for number in range(80)]))
    for row in rows:
        texts.encode(pa.array(row, pa.string()))
        known = texts.array().to_pylist()
        assert [sorted(known)[rank] for rank in texts.rank().tolist()] == known


# -- threads --------------------------------------------------------------------------------------


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads take turns after every few instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
@pytest.mark.parametrize("kind", TYPES[::2])
def test_threads_that_encode_and_compare_at_once_agree_on_codes(kind: Any) -> None:
    texts, rounds, size = TextCodes(), 300, 8

    def work(thread: int) -> list[tuple[list[str], list[int]]]:
        """Every second text is one that the other thread has, too."""
        found = []
        for number in range(rounds):
            words = [f"{number * size + i} {thread * (i % 2)}" for i in range(size)]
            codes = texts.encode(pa.array(words, pa.string()).cast(kind))
            rank = texts.rank()
            by_rank = [words[i] for i in np.argsort(rank[codes]).tolist()]
            assert by_rank == sorted(words)
            assert sorted(rank.tolist()) == list(range(len(rank)))
            assert texts.code(words[0]) == codes[0]
            assert texts.array()[int(codes[1])].as_py() == words[1]
            found.append((words, codes.tolist()))
        return found

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(work, (1, 2)))
    distinct = rounds * size * 3 // 2
    assert len(texts) == len(set(texts.array().to_pylist())) == distinct
    for words, codes in (each for found in both for each in found):
        assert [texts.text(code) for code in codes] == words


# -- forgetting -----------------------------------------------------------------------------------


def test_what_is_not_kept_is_forgotten_and_the_rest_moves_up() -> None:
    texts = TextCodes()
    texts.encode(pa.array(["a", "b", "c", "d"]))
    assert texts.keep(numbers(3, 1)).tolist() == [-1, 0, -1, 1]
    assert [texts.text(code) for code in range(len(texts))] == ["b", "d"]
    assert texts.rank().tolist() == [0, 1]
    assert texts.encode(pa.array(["a", "d"])).tolist() == [2, 1]
    assert texts.array().to_pylist() == ["b", "d", "a"]


def test_pinned_texts_keep_their_codes_for_ever() -> None:
    texts = TextCodes()
    texts.encode(pa.array(["const", "other"]))
    texts.pin()
    texts.code("gone")
    assert texts.keep(numbers()).tolist() == [0, 1, -1]
    assert (texts.code("const"), texts.code("other"), texts.code("new")) == (0, 1, 2)


def test_a_dictionary_seen_before_is_asked_for_anew_once_texts_are_forgotten() -> None:
    texts = TextCodes()
    values = pa.array(["a", "b"]).dictionary_encode()
    texts.encode(values)
    texts.keep(numbers(1))
    assert texts.encode(values).tolist() == [1, 0]


def test_texts_written_down_before_some_are_forgotten_stay_as_they_were() -> None:
    texts = TextCodes()
    texts.encode(pa.array(["a", "b", "c"]))
    snapshot = texts.snapshot()
    texts.code("d")
    texts.keep(numbers(0, 3))
    assert snapshot["texts"].column("text").to_pylist() == ["a", "b", "c"]
    assert texts.array().to_pylist() == ["a", "d"]


def test_restored_texts_go_behind_constants_and_say_where() -> None:
    before, after = TextCodes(), TextCodes()
    before.encode(pa.array(["x", "y", "z"]))
    after.encode(pa.array(["new constant", "y"]))
    after.pin()
    assert after.restore(before.snapshot()).tolist() == [2, 1, 3]
    assert [after.text(code) for code in range(4)] == ["new constant", "y", "x", "z"]
    assert TextCodes().restore(TextCodes().snapshot()).tolist() == []
