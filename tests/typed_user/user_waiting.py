"""A detector in an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import assert_type

import cep
from cep.results.matches import Match

RULES = """
stream trades (ts timestamp, symbol text, price float) time ts;
pattern rise from trades by symbol match low high within 1 minute
  define low as true, high as price > low.price;
"""


async def trades() -> AsyncIterator[dict[str, str | float]]:
    for second, price in enumerate([1.0, 3.0]):
        yield {"ts": f"2025-03-03 12:00:{second:02}", "symbol": "x", "price": price}


async def awaited() -> list[Match]:
    found: list[Match] = []
    with cep.Detector(RULES) as detector:
        async for event in trades():
            found += assert_type(await detector.aprocess(event), cep.Result)
        assert_type(await detector.aprocess_batch([]), cep.Result)
        results = assert_type(detector.aresults(trades()), AsyncGenerator[cep.Result, None])
        async for result in results:
            assert_type(result, cep.Result)
    return found


async def matched() -> list[Match]:
    with cep.Detector(RULES) as detector:
        return [assert_type(match, Match) async for match in detector.amatches(trades())]


def main() -> None:
    assert len(asyncio.run(awaited())) == len(asyncio.run(matched())) == 1
