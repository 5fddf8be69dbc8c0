"""Laws of texts: that those nobody holds are forgotten, and who compares them, does not show.

Every text of these streams is another one, and the memory of texts is cleaned whenever it has
doubled, so codes of texts in windows, sessions and runs change all the time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import cep
from cep.engine.batch import EventBatch, Int64s
from cep.engine.results import MatchBatch
from cep.engine.runtime.runtime import Runtime
from cep.engine.state.texts import TextCodes

STREAM = "stream s (id int, ts int, k int, t text) time ts;\n"
OUTPUTS = {
    "min": "min(t)",
    "max": "max(t)",
    "first": "first(t)",
    "last": "last(t)",
    "count_distinct": "count_distinct(t)",
    "approx_count_distinct": "approx_count_distinct(t)",
    "collect": "collect(t)",
    "joined": "max(t) || first(t)",
}
WINDOWS = {
    "tumbling": "tumbling 20 ms lateness 15 ms",
    "sliding": "sliding 30 ms every 10 ms lateness 15 ms",
    "cumulating": "cumulating 30 ms every 10 ms lateness 15 ms",
    "early": "tumbling 40 ms lateness 15 ms early every 7 ms",
    "discarding": "sliding 20 ms every 10 ms lateness 15 ms discarding",
    "session": "session 5 ms lateness 15 ms",
    "count": "count 4 every 2",
}
PATTERN = """
    pattern rising from s by k match x -> y+? -> z within 25 ms
      define x, y as t > x.t, z as t > last(y.t) and length(t) > 2
      select first(x.t) as x, last(y.t) as y, max(y.t) as most, z.t as z after match no skip;
"""


def events(size: int = 120) -> list[dict[str, Any]]:
    """Some are up to 12 ms late, some texts come again, some are NULL."""
    found = []
    for number in range(size):
        ts = 2 * number - (12 if number % 7 == 3 else 0)
        text = None if number % 11 == 5 else f"{number * 37 % 1009:04d}{'x' * (number % 3)}"
        if number % 9 == 4:
            text = "again"
        found.append({"id": number, "ts": ts, "k": number % 3, "t": text})
    return found


def run(rules: str, arrived: Sequence[dict[str, Any]], size: int, **options: Any) -> Any:
    """All rows and matches of a live run over batches of this size."""
    detector, rows, matches = cep.Detector(STREAM + rules, **options), list[Any](), list[Any]()

    def add(result: cep.Result) -> None:
        for name, table in result.tables.items():
            rows.extend((name, *row.values()) for row in table.to_pylist())
        matches.extend((m.pattern, *m.values.values()) for m in result.matches)
        assert not len(result.errors)

    for begin in range(0, len(arrived), size):
        add(detector.process_batch(arrived[begin : begin + size]))
    add(detector.finish())
    detector.close()
    return rows, matches


@pytest.fixture
def always_forgotten(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Texts are forgotten whenever they have doubled; how many were, each time."""
    forgotten: list[int] = []
    keep = TextCodes.keep

    def counted(texts: TextCodes, codes: Int64s) -> Int64s:
        before = len(texts)
        mapping = keep(texts, codes)
        forgotten.append(before - len(texts))
        return mapping

    monkeypatch.setattr(TextCodes, "keep", counted)
    monkeypatch.setattr("cep.engine.runtime.runtime.TEXTS_KEPT_MIN", 1)
    return forgotten


def aggregate(window: str, name: str = "w") -> str:
    select = ", ".join(f"{value} as {output}" for output, value in OUTPUTS.items())
    return f"aggregate {name} from s by k window {WINDOWS[window]} select k, {select};\n"


@pytest.fixture(params=list(WINDOWS))
def window(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("size", [1, 10])
def test_windows_give_what_they_give_without_forgetting(
    window: str, size: int, request: pytest.FixtureRequest
) -> None:
    plain = run(aggregate(window), events(), size)
    forgotten = request.getfixturevalue("always_forgotten")
    assert run(aggregate(window), events(), size) == plain
    assert sum(forgotten) > 40
    updates = [row[-1] for row in plain[0]]
    assert len(updates) > 10
    assert window == "count" or max(updates) > 0


@pytest.mark.parametrize("workers", [1, 2])
def test_patterns_and_windows_side_by_side_give_what_each_gives_alone(
    workers: int, always_forgotten: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = events(400)
    windows = "".join(aggregate(window, window) for window in WINDOWS)
    rows, matches = run(windows + PATTERN, arrived, 7, workers=workers)
    assert sum(always_forgotten) > 10
    monkeypatch.undo()
    assert sorted(rows, key=repr) == sorted(run(windows, arrived, 7)[0], key=repr)
    assert sorted(matches) == sorted(run(PATTERN, arrived, 7)[1])
    assert len(matches) > 10


def test_windows_over_rows_of_windows_hold_their_texts(
    always_forgotten: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = (
        "aggregate w from s by k window tumbling 8 ms"
        " select k, first(t) as begin, max(t) as most, last(t) as final;"
        "aggregate above from w by k window tumbling 60 ms"
        " select k, min(begin) as least, last(most) as newest, collect(final) as every;"
    )
    found = run(rules, events(), 5)
    assert sum(always_forgotten) > 40
    monkeypatch.undo()
    assert found == run(rules, events(), 5)


# -- threads --------------------------------------------------------------------------------------

COMPARED = """
    aggregate w from s by k window sliding 80 ms every 20 ms
      select k, min(t) as least, max(t) as most, count_distinct(t) as n;
    pattern above from s by k match x -> y within 60 ms
      define x as length(t) > 2, y as t > x.t after match no skip;
    pattern below from s by k match x -> y -> z within 60 ms
      define x as length(t) > 2, y as t < x.t, z as t < y.t after match no skip;
    pattern over_windows from w by k match v -> u within 200 ms
      define v as n > 1, u as most > v.most after match no skip;
"""


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads take turns after every few instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def worked_on(workers: int, texts: Sequence[str]) -> tuple[list[Any], list[Any]]:
    """Rows and matches of one batch in slices of 3 events; texts are plain, no dictionary."""
    rules, size = cep.compile(STREAM + COMPARED), len(texts)
    runtime = Runtime(rules.bind(rules.base_streams), workers=workers, slice_rows=3)
    columns = {"id": range(size), "ts": range(0, 2 * size, 2), "k": [i % 7 for i in range(size)]}
    times = np.arange(0, 2_000 * size, 2_000)
    output = runtime.process(EventBatch(pa.table({**columns, "t": texts}), times))
    output.extend(runtime.finish())
    runtime.close()
    rows = [(batch.name, *row.values()) for batch in output.rows for row in batch.table.to_pylist()]
    return rows, sorted(match for batch in output.matches for match in taken(batch))


def taken(batch: MatchBatch) -> Iterator[tuple[Any, ...]]:
    events = batch.event_position[batch.row]
    for match, (begin, end) in enumerate(pairwise(batch.offsets)):
        yield batch.pattern.name, int(batch.at_us[match]), *events[begin:end].tolist()


@pytest.mark.usefixtures("hasty_threads")
def test_two_workers_compare_ever_new_texts_as_one_does() -> None:
    texts = [f"{number * 7919 % 10007:05d}" for number in range(2500)]
    rows, matches = worked_on(1, texts)
    assert {row[0] for row in rows} == {"w"}
    assert {match[0] for match in matches} == {"above", "below", "over_windows"}
    for _ in range(3):
        assert worked_on(2, texts) == (rows, matches)
