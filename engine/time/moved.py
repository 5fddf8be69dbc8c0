"""A snapshot of event time -> one over the streams that changed rules read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cep.engine.algebra.errors import DataError
from cep.engine.state.snapshot import Snapshot, Value
from cep.engine.time.arrivals import Arrivals
from cep.engine.time.columns import conformed


def moved(
    saved: Mapping[str, Value], before: Sequence[str], now: Sequence[str], fresh: Arrivals
) -> Snapshot:
    """The saved snapshot as one of the streams in `now`; `fresh` has seen nothing, and is theirs.

    Streams that are no longer read are dropped, with what was held of them; new ones begin. Raises
    DataError where the streams shared one watermark or did not, and now it is the other way.
    """
    begin = fresh.snapshot()
    places = [before.index(name) if name in before else None for name in now]
    if "watermarks" not in begin or "watermarks" not in saved:
        if ("watermarks" in begin) != ("watermarks" in saved):
            raise DataError("state of event time cannot go on in processing time, nor the reverse")
        events = [0 if place is None else saved["events"][place] for place in places]
        return {**saved, "events": events, "finished": _finished(saved["finished"], places)}
    marks = dict(saved["watermarks"])
    if len(marks["lanes"]) != len(before) or len(begin["watermarks"]["lanes"]) != len(now):
        if list(before) != list(now):
            raise DataError("streams that share one watermark must stay the same ones")
    else:
        marks |= _streams_now(marks, begin["watermarks"], places)
    return {**saved, "watermarks": marks, "buffer": _buffer(saved, places, begin, fresh)}


def _streams_now(
    before: Mapping[str, Value], fresh: Mapping[str, Value], places: Sequence[int | None]
) -> Snapshot:
    """Per stream what was known of it; where its sources are others now, its watermark alone."""
    lanes, sources = list(fresh["lanes"]), list(fresh["sources"])
    for new, old in enumerate(places):
        if old is None:
            continue
        if before["partitions"][old] == fresh["partitions"][new]:
            lanes[new], sources[new] = before["lanes"][old], before["sources"][old]
        else:
            lanes[new] = lanes[new] | {"watermark_us": before["lanes"][old]["watermark_us"]}
    finished = _finished(before["finished"], places)
    partitions = fresh["partitions"]
    return {"lanes": lanes, "sources": sources, "finished": finished, "partitions": partitions}


def _finished(finished: Sequence[int], places: Sequence[int | None]) -> list[int]:
    return [new for new, old in enumerate(places) if old in finished]


def _buffer(
    saved: Mapping[str, Value], places: Sequence[int | None], begin: Snapshot, fresh: Arrivals
) -> Snapshot | None:
    held = saved["buffer"]
    if begin["buffer"] is None:
        if held is not None and any(held["runs"][old] for old in places if old is not None):
            raise DataError(
                "events were held for a later watermark, and the streams that are read now hold "
                "nothing back: let them out with advance_to before the state is saved"
            )
        return None
    runs: list[list[dict[str, Any]]] = [[] for _ in places]
    if held is not None:
        for new, old in enumerate(places):
            if old is not None:
                runs[new] = [_conformed(run, fresh) for run in held["runs"][old]]
    return {"runs": runs}


def _conformed(run: Mapping[str, Any], fresh: Arrivals) -> dict[str, Any]:
    table = run["table"]
    own = [name for name in table.schema.names if name in fresh.schema.names]
    return {**run, "table": conformed(table.select(own), fresh.schema)}
