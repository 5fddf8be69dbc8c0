"""Event times in arrival order -> the watermark that each event meets; times -> their order."""

from __future__ import annotations

from cep.engine.kernels.jit import kernel
from cep.engine.kernels.layout import SOURCE_LATEST_US, Int64s


@kernel
def observe(
    times: Int64s,
    sources: Int64s,
    lateness_us: int,
    records: Int64s,
    tree: Int64s,
    stream_us: int,
    others_us: int,
    total_us: int,
    met: Int64s,
) -> tuple[int, int]:
    """Take in the events of one stream, one by one; `met[i]` is the watermark before event i.

    `sources[i]` is the row of `records` that is told of event i. `tree`, a tournament of minima: a
    power of two of leaves, `tree[tree.size // 2 + s]` the watermark of source s, NEVER where it
    holds nothing back, `tree[1]` the least of all. `stream_us` is the stream's watermark so far,
    `others_us` the least of the other streams. Returns (the stream's watermark, the total).
    O(log sources) per event at worst, O(1) for one that does not raise the minimum of its pair.
    """
    leaves = tree.size >> 1
    for i in range(times.size):
        met[i] = total_us
        source = sources[i]
        if times[i] > records[source, SOURCE_LATEST_US]:
            records[source, SOURCE_LATEST_US] = times[i]
        at = leaves + source
        least = records[source, SOURCE_LATEST_US] - lateness_us - 1
        while at > 0 and tree[at] != least:
            tree[at] = least
            at >>= 1
            if at > 0:
                least = min(tree[2 * at], tree[2 * at + 1])
        stream_us = max(stream_us, tree[1])
        total_us = max(total_us, min(stream_us, others_us))
    return stream_us, total_us


@kernel
def sort_digit(
    values: Int64s, low: int, shift: int, before: Int64s, after: Int64s, counts: Int64s
) -> None:
    """One pass of a radix sort (Knuth, TAOCP vol. 3, 5.2.5): stable, by one digit of each value.

    Reads the row numbers `before`, writes them to `after` in the order of the bits of
    `values[row] - low` from `shift` on, as many as `counts` (a power of two) has places for.
    """
    mask = counts.size - 1
    counts[:] = 0
    for i in range(before.size):
        counts[((values[before[i]] - low) >> shift) & mask] += 1
    place = 0
    for digit in range(counts.size):
        count = counts[digit]
        counts[digit] = place
        place += count
    for i in range(before.size):
        digit = ((values[before[i]] - low) >> shift) & mask
        after[counts[digit]] = before[i]
        counts[digit] += 1
