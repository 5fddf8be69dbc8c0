"""Python iterables with positions, and several streams in turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from cep.engine.algebra.errors import DataError
from cep.engine.io.replay.iterables import IterableSource
from cep.engine.io.replay.source import Pieces
from cep.engine.io.replay.streams import StreamsSource
from cep.engine.state.snapshot import Value


def numbers(upto: int) -> Any:
    def make(position: Value | None) -> Iterator[Any]:
        for number in range(position or 0, upto):
            yield {"id": number}, number + 1

    return make


def ids(pieces: Pieces) -> list[list[Any] | None]:
    return [piece and piece.table.column("id").to_pylist() for piece in pieces]


def test_events_are_collected_into_tables_and_go_on_behind_any_position() -> None:
    source = IterableSource(numbers(5), batch_rows=2)
    assert ids(source.read()) == [[0, 1], [2, 3], [4]]
    pieces = [piece for piece in source.read() if piece]
    assert ids(source.read(pieces[0].position)) == [[2, 3], [4]]
    assert ids(source.read(pieces[2].position)) == []


def test_lists_and_tables_are_passed_on_as_they_are() -> None:
    def make(position: Value | None) -> Iterator[Any]:
        yield {"id": 1}, 1
        yield [{"id": 2}, {"id": 3}], 2
        yield pa.table({"id": [4]}), 3
        yield pa.record_batch({"id": [5]}), 4

    assert ids(IterableSource(make).read()) == [[1], [2, 3], [4], [5]]


def test_none_hands_out_what_has_been_collected() -> None:
    def make(position: Value | None) -> Iterator[Any]:
        yield {"id": 1}, 1
        yield None
        yield {"id": 2}, 2

    assert ids(IterableSource(make).read()) == [[1], None, [2]]


def test_types_stay_those_of_the_first_events() -> None:
    def make(position: Value | None) -> Iterator[Any]:
        for at, value in enumerate([0.5, 1, 2]):
            if at >= (position or 0):
                yield {"id": value}, at + 1

    source = IterableSource(make, batch_rows=1)
    first = next(iter(source.read()))
    assert first is not None
    after = [piece.table.schema.field("id").type for piece in source.read(first.position) if piece]
    assert after == [pa.float64(), pa.float64()]


def test_without_positions_items_come_alone() -> None:
    source = IterableSource(lambda _: [{"id": 1}, {"id": 2}], positions=False)
    (piece,) = source.read()
    assert piece is not None
    assert piece.position is None
    assert not source.has_positions


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([{"id": 1}], "it yields dict, not a pair (item, position)"),
        ([(7, 1)], "an item is int 7: give a dict, a list of dicts or a table"),
    ],
)
def test_what_is_no_pair_or_no_event_is_refused(items: list[Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        list(IterableSource(lambda _: items).read())
    assert message in str(caught.value)


# -- several streams -------------------------------------------------------------------------------


def two(left: int, right: int) -> StreamsSource:
    sources = {"l": numbers(left), "r": numbers(right)}
    return StreamsSource({name: IterableSource(s, batch_rows=1) for name, s in sources.items()})


def turns(pieces: Pieces) -> list[tuple[str | None, Any]]:
    return [(p.stream, p.table.column("id").to_pylist()[0]) for p in pieces if p]


def test_streams_take_turns_and_go_on_with_whose_turn_it_is() -> None:
    source = two(2, 4)
    expected = [("l", 0), ("r", 0), ("l", 1), ("r", 1), ("r", 2), ("r", 3)]
    assert turns(source.read()) == expected
    pieces = [piece for piece in source.read() if piece]
    for number, piece in enumerate(pieces, 1):
        assert turns(source.read(piece.position)) == expected[number:]


def test_a_stream_that_has_nothing_for_now_is_passed_over() -> None:
    def waiting(position: Value | None) -> Iterator[Any]:
        yield None
        yield None
        yield {"id": 7}, 1

    source = StreamsSource(
        {"w": IterableSource(waiting), "r": IterableSource(numbers(2), batch_rows=1)}
    )
    found = [None if p is None else (p.stream, p.table.num_rows) for p in source.read()]
    assert found == [("r", 1), ("r", 1), None, ("w", 1)] or found == [("r", 1), ("r", 1), ("w", 1)]


def test_a_position_of_a_stream_that_is_new_begins_at_the_beginning() -> None:
    (first, *_) = [piece for piece in two(1, 1).read() if piece]
    made = {"l": IterableSource(numbers(1)), "x": IterableSource(numbers(1))}
    assert turns(StreamsSource(made).read(first.position)) == [("x", 0)]
