"""Elements of events -> the element of them all, without ever taking anything away.

Sums of floats are double-doubles, added by AccurateDWPlusDW of Joldes, Muller and Popescu, "Tight
and rigorous error bounds for basic building blocks of double-word arithmetic", TOMS 44(2), 2017:
their error is below 2**-104 of the sum of magnitudes. Deviations are merged as by Chan, Golub and
LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
"""

from __future__ import annotations

import math

import numpy as np

from cep.engine.kernels.features_layout import (
    SLOT_AT,
    SLOT_INPUT,
    SLOT_PARTIAL,
    SLOT_REAL,
    Events,
    Partial,
    Plan,
)
from cep.engine.kernels.jit import inlined
from cep.engine.kernels.layout import Floats, Int64s


@inlined
def lift(
    plan: Plan, events: Events, row: int, into: Int64s, into_f: Floats, at: int, begin: int
) -> None:
    """Write the element of one event to `into[at, begin:]`."""
    for s in range(plan.slots.shape[0]):
        source = plan.slots[s, SLOT_INPUT]
        word = begin + plan.slots[s, SLOT_AT]
        partial = plan.slots[s, SLOT_PARTIAL]
        held = events.valid[source, row]
        is_end = partial == Partial.FIRST or partial == Partial.LAST
        into[at, word] = 1 if held or is_end else 0
        if partial == Partial.COUNT:
            continue
        into[at, word + 1] = 0
        if held and partial == Partial.MOMENTS and plan.slots[s, SLOT_REAL] == 0:
            into_f[at, word + 1] = np.float64(events.inputs[source, row])
        elif held:
            into[at, word + 1] = events.inputs[source, row]
        if partial <= Partial.LAST:
            into[at, word + 2] = 1 if held and is_end else 0  # 0.0 has the same bits as 0


@inlined
def append(
    plan: Plan,
    older: Int64s,
    older_f: Floats,
    i: int,
    begin: int,
    younger: Int64s,
    younger_f: Floats,
    j: int,
    begin_j: int,
    rank: Int64s,
) -> None:
    """The element at `older[i, begin:]` takes in the one of younger events."""
    for s in range(plan.slots.shape[0]):
        a = begin + plan.slots[s, SLOT_AT]
        b = begin_j + plan.slots[s, SLOT_AT]
        added = younger[j, b]
        if added == 0:
            continue
        held = older[i, a]
        older[i, a] = held + added
        partial = plan.slots[s, SLOT_PARTIAL]
        if partial == Partial.COUNT:
            continue
        if held == 0:
            older[i, a + 1] = younger[j, b + 1]
            if partial <= Partial.LAST:
                older[i, a + 2] = younger[j, b + 2]
        elif partial == Partial.SUM_REAL:
            add_reals(older_f, i, a + 1, younger_f[j, b + 1], younger_f[j, b + 2])
        elif partial == Partial.SUM_WHOLE:
            add_wholes(older, i, a + 1, younger[j, b + 1], younger[j, b + 2])
        elif partial == Partial.MOMENTS:
            merge_moments(older_f, i, a + 1, held, younger_f, j, b + 1, added)
        elif partial == Partial.LAST:
            older[i, a + 1] = younger[j, b + 1]
            older[i, a + 2] = younger[j, b + 2]
        elif takes_over(partial, older, older_f, i, a + 1, younger, younger_f, j, b + 1, rank):
            older[i, a + 1] = younger[j, b + 1]


@inlined
def add_reals(sums: Floats, i: int, at: int, high: float, low: float) -> None:
    """sums[i, at] + sums[i, at + 1] += high + low."""
    x, x_low = sums[i, at], sums[i, at + 1]
    s = x + high
    if not math.isfinite(s):
        sums[i, at] = s
        sums[i, at + 1] = 0.0
        return
    t = s - x
    s_error = (x - (s - t)) + (high - t)
    u = x_low + low
    t = u - x_low
    u_error = (x_low - (u - t)) + (low - t)
    c = s_error + u
    v = s + c
    w = u_error + (c - (v - s))
    total = v + w
    sums[i, at] = total
    sums[i, at + 1] = w - (total - v) if math.isfinite(total) else 0.0


@inlined
def add_wholes(sums: Int64s, i: int, at: int, low: int, carry: int) -> None:
    held = sums[i, at]
    total = np.int64(np.uint64(held) + np.uint64(low))  # signed must not overflow
    sums[i, at] = total
    sums[i, at + 1] += carry
    if held < 0 and low < 0 and total >= 0:
        sums[i, at + 1] -= 1
    elif held >= 0 and low >= 0 and total < 0:
        sums[i, at + 1] += 1


@inlined
def merge_moments(
    older: Floats, i: int, at: int, held: int, younger: Floats, j: int, at_j: int, added: int
) -> None:
    m, n = np.float64(held), np.float64(added)
    apart = younger[j, at_j] - older[i, at]
    older[i, at] += apart * (n / (m + n))
    older[i, at + 1] += younger[j, at_j + 1] + apart * apart * (m * n / (m + n))


@inlined
def takes_over(
    partial: int,
    older: Int64s,
    older_f: Floats,
    i: int,
    at: int,
    younger: Int64s,
    younger_f: Floats,
    j: int,
    at_j: int,
    rank: Int64s,
) -> bool:
    """Whether the younger value stands for both. NaN does so only where there is nothing else."""
    if partial == Partial.MIN_REAL:
        return bool(younger_f[j, at_j] < older_f[i, at]) or math.isnan(older_f[i, at])
    if partial == Partial.MAX_REAL:
        return bool(younger_f[j, at_j] > older_f[i, at]) or math.isnan(older_f[i, at])
    x, held = younger[j, at_j], older[i, at]
    if partial == Partial.MIN:
        return bool(x < held)
    if partial == Partial.MAX:
        return bool(x > held)
    if partial == Partial.MIN_TEXT:
        return bool(rank[x] < rank[held])
    if partial == Partial.MAX_TEXT:
        return bool(rank[x] > rank[held])
    return False
